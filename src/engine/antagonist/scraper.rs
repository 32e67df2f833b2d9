//! The incident's own antagonist. In July 2019 `{ tac *log; zcat *log.gz | tac; } | grep | python` ran on every node:
//! `tac` on a pipe cannot seek, so it copies all of its input into a temporary file that nobody can see, while the
//! script before it burns processor time and the one behind it grows with what it keeps.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use rustix::fs::statvfs;

use super::Stage;

/// What it looks for: the line of a new block.
const WORD: &[u8] = b"BINGO";
/// How long it waits for room before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// How it behaves.
pub(super) struct Order {
    pub(super) cpu_percent: u32,
    pub(super) amplify: u64,
    pub(super) leave: u64,
    pub(super) memory: u64,
    pub(super) rate: u64,
}

struct Scraper<'a> {
    stage: &'a Stage,
    order: &'a Order,
    /// The file that nobody can see.
    hidden: File,
    unpacked: u64,
    found: u64,
    /// What the script keeps of what it found.
    kept: Vec<u8>,
    begun: Instant,
    worked: Duration,
    full: bool,
    told: bool,
}

/// Scans the whole history, newest first, again and again.
pub(super) fn scrape(stage: &Stage, order: &Order) -> Result<(), io::Error> {
    let path = stage.file("tac");
    let hidden = OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    let mut scraper = Scraper {
        stage,
        order,
        hidden,
        unpacked: 0,
        found: 0,
        kept: Vec::new(),
        begun: Instant::now(),
        worked: Duration::ZERO,
        full: false,
        told: false,
    };
    for _ in 0..order.amplify.max(1) {
        let history = history(stage)?;
        if history.is_empty() {
            return Err(io::Error::other("the node keeps no log files on its disk"));
        }
        for file in history {
            scraper.scan(&file)?;
            if stage.over() {
                return Ok(());
            }
        }
    }
    stage.stay(|| {});
    Ok(())
}

/// The log files of the node, newest first.
fn history(stage: &Stage) -> Result<Vec<PathBuf>, io::Error> {
    let mut files = Vec::new();
    for folder in ["log", "logs", "."] {
        let Ok(entries) = fs::read_dir(stage.disk.join(folder)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_log = name.contains(".log") || name.ends_with(".gz");
            if let Ok(facts) = entry.metadata()
                && facts.is_file()
                && is_log
            {
                files.push((facts.modified()?, entry.path()));
            }
        }
    }
    files.sort();
    Ok(files.into_iter().rev().map(|(_, path)| path).collect())
}

impl Scraper<'_> {
    fn scan(&mut self, path: &PathBuf) -> Result<(), io::Error> {
        // Rotated away meanwhile.
        let Ok(file) = File::open(path) else {
            return Ok(());
        };
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let mut input: Box<dyn Read> = if packed {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut chunk = vec![0_u8; CHUNK];
        loop {
            let begun = Instant::now();
            // A file that is being written may end in the middle of a member.
            let count = input.read(&mut chunk).unwrap_or(0);
            if count == 0 {
                return Ok(());
            }
            self.look(&chunk[..count]);
            self.copy(&chunk[..count])?;
            self.worked += begun.elapsed();
            self.pace();
            if self.stage.over() {
                return Ok(());
            }
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n') {
            if line.windows(WORD.len()).any(|word| word == WORD) {
                self.found += 1;
                if (self.kept.len() + line.len()) as u64 <= self.order.memory {
                    self.kept.extend_from_slice(line);
                }
            }
        }
    }

    fn copy(&mut self, bytes: &[u8]) -> Result<(), io::Error> {
        let facts = statvfs(&self.stage.disk)?;
        let free = facts.f_bavail.saturating_mul(facts.f_frsize);
        let room = free.saturating_sub(self.order.leave);
        let length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut wrote = 0;
        if length > 0 {
            match self.hidden.write(&bytes[..length]) {
                Ok(count) => wrote = count as u64,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(error),
            }
        }
        self.unpacked += wrote;
        self.full = wrote < bytes.len() as u64;
        // Enough to be seen from outside, or all that there was room for: what others remove is free a moment later.
        let all = self.full && (self.unpacked > 0 || self.begun.elapsed() > PATIENCE);
        if !self.told && (all || self.unpacked >= 1 << 20) {
            self.told = true;
            self.stage.tell(
                self.unpacked > 0,
                format!("{} bytes in a file that nobody can see", self.unpacked),
            );
        }
        Ok(())
    }

    /// No faster than its rate, no more processor time than its share.
    fn pace(&self) {
        let by_rate = match self.order.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(self.unpacked as f64 / rate as f64),
        };
        let share = f64::from(self.order.cpu_percent.clamp(1, 100)) / 100.0;
        let by_share = self.worked.div_f64(share);
        let due = by_rate.max(by_share);
        let until = self.begun + due;
        // Full: it goes on reading, as the script did, and its file stays. The rate does not hold it any more.
        let now = Instant::now();
        if self.full {
            std::thread::sleep(Duration::from_millis(2));
        } else if until > now {
            // Busy for its share of the wait, as a script that parses is.
            let wait = (until - now).min(Duration::from_millis(100));
            let busy = Instant::now() + wait.mul_f64(share);
            let mut number = 1_u64;
            while Instant::now() < busy {
                number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(7));
            }
            std::thread::sleep(wait.mul_f64(1.0 - share));
        }
    }
}
