//! What a network is made of, as data: the profile as typed, the shipped profiles, and the templates of a node's
//! command and environment; the rules that classify its log lines, and the dialects of its RPC.

pub mod arguments;
pub mod beside;
pub mod dialect;
pub mod log_position;
pub mod log_rules;
pub mod log_templates;
pub mod manifest;
pub mod metrics_page;
pub mod reads;
pub mod rehearsal;
pub mod render;
pub mod shipped;
pub mod trial;
