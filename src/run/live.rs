//! What a run tells while it runs, in files of its directory: `live.json` for `status`, and the wish to stop.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use crate::{
    detect::judgement::{AccelerationView, ShardView, StageStart},
    ids::RunId,
    report::status::Live,
    time::Elapsed,
};

/// A file of this name in the run directory asks the owner to end the run. A file and no signal, because the owner may
/// live in another container, and a process id may have been used again.
pub const STOP_REQUEST: &str = "stop";

const FILE: &str = "live.json";

/// The newest view of a run, as the screen shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveStatus {
    /// The run.
    pub run: RunId,
    /// Its age.
    pub elapsed: Elapsed,
    /// The stage it is in.
    pub stage: Option<StageStart>,
    /// Length of the soak, if time ends it.
    pub soak: Option<Duration>,
    /// Height that ends it, if one does.
    pub until_height: Option<u64>,
    /// Acceleration so far.
    pub acceleration: AccelerationView,
    /// The shards.
    pub shards: Vec<ShardView>,
    /// Findings from info to critical.
    pub findings: [u32; 4],
}

impl LiveStatus {
    /// Of what is shown now.
    #[must_use]
    pub fn of(live: Live<'_>) -> Self {
        Self {
            run: live.run.clone(),
            elapsed: live.elapsed,
            stage: live.stage,
            soak: live.soak,
            until_height: live.until_height,
            acceleration: live.acceleration,
            shards: live.shards.into_owned(),
            findings: live.findings,
        }
    }

    /// As the renderers want it.
    #[must_use]
    pub fn live(&self) -> Live<'_> {
        Live {
            run: &self.run,
            elapsed: self.elapsed,
            stage: self.stage,
            soak: self.soak,
            until_height: self.until_height,
            acceleration: self.acceleration,
            shards: Cow::Borrowed(&self.shards),
            findings: self.findings,
        }
    }

    /// Reads the newest one, if there is any.
    #[must_use]
    pub fn read(directory: &RunDirectory) -> Option<Self> {
        let bytes = std::fs::read(directory.path().join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Replaces it. A failure is no reason to disturb the run: the next one comes in a second.
    pub fn write(&self, directory: &RunDirectory) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            let _ = directory.write(FILE, &bytes);
        }
    }
}
