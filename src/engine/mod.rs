//! The container engine: few operations, each with a deadline, each bound to the objects of one run.
//!
//! ```text
//!  pack      local binary -> image            (nothing of the engine is needed but "import" and "list")
//!  preflight plan + engine facts -> go or a clear cause, before anything is created
//!  launch    networks, volumes, watcher, nodes -> Launched, or nothing is left
//!  reattach  labels -> Launched               teardown   labels -> nothing is left
//! ```
//!
//! [`docker`] is the only place that names the engine's client library. Everything else works with the types of this
//! module. Whatever is removed was found by the run's own label; objects of other runs are never touched.

mod antagonist;
pub mod capabilities;
pub mod disk_probe;
pub mod docker;
pub mod doctor;
pub mod error;
pub mod inject;
pub mod inside;
pub mod inventory;
pub mod labels;
pub mod launch;
pub mod load;
pub mod network_probe;
pub mod owner;
pub mod pack;
pub mod pull;
pub mod revive;
pub mod room;
pub mod runs;
mod secrets;
mod share;
pub mod snapshots;
mod stuck_network;
pub mod teardown;
pub mod toolbox;

pub use docker::{Docker, EngineInfo};
pub use error::EngineError;
pub use launch::{
    DiskInfo, LaunchProgress, LaunchRequest, LaunchTimings, Launched, NodeHandle, RenderedNode,
    launch, preflight,
};
pub use runs::{FoundRun, find_runs, reattach};
pub use teardown::{TeardownReport, teardown};
