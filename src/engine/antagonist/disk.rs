//! Ballast on the data disk: bytes, or files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};

use super::Stage;

/// Steps of a slow fill.
const STEP: Duration = Duration::from_millis(100);
/// Attempts to take what is free: two seconds.
const ROUNDS: u32 = 40;
/// Files that are made at most: beyond this the file system does not count them, and each costs memory.
const MOST_FILES: u64 = 200_000;

fn free(path: &Path) -> Result<u64, io::Error> {
    let facts = statvfs(path)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Takes the free space down to `leave` bytes and keeps it so.
pub(super) fn fill(
    stage: &Stage,
    leave: u64,
    keep: bool,
    rate: Option<u64>,
) -> Result<(), io::Error> {
    let mut ballast = Ballast::open(&stage.file("ballast"))?;
    if let Some(rate) = rate {
        let step = rate / 10;
        ballast.grow(step.max(1))?;
        stage.tell(true, format!("the disk fills at {rate} bytes a second"));
        stage.stay(|| {
            let room = free(&stage.disk).unwrap_or(0).saturating_sub(leave);
            if room > 0 {
                let _ = ballast.grow(room.min(step.max(1)));
            }
        });
        debug_assert!(STEP == super::LOOK, "a step is a look");
        return Ok(());
    }
    let block = statvfs(&stage.disk)?.f_frsize.max(1);
    let mut left = free(&stage.disk)?;
    for _ in 0..ROUNDS {
        ballast.grow(left.saturating_sub(leave))?;
        left = free(&stage.disk)?;
        if left < leave.saturating_add(block) {
            break;
        }
        // What others remove meanwhile is free a moment later.
        std::thread::sleep(STEP / 2);
    }
    // What is left by the block is what can be left: a file takes whole blocks.
    stage.tell(
        left < leave.saturating_add(block),
        format!(
            "{left} bytes free after a ballast of {} bytes, {leave} asked for",
            ballast.size
        ),
    );
    stage.stay(|| {
        if keep {
            let room = free(&stage.disk).unwrap_or(0).saturating_sub(leave);
            if room > 0 {
                let _ = ballast.grow(room);
            }
        }
    });
    Ok(())
}

/// A file that takes room and nothing else.
pub(in crate::engine) struct Ballast {
    file: File,
    size: u64,
    /// The file system cannot allocate without writing.
    writes: bool,
}

impl Ballast {
    pub(in crate::engine) fn open(path: &Path) -> Result<Self, io::Error> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            file,
            size,
            writes: false,
        })
    }

    /// The file.
    pub(in crate::engine) fn file(&self) -> &File {
        &self.file
    }

    /// Its bytes.
    pub(in crate::engine) fn size(&self) -> u64 {
        self.size
    }

    /// Makes it last.
    pub(in crate::engine) fn sync(&self) -> Result<(), io::Error> {
        self.file.sync_all()
    }

    /// Takes so many bytes more, or as many as there are; answers how many.
    pub(in crate::engine) fn grow(&mut self, mut bytes: u64) -> Result<u64, io::Error> {
        let before = self.size;
        // Halved while it does not fit: the file system needs some blocks of its own for a long file.
        while bytes > 0 && !self.writes {
            match fallocate(&self.file, FallocateFlags::empty(), self.size, bytes) {
                Ok(()) => {
                    self.size += bytes;
                    break;
                }
                // Some file systems keep what they could allocate before they failed.
                Err(Errno::NOSPC) => {
                    self.size = self.size.max(self.file.metadata()?.len());
                    bytes /= 2;
                }
                Err(Errno::OPNOTSUPP) => self.writes = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.writes {
            self.write(bytes)?;
        }
        Ok(self.size - before)
    }

    fn write(&mut self, bytes: u64) -> Result<(), io::Error> {
        let block = vec![0xa5_u8; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.file.write(&block[..length]) {
                Ok(0) => break,
                Ok(count) => {
                    self.size += count as u64;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Takes the free inodes down to `leave`.
pub(super) fn inodes(stage: &Stage, leave: u64) -> Result<(), io::Error> {
    let there = statvfs(&stage.disk)?.f_favail;
    if there > MOST_FILES {
        // Each costs memory or blocks, so that something else would give first.
        return Err(io::Error::other(format!(
            "{there} inodes are free, more than the {MOST_FILES} that this takes: give the disk fewer (`disk.inodes`)"
        )));
    }
    let folder = stage.file("inodes");
    fs::create_dir_all(&folder)?;
    let mut made = 0_u64;
    let mut next = move |most: u64| -> Result<u64, io::Error> {
        let mut now = 0;
        while now < most && made < MOST_FILES {
            match File::create(folder.join(made.to_string())) {
                Ok(_) => {
                    made += 1;
                    now += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        Ok(now)
    };
    let spare = |stage: &Stage| statvfs(&stage.disk).map(|facts| facts.f_favail);
    let mut taken = 0;
    for _ in 0..20 {
        let room = spare(stage)?.saturating_sub(leave);
        let now = next(room)?;
        taken += now;
        if now == 0 {
            break;
        }
    }
    let left = spare(stage)?;
    // The last inode may be one that the file system keeps for its root.
    stage.tell(
        left <= leave.saturating_add(1),
        format!("{left} inodes free after {taken} files, {leave} asked for"),
    );
    stage.stay(|| {
        let room = spare(stage).unwrap_or(0).saturating_sub(leave);
        if room > 0 {
            let _ = next(room);
        }
    });
    Ok(())
}
