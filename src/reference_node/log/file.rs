//! The sink in a file: `zerolog-reference.log`, rotated at 1 MiB, the old ones gzipped, eight of them kept.
//!
//! On a full disk lines are lost and counted, and it goes on by itself when there is room. Compressing needs room
//! for the compressed file only (about a tenth of the original); when even that is missing, the rotated file stays
//! as it is, counts among the eight, and the next rotation or quiet minute tries again. The bound on the disk is
//! therefore (1 + 8) MiB at worst, and below 2 MiB in health.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Command, Next, lost_line, next};
use crate::reference_node::{
    defects::{Defect, Defects},
    wall,
};

/// Size at which the file is rotated, in bytes.
const ROTATE_AT: u64 = 1024 * 1024;
/// `no-log-rotation`: lines, in bytes, after which all of the log is copied into one more file of the archive.
const ARCHIVE_EVERY: u64 = 128 * 1024;
/// Rotated files kept.
const KEEP: usize = 8;
/// After a failure the file is left alone for this long: on a full disk every line would cost a failed call.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often the sink looks after leftovers when no line comes.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "zerolog-reference.log";
const STEM: &str = "zerolog-reference-";

pub(super) fn run(queue: &Receiver<Command>, lost: &AtomicU64, directory: &Path, defects: Defects) {
    let mut log = RotatedFile::new(directory, ROTATE_AT);
    if defects.has(Defect::NoLogRotation) {
        log.archive_at = Some(ARCHIVE_EVERY);
    }
    let mut told = 0;
    loop {
        match next(queue, PATIENCE) {
            Next::Command(Command::Line(line)) => {
                let total = lost.load(Ordering::Relaxed);
                let told_now = total > told
                    && log.ready()
                    && log
                        .append(&lost_line(
                            "file",
                            total - told,
                            log.error.clone().as_deref(),
                        ))
                        .is_ok();
                if told_now {
                    told = total;
                    log.error = None;
                }
                if !log.ready() || log.append(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Next::Command(Command::Flush(done)) => {
                let _ = done.try_send(());
            }
            Next::Quiet => log.tidy(),
            Next::Closed => return,
        }
    }
}

/// The open file and where it stands.
struct RotatedFile {
    directory: PathBuf,
    rotate_at: u64,
    open: Option<(File, u64)>,
    retry_at: Option<Instant>,
    error: Option<String>,
    /// `no-log-rotation`: size at which all of it is copied next, instead of being rotated.
    archive_at: Option<u64>,
}

impl RotatedFile {
    fn new(directory: &Path, rotate_at: u64) -> Self {
        Self {
            directory: directory.to_path_buf(),
            rotate_at,
            open: None,
            retry_at: None,
            error: None,
            archive_at: None,
        }
    }

    /// Whether it is time to touch the disk: always, but for a moment after a failure.
    fn ready(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let result = self.try_append(line);
        match &result {
            Ok(()) => self.retry_at = None,
            Err(error) => {
                self.error = Some(error.to_string());
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                // What a crash left half-written is ended when the file is opened again.
                self.open = None;
            }
        }
        result
    }

    fn try_append(&mut self, line: &str) -> io::Result<()> {
        let size = self.open.as_ref().map_or(0, |(_, size)| *size);
        match self.archive_at {
            Some(at) if size >= at => self.archive(size),
            None if size >= self.rotate_at => self.rotate()?,
            _ => {}
        }
        let (file, size) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(self.open_file()?),
        };
        if let Err(error) = file.write_all(line.as_bytes()) {
            // A full disk takes the beginning of a line: it is taken back, so that every line is whole.
            let _ = file.set_len(*size);
            return Err(error);
        }
        *size += line.len() as u64;
        Ok(())
    }

    fn open_file(&self) -> io::Result<(File, u64)> {
        fs::create_dir_all(&self.directory)?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(self.directory.join(NAME))?;
        let mut size = file.metadata()?.len();
        if size > 0 && !ends_a_line(&file, size)? {
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok((file, size))
    }

    /// Renames the full file after the moment, then compresses what waits and deletes the oldest.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let moment = humantime::format_rfc3339_millis(wall::now()).to_string();
        let moment = moment.trim_end_matches('Z').replace(':', "-");
        fs::rename(
            self.directory.join(NAME),
            self.directory.join(format!("{STEM}{moment}.log")),
        )?;
        self.tidy();
        Ok(())
    }

    /// `no-log-rotation`: one more copy of everything. Where there is no room it takes what there is.
    fn archive(&mut self, size: u64) {
        let copy = self.directory.join(format!("archive-{size}.log"));
        let _ = fs::copy(self.directory.join(NAME), copy);
        self.archive_at = Some(size + ARCHIVE_EVERY);
    }

    /// Compresses rotated files and keeps the newest eight. Failures are left for the next time: they cost disk
    /// within the bound, never a line.
    fn tidy(&self) {
        let mut rotated = self.rotated();
        while rotated.len() > KEEP {
            let _ = fs::remove_file(rotated.remove(0));
        }
        for path in rotated {
            if path.extension().is_some_and(|extension| extension == "log")
                && compress(&path).is_err()
            {
                return;
            }
        }
    }

    /// Rotated files, oldest first: their names sort by time. An unfinished compression is removed on the way.
    fn rotated(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if !name.starts_with(STEM) {
                continue;
            }
            if name.ends_with(".part") {
                let _ = fs::remove_file(&path);
            } else if name.ends_with(".log") || name.ends_with(".log.gz") {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

fn ends_a_line(file: &File, size: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut last = [0];
    file.read_exact_at(&mut last, size - 1)?;
    Ok(last == *b"\n")
}

/// `x.log` becomes `x.log.gz`; on any failure only `x.log` is left.
fn compress(path: &Path) -> io::Result<()> {
    let part = path.with_extension("log.gz.part");
    let written =
        compress_into(path, &part).and_then(|()| fs::rename(&part, path.with_extension("log.gz")));
    match written {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

fn compress_into(path: &Path, part: &Path) -> io::Result<()> {
    let mut source = File::open(path)?;
    let mut encoder = GzEncoder::new(File::create(part)?, Compression::new(6));
    let mut piece = [0; 8 * 1024];
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            break;
        }
        encoder.write_all(&piece[..read])?;
    }
    encoder.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    fn line(number: usize) -> String {
        format!("{{\"number\":{number},\"text\":\"{}\"}}\n", "x".repeat(100))
    }

    #[test]
    fn rotates_compresses_and_keeps_eight() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatedFile::new(directory.path(), 1_000);
        for number in 0..400 {
            log.append(&line(number)).unwrap();
            // Names carry milliseconds; real rotations are minutes apart.
            if number % 5 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let rotated = log.rotated();
        assert_eq!(rotated.len(), KEEP);
        let mut numbers = Vec::new();
        for path in &rotated {
            let mut text = String::new();
            GzDecoder::new(File::open(path).unwrap())
                .read_to_string(&mut text)
                .unwrap();
            assert!(text.ends_with('\n'));
            for line in text.lines() {
                numbers.push(
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["number"]
                        .as_u64()
                        .unwrap(),
                );
            }
        }
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "no line is lost or doubled: {numbers:?}"
        );
        assert!(fs::metadata(directory.path().join(NAME)).unwrap().len() <= 1_200);
    }

    #[test]
    fn without_rotation_everything_stays_and_is_copied_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatedFile::new(directory.path(), 1_000);
        log.archive_at = Some(1_000);
        for number in 0..4_000 {
            log.append(&line(number)).unwrap();
        }
        let whole = fs::metadata(directory.path().join(NAME)).unwrap().len();
        assert!(whole > 4 * ARCHIVE_EVERY / 2, "{whole}");
        let size = |entry: io::Result<fs::DirEntry>| entry.unwrap().metadata().unwrap().len();
        let all: u64 = fs::read_dir(directory.path()).unwrap().map(size).sum();
        assert!(all > 2 * whole, "{all} bytes for {whole} bytes of log");
        assert!(log.rotated().is_empty());
    }

    #[test]
    fn a_torn_last_line_is_ended_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), "{\"torn\":").unwrap();
        let mut log = RotatedFile::new(directory.path(), 1_000);
        log.append("{\"whole\":1}\n").unwrap();
        assert_eq!(
            fs::read_to_string(directory.path().join(NAME)).unwrap(),
            "{\"torn\":\n{\"whole\":1}\n"
        );
    }

    #[test]
    fn a_failed_write_waits_a_moment_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("log");
        fs::write(&blocked, "a file where the directory should be").unwrap();
        let mut log = RotatedFile::new(&blocked, 1_000);
        assert!(log.append("{}\n").is_err());
        assert!(!log.ready());
        assert!(log.error.is_some());
        fs::remove_file(&blocked).unwrap();
        log.append("{}\n").unwrap();
        assert!(log.ready());
        assert_eq!(fs::read_to_string(blocked.join(NAME)).unwrap(), "{}\n");
    }
}
