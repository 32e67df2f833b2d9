//! Raw lines on disk: bounded files per node, written by one thread of its own.
//!
//! `NODE.log` is the first file, then come `NODE.log.1`, `NODE.log.2` and so on; files are never renamed, so a place in
//! the journal stays true for as long as its file is there. The first file is kept, because how a node began cannot be
//! seen again; of the others the oldest goes when the node's budget is used up.
//!
//! A slow or full disk slows nobody down: the thread's queue is bounded, and what finds no room is counted. While there is
//! little room nothing is written, so that the journal has it. Every write carries its offset, so that lost bytes leave a hole and move nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use crate::{
    ids::NodeName,
    journal::{Room, event::LogPlace},
};

/// Writes waiting for the thread; each is at most a buffer and a line long.
const QUEUE: usize = 256;
/// Bytes that are written together.
const BUFFER: usize = 16 << 10;
/// Files that share a node's budget.
const FILES: u64 = 4;
/// A budget below this is raised to it: a file must hold at least one longest line.
const LEAST_BUDGET: u64 = 1 << 20;
/// Bytes that are written between two looks at the room that is left.
const LOOK_EVERY: usize = 64 << 10;
/// Files that the thread keeps open.
const MAX_OPEN: usize = 64;

/// The raw logs of a run.
#[derive(Debug)]
pub struct RawLogs {
    folder: PathBuf,
    budget_per_node: u64,
    sender: Option<SyncSender<Work>>,
    trouble: Arc<Trouble>,
    thread: Option<JoinHandle<()>>,
}

/// What went wrong while writing.
#[derive(Debug, Default)]
struct Trouble {
    lost_bytes: AtomicU64,
    first: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Work {
    Write {
        path: Arc<Path>,
        offset: u64,
        bytes: Vec<u8>,
    },
    Remove(Arc<Path>),
}

/// Why raw logs cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum RawLogError {
    /// The folder cannot be made.
    #[error("cannot make the folder {path:?} for raw logs")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes raw logs")]
    Thread(#[source] io::Error),
}

impl RawLogs {
    /// Keeps at most `budget_per_node` bytes of each node in this folder, which is made if need be.
    ///
    /// # Errors
    /// When the folder or the thread cannot be made.
    pub fn start(folder: &Path, budget_per_node: u64) -> Result<Self, RawLogError> {
        fs::create_dir_all(folder).map_err(|source| RawLogError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let (sender, receiver) = sync_channel(QUEUE);
        let trouble = Arc::new(Trouble::default());
        let thread = {
            let trouble = Arc::clone(&trouble);
            std::thread::Builder::new()
                .name("raw-logs".to_owned())
                .spawn(move || write_all(&receiver, &trouble, Room::of))
                .map_err(RawLogError::Thread)?
        };
        Ok(Self {
            folder: folder.to_owned(),
            budget_per_node: budget_per_node.max(LEAST_BUDGET),
            sender: Some(sender),
            trouble,
            thread: Some(thread),
        })
    }

    /// The log of one node; goes on after the files that are already there.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<RawLog> {
        let sender = self.sender.clone()?;
        let kept: VecDeque<_> = files(&self.folder, name)
            .into_iter()
            .map(|(number, path)| {
                let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                (number, Arc::from(path), size)
            })
            .collect();
        let next = kept.back().map_or(0, |(number, _, _)| number + 1);
        let mut log = RawLog {
            folder: self.folder.clone(),
            name: name.clone(),
            budget: self.budget_per_node,
            kept,
            number: next,
            path: Arc::from(PathBuf::new()),
            file: Arc::from(""),
            written: 0,
            buffer: Vec::new(),
            sender,
            trouble: Arc::clone(&self.trouble),
        };
        log.begin(next);
        Some(log)
    }

    /// Bytes lost so far for want of time or room.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.trouble.lost_bytes.load(Ordering::Relaxed)
    }

    /// Writes what is queued and ends the thread; all [`RawLog`]s must be gone. Waits for a disk that hangs.
    pub fn finish(mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread lost lines, which is what its end means anyway.
            let _ = thread.join();
        }
    }
}

/// The raw files of a node in the order they were written, with their numbers.
#[must_use]
pub fn files(folder: &Path, node: &NodeName) -> Vec<(u64, PathBuf)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name
            .to_str()
            .and_then(|name| name.strip_prefix(node.as_str()))
            .and_then(|name| name.strip_prefix(".log"))
        else {
            continue;
        };
        let number = match rest.strip_prefix('.') {
            Some(digits) => digits.parse().ok(),
            None if rest.is_empty() => Some(0),
            None => None,
        };
        if let Some(number) = number {
            found.insert(number, entry.path());
        }
    }
    found.into_iter().collect()
}

/// One node's raw log.
#[derive(Debug)]
pub struct RawLog {
    folder: PathBuf,
    name: NodeName,
    budget: u64,
    /// Finished files, oldest first: number, path, size.
    kept: VecDeque<(u64, Arc<Path>, u64)>,
    number: u64,
    path: Arc<Path>,
    file: Arc<str>,
    /// Bytes of the current file, those in the buffer not counted.
    written: u64,
    buffer: Vec<u8>,
    sender: SyncSender<Work>,
    trouble: Arc<Trouble>,
}

impl RawLog {
    /// Adds a line and tells where it is. A line that was cut says so at its end.
    pub fn write(&mut self, line: &[u8], cut: u64) -> LogPlace {
        if self.written + self.buffer.len() as u64 >= self.budget / FILES {
            self.rotate();
        }
        let place = LogPlace {
            file: Arc::clone(&self.file),
            offset: self.written + self.buffer.len() as u64,
        };
        self.buffer.extend_from_slice(line);
        if cut > 0 {
            let mark = format!(" [canarynet: {cut} more bytes of this line were cut]");
            self.buffer.extend_from_slice(mark.as_bytes());
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
        place
    }

    /// Hands what is collected to the writing thread.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.buffer);
        let offset = self.written;
        self.written += bytes.len() as u64;
        let path = Arc::clone(&self.path);
        self.send(Work::Write {
            path,
            offset,
            bytes,
        });
    }

    /// What first went wrong with raw logs of any node; told once.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let mut first = self
            .trouble
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        first.take().filter(|text| !text.is_empty()).inspect(|_| {
            // An empty text marks that it was told.
            *first = Some(String::new());
        })
    }

    fn send(&self, work: Work) {
        if let Err(
            TrySendError::Full(Work::Write { bytes, .. })
            | TrySendError::Disconnected(Work::Write { bytes, .. }),
        ) = self.sender.try_send(work)
        {
            self.trouble.lose(bytes.len(), "the disk is too slow");
        }
    }

    fn begin(&mut self, number: u64) {
        let name = match number {
            0 => format!("{}.log", self.name),
            number => format!("{}.log.{number}", self.name),
        };
        self.path = Arc::from(self.folder.join(&name));
        self.file = name.into();
        self.number = number;
        self.written = 0;
    }

    fn rotate(&mut self) {
        self.flush();
        let finished = (self.number, Arc::clone(&self.path), self.written);
        self.kept.push_back(finished);
        let room = self.budget - self.budget / FILES;
        while self.kept.len() > 1 && self.kept.iter().map(|kept| kept.2).sum::<u64>() > room {
            // The first file stays.
            let Some((_, path, _)) = self.kept.remove(1) else {
                break;
            };
            self.send(Work::Remove(path));
        }
        self.begin(self.number + 1);
    }
}

impl Drop for RawLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Trouble {
    fn lose(&self, bytes: usize, why: &str) {
        self.lost_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(format!("raw log lines were lost: {why}"));
        }
    }
}

fn write_all(receiver: &Receiver<Work>, trouble: &Trouble, room: impl Fn(&Path) -> Option<Room>) {
    let mut open: BTreeMap<Arc<Path>, File> = BTreeMap::new();
    let (mut low, mut looked) = (false, LOOK_EVERY);
    while let Ok(work) = receiver.recv() {
        match work {
            Work::Write {
                path,
                offset,
                bytes,
            } => {
                looked += bytes.len();
                if looked >= LOOK_EVERY {
                    looked = 0;
                    let folder = path.parent().unwrap_or(&path);
                    low = room(folder).is_some_and(Room::is_low);
                }
                if low {
                    trouble.lose(bytes.len(), "the disk of the run directory is nearly full");
                    continue;
                }
                if let Err(error) = write_one(&mut open, &path, offset, &bytes) {
                    // Where it is for want of room, what is left is the journal's.
                    low = true;
                    trouble.lose(bytes.len(), &error.to_string());
                }
            }
            Work::Remove(path) => {
                open.remove(&path);
                if let Err(error) = fs::remove_file(&path) {
                    trouble.lose(0, &error.to_string());
                }
            }
        }
    }
}

fn write_one(
    open: &mut BTreeMap<Arc<Path>, File>,
    path: &Arc<Path>,
    offset: u64,
    bytes: &[u8],
) -> io::Result<()> {
    if !open.contains_key(path) {
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        // Never truncated: a place in the journal may point into it.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        open.insert(Arc::clone(path), file);
    }
    match open.get(path) {
        Some(file) => file.write_all_at(bytes, offset),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn places_stay_true_within_the_budget_and_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeName::of(ShardId(0), 0);
        let mut places = Vec::new();
        for round in 0..2 {
            let logs = RawLogs::start(folder.path(), 1 << 20).unwrap();
            let mut log = logs.node(&node).unwrap();
            for number in 0..30_000 {
                let line = format!("{round} {number} {}", "x".repeat(30));
                places.push((log.write(line.as_bytes(), 0), line));
                if number % 1_000 == 0 {
                    // The disk is not what is tested here.
                    log.flush();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            drop(log);
            assert_eq!(logs.lost_bytes(), 0);
            logs.finish();
        }
        let files = files(folder.path(), &node);
        let total: u64 = files
            .iter()
            .map(|(_, path)| fs::metadata(path).unwrap().len())
            .sum();
        assert!(total <= (1 << 20) + 4096, "{total}");
        assert_eq!(files[0].0, 0, "the first file stays");
        let mut read = 0;
        for (place, line) in places {
            let Ok(bytes) = fs::read(folder.path().join(&*place.file)) else {
                continue;
            };
            let at = usize::try_from(place.offset).unwrap();
            assert!(bytes[at..].starts_with(line.as_bytes()), "{place:?}");
            read += 1;
        }
        assert!(read > 10_000, "{read}");
    }

    #[test]
    fn nothing_is_written_while_there_is_little_room() {
        let folder = tempfile::tempdir().unwrap();
        let path: Arc<Path> = Arc::from(folder.path().join("s0-n00.log"));
        let (sender, receiver) = sync_channel(8);
        let write = |offset, bytes: &[u8]| Work::Write {
            path: Arc::clone(&path),
            offset,
            bytes: bytes.to_vec(),
        };
        let long = vec![b'x'; LOOK_EVERY];
        sender.send(write(0, b"first\n")).unwrap();
        sender.send(write(6, &long)).unwrap();
        sender.send(write(6, b"second\n")).unwrap();
        drop(sender);
        let free = std::cell::Cell::new(1_u64 << 40);
        let room = |_: &Path| {
            // The second look finds the disk nearly full.
            let room = Room {
                free: free.replace(1 << 20),
                size: 1 << 41,
            };
            Some(room)
        };
        let trouble = Trouble::default();
        write_all(&receiver, &trouble, room);
        assert_eq!(fs::read(&path).unwrap(), b"first\n");
        let lost = trouble.lost_bytes.load(Ordering::Relaxed);
        assert_eq!(lost, LOOK_EVERY as u64 + 7);
        assert!(
            trouble
                .first
                .lock()
                .unwrap()
                .as_ref()
                .unwrap()
                .contains("nearly full")
        );
    }

    #[test]
    fn a_cut_line_says_so_and_trouble_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeName::of(ShardId(1), 2);
        let logs = RawLogs::start(folder.path(), 0).unwrap();
        let mut log = logs.node(&node).unwrap();
        log.write(b"begin", 77);
        assert_eq!(log.trouble(), None);
        fs::create_dir(folder.path().join("s1-n02.log")).unwrap();
        log.flush();
        let mut trouble = None;
        for _ in 0..1_000 {
            trouble = trouble.or_else(|| log.trouble());
            if trouble.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(trouble.unwrap().contains("directory"));
        assert_eq!(log.trouble(), None);
        assert!(logs.lost_bytes() > 5);
    }
}
