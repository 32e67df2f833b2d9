//! Whole runs on a real engine: launch, watch, judge, tear down, and what outside hands do to them.
//!
//! A run takes the machine or half of it (lock files), since networks on two processors disturb each other's clocks. Tests
//! wait for it in their threads, so a few more threads than processors (`RUST_TEST_THREADS`) let halves find each other.
//! Where no engine answers, each test says so loudly and does nothing.

#![expect(
    clippy::print_stderr,
    reason = "what a run printed is shown when its test fails, and a skipped test says so loudly"
)]

mod all_faults;
mod by_hand;
mod cleaning;
mod daemon;
mod defects;
mod etcd;
mod faults;
mod faulty;
mod full_disk;
mod harness;
mod incident;
mod killed;
mod life_cycle;
mod lifecycle;
mod network;
mod outside_hands;
mod recovery;
mod repro;
mod reserving;
mod secrets;
mod shrink;
mod snapshots;
mod spoiled;
mod spooled;
mod storage;
mod supervised;
mod triggers;
mod versions;
