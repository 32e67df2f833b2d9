//! A disk that is full, of bytes or of inodes, and has room again when something is removed.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use canarynet::fault::operation::faulty::Torn;
use rustix::mount::{UnmountFlags, unmount};

use super::mounted::{Disk, can_mount};

/// An ext4 of its own below a disk.
struct Small(PathBuf);

impl Small {
    /// `None`, said loudly, where none can be made.
    fn make(folder: &Path) -> Option<Self> {
        let image = folder.join("image");
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let behind = folder.join("behind");
        fs::create_dir(&behind).unwrap();
        let ran = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let (image, path) = (image.to_str().unwrap(), behind.to_str().unwrap());
        let made = ran("/sbin/mkfs.ext4", &["-q", "-m", "0", "-N", "512", image])
            && ran("mount", &["-o", "loop", image, path]);
        if !made {
            println!("SKIPPED: no ext4 on a loop device can be made here");
            return None;
        }
        Some(Self(behind))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Fills a file until there is no room; answers its size.
fn fill(path: &Path) -> u64 {
    let mut file = File::create(path).unwrap();
    let mut size = 0;
    loop {
        match file.write(&[7; 65_536]) {
            Ok(written) => size += written as u64,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(28), "{error}");
                return size;
            }
        }
    }
}

/// Makes empty files until there is no room; answers how many.
fn fill_inodes(folder: &Path) -> usize {
    fs::create_dir(folder).unwrap();
    for number in 0.. {
        if let Err(error) = File::create(folder.join(number.to_string())) {
            assert_eq!(error.raw_os_error(), Some(28), "{error}");
            return number;
        }
    }
    unreachable!()
}

#[test]
fn what_is_removed_makes_room_again_and_again() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::make(folder.path()) else {
        return;
    };
    let disk = Disk::mount(folder.path());
    fs::write(disk.target.join("data"), [1; 5000]).unwrap();
    let ballast = disk.target.join("ballast");
    let files = disk.target.join("files");
    let first = (fill(&ballast), {
        fs::remove_file(&ballast).unwrap();
        let files_made = fill_inodes(&files);
        fs::remove_dir_all(&files).unwrap();
        files_made
    });
    assert!(first.0 > 8 << 20 && first.1 > 400, "{first:?}");
    for round in 0..3 {
        let bytes = fill(&ballast);
        assert!(bytes > first.0 / 10 * 9, "{round}: {bytes} of {}", first.0);
        fs::remove_file(&ballast).unwrap();
        let inodes = fill_inodes(&files);
        assert!(inodes + 8 > first.1, "{round}: {inodes} of {}", first.1);
        // A power cut finds its way though nothing is free.
        if round == 1 {
            let outcome = disk.cut_power(Torn::Nothing);
            assert!(outcome.effective, "{outcome:?}");
        }
        if files.exists() {
            fs::remove_dir_all(&files).unwrap();
        }
    }
    drop(disk);
    drop(small);
}
