//! What the machine can do to disks: each fault tried on a small disk of the helper's own, inside its container.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    calls, crash_image, faults,
    file_system::{FileSystem, MKFS_XFS},
    helper::DiskRef,
    image::{self, Image},
    loop_device,
    mounted::Mounted,
    throttle::{self, Throttles},
};
use crate::fault::operation::disk::Keep;

/// Bytes of the disk that is tried on: ext4 has a journal from 9 MiB on.
const EXT4: u64 = 16 << 20;
/// mkfs.xfs makes no smaller one; the image is thin, so that it takes little.
const XFS: u64 = 300 << 20;
/// A write that has not come back after this waits.
const WAITS: Duration = Duration::from_millis(300);
/// A write that waited comes back within this.
const COMES_BACK: Duration = Duration::from_secs(5);
/// A frozen disk is thawed after this, whatever became of the trial.
const THAW: Duration = Duration::from_secs(10);
/// Write operations a second of the throttle that is tried, where nothing else slows the disk.
const IOPS: u64 = 10;

/// One ability, proved by doing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Whether it worked.
    pub able: bool,
    /// What was done and seen.
    pub proof: String,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskAbilities {
    /// Throttles of a running container: `disk-slow`.
    pub throttle: Tried,
    /// Freeze and thaw: `disk-hang`.
    pub freeze: Tried,
    /// A file system that gives up: `disk-read-only`.
    pub read_only: Tried,
    /// A device without blocks: `device-dry`.
    pub run_dry: Tried,
    /// The shutdown call and a fresh loop device: `power-cut`.
    pub power_cut: Tried,
    /// A copy of an image that is mounted.
    pub crash_image: Tried,
    /// Disks of kind `xfs`.
    pub xfs: Tried,
}

/// Tries each.
///
/// # Errors
/// None today; an answer is given for whatever the kernel says.
pub(super) fn probe(mark: &str) -> Result<DiskAbilities, io::Error> {
    fs::create_dir_all(Path::new(super::helper::DISKS).join(super::ext4::LINKS))?;
    let tried = |name: &str, thin: bool, what: fn(&Trial) -> Result<String, io::Error>| {
        outcome(Trial::run(name, mark, FileSystem::Ext4, EXT4, thin, what))
    };
    Ok(DiskAbilities {
        throttle: tried("throttle", false, throttle),
        freeze: tried("freeze", false, freeze),
        read_only: tried("read-only", false, read_only),
        run_dry: tried("dry", true, run_dry),
        power_cut: tried("power", false, power_cut),
        crash_image: tried("crash", false, crash_image),
        xfs: outcome(xfs(mark)),
    })
}

fn outcome(result: Result<String, io::Error>) -> Tried {
    match result {
        Ok(proof) => Tried { able: true, proof },
        Err(error) => Tried {
            able: false,
            proof: error.to_string(),
        },
    }
}

fn no(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// A disk that is tried on.
struct Trial {
    disk: DiskRef,
    image: Image,
    number: u32,
}

impl Trial {
    /// Makes one, tries, and detaches it again.
    fn run(
        name: &str,
        mark: &str,
        file_system: FileSystem,
        size: u64,
        thin: bool,
        what: fn(&Self) -> Result<String, io::Error>,
    ) -> Result<String, io::Error> {
        let disk = DiskRef {
            node: format!("probe-{name}")
                .parse()
                .map_err(|_| no("the name of a disk"))?,
            mark: mark.to_owned(),
        };
        let image = Image::make(&disk, size, thin)?;
        file_system.make(&image.path, None, (0, 0))?;
        let number = loop_device::attach(&image.file, mark)?;
        image::link(disk.node.as_str(), number)?;
        let trial = Self {
            disk: disk.clone(),
            image,
            number,
        };
        let result = what(&trial);
        let removed = trial.image.remove(&disk);
        let proof = result?;
        removed?;
        Ok(proof)
    }

    fn mount(&self) -> Result<Mounted, io::Error> {
        Mounted::device(self.number)
    }
}

/// Writes and syncs; answers how long it took.
fn synced(path: &Path, bytes: usize) -> Result<Duration, io::Error> {
    let begun = Instant::now();
    let mut file = File::create(path)?;
    file.write_all(&vec![0x5a; bytes])?;
    file.sync_all()?;
    Ok(begun.elapsed())
}

/// What a write came to, which must fail in this way.
fn must_fail(path: &Path, bytes: usize, wanted: &[rustix::io::Errno]) -> Result<String, io::Error> {
    match synced(path, bytes) {
        Ok(_) => Err(no("a write and its fsync succeeded")),
        Err(error) => {
            let is = |errno: &rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
            if wanted.iter().any(is) {
                Ok(format!("a write failed: {error}"))
            } else {
                Err(error)
            }
        }
    }
}

fn throttle(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    // A container's host name is the beginning of its id.
    let name = rustix::system::uname();
    let container = name.nodename().to_str().map_err(io::Error::other)?;
    let folder = throttle::folder_of(container)?;
    let device = format!("7:{}", trial.number);
    let appended = || -> Result<Duration, io::Error> {
        let begun = Instant::now();
        for number in 0..5 {
            synced(&mounted.folder().join(format!("file{number}")), 4096)?;
        }
        Ok(begun.elapsed())
    };
    let before = appended()?;
    // Each fsync is at least one write: on a busy disk a lower rate still shows.
    let rate = (5.0 / (4.0 * before.as_secs_f64())).clamp(1.0, IOPS as f64) as u64;
    let wanted = Throttles {
        write_iops: Some(rate),
        write_bytes_per_second: None,
    };
    let set = throttle::set(&folder, &device, wanted)?;
    let after = appended();
    let free = throttle::set(&folder, &device, Throttles::default())?;
    let after = after?;
    mounted.unmount()?;
    let proof = format!(
        "five fsyncs took {} ms, and {} ms at {rate} writes a second; the kernel's file said {:?} and then {:?}",
        before.as_millis(),
        after.as_millis(),
        set.write_iops,
        free.write_iops
    );
    let slower = after >= Duration::from_millis(250) && after > before * 2;
    if slower && set == wanted && free == Throttles::default() {
        Ok(proof)
    } else {
        Err(no(proof))
    }
}

fn freeze(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    let folder = mounted.open()?;
    let guard = mounted.open()?;
    // Armed first: nothing stays frozen whatever goes wrong below.
    thread::spawn(move || {
        thread::sleep(THAW);
        let _ = calls::thaw(&guard);
    });
    if !calls::freeze(&folder)? {
        return Err(no("a new file system was frozen already"));
    }
    let (sender, receiver) = mpsc::channel();
    let path = mounted.folder().join("waits");
    let writer = thread::spawn(move || {
        // Nobody may be left to hear it.
        let _ = sender.send(synced(&path, 4096));
    });
    let waited = receiver.recv_timeout(WAITS).is_err();
    calls::thaw(&folder)?;
    let came_back = receiver.recv_timeout(COMES_BACK);
    // It has ended when it has answered, and must have before the file system can be unmounted.
    let answered = matches!(came_back, Ok(Ok(_))) && writer.join().is_ok();
    if waited && answered {
        Ok("a write waited while the file system was frozen and went on after the thaw".to_owned())
    } else {
        Err(no(format!(
            "a write waited: {waited}; it went on: {answered}"
        )))
    }
}

fn read_only(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    synced(&mounted.folder().join("before"), 4096)?;
    faults::abort_mounted(&mounted)?;
    let failed = must_fail(
        &mounted.folder().join("after"),
        4096,
        &[rustix::io::Errno::ROFS],
    )?;
    fs::read(mounted.folder().join("before"))?;
    mounted.unmount()?;
    let checked = FileSystem::Ext4.check(&trial.image.path)?;
    Ok(format!("{failed}; {checked}"))
}

fn run_dry(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    let left = trial.image.run_dry(0)?;
    let wanted = [
        rustix::io::Errno::NOSPC,
        rustix::io::Errno::IO,
        rustix::io::Errno::ROFS,
    ];
    let facts = rustix::fs::statvfs(mounted.folder())?;
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    if free <= 4 << 20 {
        return Err(no(format!("only {free} bytes are free on a new disk")));
    }
    let failed = must_fail(&mounted.folder().join("new"), 4 << 20, &wanted)?;
    mounted.unmount()?;
    trial.image.refill()?;
    loop_device::detach(trial.number)?;
    let checked = FileSystem::Ext4.check(&trial.image.path)?;
    Ok(format!(
        "{left} bytes left below, {free} counted free: {failed}; {checked}"
    ))
}

fn power_cut(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    let folder = mounted.open()?;
    synced(&mounted.folder().join("synced"), 8192)?;
    folder.sync_all()?;
    fs::write(mounted.folder().join("unsynced"), [1; 8192])?;
    calls::shut_down(&folder, Keep::Nothing)?;
    must_fail(
        &mounted.folder().join("after"),
        4096,
        &[rustix::io::Errno::IO],
    )?;
    drop(folder);
    mounted.unmount()?;
    loop_device::detach(trial.number)?;
    let number = loop_device::attach(&trial.image.file, &trial.disk.mark)?;
    let again = Mounted::device(number)?;
    let length =
        |name: &str| fs::metadata(again.folder().join(name)).map_or(0, |facts| facts.len());
    let (kept, lost) = (length("synced"), length("unsynced"));
    again.unmount()?;
    let proof = format!(
        "of two files of 8192 bytes the synced one came back with {kept}, the other with {lost}"
    );
    if (kept, lost) == (8192, 0) {
        Ok(proof)
    } else {
        Err(no(proof))
    }
}

fn crash_image(trial: &Trial) -> Result<String, io::Error> {
    let mounted = trial.mount()?;
    synced(&mounted.folder().join("synced"), 8192)?;
    mounted.open()?.sync_all()?;
    let name = "probe";
    crash_image::take(&trial.disk, name)?;
    let checked = crash_image::look_at(name, &trial.disk.mark, false)?;
    mounted.unmount()?;
    match checked.unmountable {
        None => Ok("a copy that was taken while the file system was mounted mounts".to_owned()),
        Some(why) => Err(no(why)),
    }
}

fn xfs(mark: &str) -> Result<String, io::Error> {
    if !Path::new(MKFS_XFS).exists() {
        return Err(no(
            "the machine that canarynet was started on has no mkfs.xfs: install xfsprogs",
        ));
    }
    let shut_down = |trial: &Trial| -> Result<String, io::Error> {
        let mounted = trial.mount()?;
        let folder = mounted.open()?;
        synced(&mounted.folder().join("synced"), 8192)?;
        calls::shut_down(&folder, Keep::Nothing)?;
        let wanted = [rustix::io::Errno::IO];
        let failed = must_fail(&mounted.folder().join("after"), 4096, &wanted)?;
        drop(folder);
        mounted.unmount()?;
        Ok(format!("made, mounted and shut down: {failed}"))
    };
    Trial::run("xfs", mark, FileSystem::Xfs, XFS, true, shut_down)
}
