//! Small programs for use inside containers: `canarynet toolbox OPERATION`, hidden from people.
//!
//! They run in nodes that have no shell, within the node's own limits, as the node's own user. Single-threaded, small,
//! and without a runtime: what they use is charged to the node.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::{
    disk::faulty::control,
    engine::{age, antagonist, disk_probe, inventory, room::Room, secrets, share},
    exit::Exit,
};

/// Longest wait for a connection that nobody answers.
const CONNECT: Duration = Duration::from_secs(2);
/// Folders of the cgroup tree that are looked at; a machine with more has other troubles.
const MOST_FOLDERS: usize = 50_000;
/// How names of this program's own files on a data disk begin.
pub(crate) const OURS: &str = ".canarynet-";
/// Depth of the cgroup tree that is looked at: deep enough for an engine inside a container inside a service.
const DEPTH: usize = 12;

/// What the kernel says of one container's limits; `None` where there is no such limit or controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_thousandths: Option<u64>,
    /// Write operations per second, of the first device that is throttled.
    pub write_iops: Option<u64>,
    /// Bytes written per second, of the first device that is throttled.
    pub write_bytes_per_second: Option<u64>,
}

/// How a connection attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectOutcome {
    /// Somebody answered.
    Connected,
    /// The address exists and nobody listens: there is a way to it.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// Nothing came back in time.
    Silent,
}

/// What filling a disk came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillOutcome {
    /// Bytes that could be written and synced.
    pub bytes: u64,
    /// The error that ended it, as a number.
    pub error: Option<i32>,
}

/// How long writes took that were each synced, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedWrites {
    /// Half took less.
    pub median: u64,
    /// On average.
    pub mean: u64,
    /// The slowest.
    pub worst: u64,
}

/// Runs one operation; prints its result as one line of JSON.
#[must_use]
pub fn toolbox_main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["antagonist", rest @ ..] = words.as_slice() {
        return antagonist::antagonist_main(rest);
    }
    let answer = match words.as_slice() {
        ["statfs", path] => json(&room_of(Path::new(path))),
        ["limits", root, containers @ ..] => json(&limits(Path::new(root), containers)),
        ["try-connect", address] => match address.parse() {
            Ok(address) => json(&Ok::<_, io::Error>(try_connect(address))),
            Err(_) => Err("the address is no IP:PORT".to_owned()),
        },
        ["flood", lines] => return flood(lines),
        ["hold"] => return hold(),
        ["sync-writes", path, count] => json(&sync_writes(Path::new(path), count)),
        ["fill", path] => json(&Ok::<_, io::Error>(fill(Path::new(path)))),
        ["probe-disk", disk, count, bytes] => match (count.parse(), bytes.parse()) {
            (Ok(count), Ok(bytes)) => json(&disk_probe::probe(Path::new(disk), count, bytes)),
            _ => Err("the count or the bytes are no number".to_owned()),
        },
        ["put", path, bytes, how @ ("synced" | "unsynced")] => match bytes.parse() {
            Ok(bytes) => json(&disk_probe::put(Path::new(path), bytes, *how == "synced")),
            Err(_) => Err("the bytes are no number".to_owned()),
        },
        ["size", path] => json(&fs::metadata(path).map(|facts| facts.len())),
        ["share", root, user, orders @ ..] => json(&share::share(Path::new(root), user, orders)),
        ["secrets", folder] => json(&secrets::write(Path::new(folder), io::stdin())),
        ["sync-tree", path] => json(&sync_tree(Path::new(path))),
        ["remove", path] => json(&fs::remove_file(path)),
        ["age", path, per_million, piece] => match age::Order::parse(per_million, piece) {
            Some(order) => json(&age::age(Path::new(path), order)),
            None => Err("the share or the size is no number".to_owned()),
        },
        ["empty", path] => json(&empty(Path::new(path))),
        ["end-antagonist", mark, disk] => json(&antagonist::end(mark, Path::new(disk))),
        ["inventory", disk] => json(&inventory::inside(Path::new(disk))),
        ["network-inventory"] => json(&inventory::network()),
        ["disk-order", order] => json(&control::ask(Path::new(control::CONTROL), order)),
        ["state", pid] => json(&state(pid)),
        ["signal", pid, name] => json(&signal(pid, name)),
        _ => Err(
            "unknown operation; known are statfs, limits, try-connect, fill, probe-disk, put, size, sync-writes, sync-tree, remove, empty, age, signal, state, disk-order, antagonist, end-antagonist, inventory, network-inventory, share, secrets, flood, hold"
                .to_owned(),
        ),
    };
    match answer {
        Ok(line) => print_line(&line),
        Err(message) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _closed = writeln!(io::stderr(), "{message}");
            Exit::Infra.into()
        }
    }
}

/// The state of a process in one letter, as the kernel says it.
fn state(pid: &str) -> Result<String, io::Error> {
    let pid: u32 = pid.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it may hold anything, a closing bracket too.
    let letter = text.rsplit(')').next().unwrap_or_default();
    Ok(letter.split_whitespace().next().unwrap_or("?").to_owned())
}

/// Syncs every file and folder of a tree; answers how many there are. Names are synced after what they stand for.
fn sync_tree(folder: &Path) -> Result<usize, io::Error> {
    let mut synced = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let outcome = if kind.is_dir() {
            sync_tree(&entry.path())
        } else if kind.is_file() {
            fs::File::open(entry.path()).and_then(|file| file.sync_all().map(|()| 1))
        } else {
            Ok(0)
        };
        // The nodes run already: what they have removed meanwhile, or made for themselves alone, is theirs.
        synced += match outcome {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                0
            }
            outcome => outcome?,
        };
    }
    fs::File::open(folder)?.sync_all()?;
    Ok(synced + 1)
}

/// Removes all that is in a folder, but for what belongs to the file system and what this program has put there beside
/// the node's data. Answers how many entries it removed.
fn empty(folder: &Path) -> Result<u64, io::Error> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "lost+found" || name.starts_with(OURS) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        removed += 1;
    }
    // It is to be gone also after a power cut.
    fs::File::open(folder)?.sync_all()?;
    Ok(removed)
}

/// Sends a signal to a process of the container, as the container's own user may.
fn signal(pid: &str, name: &str) -> Result<(), io::Error> {
    let pid = pid
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let signal = match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        "KILL" => Signal::KILL,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    rustix::process::kill_process(pid, signal).map_err(io::Error::from)
}

fn json<T: Serialize>(answer: &Result<T, io::Error>) -> Result<String, String> {
    match answer {
        Ok(answer) => serde_json::to_string(answer).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn print_line(line: &str) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => Exit::Pass.into(),
        Err(_) => Exit::Infra.into(),
    }
}

/// Room on the file system that holds this path.
pub(crate) fn room_of(path: &Path) -> Result<Room, io::Error> {
    let facts = rustix::fs::statvfs(path)?;
    Ok(Room {
        free: facts.f_bavail.saturating_mul(facts.f_frsize),
        size: facts.f_blocks.saturating_mul(facts.f_frsize),
        inodes_free: facts.f_favail,
    })
}

/// Says that it runs, then holds its place until its input closes: what a sampler costs to start.
fn hold() -> ExitCode {
    let said = writeln!(io::stdout(), "\"ready\"");
    let held = io::copy(&mut io::stdin().lock(), &mut io::sink());
    match said.and(held) {
        Ok(_) => Exit::Pass.into(),
        Err(_) => Exit::Infra.into(),
    }
}

/// Prints so many lines as fast as they are taken: what a node does that logs too much.
fn flood(lines: &str) -> ExitCode {
    let lines: u64 = lines.parse().unwrap_or(0);
    let mut output = io::BufWriter::new(io::stdout().lock());
    let filler = "x".repeat(100);
    for number in 0..lines {
        if writeln!(output, "line {number} {filler}").is_err() {
            return Exit::Infra.into();
        }
    }
    match output.flush() {
        Ok(()) => Exit::Pass.into(),
        Err(_) => Exit::Infra.into(),
    }
}

fn try_connect(address: SocketAddr) -> ConnectOutcome {
    match TcpStream::connect_timeout(&address, CONNECT) {
        Ok(_) => ConnectOutcome::Connected,
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectOutcome::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ConnectOutcome::Silent,
            _ => ConnectOutcome::Unreachable,
        },
    }
}

/// Writes blocks of 4 KiB one behind the other, each synced, and removes them.
fn sync_writes(path: &Path, count: &str) -> Result<SyncedWrites, io::Error> {
    let count: usize = count.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut file = fs::File::create(path)?;
    let mut took = Vec::with_capacity(count);
    for number in 0..count {
        let block = [number as u8; 4096];
        let begun = std::time::Instant::now();
        file.write_all(&block)?;
        file.sync_all()?;
        took.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    fs::remove_file(path)?;
    took.sort_unstable();
    let nothing = || io::Error::from(io::ErrorKind::InvalidInput);
    Ok(SyncedWrites {
        median: *took.get(count / 2).ok_or_else(nothing)?,
        mean: took.iter().sum::<u64>() / count as u64,
        worst: *took.last().ok_or_else(nothing)?,
    })
}

/// Writes until the disk takes no more, byte by byte at the end; the file stays.
fn fill(path: &Path) -> FillOutcome {
    let mut bytes = 0;
    let mut error = None;
    let result = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| {
            for size in [1 << 20, 4096, 1] {
                let block = vec![0xa5_u8; size];
                loop {
                    match file.write(&block) {
                        Ok(0) => break,
                        Ok(count) => bytes += count as u64,
                        Err(failed) => {
                            error = failed.raw_os_error();
                            break;
                        }
                    }
                }
            }
            file.sync_all()
        });
    if let Err(failed) = result {
        error = failed.raw_os_error();
    }
    FillOutcome { bytes, error }
}

/// The limits of these containers, found in a cgroup tree of either version by the folder that carries their id.
fn limits(root: &Path, containers: &[&str]) -> Result<BTreeMap<String, CgroupLimits>, io::Error> {
    let unified = root.join("cgroup.controllers").exists();
    // Version 1 has a tree per controller, all with the same folders.
    let searched = if unified {
        root.to_owned()
    } else {
        root.join("memory")
    };
    let found = find_cgroups(&searched, containers)?;
    Ok(found
        .into_iter()
        .map(|(container, folder)| {
            let limits = if unified {
                read_version_2(&searched.join(&folder))
            } else {
                read_version_1(root, &folder)
            };
            (container, limits)
        })
        .collect())
}

/// Folders of containers below `root`, relative to it, by their ids or beginnings of them.
pub(crate) fn find_cgroups(
    root: &Path,
    containers: &[&str],
) -> Result<BTreeMap<String, PathBuf>, io::Error> {
    let mut found = BTreeMap::new();
    let mut seen = 0;
    let mut level = vec![PathBuf::new()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for folder in level {
            // A cgroup may vanish between listing and reading.
            let Ok(entries) = fs::read_dir(root.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                if seen == MOST_FOLDERS || found.len() == containers.len() {
                    return Ok(found);
                }
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                seen += 1;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let path = folder.join(&*name);
                // `<id>`, or `docker-<id>.scope` under systemd.
                let id = name.trim_end_matches(".scope");
                let id = id.rsplit('-').next().unwrap_or(id);
                match containers
                    .iter()
                    .find(|container| id.starts_with(**container))
                {
                    Some(container) => {
                        found.insert((*container).to_owned(), path);
                    }
                    None => next.push(path),
                }
            }
        }
        level = next;
    }
    Ok(found)
}

fn number(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Version 1 says "no limit" with a number near the largest that there is.
fn bounded(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value < 1 << 60)
}

fn read_version_1(root: &Path, folder: &Path) -> CgroupLimits {
    let file = |controller: &str, name: &str| root.join(controller).join(folder).join(name);
    let throttle = |name: &str| {
        let text = fs::read_to_string(file("blkio", name)).ok()?;
        text.lines().next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let quota = number(&file("cpu", "cpu.cfs_quota_us")).and_then(bounded);
    let period = number(&file("cpu", "cpu.cfs_period_us")).and_then(bounded);
    CgroupLimits {
        memory: number(&file("memory", "memory.limit_in_bytes")).and_then(bounded),
        pids: number(&file("pids", "pids.max")).and_then(bounded),
        cpu_thousandths: thousandths(quota, period),
        write_iops: throttle("blkio.throttle.write_iops_device"),
        write_bytes_per_second: throttle("blkio.throttle.write_bps_device"),
    }
}

fn read_version_2(folder: &Path) -> CgroupLimits {
    let cpu = fs::read_to_string(folder.join("cpu.max")).unwrap_or_default();
    let mut cpu = cpu.split_whitespace().map(|word| word.parse::<u64>().ok());
    let (quota, period) = (cpu.next().flatten(), cpu.next().flatten());
    let io = fs::read_to_string(folder.join("io.max")).unwrap_or_default();
    let throttle = |key: &str| {
        io.split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.parse().ok())
    };
    CgroupLimits {
        memory: number(&folder.join("memory.max")).and_then(bounded),
        pids: number(&folder.join("pids.max")).and_then(bounded),
        cpu_thousandths: thousandths(quota, period),
        write_iops: throttle("wiops="),
        write_bytes_per_second: throttle("wbps="),
    }
}

fn thousandths(quota: Option<u64>, period: Option<u64>) -> Option<u64> {
    let (quota, period) = (quota?, period?);
    (quota > 0 && period > 0).then(|| quota.saturating_mul(1000) / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn limits_are_read_from_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(&at("memory/docker/abc/memory.limit_in_bytes"), "1048576\n");
        write(
            &at("memory/docker/free/memory.limit_in_bytes"),
            "9223372036854771712\n",
        );
        write(&at("cpu/docker/abc/cpu.cfs_quota_us"), "25000\n");
        write(&at("cpu/docker/abc/cpu.cfs_period_us"), "100000\n");
        write(&at("cpu/docker/free/cpu.cfs_quota_us"), "-1\n");
        write(&at("pids/docker/abc/pids.max"), "64\n");
        write(&at("pids/docker/free/pids.max"), "max\n");
        write(
            &at("blkio/docker/abc/blkio.throttle.write_iops_device"),
            "7:3 10\n",
        );
        let answer = limits(root.path(), &["abc", "free", "gone"]).unwrap();
        assert_eq!(
            answer["abc"],
            CgroupLimits {
                memory: Some(1_048_576),
                pids: Some(64),
                cpu_thousandths: Some(250),
                write_iops: Some(10),
                write_bytes_per_second: None,
            }
        );
        assert_eq!(answer["free"], CgroupLimits::default());
        assert!(!answer.contains_key("gone"));

        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(&at("cgroup.controllers"), "memory\n");
        write(&at("system.slice/docker-abc.scope/memory.max"), "4096\n");
        write(
            &at("system.slice/docker-abc.scope/cpu.max"),
            "50000 100000\n",
        );
        write(&at("system.slice/docker-abc.scope/pids.max"), "max\n");
        write(
            &at("system.slice/docker-abc.scope/io.max"),
            "7:3 rbps=max wbps=1000 riops=max wiops=10\n",
        );
        let answer = limits(root.path(), &["abc"]).unwrap();
        assert_eq!(
            answer["abc"],
            CgroupLimits {
                memory: Some(4096),
                pids: None,
                cpu_thousandths: Some(500),
                write_iops: Some(10),
                write_bytes_per_second: Some(1000),
            }
        );
    }

    #[test]
    fn a_disk_is_emptied_of_all_but_what_is_not_the_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        write(&at("chain/db/a"), "1");
        write(&at("genesis"), "2");
        write(&at(".hidden"), "3");
        write(&at(".canarynet-age/0"), "4");
        fs::create_dir(at("lost+found")).unwrap();
        assert_eq!(empty(folder.path()).unwrap(), 3);
        let left = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".canarynet-age", "lost+found"]);
        assert_eq!(empty(folder.path()).unwrap(), 0);
    }

    #[test]
    fn a_listener_is_found_and_a_closed_port_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(try_connect(address), ConnectOutcome::Connected);
        drop(listener);
        assert_eq!(try_connect(address), ConnectOutcome::Refused);
    }
}
