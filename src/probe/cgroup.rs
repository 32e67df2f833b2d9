//! The control group that this process is in, as far as it can be seen from inside a container. Version 1 and 2.
//!
//! The files are opened once and read again from their start, which is how the kernel wants it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A limit from here on up is how version 1 says that there is none.
const NO_LIMIT: u64 = 1 << 60;

/// Open files of one control group.
#[derive(Debug)]
pub struct Cgroup {
    memory: Option<File>,
    memory_limit: Option<File>,
    cpu: Option<File>,
    cpu_unit: CpuUnit,
    pids: Option<File>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CpuUnit {
    /// `cpuacct.usage`.
    Nanoseconds,
    /// `usage_usec` in `cpu.stat`.
    StatMicroseconds,
}

/// What the group counts now; zero where it cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that count against the limit.
    pub memory: u64,
    /// The limit in bytes, zero if there is none.
    pub memory_limit: u64,
    /// CPU time in microseconds.
    pub cpu: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Cgroup {
    /// Finds the group of this process below the usual mount point.
    #[must_use]
    pub fn own() -> Self {
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &memberships)
    }

    /// Finds the group that `/proc/self/cgroup` tells of, below this mount point.
    #[must_use]
    pub fn find(mount: &Path, memberships: &str) -> Self {
        let place = |controllers: &[&str]| -> Option<PathBuf> {
            let path = membership(memberships, controllers[0])?;
            let path = path.trim_start_matches('/');
            // In a container the path is the host's, and the container's own group is the root of the mount.
            controllers
                .iter()
                .flat_map(|name| [mount.join(name).join(path), mount.join(name)])
                .find(|folder| folder.is_dir())
        };
        let open = |folder: &Option<PathBuf>, file: &str| -> Option<File> {
            File::open(folder.as_ref()?.join(file)).ok()
        };
        let first = place(&["memory"]);
        if mount.join("cgroup.controllers").exists() || first.is_none() {
            let path = membership(memberships, "").unwrap_or("/");
            let below = mount.join(path.trim_start_matches('/'));
            let folder = Some(if below.join("memory.current").exists() {
                below
            } else {
                mount.to_owned()
            });
            return Self {
                memory: open(&folder, "memory.current"),
                memory_limit: open(&folder, "memory.max"),
                cpu: open(&folder, "cpu.stat"),
                cpu_unit: CpuUnit::StatMicroseconds,
                pids: open(&folder, "pids.current"),
            };
        }
        let cpu = place(&["cpuacct", "cpu,cpuacct"]);
        Self {
            memory: open(&first, "memory.usage_in_bytes"),
            memory_limit: open(&first, "memory.limit_in_bytes"),
            cpu: open(&cpu, "cpuacct.usage"),
            cpu_unit: CpuUnit::Nanoseconds,
            pids: open(&place(&["pids"]), "pids.current"),
        }
    }

    /// Reads all figures.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut buffer = [0; 512];
        let memory_limit = read_number(self.memory_limit.as_ref(), &mut buffer);
        let cpu = match self.cpu_unit {
            CpuUnit::Nanoseconds => read_number(self.cpu.as_ref(), &mut buffer) / 1_000,
            CpuUnit::StatMicroseconds => {
                let text = read(self.cpu.as_ref(), &mut buffer);
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("usage_usec "));
                line.and_then(|number| number.trim().parse().ok())
                    .unwrap_or_default()
            }
        };
        Usage {
            memory: read_number(self.memory.as_ref(), &mut buffer),
            memory_limit: if memory_limit >= NO_LIMIT {
                0
            } else {
                memory_limit
            },
            cpu,
            pids: read_number(self.pids.as_ref(), &mut buffer),
        }
    }
}

/// The path after the controller in a line such as `4:memory:/docker/1a2b`; the empty controller is version 2.
fn membership<'a>(memberships: &'a str, controller: &str) -> Option<&'a str> {
    memberships.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })
}

/// Reads a small kernel file from its start.
pub(super) fn read<'a>(file: Option<&File>, buffer: &'a mut [u8]) -> &'a str {
    let length = file.and_then(|file| file.read_at(buffer, 0).ok());
    std::str::from_utf8(&buffer[..length.unwrap_or_default()]).unwrap_or_default()
}

/// `max` and everything else that is no number is zero.
fn read_number(file: Option<&File>, buffer: &mut [u8]) -> u64 {
    read(file, buffer).trim().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn version_1_is_found_from_inside_and_outside_a_container() {
        let memberships =
            "9:name=systemd:/\n4:memory:/docker/1a\n3:cpu,cpuacct:/docker/1a\n8:pids:/docker/1a\n";
        for below in ["", "docker/1a/"] {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            write(
                root,
                &format!("memory/{below}memory.usage_in_bytes"),
                "4096\n",
            );
            write(
                root,
                &format!("memory/{below}memory.limit_in_bytes"),
                "9223372036854771712\n",
            );
            write(
                root,
                &format!("cpu,cpuacct/{below}cpuacct.usage"),
                "7000000\n",
            );
            write(root, &format!("pids/{below}pids.current"), "3\n");
            let usage = Cgroup::find(root, memberships).usage();
            // The cpuacct membership is found by the first name, which shares its line with cpu.
            let expected = Usage {
                memory: 4096,
                memory_limit: 0,
                cpu: 7_000,
                pids: 3,
            };
            assert_eq!(usage, expected, "{below:?}");
        }
    }

    #[test]
    fn version_2_is_found_and_nothing_is_zero() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "cgroup.controllers", "cpu memory pids\n");
        write(root, "memory.current", "8192\n");
        write(root, "memory.max", "max\n");
        write(root, "cpu.stat", "usage_usec 55\nuser_usec 50\n");
        write(root, "pids.current", "2\n");
        let usage = Cgroup::find(root, "0::/\n").usage();
        assert_eq!(
            usage,
            Usage {
                memory: 8192,
                memory_limit: 0,
                cpu: 55,
                pids: 2
            }
        );
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(
            Cgroup::find(empty.path(), "garbage\n:::\n").usage(),
            Usage::default()
        );
    }
}
