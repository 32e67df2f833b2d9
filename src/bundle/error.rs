//! What goes wrong with bundles.

use std::path::{Path, PathBuf};

/// A bundle that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Input or output on a path.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of the run that has no place in a bundle.
    #[error("{path:?} has no place in a bundle: {why}")]
    Path {
        /// Its path in the run directory.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// A file that changed between its two readings.
    #[error("{path} changed while it was packed")]
    Changed {
        /// Its path.
        path: String,
    },
    /// A bundle that is none, was cut short or was tampered with.
    #[error("{} is no whole bundle: {why}", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A bundle of a later version.
    #[error("{} has format {found}, this version reads up to {}", path.display(), super::FORMAT)]
    Newer {
        /// The bundle.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl BundleError {
    /// For `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
