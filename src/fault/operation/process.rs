//! Operations on a node's container, done by the engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::micros;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessOp {
    /// Its main process is killed.
    Kill,
    /// It is asked to stop, and killed if it does not within the grace.
    Stop {
        /// The grace.
        #[serde(with = "micros")]
        grace: Duration,
    },
    /// It runs, whatever it did before: heals a kill, a stop and a pause.
    Start,
    /// All its processes stand still.
    Pause,
    /// They go on; nothing is done to one that is not paused.
    Unpause,
    /// Its main process alone stands still: programs can still be run inside.
    FreezeMain,
    /// It goes on; nothing is done where the node does not run.
    ThawMain,
}
