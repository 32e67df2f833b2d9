//! The processes of the container, from `/proc`.

use std::{
    collections::BTreeMap,
    fs::File,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, SeekFrom, openat, seek, statat};

use crate::probe::{
    cgroup,
    cost::{Stat, kibibytes},
};

/// Processes whose memory is added up; a container with more has another problem.
const MAX_PROCESSES: usize = 256;
/// Open files counted one by one, on kernels that do not tell the number.
const MAX_COUNTED: u64 = 100_000;

/// Threads of the node's process that are looked at.
const MAX_THREADS: usize = 256;

pub(super) struct Processes {
    /// The node's process.
    node: u32,
    /// Threads that waited for a disk at the last look: their context switches, and since when.
    waiting: BTreeMap<u32, (u64, Instant)>,
    own: u32,
    proc: Option<OwnedFd>,
    own_cpu: Option<File>,
}

/// What was seen; zero where it cannot be.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Resident bytes without page cache, over all processes but this one.
    pub(super) memory: u64,
    /// Processes, this one included.
    pub(super) processes: u64,
    /// Open files of the node's process.
    pub(super) open_files: u64,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
    /// How long a thread of it has been waiting for a disk without a break.
    pub(super) stuck: Duration,
}

impl Processes {
    pub(super) fn open(node: u32) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            node,
            waiting: BTreeMap::new(),
            own: std::process::id(),
            proc: openat(CWD, "/proc", flags, Mode::empty()).ok(),
            own_cpu: File::open("/proc/self/schedstat").ok(),
        }
    }

    pub(super) fn look(&mut self, now: Instant) -> Look {
        let mut look = Look::default();
        let Some(proc) = &self.proc else { return look };
        let mut text = [0; 4096];
        let mut entries = [MaybeUninit::uninit(); 2048];
        if seek(proc, SeekFrom::Start(0)).is_err() {
            return look;
        }
        let mut folder = RawDir::new(proc, &mut entries);
        while let Some(Ok(entry)) = folder.next() {
            let name = entry.file_name().to_str().ok();
            let Some(id) = name.and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            look.processes += 1;
            if id != self.own && look.processes as usize <= MAX_PROCESSES {
                look.memory += memory(proc, id, &mut text);
            }
        }
        let stat = read_at(proc, &format!("{}/stat", self.node), &mut text);
        look.started = Stat::parse(stat).map_or(0, |stat| stat.started);
        look.open_files = open_files(proc, self.node);
        let before = std::mem::take(&mut self.waiting);
        self.waiting = waiting(proc, self.node, &before, now);
        let since = self.waiting.values().map(|(_, since)| *since).min();
        look.stuck = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        look
    }

    /// CPU time of this process in microseconds; it has one thread only.
    pub(super) fn own_cpu(&self) -> u64 {
        let mut text = [0; 128];
        let text = cgroup::read(self.own_cpu.as_ref(), &mut text);
        let nanos = text
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        nanos.map_or_else(|| crate::probe::cost::own().cpu, |nanos| nanos / 1_000)
    }
}

/// The threads of a process that wait for a disk now. One that has not run since it was seen waiting before waits on:
/// the kernel counts each time that it gives up or loses the processor.
fn waiting(
    proc: &OwnedFd,
    id: u32,
    before: &BTreeMap<u32, (u64, Instant)>,
    now: Instant,
) -> BTreeMap<u32, (u64, Instant)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut threads = BTreeMap::new();
    let Ok(folder) = openat(proc, format!("{id}/task"), flags, Mode::empty()) else {
        return threads;
    };
    let mut text = [0; 4096];
    let mut entries = [MaybeUninit::uninit(); 2048];
    let mut listed = RawDir::new(&folder, &mut entries);
    let mut seen = 0;
    while let Some(Ok(entry)) = listed.next() {
        let name = entry.file_name().to_str().ok();
        let Some(thread) = name.and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        seen += 1;
        if seen > MAX_THREADS {
            break;
        }
        let stat = read_at(&folder, &format!("{thread}/stat"), &mut text);
        if !waits_for_disk(stat) {
            continue;
        }
        let switches = switches(read_at(&folder, &format!("{thread}/status"), &mut text));
        let since = match before.get(&thread) {
            Some((counted, since)) if *counted == switches => *since,
            _ => now,
        };
        threads.insert(thread, (switches, since));
    }
    threads
}

/// Whether a thread's `stat` says that it waits and no signal ends that: for a disk, as nothing else takes long.
fn waits_for_disk(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('D'))
}

fn switches(status: &str) -> u64 {
    let of = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    of("voluntary_ctxt_switches:").saturating_add(of("nonvoluntary_ctxt_switches:"))
}

fn memory(proc: &OwnedFd, id: u32, buffer: &mut [u8]) -> u64 {
    let text = read_at(proc, &format!("{id}/status"), buffer);
    let of = |field| kibibytes(text, field).unwrap_or_default();
    of("RssAnon:").saturating_add(of("RssShmem:"))
}

fn open_files(proc: &OwnedFd, id: u32) -> u64 {
    let path = format!("{id}/fd");
    // Since Linux 6.2 the folder's size is their number.
    if let Ok(stat) = statat(proc, &path, AtFlags::empty())
        && stat.st_size > 0
    {
        return stat.st_size.unsigned_abs();
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = openat(proc, &path, flags, Mode::empty()) else {
        return 0;
    };
    let mut entries = [MaybeUninit::uninit(); 2048];
    let mut folder = RawDir::new(&folder, &mut entries);
    let mut count = 0_u64;
    while let Some(Ok(entry)) = folder.next() {
        if entry.file_name().to_bytes().first() != Some(&b'.') {
            count += 1;
        }
        if count == MAX_COUNTED {
            break;
        }
    }
    count
}

fn read_at<'a>(proc: &OwnedFd, path: &str, buffer: &'a mut [u8]) -> &'a str {
    let file = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.ok().map(File::from);
    cgroup::read(file.as_ref(), buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_and_does_not_run_is_stuck() {
        assert!(waits_for_disk("7 (a) D (b)) D 1 2 3"));
        assert!(!waits_for_disk("7 (D) S 1 2 3"));
        assert!(!waits_for_disk(""));
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switches(status), 15);
        assert_eq!(switches("Name:\tx\n"), 0);
    }

    #[test]
    fn this_process_runs_and_is_not_stuck() {
        let mut processes = Processes::open(std::process::id());
        let start = Instant::now();
        for second in 0..3 {
            let look = processes.look(start + Duration::from_secs(second));
            assert!(look.started > 0 && look.open_files > 0);
            assert_eq!(look.stuck, Duration::ZERO, "who looks runs");
        }
    }
}
