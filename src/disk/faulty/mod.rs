//! The FUSE disk: a folder on an ext4 disk, passed through, that can be told to fail, to wait, and to lose its power.
//!
//! ```text
//!  node --- bind of a mount in the engine's namespace --- kernel (FUSE) --- process in a container of its own
//!                    made by the helper                                          |  rules, undo
//!                                                                          ext4 on a loop device
//! ```
//! Changes reach the ext4 disk at once and `fsync` is passed on, so that a disk without faults is as durable as the one
//! behind it. What undoes a change is kept in memory until it is synced, or half a minute has passed (as with Linux's
//! own cache): a power cut undoes it. A synced file has the name it was made under, as on all journalling file systems
//! of Linux; any other change of a name needs a sync of its folder.
//!
//! The process is the experiment's single point of failure: when it ends, the disk is gone, and with it what can be said
//! of its node. It is not started again: what was not synced would have survived, which no disk does.

mod backing;
pub mod control;
mod cut;
mod disk;
mod forget;
mod limbo;
pub mod mount;
mod node;
pub mod process;
mod rules;
mod server;
mod tree;
mod undo;

pub use backing::Unsynced;
