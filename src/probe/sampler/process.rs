//! The processes of the container, from `/proc`.

use std::{fs::File, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, SeekFrom, openat, seek, statat};

use crate::probe::{
    cgroup,
    cost::{Stat, kibibytes},
};

/// Processes whose memory is added up; a container with more has another problem.
const MAX_PROCESSES: usize = 256;
/// Open files counted one by one, on kernels that do not tell the number.
const MAX_COUNTED: u64 = 100_000;

pub(super) struct Processes {
    /// The node's process.
    node: u32,
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
}

impl Processes {
    pub(super) fn open(node: u32) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            node,
            own: std::process::id(),
            proc: openat(CWD, "/proc", flags, Mode::empty()).ok(),
            own_cpu: File::open("/proc/self/schedstat").ok(),
        }
    }

    pub(super) fn look(&self) -> Look {
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
