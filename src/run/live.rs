//! What a run tells while it runs, in files of its directory: `live.json` for `status`, and the wish to stop.

use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use crate::report::LiveView;

/// A file of this name in the run directory asks the owner to end the run. A file and no signal, because the owner may
/// live in another container, and a process id may have been used again.
pub const STOP_REQUEST: &str = "stop";

const FILE: &str = "live.json";

/// The newest view of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LiveStatus {
    /// What the screen shows.
    pub view: LiveView,
}

impl LiveStatus {
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
