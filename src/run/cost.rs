//! What the run itself costs, and the room that is left for it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    journal::event::Cost,
    probe::{
        cost::{CostBook, EngineCpu},
        sink::Sink,
    },
};

/// Adds up what is known of the canary's own cost.
#[derive(Debug)]
pub(super) struct CostMeter {
    book: CostBook,
    sink: Sink,
    engine: EngineCpu,
    /// Longest wait of an observation since the last entry.
    lag: Duration,
}

impl CostMeter {
    pub(super) fn new(book: CostBook, sink: Sink) -> Self {
        Self {
            book,
            sink,
            engine: EngineCpu::new(Vec::new()),
            lag: Duration::ZERO,
        }
    }

    /// The engine's processes are counted from now on: its own, and the shims of these containers.
    pub(super) fn count_engine(&mut self, containers: Vec<String>) {
        self.engine = EngineCpu::new(containers);
        // The first look sets the zero.
        self.engine.measure();
    }

    /// An observation was learned at this moment and is written now.
    pub(super) fn waited(&mut self, since: Instant) {
        self.lag = self.lag.max(since.elapsed());
    }

    /// All costs up to now; the lag starts again.
    pub(super) fn read(&mut self, directory: &Path) -> Cost {
        let lag = std::mem::take(&mut self.lag);
        Cost {
            engine_cpu: self.engine.measure(),
            run_directory: folder_size(directory),
            lag: u64::try_from(lag.as_micros()).unwrap_or(u64::MAX),
            dropped: self.sink.dropped(),
            ..self.book.total()
        }
    }
}

/// Bytes free on the file system of a path, if that can be told.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Bytes of all files of a run directory: a flat tree of some hundred files.
fn folder_size(directory: &Path) -> u64 {
    let mut waiting: Vec<PathBuf> = vec![directory.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                // A file that is being replaced at this moment.
                Err(_) => {}
            }
        }
    }
    bytes
}
