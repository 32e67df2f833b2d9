//! Putting a disk whose file system has ended on a fresh loop device.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::disk::{
    file_system::FileSystem,
    helper::DiskRef,
    image::{self, Image},
    loop_device,
    mounted::{Mounted, is_dead},
    named,
};

/// The engine unmounts the disk of a node that ended within this time.
const UNMOUNT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// A disk that is well again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Its loop device.
    pub device: String,
    /// What checking it came to.
    pub checked: String,
    /// Options that it is mounted with; a write was tried.
    pub options: String,
}

/// Checks the image of a node that does not run and attaches it anew; the engine mounts it when the node starts.
pub(in crate::disk) fn renew(disk: &DiskRef) -> Result<Renewed, io::Error> {
    let image = Image::open(disk)?;
    image.refill()?;
    for number in loop_device::of_file(&image.file)? {
        release(number)?;
        loop_device::detach(number)?;
    }
    let checked = FileSystem::on(&image.path)?.check(&image.path)?;
    let number = loop_device::attach(&image.file, &disk.mark)?;
    let device = image::link(disk.node.as_str(), number)?;
    let mounted = Mounted::device(number)?;
    let written = write(mounted.folder());
    let options = mounted.options()?;
    mounted.unmount()?;
    written.map_err(|error| named("write to the renewed disk", error))?;
    Ok(Renewed {
        device,
        checked,
        options,
    })
}

fn write(folder: &Path) -> Result<(), io::Error> {
    let path = folder.join(".canarynet-renewed");
    let mut file = File::create(&path)?;
    file.write_all(&[0x5a; 4096])?;
    file.sync_all()?;
    drop(file);
    fs::remove_file(path)
}

/// Waits until nobody has the device mounted. A file system that has ended may be held for ever by a mount that somebody
/// else has a copy of: mounting the same device would bring that dead one back, which is why the device must be a fresh
/// one. One that is well is not taken away.
fn release(number: u32) -> Result<(), io::Error> {
    let until = Instant::now() + UNMOUNT;
    while loop_device::in_use(number)? {
        if Instant::now() < until {
            std::thread::sleep(LOOK);
            continue;
        }
        let mounted = Mounted::device(number)?;
        let options = mounted.options()?;
        mounted.unmount()?;
        if is_dead(&options) {
            return Ok(());
        }
        return Err(io::Error::other(format!(
            "/dev/loop{number} is still mounted and well ({options})"
        )));
    }
    Ok(())
}
