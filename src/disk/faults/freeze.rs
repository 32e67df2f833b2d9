//! Freezing and thawing a node's file system.
//!
//! ```text
//!  this process: opens the file system ── waits ─────────────────────────────────── thaws when the time is over
//!                       └─ starts a second one: freezes, tries to freeze again, ends
//! ```
//! The process that will thaw is there, with the file system open, before anything is frozen, and outlives the canary. The
//! one that freezes is another: it may hang in that call.

use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::disk::{
    calls,
    helper::{DiskRef, HelperOp},
    image, loop_device,
    mounted::Mounted,
};

/// How often the second process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A file system that was frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// It was not before.
    pub by_us: bool,
    /// The kernel refused to freeze it once more.
    pub frozen: bool,
    /// Microseconds that freezing took: what was dirty is written first.
    pub micros: u64,
}

/// File systems that were thawed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thawed {
    /// How many were frozen.
    pub count: usize,
    /// Which could not be looked at, and why.
    pub failures: Vec<String>,
}

/// Freezes, says so, and thaws after this long unless somebody did before.
pub(in crate::disk) fn hold(disk: &DiskRef, thaw_after: Duration) -> Result<(), io::Error> {
    let until = Instant::now() + thaw_after;
    let mounted = Mounted::in_use(disk)?;
    let folder = mounted.open()?;
    let order = serde_json::to_string(&HelperOp::FreezeNow { disk: disk.clone() })?;
    let mut child = Command::new("/proc/self/exe")
        .args(["helper", &order])
        .stdout(Stdio::piped())
        .spawn()?;
    let result = loop {
        match child.try_wait()? {
            Some(_) => break child.wait_with_output(),
            None if Instant::now() >= until => {
                break Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "freezing took longer than it was to last",
                ));
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let told = result.and_then(|output| {
        let mut out = io::stdout();
        out.write_all(&output.stdout)?;
        out.flush()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other("freezing failed"))
        }
    });
    if told.is_ok() {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    calls::thaw(&folder)?;
    drop(folder);
    mounted.unmount()?;
    told
}

/// Freezes now. That it is frozen is seen by the kernel's refusal to do it twice.
pub(in crate::disk) fn now(disk: &DiskRef) -> Result<Frozen, io::Error> {
    let mounted = Mounted::in_use(disk)?;
    let folder = mounted.open()?;
    let begun = Instant::now();
    let by_us = calls::freeze(&folder)?;
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let frozen = !calls::freeze(&folder)?;
    drop(folder);
    mounted.unmount()?;
    Ok(Frozen {
        by_us,
        frozen,
        micros,
    })
}

/// Thaws these disks, or all of the run. One that cannot be looked at does not keep the others from it.
pub(in crate::disk) fn thaw(disks: &[DiskRef], mark: &str) -> Result<Thawed, io::Error> {
    let mut numbers = Vec::new();
    for disk in disks {
        numbers.push(image::device_of(disk)?);
    }
    if disks.is_empty() {
        numbers = loop_device::attached()?;
        numbers.retain(|number| {
            loop_device::status(*number).is_ok_and(|status| status.mark() == mark)
        });
    }
    let mut thawed = Thawed::default();
    for number in numbers {
        match thaw_one(number) {
            Ok(was_frozen) => thawed.count += usize::from(was_frozen),
            Err(error) => thawed.failures.push(format!("/dev/loop{number}: {error}")),
        }
    }
    Ok(thawed)
}

/// What nobody has mounted is not frozen: a frozen file system holds its device even without a mount.
fn thaw_one(number: u32) -> Result<bool, io::Error> {
    if !loop_device::in_use(number)? {
        return Ok(false);
    }
    let mounted = Mounted::device(number)?;
    let folder = mounted.open()?;
    let was_frozen = calls::thaw(&folder)?;
    drop(folder);
    mounted.unmount()?;
    Ok(was_frozen)
}
