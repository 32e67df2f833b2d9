//! What goes wrong with snapshots.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A snapshot that cannot be used, made or removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Input or output on a path.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A manifest that cannot be read.
    #[error("{} is no manifest of a snapshot", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// One of a later version.
    #[error(
        "snapshot {name} has format {format}; this version reads up to {}",
        super::FORMAT
    )]
    Format {
        /// Which.
        name: String,
        /// Its format.
        format: u32,
    },
    /// No such snapshot.
    #[error(
        "there is no snapshot {0:?}; `canarynet snapshots` lists them, `canarynet snapshot RUN` makes one"
    )]
    NotFound(String),
    /// A text that cannot be a name.
    #[error("{0:?} is no name of a snapshot: up to 80 letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// The name is taken.
    #[error(
        "there is a snapshot {0} already; `canarynet snapshots remove {0}` removes it, or give another --name"
    )]
    Taken(String),
    /// It is of another network than the plan's.
    #[error("snapshot {name} does not fit the plan:\n{}", differences.join("\n"))]
    Misfit {
        /// Which.
        name: String,
        /// Each difference in a line.
        differences: Vec<String>,
    },
    /// It must stay.
    #[error(
        "snapshot {name} is where an unresolved finding is repeated from: {finding}; --force removes it all the same"
    )]
    Pinned {
        /// Which.
        name: String,
        /// The finding.
        finding: String,
    },
    /// A run that goes on began from it.
    #[error("snapshot {0} is in use: somebody is making it or starting from it")]
    InUse(String),
}

impl SnapshotError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
