//! The disk's lost writes beside those of ext4 itself, whose power is cut by the file system's shutdown call: the same
//! programs, the same survivors.
#![expect(
    unsafe_code,
    reason = "ext4's shutdown is an ioctl, which no safe crate in use offers"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use canarynet::fault::operation::faulty::Torn;
use rustix::{
    ioctl::{self, Setter},
    mount::{UnmountFlags, unmount},
};

use super::mounted::{Disk, can_mount};

/// `EXT4_IOC_SHUTDOWN`, and its way of losing what is not in the journal yet.
const SHUTDOWN: ioctl::Opcode = 0x8004_587d;
const NO_LOG_FLUSH: u32 = 2;

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// ext4 on a loop device of its own.
struct Ext4 {
    image: PathBuf,
    target: PathBuf,
}

impl Ext4 {
    fn make(folder: &Path) -> Self {
        let (image, target) = (folder.join("image"), folder.join("ext4"));
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run(
            "/sbin/mke2fs",
            &["-q", "-t", "ext4", "-F", image.to_str().unwrap()],
        );
        fs::create_dir(&target).unwrap();
        let disk = Self { image, target };
        disk.mount();
        disk
    }

    fn mount(&self) {
        let (image, target) = (self.image.to_str().unwrap(), self.target.to_str().unwrap());
        run("mount", &["-o", "loop", image, target]);
    }

    fn cut_power(&self) {
        let top = File::open(&self.target).unwrap();
        // SAFETY: EXT4_IOC_SHUTDOWN reads a 32-bit number, which it is given.
        unsafe { ioctl::ioctl(&top, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }.unwrap();
        drop(top);
        unmount(&self.target, UnmountFlags::empty()).unwrap();
        self.mount();
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        unmount(&self.target, UnmountFlags::DETACH).unwrap();
    }
}

fn write(path: &Path, bytes: usize) -> File {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(&vec![b'x'; bytes]).unwrap();
    file
}

fn sync_folder(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

type Program = fn(&Path);

/// Programs whose outcome ext4 promises, or gives when nothing else has made its journal commit meanwhile.
const PROGRAMS: [(&str, Program); 6] = [
    ("the survey's", |top| {
        write(&top.join("a"), 8192).sync_all().unwrap();
        write(&top.join("b"), 8192);
        sync_folder(top);
        write(&top.join("a"), 1500);
        write(&top.join("c"), 10);
    }),
    ("a new file that was synced and its folder not", |top| {
        write(&top.join("a"), 8192).sync_all().unwrap();
        write(&top.join("b"), 8192);
    }),
    ("a rename over a file", |top| {
        write(&top.join("a"), 100).sync_all().unwrap();
        write(&top.join("a.new"), 200).sync_all().unwrap();
        sync_folder(top);
        fs::rename(top.join("a.new"), top.join("a")).unwrap();
    }),
    ("a rename over a file, and its folder", |top| {
        write(&top.join("a"), 100).sync_all().unwrap();
        write(&top.join("a.new"), 200).sync_all().unwrap();
        fs::rename(top.join("a.new"), top.join("a")).unwrap();
        sync_folder(top);
    }),
    ("a removal, and one whose folder was synced", |top| {
        write(&top.join("a"), 100).sync_all().unwrap();
        write(&top.join("b"), 100).sync_all().unwrap();
        fs::remove_file(top.join("a")).unwrap();
        sync_folder(top);
        fs::remove_file(top.join("b")).unwrap();
    }),
    ("a file that was cut and written again", |top| {
        let file = write(&top.join("a"), 5000);
        file.sync_all().unwrap();
        sync_folder(top);
        file.set_len(10).unwrap();
        drop(write(&top.join("a"), 7000));
    }),
];

/// Names and sizes.
fn left(top: &Path) -> BTreeMap<String, u64> {
    fs::read_dir(top)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "lost+found")
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.metadata().unwrap().len())
        })
        .collect()
}

#[test]
fn what_survives_is_what_survives_on_ext4() {
    if !can_mount() {
        return;
    }
    for (name, program) in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let ext4 = Ext4::make(folder.path());
        // Behind it is a file system as well, so that its own caches play no part.
        let disk = Disk::mount(folder.path());
        program(&ext4.target);
        program(&disk.target);
        ext4.cut_power();
        disk.cut_power(Torn::Nothing);
        let (theirs, ours) = (left(&ext4.target), left(&disk.target));
        println!("{name}: ext4 {theirs:?}, FUSE disk {ours:?}");
        assert_eq!(ours, theirs, "{name}");
    }
}
