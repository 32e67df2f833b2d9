//! A look around inside a container, as its own user, and at what this machine has of a run.

use std::{fs, io, path::Path};

/// Mounts whose numbers change with every start are told without them.
const LOOP: &str = "/dev/loop";

/// Processes, mounts, files of faults on the data disk, limits of process 1, and whether it stands still.
pub(in crate::engine) fn inside(disk: &Path) -> Result<Vec<String>, io::Error> {
    let mut lines = Vec::new();
    processes(&mut lines)?;
    mounts(&mut lines)?;
    for entry in fs::read_dir(disk)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(".canarynet-") {
            lines.push(format!("file {name}"));
        }
    }
    let limits = fs::read_to_string("/proc/1/limits")?;
    let open = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = open.unwrap_or_default().split_whitespace().collect();
    lines.push(format!("limit {}", words.join(" ")));
    let state = fs::read_to_string("/proc/1/stat")?;
    let stopped = state
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('T'));
    lines.push(format!(
        "process 1 {}",
        if stopped { "stands still" } else { "goes on" }
    ));
    Ok(lines)
}

/// All processes but this one; those that ended and that nobody has asked about hold nothing.
fn processes(lines: &mut Vec<String>) -> Result<(), io::Error> {
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // One that ended meanwhile.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if !line.trim().is_empty() {
            lines.push(format!("process {}", line.trim()));
        }
    }
    Ok(())
}

fn mounts(lines: &mut Vec<String>) -> Result<(), io::Error> {
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (left, right): (Vec<&str>, Vec<&str>) =
            (left.split(' ').collect(), right.split(' ').collect());
        // ID, parent, device, root, point, options; behind the dash type, source, options of the file system.
        if let ([_, _, _, _, point, options, ..], [kind, source, inner, ..]) =
            (left.as_slice(), right.as_slice())
        {
            let source = if source.starts_with(LOOP) {
                LOOP
            } else {
                source
            };
            lines.push(format!("mount {point} {kind} {source} {options} {inner}"));
        }
    }
    Ok(())
}

/// Loop devices and mounts of this machine that name the run. Where the engine is on another machine there are none to
/// be seen.
pub(super) fn of_machine(run: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for mount in mounts.lines().filter(|line| line.contains(run)) {
        let point = mount.split(' ').nth(1).unwrap_or_default();
        lines.push(format!("mount {point}"));
    }
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = fs::read_to_string(entry.path().join("loop/backing_file"));
        if let Ok(file) = file
            && file.contains(run)
        {
            lines.push(format!("loop device of {}", file.trim()));
        }
    }
    lines
}
