//! Crash images: copies of a disk's image while it is mounted and written to, which hold what a power cut would leave.
//!
//! A copy is exact where nothing was written to the device while it was taken: then it is a state that the device really
//! had. Otherwise it tells how many writes came in between. Looking at a copy changes it (the file system replays its
//! log), so that it is gone afterwards.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rustix::fs::{OFlags, SeekFrom, ioctl_ficlone, statvfs};
use serde::{Deserialize, Serialize};

use super::{
    ext4::disk_ref,
    helper::{DISKS, DiskRef, HelperOp, run_helper},
    image::{self, Image},
    loop_device,
    mounted::Mounted,
    named,
};
use crate::{
    engine::{docker::Docker, error::EngineError, labels::RunLabels},
    ids::NodeName,
    reference_node::store,
};

/// Folder of the copies in the disks volume.
const FOLDER: &str = "crash";
/// Copies at one time: of the largest disks that are usual they take some gigabytes.
const MOST: usize = 16;
/// Bytes that stay free where the engine keeps its data.
const RESERVE: u64 = 512 << 20;
/// Copies that are tried until nothing is written meanwhile.
const TRIES: u32 = 5;

/// A copy that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Bytes of the image.
    pub bytes: u64,
    /// Microseconds that the copy took.
    pub micros: u64,
    /// Writes to the device while it was taken; 0 is an exact copy.
    pub writes_meanwhile: u64,
}

/// What a copy turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Why it cannot be mounted; `None` if it can.
    pub unmountable: Option<String>,
    /// What the reference node's store on it holds, or why it cannot be opened; `None` where nobody asked.
    pub store: Option<Result<store::Head, String>>,
}

/// Takes a copy of a running node's disk under a name of its own. One of the same name is replaced.
///
/// # Errors
/// What the engine or the helper said; no room for it.
pub async fn copy(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
    node: &NodeName,
    name: &str,
) -> Result<Copied, EngineError> {
    let operation = HelperOp::CopyImage {
        disk: disk_ref(labels.run(), node),
        name: name.to_owned(),
    };
    run_helper(docker, image, labels, &operation).await
}

/// Mounts a copy, opens the reference node's store on it if it is asked for, and removes it.
///
/// # Errors
/// What the engine or the helper said; there is no such copy. What is wrong with the copy is no error.
pub async fn check(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
    name: &str,
    store: bool,
) -> Result<Checked, EngineError> {
    let operation = HelperOp::CheckImage {
        name: name.to_owned(),
        mark: super::ext4::mark(labels.run()),
        store,
    };
    run_helper(docker, image, labels, &operation).await
}

/// Where a copy of this name is.
fn path(name: &str) -> Result<PathBuf, io::Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 60 || !name.chars().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name of a copy is lower-case letters, digits and dashes",
        ));
    }
    Ok(Path::new(DISKS).join(FOLDER).join(format!("{name}.img")))
}

/// [`copy`], inside the helper's container.
pub(super) fn take(disk: &DiskRef, name: &str) -> Result<Copied, io::Error> {
    let image = Image::open(disk)?;
    let number = image::device_of(disk)?;
    take_from(&image.file, number, &path(name)?)
}

pub(super) fn take_from(image: &File, number: u32, target: &Path) -> Result<Copied, io::Error> {
    let folder = Path::new(DISKS).join(FOLDER);
    fs::create_dir_all(&folder)?;
    if !target.exists() && fs::read_dir(&folder)?.count() >= MOST {
        return Err(io::Error::other(format!(
            "there are {MOST} crash images already; each is removed when it is checked"
        )));
    }
    let bytes = image.metadata()?.len();
    let facts = statvfs(DISKS)?;
    let room = facts.f_bavail.saturating_mul(facts.f_frsize);
    if room < bytes.saturating_add(RESERVE) {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "a crash image of {} MiB does not fit: {} MiB are free",
                bytes >> 20,
                room >> 20
            ),
        ));
    }
    let mut copied = Copied {
        bytes,
        micros: 0,
        writes_meanwhile: 0,
    };
    for _ in 0..TRIES {
        let before = writes(number)?;
        let begun = Instant::now();
        let out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(target)?;
        copy_file(image, &out, bytes)?;
        copied.micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        copied.writes_meanwhile = writes(number)?.saturating_sub(before);
        if copied.writes_meanwhile == 0 {
            break;
        }
    }
    Ok(copied)
}

/// Writes that a loop device has finished or is at.
fn writes(number: u32) -> Result<u64, io::Error> {
    let text = fs::read_to_string(format!("/sys/block/loop{number}/stat"))?;
    let field = |place: usize| -> Option<u64> { text.split_whitespace().nth(place)?.parse().ok() };
    // The fifth counts finished writes, the ninth what is in flight.
    match (field(4), field(8)) {
        (Some(finished), Some(in_flight)) => Ok(finished + in_flight),
        _ => Err(io::Error::other("the device's counters cannot be read")),
    }
}

/// Shares the blocks where the file system can, which is one moment; else copies what holds data.
fn copy_file(from: &File, to: &File, bytes: u64) -> Result<(), io::Error> {
    to.set_len(bytes)?;
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let (mut reader, mut writer) = (from, to);
    let mut at = 0;
    while at < bytes {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but holes from here on.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        reader.seek(io::SeekFrom::Start(start))?;
        writer.seek(io::SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(&mut reader, end - start), &mut writer)?;
        at = end;
    }
    Ok(())
}

/// [`check`], inside the helper's container.
pub(super) fn look_at(name: &str, mark: &str, store: bool) -> Result<Checked, io::Error> {
    let path = path(name)?;
    let image = OpenOptions::new().read(true).write(true).open(&path)?;
    let bytes = image.metadata()?.len();
    let number = loop_device::attach(&image, mark)?;
    let checked = look(number, store.then_some(bytes));
    loop_device::detach(number)?;
    fs::remove_file(path)?;
    checked
}

/// Mounts a device and reads the store on it, if the image's bytes are given: no file on it is longer.
fn look(number: u32, store: Option<u64>) -> Result<Checked, io::Error> {
    let mounted = match Mounted::device(number) {
        Ok(mounted) => mounted,
        Err(error) => {
            return Ok(Checked {
                unmountable: Some(error.to_string()),
                store: None,
            });
        }
    };
    let head = store.map(|bytes| head_of(mounted.folder(), bytes));
    mounted.unmount()?;
    Ok(Checked {
        unmountable: None,
        store: head,
    })
}

/// What a node has written is hostile: it is read by a process of its own, which gives up all privileges first. That
/// process must own the file, for opening a store that was not closed repairs it.
fn head_of(disk: &Path, bytes: u64) -> Result<store::Head, String> {
    let folder = Path::new(DISKS).join(FOLDER).join("store");
    let answer = (|| {
        fs::create_dir_all(&folder)?;
        copy_store(&store::path(disk), &store::path(&folder), bytes)
            .map_err(|error| named("read the store", error))?;
        Command::new("/proc/self/exe")
            .arg("store-head")
            .arg(&folder)
            .output()
    })();
    let removed = fs::remove_dir_all(&folder);
    let output = answer.map_err(|error: io::Error| error.to_string())?;
    removed.map_err(|error| error.to_string())?;
    if output.status.success() {
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    } else {
        let said = [output.stdout, output.stderr].concat();
        Err(crate::journal::text::clean_bytes(&said, 300))
    }
}

/// Copies a file that a node wrote, and nothing else that may be in its place: a link would lead into this container, a
/// pipe would never end, and holes may say that a file is longer than any disk.
fn copy_store(from: &Path, to: &Path, most: u64) -> Result<(), io::Error> {
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let source = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(from)?;
    let facts = source.metadata()?;
    if !facts.is_file() {
        return wrong("it is no file");
    }
    if facts.len() > most {
        return wrong("it is longer than its disk");
    }
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    copy_file(&source, &target, facts.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_copy_holds_data_and_holes_alike() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        let mut file = File::create_new(&from).unwrap();
        file.write_all(&[1; 5000]).unwrap();
        file.seek(io::SeekFrom::Start(1 << 20)).unwrap();
        file.write_all(&[2; 100]).unwrap();
        file.set_len(2 << 20).unwrap();
        let to = folder.path().join("to");
        let source = File::open(&from).unwrap();
        copy_file(&source, &File::create(&to).unwrap(), 2 << 20).unwrap();
        assert_eq!(fs::read(from).unwrap(), fs::read(to).unwrap());
    }

    #[test]
    fn of_a_nodes_disk_a_file_is_copied_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut file = File::create_new(at("store")).unwrap();
        file.write_all(&[1; 5000]).unwrap();
        file.set_len(1 << 20).unwrap();
        copy_store(&at("store"), &at("copy"), 1 << 20).unwrap();
        assert_eq!(
            fs::read(at("store")).unwrap(),
            fs::read(at("copy")).unwrap()
        );
        let refused = |name: &str| copy_store(&at(name), &at("other"), 1 << 20).unwrap_err();
        file.set_len(2 << 20).unwrap();
        assert!(refused("store").to_string().contains("longer"));
        std::os::unix::fs::symlink(at("copy"), at("link")).unwrap();
        refused("link");
        fs::create_dir(at("folder")).unwrap();
        refused("folder");
        let pipe = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), pipe, mode, 0).unwrap();
        assert!(refused("pipe").to_string().contains("no file"));
        assert!(!at("other").exists());
    }

    #[test]
    fn names_of_copies_lead_nowhere_else() {
        assert!(path("s0-n00-1").is_ok());
        for bad in ["", "../x", "a/b", "A", "a.img"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
