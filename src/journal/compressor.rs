//! Compresses finished segments in the background.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use super::{error::JournalError, segments};

/// Segments that wait for the compressing thread; further ones stay raw until there is room.
const QUEUE: usize = 4;

/// The thread that compresses finished segments, and what is known of their sizes.
#[derive(Debug)]
pub(super) struct Compressor {
    queue: Option<SyncSender<(u64, u64)>>,
    thread: Option<JoinHandle<()>>,
    /// Segments that found the queue full.
    waiting: Vec<(u64, u64)>,
    raw: Arc<AtomicU64>,
    stored: Arc<AtomicU64>,
    failed: Arc<Mutex<Failed>>,
    directory: PathBuf,
}

/// Segments that could not be compressed; they stay raw and readable until a later try.
#[derive(Debug, Default)]
struct Failed {
    segments: Vec<(u64, u64)>,
    /// Why the last one could not.
    problem: Option<String>,
}

/// Compresses one segment, and keeps the counts.
fn compress(
    directory: &Path,
    (number, bytes): (u64, u64),
    (raw, stored): (&AtomicU64, &AtomicU64),
    failed: &Mutex<Failed>,
) {
    let outcome = segments::compress(directory, number);
    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(compressed) => {
            stored.fetch_add(compressed, Ordering::Relaxed);
            raw.fetch_sub(bytes, Ordering::Relaxed);
        }
        // A full disk is dealt with by the writer.
        Err(error) => {
            failed.problem = Some(format!("segment {number}: {error}"));
            failed.segments.push((number, bytes));
        }
    }
}

impl Compressor {
    /// Starts the thread.
    pub fn start(directory: &Path) -> Result<Self, JournalError> {
        let (queue, jobs) = sync_channel::<(u64, u64)>(QUEUE);
        let raw = Arc::new(AtomicU64::new(0));
        let stored = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(Mutex::new(Failed::default()));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let (raw, stored, failed) = (raw.clone(), stored.clone(), failed.clone());
                let directory = directory.to_owned();
                move || {
                    for job in jobs {
                        compress(&directory, job, (&raw, &stored), &failed);
                    }
                }
            })
            .map_err(JournalError::Thread)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            waiting: Vec::new(),
            raw,
            stored,
            failed,
            directory: directory.to_owned(),
        })
    }

    /// Bytes of segments that are not compressed yet.
    pub fn raw(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// Bytes of compressed segments.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// A segment was found compressed already.
    pub fn found_compressed(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Why the last segment that could not be compressed could not; `None` when all that failed was done later.
    pub fn problem(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.problem.clone()
    }

    /// Takes those that failed, to try them again.
    fn take_failed(&self) -> Vec<(u64, u64)> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.problem = None;
        std::mem::take(&mut failed.segments)
    }

    /// A segment is finished. Never waits: where the thread is behind, the segment stays raw until later. What could not
    /// be compressed before is tried again.
    pub fn push(&mut self, number: u64, bytes: u64) {
        self.raw.fetch_add(bytes, Ordering::Relaxed);
        self.waiting.push((number, bytes));
        let again = self.take_failed();
        self.waiting.extend(again);
        let Some(queue) = &self.queue else { return };
        while let Some(&job) = self.waiting.first() {
            match queue.try_send(job) {
                Ok(()) => {
                    self.waiting.remove(0);
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => break,
            }
        }
    }

    /// Waits until all is compressed.
    pub fn finish(&mut self) {
        if let Some(queue) = self.queue.take() {
            for job in std::mem::take(&mut self.waiting) {
                if queue.send(job).is_err() {
                    break;
                }
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for job in self.take_failed() {
            compress(
                &self.directory,
                job,
                (&self.raw, &self.stored),
                &self.failed,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// A folder in the place of the temporary file: nothing can be written there.
    fn blocked(directory: &Path) -> PathBuf {
        let obstacle = directory.join("000000.jsonl.zst.tmp");
        fs::create_dir(&obstacle).unwrap();
        obstacle
    }

    fn segment(directory: &Path, number: u64) -> u64 {
        fs::write(segments::raw_path(directory, number), b"{}\n{}\n").unwrap();
        6
    }

    #[test]
    fn what_could_not_be_compressed_is_tried_again_with_the_next_segment() {
        let folder = tempfile::tempdir().unwrap();
        let obstacle = blocked(folder.path());
        let mut compressor = Compressor::start(folder.path()).unwrap();
        compressor.push(0, segment(folder.path(), 0));
        // For as long as it takes on a machine that does much else; the test ends without it only if it never fails.
        while compressor.problem().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(compressor.problem().unwrap().starts_with("segment 0"));
        assert_eq!(compressor.raw(), 6);
        fs::remove_dir(obstacle).unwrap();
        compressor.push(1, segment(folder.path(), 1));
        while compressor.raw() > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(compressor.problem(), None);
        compressor.finish();
        for number in 0..2 {
            assert!(!segments::raw_path(folder.path(), number).exists());
            assert!(segments::compressed_path(folder.path(), number).exists());
        }
    }

    #[test]
    fn what_can_never_be_compressed_stays_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        blocked(folder.path());
        let mut compressor = Compressor::start(folder.path()).unwrap();
        compressor.push(0, segment(folder.path(), 0));
        compressor.push(1, segment(folder.path(), 1));
        compressor.finish();
        assert!(compressor.problem().unwrap().starts_with("segment 0"));
        assert_eq!(compressor.raw(), 6);
        assert!(segments::raw_path(folder.path(), 0).exists());
        assert!(!segments::raw_path(folder.path(), 1).exists());
    }
}
