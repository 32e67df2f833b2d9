//! The sampler: the process inside each node's container that reads its resources and the log files of its profile.
//!
//! It shares the node's limits, so it is small: one thread, no runtime, no parsing of anything that it need not, files
//! kept open and read again. It runs as the node's own user, without capabilities, in images without a shell. It ends
//! when its standard input closes, its parent changes, or nobody reads its output; `p` and `r` on standard input make
//! it rest and go on.

pub mod wire;

mod process;
mod tail;
mod visible;

use std::{
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::StatVfsMountFlags,
    io::Errno,
};

use super::cgroup::Cgroup;
use crate::journal::event::Sample;
use process::Processes;
use tail::Tail;
use visible::Visible;

/// How often followed files are looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// The same while there is more to read than one look may.
const FOLLOW_BUSY: Duration = Duration::from_millis(50);
/// Bytes read of followed files in one look: with the wait above, 1.3 MB a second.
const FOLLOW_BUDGET: usize = 64 << 10;
/// A disk that cannot be looked at is complained about this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// The sampler's own memory hardly changes, and reading it walks its page tables.
const OWN_MEMORY_EVERY: u32 = 10;

/// What a sampler is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arguments {
    /// The data disk.
    path: PathBuf,
    /// The node's process.
    process: u32,
    interval: Duration,
    follow: Vec<PathBuf>,
}

/// Why a sampler gave up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum SamplerError {
    #[error(
        "usage: sampler --path DIRECTORY [--pid NUMBER] [--interval DURATION] [--follow FILE]...; wrong: {0}"
    )]
    Usage(String),
}

/// Runs the sampler with the arguments after its own name.
#[must_use]
pub fn sampler_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::parse(arguments) {
        Ok(arguments) => {
            Sampler::new(arguments).run();
            ExitCode::SUCCESS
        }
        Err(error) => {
            super::complain("sampler", &error);
            ExitCode::from(2)
        }
    }
}

impl Arguments {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, SamplerError> {
        let usage = |wrong: &dyn std::fmt::Debug| SamplerError::Usage(format!("{wrong:?}"));
        let mut path = None;
        let mut parsed = Self {
            path: PathBuf::new(),
            process: 1,
            interval: Duration::from_secs(1),
            follow: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| usage(&word))?;
            let text = value.to_str();
            match word.to_str() {
                Some("--path") => path = Some(PathBuf::from(value)),
                Some("--follow") => parsed.follow.push(PathBuf::from(value)),
                Some("--pid") => {
                    let number = text.and_then(|text| text.parse().ok());
                    parsed.process = number.ok_or_else(|| usage(&value))?;
                }
                Some("--interval") => {
                    let interval = text.and_then(|text| humantime::parse_duration(text).ok());
                    let interval =
                        interval.filter(|interval| *interval >= Duration::from_millis(10));
                    parsed.interval = interval.ok_or_else(|| usage(&value))?;
                }
                _ => return Err(usage(&word)),
            }
        }
        parsed.path = path.ok_or_else(|| usage(&"no --path"))?;
        Ok(parsed)
    }
}

struct Sampler {
    arguments: Arguments,
    cgroup: Cgroup,
    processes: Processes,
    visible: Visible,
    tails: Vec<Tail>,
    /// Lines not yet written; kept to be used again.
    output: Vec<u8>,
    own_memory: u64,
    round: u32,
    complained: Option<Instant>,
}

/// What standard input said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    None,
    Pause,
    Resume,
    End,
}

impl Sampler {
    fn new(arguments: Arguments) -> Self {
        let follow = arguments.follow.iter().enumerate();
        Self {
            cgroup: Cgroup::own(),
            processes: Processes::open(arguments.process),
            visible: Visible::new(arguments.path.clone()),
            tails: follow
                .map(|(index, path)| Tail::new(index, path.clone()))
                .collect(),
            arguments,
            output: Vec::new(),
            own_memory: 0,
            round: 0,
            complained: None,
        }
    }

    fn run(&mut self) {
        let parent = rustix::process::getppid();
        let mut next_sample = Instant::now();
        let mut next_look = Instant::now();
        let mut paused = false;
        loop {
            let wake = if self.tails.is_empty() {
                next_sample
            } else {
                next_sample.min(next_look)
            };
            match wait(wake, paused) {
                Order::End => return,
                Order::Pause => paused = true,
                Order::Resume => paused = false,
                Order::None => {}
            }
            if rustix::process::getppid() != parent {
                return;
            }
            if paused {
                continue;
            }
            let now = Instant::now();
            if now >= next_sample {
                self.sample(now);
                // What was missed is not made up for.
                next_sample = (next_sample + self.arguments.interval).max(now);
            }
            if !self.tails.is_empty() && now >= next_look {
                let busy = self.follow();
                next_look = now + if busy { FOLLOW_BUSY } else { FOLLOW_EVERY };
            }
            if self.write().is_err() {
                return;
            }
        }
    }

    fn sample(&mut self, now: Instant) {
        let usage = self.cgroup.usage();
        let node = self.processes.look(now);
        if self.round.is_multiple_of(OWN_MEMORY_EVERY) {
            self.own_memory = super::cost::own_memory();
        }
        self.round = (self.round + 1) % OWN_MEMORY_EVERY;
        let mut sample = Sample {
            memory: node.memory,
            charged: usage.memory,
            memory_limit: usage.memory_limit,
            cpu: usage.cpu,
            open_files: node.open_files,
            pids: if usage.pids == 0 {
                node.processes
            } else {
                usage.pids
            },
            sampler_memory: self.own_memory,
            sampler_cpu: self.processes.own_cpu(),
            stuck: u64::try_from(node.stuck.as_micros()).unwrap_or(u64::MAX),
            ..Sample::default()
        };
        match rustix::fs::statvfs(&self.arguments.path) {
            Ok(disk) => {
                let blocks = |count: u64| count.saturating_mul(disk.f_frsize);
                sample.disk_used = blocks(disk.f_blocks.saturating_sub(disk.f_bfree));
                sample.disk_free = blocks(disk.f_bavail);
                sample.inodes = disk.f_files;
                sample.inodes_free = disk.f_ffree;
                sample.read_only = disk.f_flag.contains(StatVfsMountFlags::RDONLY);
                sample.visible = self.visible.measure(now, sample.disk_used);
            }
            Err(error) => self.complain(now, "cannot look at the data disk", error),
        }
        wire::write_sample(&mut self.output, &sample, node.started);
    }

    fn complain(&mut self, now: Instant, what: &str, error: Errno) {
        let recently = self
            .complained
            .is_some_and(|at| now.duration_since(at) < COMPLAIN_EVERY);
        if !recently {
            self.complained = Some(now);
            wire::write_complaint(&mut self.output, &format!("{what}: {error}"));
        }
    }

    /// Reads what is new in the followed files; tells whether there is more.
    fn follow(&mut self) -> bool {
        let mut budget = FOLLOW_BUDGET;
        for tail in &mut self.tails {
            tail.look(&mut budget, &mut self.output);
        }
        budget == 0
    }

    fn write(&mut self) -> Result<(), Errno> {
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            match rustix::io::write(rustix::stdio::stdout(), rest) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        Ok(())
    }
}

/// Waits for standard input until this moment, or for ever.
fn wait(until: Instant, for_ever: bool) -> Order {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).ok().filter(|_| !for_ever);
    let stdin = rustix::stdio::stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut watched, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR) => return Order::None,
        Err(_) => return Order::End,
        Ok(_) => {}
    }
    let mut words = [0; 64];
    match rustix::io::read(stdin, &mut words) {
        Ok(0) => Order::End,
        Ok(length) => {
            let order = words[..length].iter().rev().find_map(|word| match word {
                b'p' => Some(Order::Pause),
                b'r' => Some(Order::Resume),
                _ => None,
            });
            order.unwrap_or(Order::None)
        }
        Err(Errno::INTR | Errno::AGAIN) => Order::None,
        Err(_) => Order::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, SamplerError> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_checked() {
        let parsed = parse(&[
            "--path",
            "/data",
            "--interval",
            "500ms",
            "--follow",
            "/a",
            "--follow",
            "/b",
        ]);
        let parsed = parsed.unwrap();
        assert_eq!(parsed.interval, Duration::from_millis(500));
        assert_eq!((parsed.process, parsed.follow.len()), (1, 2));
        for bad in [
            &[][..],
            &["--path"],
            &["--path", "/", "--pid", "x"],
            &["--path", "/", "--interval", "0s"],
            &["--what", "7"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
