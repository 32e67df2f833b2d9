//! Constrained disks.
//!
//! ```text
//!  tmpfs      a size-limited volume; no privilege; no fsync, no block device; held by the watcher's container
//!  ext4, xfs  an image file in the run's disks volume -> loop device -> mounted by the engine; needs the helper
//!  faulty     a FUSE file system over such an ext4 disk, served by a process of its own; needs the helper
//! ```
//! Sizes are usable bytes: what a node can really write into an empty disk is at least what was asked for.
//!
//! The helper ([`helper`]) is the only part of this program that has a privilege, and it has it in a container of its
//! own, never in this process: the same works for an unprivileged user, for an engine on another machine and from
//! inside a container. What faults do to a disk ([`helper::HelperOp`]) it does to the file system on a loop device that
//! carries the run's mark, and to nothing else: the engine's own data cannot be on one.

pub mod abilities;
pub(crate) mod calls;
pub mod crash_image;
pub mod ext4;
pub mod faults;
pub mod faulty;
pub mod file_system;
pub mod helper;
mod image;
mod loop_device;
mod make;
pub(crate) mod mounted;
pub mod throttle;
pub mod tmpfs;

/// An input or output error with what was tried.
fn named(what: &str, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}
