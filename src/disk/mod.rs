//! Constrained disks.
//!
//! ```text
//!  tmpfs   a size-limited volume; no privilege; no fsync, no block device; held by the watcher's container
//!  ext4    an image file in the run's disks volume -> loop device -> ext4 mounted by the engine; needs the helper
//! ```
//! Sizes are usable bytes: what a node can really write into an empty disk is at least what was asked for.
//!
//! The helper ([`helper`]) is the only part of this program that has a privilege, and it has it in a container of its
//! own, never in this process: the same works for an unprivileged user, for an engine on another machine and from
//! inside a container.

pub mod ext4;
pub mod helper;
mod loop_device;
mod make;
pub mod tmpfs;
