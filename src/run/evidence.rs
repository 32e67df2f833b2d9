//! Evidence is copied when a finding opens, before anything can rotate it away.

use super::directory::RunDirectory;
use crate::{detect::{evidence_files, finding::Finding}, journal::Writer};

/// Copies what a finding cites. A failure is noted beside the finding and disturbs nothing else.
pub(super) fn keep(directory: &RunDirectory, journal: &mut Writer, finding: &Finding) {
    // What is cited may still be in the writer's buffer.
    let _ = journal.flush();
    evidence_files::keep(directory.path(), finding);
}
