//! Throttles of a block device for one container, written to its cgroup file and read back, inside the helper's container.
//!
//! The engine's update call answers that all is well and changes nothing (engines before mid-2026), so that the file is
//! the only way, and reading it the only proof.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    helper::{CGROUPS, DiskRef},
    image, named,
};
use crate::engine::toolbox::find_cgroups;

/// Throttles in force; `None` is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttles {
    /// Write operations per second.
    pub write_iops: Option<u64>,
    /// Bytes written per second.
    pub write_bytes_per_second: Option<u64>,
}

/// Sets both throttles of a container on its disk. Answers what the kernel has then.
pub(super) fn throttle(
    disk: &DiskRef,
    container: &str,
    wanted: Throttles,
) -> Result<Throttles, io::Error> {
    let device = format!("7:{}", image::device_of(disk)?);
    set(&folder_of(container)?, &device, wanted)
}

/// The cgroup of a container, with a whole id or the beginning of one.
pub(super) fn folder_of(container: &str) -> Result<PathBuf, io::Error> {
    let root = Path::new(CGROUPS);
    // Version 1 has a tree for each controller.
    let tree = if root.join("cgroup.controllers").exists() {
        root.to_owned()
    } else {
        root.join("blkio")
    };
    let found = find_cgroups(&tree, &[container])?;
    let folder = found
        .get(container)
        .ok_or_else(|| io::Error::other("the container has no cgroup: it does not run"))?;
    Ok(tree.join(folder))
}

/// Files of version 1, which has one for each throttle.
const IOPS_FILE: &str = "blkio.throttle.write_iops_device";
const BYTES_FILE: &str = "blkio.throttle.write_bps_device";

pub(super) fn set(folder: &Path, device: &str, wanted: Throttles) -> Result<Throttles, io::Error> {
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).map_err(|error| named(&format!("write {name}"), error))
    };
    let unified = folder.join("io.max").exists();
    if unified {
        let word = |rate: Option<u64>| rate.map_or("max".to_owned(), |rate| rate.to_string());
        // One at a time: some kernels misbehave when both come at once.
        write(
            "io.max",
            format!("{device} wiops={}", word(wanted.write_iops)),
        )?;
        let bytes = word(wanted.write_bytes_per_second);
        write("io.max", format!("{device} wbps={bytes}"))?;
    } else {
        // 0 takes a throttle away.
        let number = |rate: Option<u64>| rate.unwrap_or(0);
        write(IOPS_FILE, format!("{device} {}", number(wanted.write_iops)))?;
        let bytes = number(wanted.write_bytes_per_second);
        write(BYTES_FILE, format!("{device} {bytes}"))?;
    }
    read(folder, device)
}

fn read(folder: &Path, device: &str) -> Result<Throttles, io::Error> {
    let line = |name: &str| -> Result<Option<String>, io::Error> {
        let text = fs::read_to_string(folder.join(name))?;
        let mut lines = text.lines();
        Ok(lines
            .find_map(|line| line.strip_prefix(device)?.strip_prefix(' '))
            .map(str::to_owned))
    };
    let number = |text: &str| text.trim().parse().ok();
    if folder.join("io.max").exists() {
        let line = line("io.max")?.unwrap_or_default();
        let value = |key: &str| {
            line.split(' ')
                .find_map(|word| number(word.strip_prefix(key)?))
        };
        return Ok(Throttles {
            write_iops: value("wiops="),
            write_bytes_per_second: value("wbps="),
        });
    }
    let value = |name: &str| -> Result<Option<u64>, io::Error> {
        Ok(line(name)?
            .and_then(|text| number(&text))
            .filter(|rate| *rate > 0))
    };
    Ok(Throttles {
        write_iops: value(IOPS_FILE)?,
        write_bytes_per_second: value(BYTES_FILE)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_back_for_the_device_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(IOPS_FILE), "7:30 5\n7:3 10\n").unwrap();
        fs::write(at(BYTES_FILE), "7:3 0\n").unwrap();
        let found = read(folder.path(), "7:3").unwrap();
        assert_eq!(
            found,
            Throttles {
                write_iops: Some(10),
                write_bytes_per_second: None
            }
        );
        assert_eq!(read(folder.path(), "7:4").unwrap(), Throttles::default());

        fs::write(
            at("io.max"),
            "7:30 wiops=5\n7:3 rbps=max wbps=4096 riops=max wiops=10\n",
        )
        .unwrap();
        let found = read(folder.path(), "7:3").unwrap();
        assert_eq!(
            found,
            Throttles {
                write_iops: Some(10),
                write_bytes_per_second: Some(4096)
            }
        );
        assert_eq!(read(folder.path(), "7:4").unwrap(), Throttles::default());
    }

    #[test]
    fn what_is_written_is_one_throttle_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Throttles {
            write_iops: Some(10),
            write_bytes_per_second: None,
        };
        let found = set(folder.path(), "7:3", wanted).unwrap();
        assert_eq!(found, wanted);
        assert_eq!(
            fs::read_to_string(folder.path().join(BYTES_FILE)).unwrap(),
            "7:3 0"
        );
    }
}
