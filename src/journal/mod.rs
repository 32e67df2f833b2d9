//! The journal: the append-only record of all facts of a run, the only input of the judge.

pub mod event;
pub mod text;

pub use event::{Entry, Event};
