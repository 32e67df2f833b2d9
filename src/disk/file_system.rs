//! The file systems of block disks, inside the helper's container: making one, telling which one is there, checking one.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Command, Output},
};

use serde::{Deserialize, Serialize};

/// What makes file systems, as packed into the helper's image.
const MKE2FS: &str = "/sbin/mke2fs";
const E2FSCK: &str = "/sbin/e2fsck";
pub(super) const MKFS_XFS: &str = "/sbin/mkfs.xfs";

/// A file system of a block disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// ext4 with a journal.
    Ext4,
    /// xfs.
    Xfs,
}

impl FileSystem {
    /// As the kernel calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Options of every mount. xfs refuses to mount the same identity twice, which a copy of an image has, and a fresh
    /// loop device on the image of a file system that died.
    #[must_use]
    pub fn options(self) -> Option<&'static str> {
        match self {
            Self::Ext4 => None,
            Self::Xfs => Some("nouuid"),
        }
    }

    /// Which one is on this image or device.
    pub(super) fn on(path: &Path) -> Result<Self, io::Error> {
        let file = File::open(path)?;
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, 0)?;
        if &magic == b"XFSB" {
            return Ok(Self::Xfs);
        }
        // In the superblock, which is 1024 bytes from the start.
        file.read_exact_at(&mut magic[..2], 1024 + 56)?;
        if magic[..2] == [0x53, 0xEF] {
            return Ok(Self::Ext4);
        }
        Err(io::Error::other(format!(
            "{} holds neither ext4 nor xfs",
            path.display()
        )))
    }

    /// Makes one whose root folder belongs to this user.
    pub(super) fn make(
        self,
        image: &Path,
        inodes: Option<u64>,
        owner: (u32, u32),
    ) -> Result<(), io::Error> {
        match self {
            Self::Ext4 => make_ext4(image, inodes, owner),
            Self::Xfs => make_xfs(image, owner),
        }
    }

    /// Makes an unmounted one whole again, as a machine does when it starts. Answers what was done.
    pub(super) fn check(self, image: &Path) -> Result<String, io::Error> {
        match self {
            Self::Ext4 => check_ext4(image),
            Self::Xfs => Ok("xfs replays its log when it is mounted".to_owned()),
        }
    }
}

fn make_ext4(image: &Path, inodes: Option<u64>, owner: (u32, u32)) -> Result<(), io::Error> {
    let mut command = Command::new(MKE2FS);
    command
        .args(["-t", "ext4", "-F", "-q", "-m", "0", "-b", "4096", "-E"])
        // nodiscard keeps the preallocation; nothing lazy, so that no kernel thread writes beside the node.
        .arg(format!(
            "root_owner={}:{},nodiscard,lazy_itable_init=0,lazy_journal_init=0",
            owner.0, owner.1
        ));
    if let Some(inodes) = inodes {
        command.arg("-N").arg(inodes.to_string());
    }
    succeeded("mke2fs", &command.arg(image).output()?)
}

/// Makes the file system that only holds the image of a thin disk: no journal, few files.
pub(super) fn make_backing(image: &Path) -> Result<(), io::Error> {
    let mut command = Command::new(MKE2FS);
    command
        .args(["-t", "ext4", "-F", "-q", "-m", "0", "-b", "4096"])
        .args(["-O", "^has_journal", "-N", "64"])
        .args(["-E", "nodiscard,lazy_itable_init=0"]);
    succeeded("mke2fs", &command.arg(image).output()?)
}

fn make_xfs(image: &Path, owner: (u32, u32)) -> Result<(), io::Error> {
    // A prototype is its only way to give the root folder to a user: two lines that are skipped, and the folder.
    let prototype = Path::new(super::helper::WORK).join("xfs.prototype");
    std::fs::write(
        &prototype,
        format!("none\n0 0\nd--755 {} {}\n$\n", owner.0, owner.1),
    )?;
    let output = Command::new(MKFS_XFS)
        .args(["-q", "-f", "-K", "-p"])
        .arg(&prototype)
        .arg(image)
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("mkfs.xfs: {error}")))?;
    succeeded("mkfs.xfs", &output)
}

/// Repairs what it can without asking; what it may not decide itself it decides in the second pass.
fn check_ext4(image: &Path) -> Result<String, io::Error> {
    let preened = Command::new(E2FSCK).arg("-p").arg(image).output()?;
    // 1: errors were corrected. 2: and something wants a reboot, which a file that nobody mounts does not.
    match preened.status.code() {
        Some(0) => return Ok("e2fsck had nothing to repair".to_owned()),
        Some(1..=3) => return Ok("e2fsck repaired it".to_owned()),
        _ => {}
    }
    let forced = Command::new(E2FSCK).arg("-y").arg(image).output()?;
    match forced.status.code() {
        Some(0..=3) => Ok("e2fsck repaired it in a second pass".to_owned()),
        _ => Err(failed("e2fsck", &forced)),
    }
}

fn succeeded(program: &str, output: &Output) -> Result<(), io::Error> {
    if output.status.success() {
        return Ok(());
    }
    Err(failed(program, output))
}

fn failed(program: &str, output: &Output) -> io::Error {
    let said = String::from_utf8_lossy(&output.stderr);
    io::Error::other(format!(
        "{program} ended with {}: {}",
        output.status,
        said.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_one_is_on_an_image_is_told_by_its_magic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut bytes = vec![0_u8; 4096];
        std::fs::write(&path, &bytes).unwrap();
        assert!(FileSystem::on(&path).is_err());
        bytes[1080..1082].copy_from_slice(&[0x53, 0xEF]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(FileSystem::on(&path).unwrap(), FileSystem::Ext4);
        bytes[..4].copy_from_slice(b"XFSB");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(FileSystem::on(&path).unwrap(), FileSystem::Xfs);
        std::fs::write(&path, b"short").unwrap();
        assert!(FileSystem::on(&path).is_err());
    }
}
