//! What a network is made of, as data: the profile as typed, the shipped profiles, and the templates of a node's
//! command and environment; the rules that classify its log lines, and the dialects of its RPC.

pub mod dialect;
pub mod log_rules;
pub mod manifest;
pub mod render;
pub mod shipped;
