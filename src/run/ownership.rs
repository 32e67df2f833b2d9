//! Whose is what the engine holds: runs whose owner is gone, told from labels and locks alone.

use std::path::PathBuf;

use crate::{
    engine::{Docker, EngineError, FoundRun},
    time::{RunClock, WallTime},
};

use super::{
    directory::{RunDirectory, RunRecord, RunState},
    supervision::is_supervised,
};

/// What a run in the engine is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody owns it: hands off.
    Owned,
    /// Left on purpose by `--keep`.
    Kept,
    /// Its owner is gone.
    Ownerless,
}

/// A run that the engine holds, with its directory where that can be seen from here.
#[derive(Debug, Clone)]
pub struct EngineRun {
    /// What the labels say.
    pub found: FoundRun,
    /// Its directory and record, if they are readable.
    pub known: Option<(RunDirectory, RunRecord)>,
    /// What it is to us.
    pub standing: Standing,
}

impl EngineRun {
    /// The name that people type: `smoke/3`, or the id where the directory is not readable.
    #[must_use]
    pub fn name(&self) -> String {
        self.known.as_ref().map_or_else(
            || self.found.run.to_string(),
            |(_, record)| record.name.clone(),
        )
    }
}

/// All runs that the engine holds.
///
/// # Errors
/// When the engine does not answer.
pub async fn engine_runs(docker: &Docker) -> Result<Vec<EngineRun>, EngineError> {
    let found = crate::engine::find_runs(docker).await?;
    Ok(found.into_iter().map(look).collect())
}

fn look(found: FoundRun) -> EngineRun {
    let directory = RunDirectory::at(PathBuf::from(&found.state));
    let known = directory
        .record()
        .ok()
        .map(|record| (directory, record))
        // A stranger's directory may stand at the same path, for example in another container.
        .filter(|(_, record)| record.run == found.run);
    let standing = match &known {
        Some((directory, _)) if directory.owner().is_some() || is_supervised(directory) => {
            Standing::Owned
        }
        Some((_, record)) if record.kept && record.state == RunState::Finished => Standing::Kept,
        Some(_) => Standing::Ownerless,
        None => standing_from_labels(&found, RunClock::wall()),
    };
    EngineRun {
        found,
        known,
        standing,
    }
}

/// Without the run's directory it is taken for somebody's until its time to live has passed: its owner may live where
/// it cannot be seen from here (another host, another container).
fn standing_from_labels(found: &FoundRun, now: WallTime) -> Standing {
    let alive_until = found
        .created
        .saturating_add(found.time_to_live)
        .saturating_mul(1_000);
    if now.0 < alive_until {
        Standing::Owned
    } else {
        Standing::Ownerless
    }
}
