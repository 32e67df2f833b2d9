//! Whole runs on a real engine: launch, watch, judge, tear down, and what outside hands do to them.
//!
//! Runs are taken one at a time (a lock file), since two networks on two processors disturb each other's clocks. Where no
//! engine answers, each test says so loudly and does nothing.

#![expect(
    clippy::print_stderr,
    reason = "what a run printed is shown when its test fails, and a skipped test says so loudly"
)]

mod faults;
mod harness;
mod lifecycle;
mod outside_hands;
mod storage;
