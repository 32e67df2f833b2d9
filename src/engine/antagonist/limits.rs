//! Limits of the node's main process, and of its container.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::Stage;

/// Threads that are started at most.
const MOST_THREADS: u64 = 8_192;
/// Stack of a thread that only sleeps.
const STACK: usize = 64 * 1024;

/// Lowers the soft limit of process 1 to what it has open and `leave` more. The hard limit stays: by it the old value
/// is found again.
pub(super) fn files(stage: &Stage, leave: u64) -> Result<(), io::Error> {
    let open = fs::read_dir("/proc/1/fd")?.count() as u64;
    // Numbers count, not files: one high number open keeps all below it free.
    let highest = fs::read_dir("/proc/1/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
        .max()
        .unwrap_or(0);
    let limit = open.saturating_add(leave);
    let before = current()?;
    set(Rlimit {
        current: Some(limit),
        maximum: before.maximum,
    })?;
    let now = current()?.current;
    stage.tell(
        now == Some(limit),
        format!("limit of process 1 now {limit}, {open} files open, highest number {highest}"),
    );
    stage.stay(|| {});
    Ok(())
}

fn main_process() -> Result<Pid, io::Error> {
    Pid::from_raw(1).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn current() -> Result<Rlimit, io::Error> {
    let text = fs::read_to_string("/proc/1/limits")?;
    let mut words = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.parse().ok());
    Ok(Rlimit {
        current: words.next().flatten(),
        maximum: words.next().flatten(),
    })
}

fn set(limit: Rlimit) -> Result<(), io::Error> {
    prlimit(Some(main_process()?), Resource::Nofile, limit)?;
    Ok(())
}

/// The soft limit of process 1 is its hard one again, as every node starts.
pub(super) fn restore() -> Result<(), io::Error> {
    // This process has the limits that the container was started with.
    let own = getrlimit(Resource::Nofile);
    let Ok(now) = current() else { return Ok(()) };
    if now.current == own.current {
        return Ok(());
    }
    set(Rlimit {
        current: own.current,
        maximum: now.maximum,
    })
}

/// Starts sleeping threads until none can be started, and ends `leave` of them.
pub(super) fn processes(stage: &Stage, leave: u64) -> Result<(), io::Error> {
    let mut sleepers = Vec::new();
    let mut refused = false;
    while (sleepers.len() as u64) < MOST_THREADS {
        let until = stage.until;
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let started = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || {
                let left = until.saturating_duration_since(std::time::Instant::now());
                let _ = stopped.recv_timeout(left);
            });
        match started {
            Ok(handle) => sleepers.push((stop, handle)),
            Err(_) => {
                refused = true;
                break;
            }
        }
    }
    let count = sleepers.len();
    let keep = count.saturating_sub(usize::try_from(leave).unwrap_or(usize::MAX));
    for (stop, handle) in sleepers.drain(keep..) {
        drop(stop);
        let _ = handle.join();
    }
    stage.tell(
        refused,
        format!("no thread could be started after {count} more; {leave} are left"),
    );
    stage.stay(|| {});
    Ok(())
}
