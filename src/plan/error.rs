//! What can be wrong with a plan or a profile. Each message names the place, the key, what is wrong and what is
//! allowed; the cause, where there is one, is the `source`.

use std::{fmt, io, path::PathBuf, sync::Arc};

/// Where a value was written: a file with line and column, a flag or an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File name, `profile NAME`, `--set key=value`, `environment NAME`.
    pub source: Arc<str>,
    /// Line and column, counted from 1, in a file.
    pub position: Option<(u32, u32)>,
    /// Variables of the environment that the value was made with: `${TAG}`.
    pub variables: Option<Arc<str>>,
}

impl Place {
    /// A place without a position.
    #[must_use]
    pub fn whole(source: &str) -> Self {
        Self {
            source: clean(source).into(),
            position: None,
            variables: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        if let Some((line, column)) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        match &self.variables {
            Some(variables) => write!(formatter, " with {variables}"),
            None => Ok(()),
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Neither a shipped name nor a file.
    #[error(
        "{what} {name:?} is neither shipped ({shipped}) nor a file; a path contains `/` or ends in `.toml`{hint}"
    )]
    NotFound {
        /// `plan` or `profile`.
        what: &'static str,
        /// As typed.
        name: String,
        /// The shipped ones.
        shipped: String,
        /// `; did you mean ...?`, or empty.
        hint: String,
    },
    /// A file cannot be read.
    #[error("cannot read the {what} {path:?}")]
    Read {
        /// `plan` or `profile`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any plan.
    #[error("the {what} {path:?} is longer than {limit} bytes")]
    TooLong {
        /// `plan` or `profile`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Bytes that are read at most.
        limit: u64,
    },
    /// A text is no TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{place}: unknown key `{key}`{hint}; allowed here: {allowed}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The whole key.
        key: String,
        /// `; did you mean ...?`, or empty.
        hint: Box<str>,
        /// The keys allowed at this place.
        allowed: Box<str>,
    },
    /// A key that a later version will know. Never ignored: a plan that asks for more than is done would lie.
    #[error("{place}: `{key}` is not in this version of canarynet: {note}")]
    Later {
        /// Where.
        place: Place,
        /// The whole key.
        key: String,
        /// What it will be, or what to use instead.
        note: &'static str,
    },
    /// A value of the wrong type or outside what is allowed.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// Where.
        place: Place,
        /// The whole key.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A key without which there is no plan.
    #[error("{what}: `{key}` is missing: {message}")]
    Missing {
        /// `profile NAME` or the plan.
        what: String,
        /// The whole key.
        key: String,
        /// What it is.
        message: &'static str,
    },
    /// `${NAME}` without a value.
    #[error(
        "{place}: `{key}`: variable ${{{name}}} is not defined in the environment{hint} (set it: `{name}=... canarynet ...`; write `$${{` for a literal `${{`)"
    )]
    Variable {
        /// Where.
        place: Place,
        /// The whole key.
        key: String,
        /// The variable.
        name: Box<str>,
        /// `; did you mean ...?`, or empty.
        hint: Box<str>,
    },
    /// The plan wants another version.
    #[error("{place}: this plan requires canarynet {asked}, and this is {have}")]
    Requires {
        /// Where.
        place: Place,
        /// The range.
        asked: String,
        /// This version.
        have: String,
    },
    /// Profiles extend each other in a circle, or too deeply.
    #[error("{place}: `extends` leads through more than {limit} profiles or in a circle: {chain}")]
    Extends {
        /// Where.
        place: Place,
        /// Names, outermost first.
        chain: String,
        /// Profiles that may stand behind each other.
        limit: usize,
    },
    /// `--set` or `CANARYNET_SET_...` without sense.
    #[error("{place}: {message}")]
    Set {
        /// The flag or variable.
        place: Place,
        /// What is wrong.
        message: String,
    },
}

/// The text fit for terminals and CI logs, where keys and values are echoed; no key or message is longer.
pub(crate) fn clean(text: &str) -> String {
    crate::journal::text::clean(text, 400)
}

/// `; did you mean `x`?` for the nearest candidate, or nothing if none is near.
pub(crate) fn did_you_mean<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    // Similarity is quadratic in the length, and no key is longer.
    let typed: String = typed.chars().take(60).collect();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&typed, candidate), candidate))
        // 0.8 accepts a letter lost, doubled or swapped in all keys there are, and no unrelated ones.
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean `{candidate}`?")
        })
}
