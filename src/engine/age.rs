//! Disks that are old when their nodes meet them for the first time: filled to a level, with what is free in pieces.
//!
//! `canarynet toolbox age DISK PER-MILLION PIECE` runs as the nodes' own user in a container of its own, before the node. One
//! file beside the node's data takes the room; holes of one size at even distances in it are the pieces that are free.
//! It is synced and stays for the whole run.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::antagonist::disk::Ballast;
use crate::{
    disk::calls,
    journal::told::{DiskLevel, Pieces},
    plan::AGE_FILE,
};

/// The file system needs some blocks of its own to cut a long file into many extents, and gets back only later what is
/// freed: so much of the disk stays free while that is done.
const SPARE: u64 = 64;
/// ... and at least this.
const LEAST_SPARE: u64 = 256 << 10;
/// So much of the disk is given back and taken again: ext4 keeps a fiftieth for itself, xfs a twentieth.
const MORE: u64 = 8;
/// Pieces that a stretch has room for.
const STRETCH: u64 = 4;
/// Blocks of all file systems that disks are made with.
const BLOCK: u64 = 4096;
/// Largest probe: what the metrics of many file systems are told for.
const PROBE: u64 = 1 << 20;
/// Name of the probe; one that was left is found by the sweep of other probes.
const PROBE_FILE: &str = ".canarynet-probe-age";

/// What is to be done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Share of the disk that is used then, in millionths.
    pub(crate) per_million: u64,
    /// What is free is in pieces of this size; in one if 0.
    pub(crate) piece: u64,
}

impl Order {
    /// From words of a command line.
    pub(super) fn parse(per_million: &str, piece: &str) -> Option<Self> {
        Some(Self {
            per_million: per_million.parse().ok()?,
            piece: piece.parse().ok()?,
        })
    }
}

/// A disk at one moment.
struct Level {
    size: u64,
    free: u64,
}

impl Level {
    fn of(disk: &Path) -> Result<Self, io::Error> {
        let facts = statvfs(disk)?;
        let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
        Ok(Self {
            size: bytes(facts.f_blocks),
            free: bytes(facts.f_bavail),
        })
    }

    fn used(&self) -> u64 {
        self.size.saturating_sub(self.free)
    }
}

/// Ages a disk, and tells how it was and how it is. Done again it does nothing more.
pub(super) fn age(disk: &Path, order: Order) -> Result<DiskLevel, io::Error> {
    let before = Level::of(disk)?;
    let pieces_before = probe(disk, before.free)?;
    let path = disk.join(AGE_FILE);
    let keep_free = before
        .size
        .saturating_sub(share(before.size, order.per_million));
    if before.free > keep_free && !path.exists() {
        let mut file = Ballast::open(&path)?;
        if order.piece == 0 {
            file.grow(before.free - keep_free)?;
        } else {
            cut(disk, &mut file, keep_free, order.piece)?;
        }
        file.sync()?;
        // Its name, too, is to outlast a power cut.
        File::open(disk)?.sync_all()?;
    }
    let after = Level::of(disk)?;
    let pieces = probe(disk, after.free)?;
    Ok(DiskLevel {
        node: None,
        size: after.size,
        before: before.used(),
        used: after.used(),
        pieces_before,
        pieces,
    })
}

fn share(size: u64, per_million: u64) -> u64 {
    let share = u128::from(size) * u128::from(per_million) / 1_000_000;
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Takes all of the disk and gives back pieces of it: more than are to be free, because what was spared, and what the file
/// system keeps for itself, is still in one piece somewhere. Then the difference is taken in stretches that no hole has
/// room for, so that it comes from there.
fn cut(disk: &Path, file: &mut Ballast, keep_free: u64, piece: u64) -> Result<(), io::Error> {
    let room = Level::of(disk)?;
    let spare = (room.size / SPARE).max(LEAST_SPARE).min(keep_free);
    file.grow(room.free.saturating_sub(spare))?;
    let more = room.size / MORE;
    for at in holes(file.size(), keep_free.saturating_add(more), piece) {
        punch(file, at, piece)?;
    }
    // What was freed can be had again only when that is on the disk.
    file.sync()?;
    loop {
        let left = Level::of(disk)?.free.saturating_sub(keep_free);
        if left < BLOCK || file.grow(left.min(STRETCH * piece))? == 0 {
            return Ok(());
        }
    }
}

/// Where the holes of a file begin: at even distances, as many as make up what is to be free.
fn holes(size: u64, free: u64, piece: u64) -> Vec<u64> {
    let count = (free / piece.max(1)).min(size / piece.max(1));
    if count == 0 {
        return Vec::new();
    }
    // In whole blocks: a hole frees no part of one.
    let stride = size / count / BLOCK * BLOCK;
    (0..count)
        .map(|number| number * stride.max(piece))
        .collect()
}

fn punch(file: &Ballast, at: u64, piece: u64) -> Result<(), io::Error> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    loop {
        match fallocate(file.file(), flags, at, piece) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// In how many pieces a file is that is written now; `None` where the file system does not tell.
fn probe(disk: &Path, free: u64) -> Result<Option<Pieces>, io::Error> {
    let bytes = PROBE.min(free / 2);
    let path = disk.join(PROBE_FILE);
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)?;
        let block = vec![0x5a_u8; 64 << 10];
        let mut left = bytes;
        while left > 0 {
            let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_all(&block[..length])?;
            left -= length as u64;
        }
        file.sync_all()?;
        match calls::extents(&file) {
            Ok(extents) => Ok(Some(Pieces { bytes, extents })),
            Err(error) if error.raw_os_error().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    };
    let written = if bytes == 0 { Ok(None) } else { write() };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_of_one_size_apart_and_make_up_what_is_to_be_free() {
        const KIB: u64 = 1024;
        for (size, free, piece) in [
            (64 << 20, 19 << 20, 64 * KIB),
            (64 << 20, 51 << 20, 64 * KIB),
            (300 << 20, 30 << 20, 4 * KIB),
            (10 << 20, 9 << 20, 128 * KIB),
        ] {
            let holes = holes(size, free, piece);
            assert_eq!(holes.len() as u64, free / piece);
            assert!(holes.windows(2).all(|pair| pair[1] >= pair[0] + piece));
            assert!(holes.last().is_some_and(|last| last + piece <= size));
        }
        assert!(holes(64 << 20, 1, 64 * KIB).is_empty());
        assert!(holes(0, 1 << 20, 64 * KIB).is_empty());
    }

    #[test]
    fn a_share_of_a_disk_does_not_overflow() {
        assert_eq!(share(1_000, 700_000), 700);
        assert_eq!(share(u64::MAX, 1_000_000), u64::MAX);
    }
}
