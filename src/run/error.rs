//! Why a run could not be done: each is infra (exit 3), since bad input was refused before a run began; only secrets are
//! read by the run itself.

use crate::{
    engine::EngineError, journal::JournalError, plan::reserve::Taken,
    profile::log_rules::RuleError, report::RenderError, snapshot::SnapshotError,
};

use super::{directory::DirectoryError, signal::Interrupt};

/// A run that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine.
    #[error("the container engine could not do the work")]
    Engine(#[from] EngineError),
    /// The evidence.
    #[error("the journal cannot be written, and without evidence there is nothing to judge")]
    Journal(#[from] JournalError),
    /// The run directory.
    #[error("the run directory cannot be used")]
    Directory(#[from] DirectoryError),
    /// Signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// Log rules.
    #[error("a log rule of the profile cannot be used")]
    Rules(#[from] RuleError),
    /// A signal ended what has no verdict.
    #[error("ended by {0}; what it had broken was healed and removed")]
    Stopped(&'static str),
    /// A signal came before anything was started.
    #[error("{} came before anything was started", .0.name())]
    Interrupted(Interrupt),
    /// Others hold what the run needs of the machine.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// A secret: bad input (exit 2).
    #[error("the secrets of the nodes cannot be used")]
    Secret(#[from] super::secrets::SecretError),
    /// Live progress.
    #[error("cannot start the display")]
    Screen(#[source] std::io::Error),
    /// The plan as JSON.
    #[error("cannot write the plan as JSON")]
    Encode(#[source] serde_json::Error),
    /// A report.
    #[error("cannot render a report")]
    Render(#[source] RenderError),
    /// The plan in a journal.
    #[error("the journal of {run} holds no plan that this version understands")]
    Plan {
        /// Which run.
        run: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The process that heals when this one cannot, or what it is to heal.
    #[error("cannot guard the heals of faults")]
    Guard(#[source] std::io::Error),
    /// Faults need what this machine does not have.
    #[error(
        "this machine lacks what faults of the plan need: {lacks}; leave them out, or `on_missing = \"skip\"`"
    )]
    Missing {
        /// Which faults, what, why and the remedy.
        lacks: String,
    },
    /// The snapshot that the chain is to begin from.
    #[error("the chain cannot begin from its snapshot")]
    Snapshot(#[from] SnapshotError),
    /// Nothing to attach to.
    #[error("{run} cannot be taken over: {why}")]
    Attach {
        /// Which run.
        run: String,
        /// Why not.
        why: String,
    },
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
