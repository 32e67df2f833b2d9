//! A run from its first container to its last: stages, the loop, the end, and taking a run over.

mod alerting;
pub mod arm;
pub mod baseline;
pub mod by_hand;
mod capability;
mod conclude;
mod conductor;
mod cost;
pub mod directory;
pub mod endurance;
mod error;
mod evidence;
mod faulting;
mod faults;
mod launching;
pub mod live;
pub mod live_page;
mod load;
pub mod machine;
mod observe;
pub mod observer_ab;
pub mod ownership;
mod past;
pub mod pause;
mod prepare;
pub mod prune;
pub mod restart;
pub mod secrets;
pub mod signal;
pub mod snapshots;
mod stages;
pub mod start;

pub use conclude::Conclusion;
pub(crate) use conclude::{FAULTS, detector_ids, program, reproduce};
pub use error::{RunError, chain as told};
pub use prepare::{AttachRequest, SoakRequest, attach, soak};
