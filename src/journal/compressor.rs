//! Compresses finished segments in the background.

use std::{
    path::Path,
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
    problem: Arc<Mutex<Option<String>>>,
}

impl Compressor {
    /// Starts the thread.
    pub fn start(directory: &Path) -> Result<Self, JournalError> {
        let (queue, jobs) = sync_channel::<(u64, u64)>(QUEUE);
        let raw = Arc::new(AtomicU64::new(0));
        let stored = Arc::new(AtomicU64::new(0));
        let problem = Arc::new(Mutex::new(None));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let (raw, stored, problem) = (raw.clone(), stored.clone(), problem.clone());
                let directory = directory.to_owned();
                move || {
                    for (number, bytes) in jobs {
                        match segments::compress(&directory, number) {
                            Ok(compressed) => {
                                stored.fetch_add(compressed, Ordering::Relaxed);
                                raw.fetch_sub(bytes, Ordering::Relaxed);
                            }
                            // The raw segment stays and stays readable; a full disk is dealt with by the writer.
                            Err(error) => {
                                *problem.lock().unwrap_or_else(PoisonError::into_inner) =
                                    Some(format!("segment {number}: {error}"));
                            }
                        }
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
            problem,
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

    /// Why the last segment that could not be compressed could not.
    pub fn problem(&self) -> Option<String> {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A segment is finished. Never waits: where the thread is behind, the segment stays raw until later.
    pub fn push(&mut self, number: u64, bytes: u64) {
        self.raw.fetch_add(bytes, Ordering::Relaxed);
        self.waiting.push((number, bytes));
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
    }
}
