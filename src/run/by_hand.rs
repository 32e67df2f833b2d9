//! Faults asked for by hand: a file goes into the run's directory, what became of it comes out line by line.

use std::{fs, io, io::Write as _, path::Path, time::Duration};

use serde_json::Value;

use super::arm::FOLDER;
use crate::{
    fault::{
        kinds::{KINDS, kind},
        needs::Permits,
        schedule::default_length,
        target,
    },
    plan::{
        Plan,
        error::did_you_mean,
        faults::{PlannedFault, TargetError, Trigger},
        versions,
    },
    time::RunClock,
};

/// Ending of a request.
const ASKED: &str = "asked.json";
/// Requests that are read at one time.
const MOST: usize = 64;

/// A fault as somebody asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// On whom, as in a plan.
    pub target: &'a str,
    /// How long; as long as is usual for `None`.
    pub lasts: Option<Duration>,
    /// Its parameters, a JSON object.
    pub parameters: Value,
}

/// Why a fault that was asked for cannot be: bad input.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// No such kind.
    #[error("{name:?} is no kind of fault{hint}; `canarynet fault` lists all")]
    Kind {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// The run's plan rules it out.
    #[error("{name} cannot be done in this run: it {why}")]
    RuledOut {
        /// The kind.
        name: String,
        /// Why.
        why: String,
    },
    /// No such parameter.
    #[error("{name} has no parameter {unknown:?}{hint}; {known}")]
    Unknown {
        /// The kind.
        name: String,
        /// The parameter.
        unknown: String,
        /// What may have been meant.
        hint: String,
        /// Those that it has, in words.
        known: String,
    },
    /// The parameters cannot be read.
    #[error("parameters of {name}")]
    Parameters {
        /// The kind.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// No such version of the nodes' program.
    #[error("{0}")]
    Version(String),
    /// No such target in words.
    #[error(transparent)]
    Target(TargetError),
    /// No such target in this network.
    #[error("{0}")]
    Nobody(String),
}

/// The fault that is asked for; what the run's plan itself rules out is bad input.
///
/// # Errors
/// Why it cannot be.
pub fn planned(wish: &Wish<'_>, plan: &Plan) -> Result<PlannedFault, WishError> {
    let name = wish.kind.to_owned();
    let info = kind(wish.kind).ok_or_else(|| WishError::Kind {
        hint: did_you_mean(wish.kind, KINDS.iter().map(|info| info.kind)),
        name: name.clone(),
    })?;
    if let Some(why) = Permits::of(plan).rules_out_kind(info) {
        let why = why.to_owned();
        return Err(WishError::RuledOut { name, why });
    }
    if let Some(unknown) = info.unknown(&wish.parameters) {
        let known = (info.parameters)();
        return Err(WishError::Unknown {
            name,
            unknown: unknown.to_owned(),
            hint: did_you_mean(unknown, known.iter().map(String::as_str)),
            known: match known.as_slice() {
                [] => "it has none".to_owned(),
                known => format!("it has {}", known.join(", ")),
            },
        });
    }
    if let Err(source) = (info.parse)(&wish.parameters) {
        return Err(WishError::Parameters { name, source });
    }
    let target = wish.target.parse().map_err(WishError::Target)?;
    target::check(&target, &plan.network.nodes).map_err(WishError::Nobody)?;
    let mut planned = PlannedFault {
        id: String::new(),
        kind: name,
        parameters: wish.parameters.clone(),
        trigger: Trigger::After(Duration::ZERO),
        lasts: wish.lasts.unwrap_or_else(|| default_length(&plan.clocks)),
        target,
        seed: RunClock::wall().0,
        drawn: false,
    };
    versions::fill(&mut planned, &plan.network).map_err(WishError::Version)?;
    Ok(planned)
}

/// Asks the owner of a run for a fault; answers the name under which its steps can be read.
///
/// # Errors
/// When the file cannot be written.
pub fn ask(directory: &Path, fault: &PlannedFault) -> Result<String, io::Error> {
    let folder = directory.join(FOLDER);
    fs::create_dir_all(&folder)?;
    // A process id may be used again, and then the answers to the one before it would be read.
    let name = format!("hand-{}-{}", std::process::id(), RunClock::wall().0);
    let temporary = folder.join(format!("{name}.tmp"));
    fs::write(&temporary, serde_json::to_vec(fault)?)?;
    fs::rename(temporary, folder.join(format!("{name}.{ASKED}")))?;
    Ok(name)
}

/// What became of it so far, a step a line.
#[must_use]
pub fn told(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(FOLDER).join(format!("{name}.told"))).unwrap_or_default()
}

/// Requests that came since the last look, each once.
pub(super) fn take(directory: &Path) -> Vec<(String, PlannedFault)> {
    let Ok(entries) = fs::read_dir(directory.join(FOLDER)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = file.strip_suffix(ASKED)?.trim_end_matches('.').to_owned();
            let bytes = fs::read(entry.path()).ok()?;
            fs::remove_file(entry.path()).ok()?;
            Some((name, serde_json::from_slice(&bytes).ok()?))
        })
        .take(MOST)
        .collect()
}

/// Adds a line for whoever asked.
pub(super) fn tell(directory: &Path, name: &str, line: &str) {
    let path = directory.join(FOLDER).join(format!("{name}.told"));
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    // Whoever asked may not care any more.
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}
