//! Loop devices by the kernel's own calls, inside the helper's container.
#![expect(
    unsafe_code,
    reason = "loop devices are configured by ioctl, which no safe crate in use offers"
)]

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev, mknodat},
    ioctl::{self, Getter, NoArg, Setter},
};

/// `LOOP_CONFIGURE`, since Linux 5.8: attaches and configures in one step, so that no half-configured device can
/// be seen by others.
const CONFIGURE: ioctl::Opcode = 0x4C0A;
const CLEAR: ioctl::Opcode = 0x4C01;
const GET_STATUS: ioctl::Opcode = 0x4C05;
const GET_FREE: ioctl::Opcode = 0x4C82;
/// Major number of loop devices.
const MAJOR: u32 = 7;
/// Mode of device nodes that the helper makes for itself.
const NODE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Tries at getting a free device that others may take first.
const TRIES: usize = 64;

/// `struct loop_info64` of the kernel's interface.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Status {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of the kernel's interface.
#[repr(C)]
struct Config {
    file: u32,
    block_size: u32,
    info: Status,
    reserved: [u64; 8],
}

impl Status {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };

    /// The name that was given when the device was attached.
    pub(super) fn mark(&self) -> &str {
        let end = self
            .file_name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(64);
        std::str::from_utf8(&self.file_name[..end]).unwrap_or_default()
    }

    /// Whether this file backs the device. The kernel encodes device numbers in its own way; `st_dev` of small
    /// numbers is the same in both.
    pub(super) fn is_file(&self, device: u64, inode: u64) -> bool {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let kernel = u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12));
        self.inode == inode && self.device == kernel
    }
}

/// Attaches a file to a free loop device; answers the device's number.
pub(super) fn attach(file: &File, mark: &str) -> Result<u32, io::Error> {
    let control = open_node("loop-control", FileType::CharacterDevice, 10, 237)?;
    let mut info = Status::EMPTY;
    let length = mark.len().min(63);
    info.file_name[..length].copy_from_slice(&mark.as_bytes()[..length]);
    let mut last = io::Error::other("no free loop device");
    for _ in 0..TRIES {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument and answers a number.
        let number = unsafe { ioctl::ioctl(&control, ReturnsNumber::<GET_FREE>) }?;
        let device = open(number)?;
        let config = Config {
            file: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
            block_size: 0,
            info,
            reserved: [0; 8],
        };
        // SAFETY: LOOP_CONFIGURE reads a `struct loop_config`, which `Config` is laid out as.
        let configured = unsafe {
            let setter = Setter::<CONFIGURE, Config>::new(config);
            ioctl::ioctl(&device, setter)
        };
        match configured {
            Ok(()) => return Ok(number),
            // Somebody else was quicker.
            Err(rustix::io::Errno::BUSY) => last = rustix::io::Errno::BUSY.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// Detaches a device. One that is still mounted goes when the mount does.
pub(super) fn detach(number: u32) -> Result<(), io::Error> {
    let device = open(number)?;
    // SAFETY: LOOP_CLR_FD takes no argument.
    match unsafe { ioctl::ioctl(&device, NoArg::<CLEAR>::new()) } {
        Ok(()) | Err(rustix::io::Errno::NXIO) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is known of an attached device.
pub(super) fn status(number: u32) -> Result<Status, io::Error> {
    let device = open(number)?;
    // SAFETY: LOOP_GET_STATUS64 writes a `struct loop_info64`, which `Status` is laid out as.
    Ok(unsafe { ioctl::ioctl(&device, Getter::<GET_STATUS, Status>::new()) }?)
}

/// Whether somebody has mounted the device, in whatever namespace. What holds it exclusively lets no second one in.
pub(super) fn in_use(number: u32) -> Result<bool, io::Error> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(node(number)?, flags, Mode::empty()) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::BUSY) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Numbers of the devices that a file backs.
pub(super) fn of_file(file: &File) -> Result<Vec<u32>, io::Error> {
    let facts = file.metadata()?;
    let backed = |number: &u32| {
        // One that went away meanwhile, or that this container may not see, is not ours.
        status(*number).is_ok_and(|status| status.is_file(facts.dev(), facts.ino()))
    };
    Ok(attached()?.into_iter().filter(backed).collect())
}

/// Numbers of all attached loop devices of the machine.
pub(super) fn attached() -> Result<Vec<u32>, io::Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("loop")?.parse().ok());
        // The folder is there only while a file is attached.
        if let Some(number) = number
            && entry.path().join("loop").exists()
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// A device node of the helper's own for this loop device.
pub(super) fn node(number: u32) -> Result<PathBuf, io::Error> {
    make_node(
        &format!("loop{number}"),
        FileType::BlockDevice,
        MAJOR,
        number,
    )
}

fn open(number: u32) -> Result<File, io::Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(node(number)?)
}

fn open_node(name: &str, kind: FileType, major: u32, minor: u32) -> Result<File, io::Error> {
    let path = make_node(name, kind, major, minor)?;
    OpenOptions::new().read(true).write(true).open(path)
}

/// Makes a device node in `/dev`, whose tmpfs belongs to the container and, unlike a scratch folder, allows devices.
pub(super) fn make_node(
    name: &str,
    kind: FileType,
    major: u32,
    minor: u32,
) -> Result<PathBuf, io::Error> {
    let path = Path::new("/dev").join(name);
    match mknodat(CWD, &path, kind, NODE_MODE, makedev(major, minor)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(path),
        Err(error) => Err(error.into()),
    }
}

/// An ioctl without argument whose result is a number.
struct ReturnsNumber<const OPCODE: ioctl::Opcode>;

// SAFETY: no pointer is passed, the result is the call's own value.
unsafe impl<const OPCODE: ioctl::Opcode> ioctl::Ioctl for ReturnsNumber<OPCODE> {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> ioctl::Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        output: ioctl::IoctlOutput,
        _pointer: *mut std::ffi::c_void,
    ) -> rustix::io::Result<u32> {
        u32::try_from(output).map_err(|_| rustix::io::Errno::INVAL)
    }
}
