//! The watcher and the sampler as processes on this machine, driven as in a run, with real sockets and files.
//! Only the engine between them and the canary is missing: a command starts here instead of in a container.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do, outside of functions marked as such"
)]

mod judged;
mod local;
mod sampler;
mod servers;
mod spooled;
mod watcher;
