//! A public exerciser of file systems on the disk without faults: fio writes at random, reads back and checks.

use std::process::Command;

use super::mounted::{Disk, can_mount};

#[test]
fn fio_reads_back_what_it_wrote() {
    if !can_mount() {
        return;
    }
    if Command::new("fio").arg("--version").output().is_err() {
        println!("SKIPPED: fio is not installed, so nothing was tested here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path());
    // A memory map is read and written in whole pages: fio refuses smaller blocks there.
    for (engine, pattern, blocks) in [
        ("psync", "randrw", "512-16k"),
        ("mmap", "randrw", "4k-16k"),
        ("psync", "randwrite", "512-16k"),
    ] {
        let output = Command::new("fio")
            .current_dir(&disk.target)
            .args(["--name=verify", "--size=8m", "--numjobs=2"])
            .args([
                "--verify=crc32c",
                "--verify_fatal=1",
                "--verify_backlog=256",
                "--fsync=32",
            ])
            .args([
                "--fallocate=native",
                "--unlink=1",
                "--randseed=7",
                "--loops=2",
            ])
            .arg(format!("--bsrange={blocks}"))
            .arg(format!("--ioengine={engine}"))
            .arg(format!("--rw={pattern}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("err= 0"), "{said}");
        println!("{engine} {pattern}: verified");
    }
}
