//! The edge: a generated journal as files on disk.

use std::path::PathBuf;

use super::{Generator, Shape};
use crate::journal::{JournalError, Settings, Writer};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder that becomes the journal (`<run>/journal`).
    pub directory: PathBuf,
    /// Shape of the network and length of the soak.
    pub shape: Shape,
    /// Seed of all that is drawn.
    pub seed: u64,
    /// Budget of the journal in bytes.
    pub budget: u64,
}

/// What was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    /// Facts that happened.
    pub facts: u64,
    /// Entries left out to keep the budget.
    pub left_out: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Writes the journal of a healthy generated run.
///
/// # Errors
/// As [`Writer`].
pub fn generate_journal(request: &Request) -> Result<Generated, JournalError> {
    let settings = Settings::for_budget(request.budget);
    let mut writer = Writer::create(&request.directory, settings)?;
    let mut generator = Generator::new(&request.shape, request.seed, Vec::new());
    let mut facts = 0;
    while let Some((elapsed, event)) = generator.next_fact() {
        writer.append(elapsed, event)?;
        facts += 1;
    }
    let left_out = writer.left_out();
    Ok(Generated {
        facts,
        left_out,
        bytes: writer.finish()?,
    })
}
