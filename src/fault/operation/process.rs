//! Operations on a node's container, done by the engine.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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
    /// Its container is made anew on the same data, addresses and limits, and started.
    Replace {
        /// What it runs.
        build: Build,
        /// Options of its command that have other values.
        options: BTreeMap<String, String>,
        /// The version of the plan that it is from then on: the options stand beside the plan's own command, not beside
        /// the one that it runs.
        #[serde(default)]
        version: Option<String>,
    },
    /// Its disk is emptied, but for what this program has put there beside the node's data. It must not run.
    Empty,
    /// Its disk gets what it had in a snapshot. It must not run, and the disk must be empty.
    Refill {
        /// The snapshot's folder on the canary's machine.
        snapshot: PathBuf,
    },
    /// A replacement that was cut short is ended, and the node runs.
    Restore {
        /// It runs again what it ran before it was replaced.
        back: bool,
    },
}

/// A build of a node's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// The one that it runs.
    Same,
    /// The one that the plan's profile names.
    Base,
    /// An image that the engine has.
    Image(String),
    /// A local executable, packed with the libraries it needs.
    Binary(PathBuf),
}
