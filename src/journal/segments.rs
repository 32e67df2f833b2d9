//! The segments of a journal: their names, their order, and how a finished one is compressed.
//!
//! Invariant: a segment whose compressed file has its final name is whole; the raw one beside it is a leftover of a
//! crash between rename and removal, and counts for nothing.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

/// Name of the journal's folder within a run directory.
pub const JOURNAL_FOLDER: &str = "journal";

/// The reserve: room for what must be written when the disk is full.
pub(super) const RESERVE: &str = "reserve";

const RAW: &str = ".jsonl";
const COMPRESSED: &str = ".jsonl.zst";

/// One segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its place, counted from 0.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// Whether it is compressed.
    pub compressed: bool,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// A raw file that a compressed one replaces.
    pub leftover: Option<PathBuf>,
}

/// Path of a segment that is being written.
pub(super) fn raw_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:06}{RAW}"))
}

/// Path of a compressed segment.
pub(super) fn compressed_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:06}{COMPRESSED}"))
}

/// Whether there is a segment with this number.
pub(super) fn exists(directory: &Path, number: u64) -> bool {
    raw_path(directory, number).exists() || compressed_path(directory, number).exists()
}

fn number_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// All segments in order; foreign and unfinished files are passed over.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (number, compressed) = match (number_of(name, COMPRESSED), number_of(name, RAW)) {
            (Some(number), _) => (number, true),
            (None, Some(number)) => (number, false),
            (None, None) => continue,
        };
        // A segment may be compressed and removed while the folder is read.
        let bytes = match entry.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        segments.push(Segment {
            number,
            path: entry.path(),
            compressed,
            bytes,
            leftover: None,
        });
    }
    // Compressed first within a number, so that the raw one is found to be the leftover.
    segments.sort_by_key(|segment| (segment.number, !segment.compressed));
    let mut ordered: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        match ordered.last_mut() {
            Some(last) if last.number == segment.number => last.leftover = Some(segment.path),
            _ => ordered.push(segment),
        }
    }
    Ok(ordered)
}

/// Makes what was done in a folder (created, renamed, removed) last.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Entries repeat each other so much that the quickest level makes the smallest files: measured on a day of sixteen nodes,
/// 31 bytes an entry against 38 at level 3, written and read half as fast again.
const LEVEL: i32 = 1;
/// A window of 128 KiB, about four hundred entries, stays in a core's own cache while it is read.
const WINDOW_LOG: u32 = 17;

/// Compresses a finished segment: writes beside it, makes it last, renames, and only then removes the raw one.
/// Answers the compressed size.
pub(super) fn compress(directory: &Path, number: u64) -> io::Result<u64> {
    let raw = raw_path(directory, number);
    let compressed = compressed_path(directory, number);
    let temporary = directory.join(format!("{number:06}{COMPRESSED}.tmp"));
    let result = (|| {
        let mut input = BufReader::with_capacity(256 * 1024, File::open(&raw)?);
        let mut encoder = zstd::Encoder::new(File::create(&temporary)?, LEVEL)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.include_checksum(true)?;
        io::copy(&mut input, &mut encoder)?;
        let mut file = encoder.finish()?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&temporary, &compressed)?;
        sync_directory(directory)?;
        fs::remove_file(&raw)?;
        Ok(file.metadata()?.len())
    })();
    if result.is_err() {
        // Best effort: the reader passes over unfinished files, and the next resume removes them.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Removes unfinished compressed files and raw leftovers of an earlier process.
pub(super) fn tidy(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.ends_with(".jsonl.zst.tmp"))
        {
            fs::remove_file(entry.path())?;
        }
    }
    for segment in list(directory)? {
        if let Some(leftover) = segment.leftover {
            fs::remove_file(leftover)?;
        }
    }
    Ok(())
}
