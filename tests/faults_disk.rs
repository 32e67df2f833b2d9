//! Faults of disks for real: each effective and read back, healed, healed again, healed by others, nothing left behind.
//!
//! Without an engine every test says loudly that nothing was tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test ends where its world is not as it should be; a skipped test says so loudly"
)]

#[path = "soak/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of whole soaks")]
mod harness;
#[allow(dead_code, reason = "shared with the tests of the engine")]
mod support;

#[path = "faults_disk/idle.rs"]
mod idle;
#[path = "faults_disk/soaked.rs"]
mod soaked;
