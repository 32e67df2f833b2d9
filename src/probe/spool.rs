//! Observations of a watcher whose owner is gone, kept for the next one.
//!
//! ```text
//!  owner gone --> what was just told (`recent`) --> segments in a folder of bounded size (`ring`), oldest dropped first
//!                                                        |
//!  next watcher: takes the folder over, reads it once  <-+--> its owner: one fact a shard (`fold`)
//! ```
//! Only what tells of blocks is kept, as short as it can be: new blocks, contradicting heads, and that a shard answered.
//! Where nodes stand, their figures and their ledgers are told anew by the next watcher.
//!
//! Moments are those of the machine since its boot, its sleep included: no hand that sets the wall clock moves them, all
//! processes of the machine have the same ones, and the folder, which is in memory, does not outlive them.

pub mod fold;
mod recent;
mod ring;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::journal::event::Event;
pub use recent::Recent;
pub use ring::{Limits, Placing, Ring};

/// A spool in production: 4 MiB are an hour of blocks of one shard at 200 ms, a quarter of one of four shards.
pub const LIMITS: Limits = Limits {
    segments: 8,
    bytes: 512 << 10,
};
/// How often a watcher without an owner says that it watches.
pub const LIVES_EVERY: Duration = Duration::from_secs(1);
/// Nobody watched between two lines that are further apart: two signs of life are missing.
const HOLE: Duration = Duration::from_secs(2);
const PREFIX: &str = "segment-";

/// A moment in microseconds since the machine's boot, its sleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000) + nanos / 1_000)
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// What a line of a spool says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// All that was told from here on is here, but for what was dropped.
    Begins {},
    /// The watcher watches.
    Lives {},
    /// A fact.
    Event(Event),
}

/// A line of a spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// Lines of this spool that are gone by now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// What.
    pub told: Told,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A shard that answered within this time is seen: the same as for the judge.
const FRESH: Duration = Duration::from_millis(1_500);

/// What of a fact is kept, if it is one that is.
#[must_use]
pub fn kept(event: &Event) -> Option<Event> {
    match event {
        Event::Block { .. } => {
            let mut block = event.clone();
            if let Event::Block { content, .. } = &mut block {
                *content = None;
            }
            Some(block)
        }
        Event::Head { .. } => Some(event.clone()),
        Event::Heads { shard, .. } => Some(Event::Heads {
            shard: *shard,
            nodes: Vec::new(),
        }),
        _ => None,
    }
}

/// A spool that is being written. What cannot be written is counted like what finds no room.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    ring: Ring,
    file: Option<File>,
    /// Lines for the newest segment that are not in it yet.
    waiting: Vec<u8>,
    waiting_lines: u64,
}

impl Spool {
    /// Goes on behind what is in the folder already.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        let mut ring = Ring::new(limits);
        let mut reading = Reading::of(folder)?;
        let known: Vec<(u64, PathBuf)> = reading.segments.iter().cloned().collect();
        while reading.next().is_some() {}
        ring.drop_lines(reading.dropped);
        for (number, path) in known {
            let bytes = fs::read(&path)?;
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            // The first line of a segment tells no fact.
            ring.knows(number, bytes.len(), lines.saturating_sub(1));
        }
        Ok(Self {
            folder: folder.to_owned(),
            ring,
            file: None,
            waiting: Vec::new(),
            waiting_lines: 0,
        })
    }

    /// Lines that are gone.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.ring.dropped()
    }

    /// Adds a line; it is in its segment after the next [`Self::flush`].
    pub fn push(&mut self, at: Moment, told: Told) {
        let dropped = self.ring.dropped();
        let line = Line { at, dropped, told };
        let Ok(mut bytes) = serde_json::to_vec(&line) else {
            self.ring.drop_lines(1);
            return;
        };
        bytes.push(b'\n');
        let placing = self.ring.place(bytes.len(), self.file.is_none());
        if let Some(gone) = placing.gone {
            // What cannot be removed is one segment too many; the next one tries again.
            let _ = fs::remove_file(path(&self.folder, gone));
        }
        if placing.begins {
            self.flush();
            self.file = File::create(path(&self.folder, placing.segment)).ok();
            // A segment says by itself what came before it and is gone.
            let begins = Line {
                at,
                dropped: self.ring.dropped(),
                told: Told::Lives {},
            };
            if let Ok(first) = serde_json::to_vec(&begins) {
                self.waiting.extend(first);
                self.waiting.push(b'\n');
            }
        }
        self.waiting.extend(bytes);
        self.waiting_lines += 1;
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let file = self.file.as_mut();
        let written = file.is_some_and(|file| file.write_all(&self.waiting).is_ok());
        if !written {
            // The next line begins a new segment: this one may end in the middle of a line.
            self.file = None;
            self.ring.drop_lines(self.waiting_lines);
        }
        self.waiting.clear();
        self.waiting_lines = 0;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A spool that is being read, line by line in order; what it comes to is known at its end.
#[derive(Debug)]
pub struct Reading {
    segments: VecDeque<(u64, PathBuf)>,
    /// Its first segment is gone: numbers begin with 0.
    cut: bool,
    /// Lines of the segment at hand, the next one last.
    lines: Vec<Line>,
    begins: Option<Moment>,
    last: Option<Moment>,
    /// Time between lines in which nobody watched.
    missed: Duration,
    dropped: u64,
    damaged: u64,
}

/// What a spool came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// From here on it tells all, but for what was dropped.
    pub from: Moment,
    /// Its last line.
    pub until: Moment,
    /// Time in between in which nobody watched.
    #[serde(with = "crate::time::micros")]
    pub missed: Duration,
    /// Lines that are gone or could not be read.
    pub dropped: u64,
}

impl Reading {
    /// Reads the spool of a folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                segments.push((number, entry.path()));
            }
        }
        segments.sort_unstable();
        Ok(Self {
            cut: segments.first().is_some_and(|(number, _)| *number > 0),
            segments: segments.into(),
            lines: Vec::new(),
            begins: None,
            last: None,
            missed: Duration::ZERO,
            dropped: 0,
            damaged: 0,
        })
    }

    /// What it came to, after its last line; `None` where there was none.
    #[must_use]
    pub fn came(&self) -> Option<Came> {
        Some(Came {
            from: self.begins?,
            until: self.last?,
            missed: self.missed,
            dropped: self.dropped.saturating_add(self.damaged),
        })
    }

    /// Reads the next segment that can be read.
    fn open_next(&mut self) -> bool {
        let Some((_, path)) = self.segments.pop_front() else {
            return false;
        };
        let Ok(bytes) = fs::read(path) else {
            self.damaged += 1;
            return true;
        };
        let mut lines: Vec<Line> = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                // A line that was cut may look whole.
                Ok(line_read) if line.ends_with(b"\n") => lines.push(line_read),
                _ => self.damaged += 1,
            }
        }
        lines.reverse();
        self.lines = lines;
        true
    }
}

impl Iterator for Reading {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.lines.is_empty() {
            if !self.open_next() {
                return None;
            }
        }
        let line = self.lines.pop()?;
        self.dropped = self.dropped.max(line.dropped);
        // Newest blocks of before come with their own, older moments in front of where it begins.
        if self.begins.is_none() && (self.cut || line.told == Told::Begins {}) {
            self.begins = Some(line.at);
            if self.cut {
                // Its beginning is gone: it begins with what is left.
                let begins = Line {
                    told: Told::Begins {},
                    ..line
                };
                self.last = Some(line.at);
                self.lines.push(line);
                return Some(begins);
            }
        }
        if self.begins.is_some() {
            if let Some(last) = self.last
                && line.at.since(last) > HOLE
            {
                self.missed += line.at.since(last);
            }
            self.last = self.last.max(Some(line.at));
        }
        Some(line)
    }
}

/// Removes the spool of a folder.
pub fn clear(folder: &Path) {
    if let Ok(reading) = Reading::of(folder) {
        for (_, path) in reading.segments {
            // What cannot be removed is told once more to the next owner, who knows these blocks.
            let _ = fs::remove_file(path);
        }
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:08}"))
}

#[cfg(test)]
mod tests;
