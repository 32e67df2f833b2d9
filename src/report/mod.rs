//! Reports.

pub mod look;
pub mod table;
pub mod text;
