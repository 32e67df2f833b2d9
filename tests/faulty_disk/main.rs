//! The FUSE disk's own process on a real mount: it does what a plain folder does, and loses exactly what it may lose.
//!
//! Needs root and /dev/fuse, and says so loudly where they are not.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod exerciser;
mod faults;
mod full;
mod lost;
mod mounted;
mod power_cut;
mod random;
