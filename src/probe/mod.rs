//! Probes.

pub mod heads;
