//! Cutting the power of nodes: the file system stops, then the process ends.
//!
//! The order matters: a process that ends first lets the engine unmount its disk, which writes what was not synced. All
//! disks are opened and all processes found before the first is cut, so that the moments lie close together.

use std::{collections::BTreeMap, fs, io, os::fd::OwnedFd, sync::Barrier, thread, time::Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::{
    disk::{calls, helper::DiskRef, mounted::Mounted},
    fault::operation::disk::Keep,
    ids::NodeName,
};

/// One node whose power is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Its disk.
    pub disk: DiskRef,
    /// Its container's id.
    pub container: String,
    /// Its main process on the engine's machine.
    pub pid: u64,
}

/// A node whose power was cut; the times are from the moment before the first of its fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOff {
    /// Microseconds until its file system was shut down.
    pub disk_after_micros: u64,
    /// Microseconds until its process was sent the signal.
    pub process_after_micros: u64,
    /// Why it could not be.
    pub error: Option<String>,
}

/// Cuts all of these. What cannot be cut is told; the others are.
pub(in crate::disk) fn cut(
    cuts: &[Cut],
    keep: Keep,
) -> Result<BTreeMap<NodeName, CutOff>, io::Error> {
    let mut ready = Vec::new();
    let mut results = BTreeMap::new();
    for cut in cuts {
        match prepare(cut) {
            Ok((mounted, folder, process)) => ready.push((cut, mounted, folder, process)),
            Err(error) => {
                let off = CutOff {
                    error: Some(error.to_string()),
                    ..CutOff::default()
                };
                results.insert(cut.disk.node.clone(), off);
            }
        }
    }
    let begun = Instant::now();
    // One thread for each, all let go at once: the call waits for the journal to stop, some milliseconds each.
    let gate = Barrier::new(ready.len().max(1));
    let gate = &gate;
    thread::scope(|scope| {
        let threads: Vec<_> = ready
            .iter()
            .map(|(cut, _, folder, process)| {
                let work = move || {
                    gate.wait();
                    cut_one(folder, process, keep, begun)
                };
                (cut, scope.spawn(work))
            })
            .collect();
        for (cut, thread) in threads {
            let off = thread.join().unwrap_or_else(|_| CutOff {
                error: Some("the thread that cuts it ended".to_owned()),
                ..CutOff::default()
            });
            results.insert(cut.disk.node.clone(), off);
        }
    });
    for (_, mounted, folder, _) in ready {
        drop(folder);
        mounted.unmount()?;
    }
    Ok(results)
}

fn cut_one(folder: &fs::File, process: &OwnedFd, keep: Keep, begun: Instant) -> CutOff {
    let since = || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let shut = calls::shut_down(folder, keep);
    let disk_after_micros = since();
    let killed = pidfd_send_signal(process, Signal::KILL);
    CutOff {
        disk_after_micros,
        process_after_micros: since(),
        error: shut
            .and(killed.map_err(io::Error::from))
            .err()
            .map(|error| error.to_string()),
    }
}

/// The node's file system and its main process, which must be one of the node's container: a number may be used again.
fn prepare(cut: &Cut) -> Result<(Mounted, fs::File, OwnedFd), io::Error> {
    let mounted = Mounted::in_use(&cut.disk)?;
    let folder = mounted.open()?;
    let pid = i32::try_from(cut.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the node does not run"))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", cut.pid))?;
    if !cgroups.contains(&cut.container) {
        return Err(io::Error::other(format!(
            "process {} is not one of the node's container",
            cut.pid
        )));
    }
    Ok((mounted, folder, process))
}
