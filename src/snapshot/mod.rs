//! Snapshots: the data disks of a whole network at one moment, kept so that another run can begin from them.
//!
//! ```text
//!  run loop: freeze all nodes --> engine: each disk as a tar stream --> archive (checked, compressed)
//!            thaw             --> manifest, rename: from then on it is there
//!  soak --from NAME --> fits? --> launch: each disk filled before its node starts
//! ```
//! What nodes wrote is hostile input: only files, folders and links are kept, within bounds. A snapshot is there whole
//! or not at all.

pub mod archive;
mod error;
pub mod folder;
pub mod ladder;
pub mod manifest;

pub use error::SnapshotError;
pub use folder::{SnapshotFolder, Stored};
pub use manifest::{Manifest, Part, Shape};

/// Version of the manifest's format.
pub const FORMAT: u32 = 1;
/// Most bytes of the folder that all nodes share.
pub const SHARED_MOST: u64 = 1 << 30;
