//! What a finding rests on, copied out of the journal and the raw logs so that it survives them.
//!
//! Which entries and lines are worth keeping is pure; [`copy`] is the edge that reads and writes files. A finding's
//! folder is `evidence/<id>/`: `finding.json`, `journal.jsonl` (the cited entries and what lies around them) and
//! `logs/<file>` (the raw lines around those that the entries point to).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::finding::Finding;
use crate::{
    ids::Seq,
    journal::{Entry, Event, ReadError, Reader},
    time::Elapsed,
};

/// Around a finding's start and its notice, this much of the journal is context.
const AROUND: Duration = Duration::from_secs(5);
/// Entries copied at most.
const MOST_ENTRIES: usize = 2_000;
/// Raw bytes copied around each line that is pointed to.
const LOG_BEFORE: u64 = 8 * 1024;
const LOG_AFTER: u64 = 8 * 1024;
/// Places in raw logs that are copied at most.
const MOST_PLACES: usize = 40;

/// Why evidence could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The finding's id is no file name.
    #[error("finding id {id:?} is no file name")]
    Id {
        /// The id.
        id: String,
    },
    /// The journal cannot be read.
    #[error("cannot read the journal for evidence")]
    Journal(#[source] ReadError),
    /// A file cannot be written.
    #[error("cannot write evidence {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What of a journal belongs to a finding.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    finding: &'a Finding,
    from: Elapsed,
    until: Elapsed,
    taken: usize,
}

impl<'a> Selection<'a> {
    /// For this finding.
    #[must_use]
    pub fn new(finding: &'a Finding) -> Self {
        Self {
            finding,
            from: finding.start - AROUND,
            until: finding.noticed + AROUND,
            taken: 0,
        }
    }

    /// Whether this entry is evidence or context: it is cited, or lies around the finding's start and notice and is
    /// about its shard, its nodes or the run as a whole.
    pub fn takes(&mut self, entry: &Entry) -> bool {
        let cited = self.finding.evidence.contains(&entry.seq);
        let near = entry.elapsed >= self.from && entry.elapsed <= self.until;
        let taken = cited || (near && self.taken < MOST_ENTRIES && self.concerns(&entry.event));
        self.taken += usize::from(taken);
        taken
    }

    /// Whether entries from here on cannot belong to it any more.
    #[must_use]
    pub fn is_over(&self, entry: &Entry) -> bool {
        entry.elapsed > self.until && self.finding.evidence.iter().all(|seq| *seq < entry.seq)
    }

    /// Whether no entry before this one can be skipped over: the earliest that it needs.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.finding.evidence.iter().min().copied()
    }

    fn concerns(&self, event: &Event) -> bool {
        let shard = |shard| self.finding.shard.is_none_or(|own| own == shard);
        let prefix = self.finding.shard.map(|shard| format!("s{shard}-"));
        let node = |node: &crate::ids::NodeName| {
            self.finding.nodes.contains(node)
                || prefix
                    .as_ref()
                    .is_none_or(|prefix| node.as_str().starts_with(prefix.as_str()))
        };
        match event {
            Event::Block { shard: of, .. }
            | Event::Head { shard: of, .. }
            | Event::Heads { shard: of, .. } => shard(*of),
            Event::Container { node: of, .. }
            | Event::Restart { node: of, .. }
            | Event::ProbeAnswered { node: of, .. }
            | Event::ProbeFailed { node: of, .. }
            | Event::Log { node: of, .. }
            | Event::LogCount { node: of, .. }
            | Event::TemplateSeen { node: of, .. }
            | Event::TemplateCounts { node: of, .. } => node(of),
            Event::Position(position) => node(&position.node),
            Event::Ledger(ledger) => ledger.node.as_ref().is_some_and(node),
            Event::Figures(figures) => figures.node.as_ref().is_some_and(node),
            Event::Sample(sample) => sample.node.as_ref().is_some_and(node),
            Event::RunStarted { .. } | Event::Cost(_) | Event::HostDisk { .. } => false,
            _ => true,
        }
    }
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries of the journal.
    pub entries: usize,
    /// Bytes of raw logs.
    pub log_bytes: u64,
}

/// Copies a finding's evidence from a run directory into `evidence/<id>/` below it. What was copied before is
/// replaced, so it can be called at the opening and again when more is known.
///
/// # Errors
/// When the journal cannot be read or the folder cannot be written. Raw logs that are gone are passed over: they are
/// bounded and may have been rotated away.
pub fn copy(run_directory: &Path, finding: &Finding) -> Result<Copied, EvidenceError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if finding.id.is_empty() || !finding.id.bytes().all(plain) {
        return Err(EvidenceError::Id {
            id: finding.id.chars().take(80).collect(),
        });
    }
    let folder = run_directory.join("evidence").join(&finding.id);
    let write = |path: &Path, source| EvidenceError::Write {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(&folder).map_err(|source| write(&folder, source))?;
    let path = folder.join("finding.json");
    let text = serde_json::to_vec_pretty(finding).unwrap_or_default();
    fs::write(&path, text).map_err(|source| write(&path, source))?;

    let journal = run_directory.join(crate::journal::JOURNAL_FOLDER);
    let path = folder.join("journal.jsonl");
    let mut out = BufWriter::new(File::create(&path).map_err(|source| write(&path, source))?);
    let mut selection = Selection::new(finding);
    let mut copied = Copied::default();
    let mut places: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
    let reader =
        Reader::open_before(&journal, selection.first()).map_err(EvidenceError::Journal)?;
    for entry in reader {
        // A damaged line is no evidence; the judge reports it.
        let Ok(entry) = entry else { continue };
        if selection.is_over(&entry) {
            break;
        }
        if !selection.takes(&entry) {
            continue;
        }
        copied.entries += 1;
        serde_json::to_writer(&mut out, &entry)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|source| write(&path, source))?;
        if let Event::Log { at: Some(at), .. } = &entry.event {
            let known: usize = places.values().map(Vec::len).sum();
            if known < MOST_PLACES {
                places.entry(at.file.clone()).or_default().push(at.offset);
            }
        }
    }
    out.flush().map_err(|source| write(&path, source))?;
    copied.log_bytes = copy_logs(run_directory, &folder, &places)?;
    Ok(copied)
}

/// Copies the stretches around places of raw log files, each byte once.
fn copy_logs(
    run_directory: &Path,
    folder: &Path,
    places: &BTreeMap<Arc<str>, Vec<u64>>,
) -> Result<u64, EvidenceError> {
    let mut copied = 0;
    for (file, offsets) in places {
        // The name comes from the journal, which may be anybody's: it must stay below `logs/`.
        if file.contains(['/', '\\', '\0']) || file.starts_with('.') || file.is_empty() {
            continue;
        }
        let Ok(mut source) = File::open(run_directory.join("logs").join(&**file)) else {
            continue;
        };
        let logs = folder.join("logs");
        let path = logs.join(&**file);
        let write = |source| EvidenceError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&logs).map_err(write)?;
        let mut out = File::create(&path).map_err(write)?;
        for (from, until) in stretches(offsets) {
            let mut part = Vec::new();
            let read = source
                .seek(SeekFrom::Start(from))
                .and_then(|_| (&mut source).take(until - from).read_to_end(&mut part));
            if read.is_err() {
                continue;
            }
            out.write_all(&part).map_err(write)?;
            copied += part.len() as u64;
        }
    }
    Ok(copied)
}

/// Stretches around offsets, merged where they touch.
fn stretches(offsets: &[u64]) -> Vec<(u64, u64)> {
    let mut offsets = offsets.to_vec();
    offsets.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for offset in offsets {
        let from = offset.saturating_sub(LOG_BEFORE);
        let until = offset.saturating_add(LOG_AFTER);
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = until,
            _ => merged.push((from, until)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_merged_and_each_byte_is_copied_once() {
        assert_eq!(
            stretches(&[100_000, 101_000, 1]),
            [(0, 8_193), (91_808, 109_192)]
        );
    }
}
