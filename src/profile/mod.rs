//! What a network is made of, as data.

pub mod dialect;
pub mod log_rules;
