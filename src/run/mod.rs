//! A run from its first container to its last: stages, the loop, the end, and taking a run over.

pub mod arm;
pub mod by_hand;
mod conclude;
mod conductor;
mod cost;
pub mod directory;
mod error;
mod evidence;
mod faulting;
mod faults;
pub mod live;
mod observe;
pub mod ownership;
mod prepare;
pub mod restart;
mod signal;

pub use conclude::Conclusion;
pub(crate) use conclude::{detector_ids, program, reproduce};
pub use error::RunError;
pub use prepare::{AttachRequest, SoakRequest, attach, soak};
