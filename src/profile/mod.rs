//! What a network is made of, as data: the profile as typed, the shipped profiles, and the templates of a node's
//! command and environment.

pub mod manifest;
pub mod render;
pub mod shipped;
