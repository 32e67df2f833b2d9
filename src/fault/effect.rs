//! What a fault does to a node. The journal owns the words, for it is by them that the judge reasons.

pub use crate::journal::effect::Effect;
