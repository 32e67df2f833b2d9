//! Antagonists: what faults do inside a node, by this program, as the node's own user, within the node's own limits.
//!
//! `canarynet toolbox antagonist MARK MICROSECONDS DISK ORDER CLOCK` does one thing, prints one line with what came of it, and
//! stays until its time is over; then it takes back what it did. It needs nobody for that: the canary may be gone. A
//! second call ends it earlier: `canarynet toolbox end-antagonist MARK DISK`. The mark is in its command line and in the
//! names of its files, so that both are found again by anyone.

mod clock;
pub(super) mod disk;
mod hogs;
mod limits;
mod scraper;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    exit::Exit,
    fault::operation::{Outcome, inside::Antagonist},
    plan::ClockLever,
};

/// How often an antagonist that only waits looks at its clock.
const LOOK: Duration = Duration::from_millis(100);

/// What every antagonist knows.
struct Stage {
    mark: String,
    disk: PathBuf,
    until: Instant,
}

impl Stage {
    /// A path of its own on the data disk, hidden from a plain listing and found by its mark.
    fn file(&self, what: &str) -> PathBuf {
        self.disk.join(format!(".canarynet-{}-{what}", self.mark))
    }

    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Says what came of it: the one line that the starter reads. Nobody may be left to read it.
    fn tell(&self, effective: bool, proof: String) {
        let outcome = Outcome { effective, proof };
        if let Ok(line) = serde_json::to_string(&outcome) {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    /// Waits until its time is over, doing `also` now and then.
    fn stay(&self, mut also: impl FnMut()) {
        while !self.over() {
            std::thread::sleep(LOOK);
            also();
        }
    }
}

/// Runs one antagonist to its end.
pub(super) fn antagonist_main(words: &[&str]) -> ExitCode {
    let [mark, micros, disk, order, lever] = words else {
        return Exit::Usage.into();
    };
    let (Ok(micros), Ok(antagonist), Ok(lever)) = (
        micros.parse::<u64>(),
        serde_json::from_str::<Antagonist>(order),
        serde_json::from_str::<Option<ClockLever>>(lever),
    ) else {
        return Exit::Usage.into();
    };
    let stage = Stage {
        mark: (*mark).to_owned(),
        disk: PathBuf::from(disk),
        until: Instant::now() + Duration::from_micros(micros),
    };
    let result = match antagonist {
        Antagonist::DiskFill { leave, keep, rate } => disk::fill(&stage, leave, keep, rate),
        Antagonist::InodeExhaustion { leave } => disk::inodes(&stage, leave),
        Antagonist::FileLimit { leave } => limits::files(&stage, leave),
        Antagonist::PidExhaustion { leave } => limits::processes(&stage, leave),
        Antagonist::CpuHog { threads } => hogs::cpu(&stage, threads),
        Antagonist::MemoryHog { leave } => hogs::memory(&stage, leave),
        Antagonist::ClockSkew { ahead } => clock::skew(&stage, ahead, lever.as_ref()),
        Antagonist::LogScraper {
            cpu_percent,
            amplify,
            leave,
            memory,
            rate,
        } => scraper::scrape(
            &stage,
            &scraper::Order {
                cpu_percent,
                amplify,
                leave,
                memory,
                rate,
            },
        ),
    };
    if let Err(error) = &result {
        stage.tell(false, error.to_string());
    }
    // Whatever it did is taken back before it goes.
    let cleaned = undo(&stage.mark, &stage.disk);
    match result.and(cleaned) {
        Ok(()) => Exit::Pass.into(),
        Err(_) => Exit::Infra.into(),
    }
}

/// Ends the antagonist of a mark and takes back what it did; done again it does nothing.
///
/// # Errors
/// A file that cannot be removed, a limit that cannot be raised.
pub(super) fn end(mark: &str, disk: &Path) -> Result<u64, io::Error> {
    let mut ended = 0;
    // Until none is left: one may be starting.
    for _ in 0..50 {
        let found = processes(mark)?;
        if found.is_empty() {
            break;
        }
        for pid in found {
            if kill_process(pid, Signal::KILL).is_ok() {
                ended += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    undo(mark, disk)?;
    Ok(ended)
}

/// Processes of this container that carry the mark.
fn processes(mark: &str) -> Result<Vec<Pid>, io::Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        // One that ended meanwhile, or of another user.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let ours = words
            .windows(2)
            .any(|pair| pair[0] == b"antagonist" && pair[1] == mark.as_bytes());
        if ours && !is_zombie(&entry.path()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// A process that ended and that nobody has asked about holds nothing any more.
fn is_zombie(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    text.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

fn undo(mark: &str, disk: &Path) -> Result<(), io::Error> {
    let prefix = format!(".canarynet-{mark}-");
    clock::restore(&disk.join(format!("{prefix}clock")), disk)?;
    let entries = match fs::read_dir(disk) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    limits::restore()
}
