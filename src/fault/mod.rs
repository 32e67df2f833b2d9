//! Faults: what a plan does to the network on purpose. Pure: parameters in, operations out.
//!
//! A fault kind is one file in [`kinds`]: its parameters, the operations that break, the operations that heal, and the
//! effects by which the judge knows what it may excuse. [`operation`] is the closed set of operations, as data;
//! `engine::inject` carries them out. Healing is idempotent, runs even if breaking failed half-way, and can be done
//! from what was journalled alone, by another process.

pub mod effect;
pub mod kinds;
pub mod needs;
pub mod operation;
pub mod reach;
pub mod recovery;
pub mod schedule;
pub mod target;
