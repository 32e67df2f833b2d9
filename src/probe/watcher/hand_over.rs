//! One watcher a folder: who comes takes it over from whoever is there.
//!
//! ```text
//!  new: lock taken? --yes--> asks by a file --> waits --> ends the other one --> waits --> goes on without the folder
//!  old: without an owner, looks for that file at every tick, writes what waits, and ends: the lock is free
//! ```
//! The lock is the kernel's, so it is free as soon as its holder has ended, however that came.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use tokio::time::{Instant, sleep};

const LOCK: &str = "lock";
const REQUEST: &str = "hand-over";
/// A watcher without an owner answers at its next tick, in a twentieth of a second.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A folder that is this process's own until it ends.
#[derive(Debug)]
pub(super) struct Held {
    folder: PathBuf,
    #[expect(dead_code, reason = "it is its being held that counts")]
    lock: File,
}

impl Held {
    /// Takes the folder over; `None` where it cannot be had: then there is no spool.
    pub(super) async fn take(folder: &Path) -> Option<Self> {
        let path = folder.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .ok()?;
        let request = folder.join(REQUEST);
        if !is_free(&lock) {
            fs::write(&request, b"").ok()?;
            if !wait(&lock).await {
                end_holder(&mut lock);
                if !wait(&lock).await {
                    return None;
                }
            }
        }
        // Invariant: the lock is held, so a request that is still there was for a watcher that has ended.
        let _ = fs::remove_file(&request);
        let written = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()));
        written.ok()?;
        let folder = folder.to_owned();
        Some(Self { folder, lock })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another watcher wants it.
    pub(super) fn is_wanted(&self) -> bool {
        self.folder.join(REQUEST).exists()
    }
}

fn is_free(lock: &File) -> bool {
    flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok()
}

async fn wait(lock: &File) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if is_free(lock) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Ends the holder of the lock, who wrote its number there. As long as it holds the lock, the number is no other's.
fn end_holder(lock: &mut File) {
    let mut text = String::new();
    let read = lock.rewind().and_then(|()| lock.read_to_string(&mut text));
    let holder = read.ok().and_then(|_| text.trim().parse().ok());
    if let Some(holder) = holder.filter(|holder| *holder > 1).and_then(Pid::from_raw) {
        // One that has ended meanwhile is as well.
        let _ = kill_process(holder, Signal::KILL);
    }
}
