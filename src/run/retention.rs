//! How long a folder of runs keeps what: `retention.toml` in it, which people write. Without it nothing goes by itself.

use std::{io, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{directory::StateFolder, prune::Retention};
use crate::plan::values::{Size, Span};

/// Its file in the folder of runs.
pub const FILE: &str = "retention.toml";

const DAY: Duration = Duration::from_secs(86_400);
const LOGS: Duration = Duration::from_secs(7 * 86_400);
const RUNGS: Duration = Duration::from_secs(14 * 86_400);
const JOURNALS: Duration = Duration::from_secs(42 * 86_400);

/// As typed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// Age from which raw logs, copied evidence and repetitions go. Default 7 days.
    pub logs: Option<Span>,
    /// Age from which rungs go that nothing needs. Default 14 days.
    pub rungs: Option<Span>,
    /// Age from which journals go. Default 6 weeks.
    pub journals: Option<Span>,
    /// Age from which all of a run goes. Default never.
    pub forget: Option<Span>,
    /// Bytes that all of it may take. Default as many as there are.
    pub budget: Option<Size>,
    /// After each run what is due goes by itself. Default false: only by `runs prune`.
    #[serde(default)]
    pub after_each_run: bool,
}

impl Typed {
    /// All of it.
    #[must_use]
    pub fn retention(&self) -> Retention {
        let age = |typed: Option<Span>, default| typed.map_or(default, |span| span.0);
        Retention {
            logs: age(self.logs, LOGS),
            rungs: age(self.rungs, RUNGS),
            journals: age(self.journals, JOURNALS),
            forget: self.forget.map(|span| span.0),
            budget: self.budget.map(|size| size.0),
        }
    }
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It says something else than it may.
    #[error(
        "{} cannot be understood: {}; it may have `logs`, `rungs`, `journals`, `forget` (ages like \"7d\"), `budget` (like \"20 GiB\") and `after_each_run`",
        path.display(), message.trim()
    )]
    Understand {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// What a folder of runs says; nothing is typed where there is no file.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn of(state: &StateFolder) -> Result<Typed, RetentionError> {
    let path = state.root().join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Typed::default()),
        Err(source) => return Err(RetentionError::Read { path, source }),
    };
    let understand = |message: String| RetentionError::Understand {
        path: path.clone(),
        message,
    };
    let typed: Typed = toml::from_str(&text).map_err(|error| understand(error.to_string()))?;
    // What is younger than a day is what somebody works on, also overnight.
    let ages = [typed.logs, typed.rungs, typed.journals, typed.forget];
    let short = ages.into_iter().flatten().any(|age| age.0 < DAY);
    if typed.after_each_run && short {
        return Err(understand(
            "with `after_each_run` no age may be below a day".to_owned(),
        ));
    }
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_how_long_it_keeps_what() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let nothing = of(&state).unwrap();
        assert_eq!(nothing, Typed::default());
        assert_eq!(nothing.retention().journals, 42 * DAY);
        let write = |text: &str| {
            std::fs::write(root.path().join(FILE), text).unwrap();
            of(&state)
        };
        let typed =
            write("logs = \"2d\"\nforget = \"2y\"\nbudget = \"20 GiB\"\nafter_each_run = true\n")
                .unwrap();
        assert!(typed.after_each_run);
        let retention = typed.retention();
        assert_eq!((retention.logs, retention.rungs), (2 * DAY, 14 * DAY));
        assert_eq!(retention.budget, Some(20 << 30));
        for wrong in [
            "log = \"2d\"",
            "logs = 2",
            "logs = \"1h\"\nafter_each_run = true",
            "budget = \"much\"",
        ] {
            let error = write(wrong).unwrap_err().to_string();
            assert!(error.contains(FILE), "{error}");
        }
    }
}
