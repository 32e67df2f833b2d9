//! Follows one log file by name: from its end at the start, through rotation and truncation, forward only.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, stat};

use super::wire;

/// Longest line that is passed on whole, in bytes.
const MAX_LINE: usize = 64 << 10;
/// A file this far ahead is not read to its end any more.
const MAX_BACKLOG: u64 = 4 << 20;
/// What is still read of it then.
const KEPT_BACKLOG: u64 = 256 << 10;
const READ_SIZE: usize = 8 << 10;

pub(super) struct Tail {
    index: usize,
    path: PathBuf,
    open: Option<Open>,
    /// Whether the file has ever been looked for: a file that is there at once is followed from its end.
    looked: bool,
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    /// The rest of the line at hand is not wanted: it is too long, or its start was skipped.
    ignoring: bool,
}

struct Open {
    file: File,
    identity: (u64, u64),
    offset: u64,
}

impl Tail {
    pub(super) fn new(index: usize, path: PathBuf) -> Self {
        Self {
            index,
            path,
            open: None,
            looked: false,
            partial: Vec::new(),
            ignoring: false,
        }
    }

    /// Reads what is new, at most `budget` bytes, which is reduced.
    pub(super) fn look(&mut self, budget: &mut usize, output: &mut Vec<u8>) {
        if self.open.is_none() {
            self.open = self.find(!self.looked);
            self.looked = true;
        }
        self.skip_backlog(output);
        if !self.read(budget, output) {
            return;
        }
        // At the end of what is open: has the name moved on to another file?
        let Some(open) = &mut self.open else { return };
        let size = fstat(&open.file).map_or(0, |stat| stat.st_size.unsigned_abs());
        if size < open.offset {
            open.offset = 0;
            self.partial.clear();
            self.ignoring = false;
        }
        let named = stat(&self.path).map(|stat| (stat.st_dev, stat.st_ino));
        let moved = named.is_ok_and(|named| Some(named) != self.identity());
        // What was written between the last read and the renaming is read before the new file.
        if moved && self.read(budget, output) {
            self.end_line(output);
            self.open = self.find(false);
        }
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.open.as_ref().map(|open| open.identity)
    }

    fn find(&self, from_end: bool) -> Option<Open> {
        // Not blocking, because a node may put a pipe in the file's place.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(CWD, &self.path, flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let end = stat.st_size.unsigned_abs();
        Some(Open {
            file: file.into(),
            identity: (stat.st_dev, stat.st_ino),
            offset: if from_end { end } else { 0 },
        })
    }

    fn skip_backlog(&mut self, output: &mut Vec<u8>) {
        let Some(open) = &mut self.open else { return };
        let size = fstat(&open.file).map_or(0, |stat| stat.st_size.unsigned_abs());
        if size.saturating_sub(open.offset) > MAX_BACKLOG {
            let to = size - KEPT_BACKLOG;
            wire::write_skipped(output, self.index, to - open.offset);
            open.offset = to;
            self.partial.clear();
            self.ignoring = true;
        }
    }

    /// Reads to the end of the open file; `false` if the budget did not suffice.
    fn read(&mut self, budget: &mut usize, output: &mut Vec<u8>) -> bool {
        let mut buffer = [0; READ_SIZE];
        loop {
            let Some(open) = &mut self.open else {
                return true;
            };
            if *budget == 0 {
                return false;
            }
            let most = READ_SIZE.min(*budget);
            let length = match open.file.read_at(&mut buffer[..most], open.offset) {
                Ok(0) => return true,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return true,
            };
            *budget -= length;
            open.offset += length as u64;
            self.take(&buffer[..length], output);
        }
    }

    fn take(&mut self, mut bytes: &[u8], output: &mut Vec<u8>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end], output);
            self.end_line(output);
            self.ignoring = false;
            bytes = &bytes[end + 1..];
        }
        self.add(bytes, output);
    }

    fn add(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        if self.ignoring {
            return;
        }
        let room = MAX_LINE - self.partial.len();
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            wire::write_line(output, self.index, true, &self.partial);
            self.partial = Vec::new();
            self.ignoring = true;
        }
    }

    fn end_line(&mut self, output: &mut Vec<u8>) {
        if !self.ignoring && !self.partial.is_empty() {
            wire::write_line(output, self.index, false, &self.partial);
        }
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn look(tail: &mut Tail) -> String {
        let mut output = Vec::new();
        let mut budget = 1 << 20;
        tail.look(&mut budget, &mut output);
        String::from_utf8_lossy(&output).into_owned()
    }

    fn append(path: &std::path::Path, text: &str) {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_is_followed_through_rotation_and_truncation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        append(&path, "old\n");
        let mut tail = Tail::new(0, path.clone());
        assert_eq!(look(&mut tail), "", "from the end");
        append(&path, "one\ntw");
        assert_eq!(look(&mut tail), "L 0 - one\n");
        append(&path, "o\nlast words");
        fs::rename(&path, folder.path().join("node.log.1")).unwrap();
        assert_eq!(look(&mut tail), "L 0 - two\n");
        append(&path, "new\n");
        assert_eq!(look(&mut tail), "L 0 - last words\n");
        assert_eq!(look(&mut tail), "L 0 - new\n");
        fs::write(&path, "x\n").unwrap();
        look(&mut tail);
        assert_eq!(look(&mut tail), "L 0 - x\n", "after truncation");
    }

    #[test]
    fn long_lines_are_cut_and_floods_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late.log");
        let mut tail = Tail::new(3, path.clone());
        assert_eq!(look(&mut tail), "");
        append(&path, &format!("{}\nshort\n", "x".repeat(MAX_LINE + 10)));
        let read = look(&mut tail);
        assert!(read.starts_with("L 3 c xxx") && read.ends_with("\nL 3 - short\n"));
        assert_eq!(
            read.len(),
            MAX_LINE + "L 3 c \n".len() + "L 3 - short\n".len()
        );
        append(&path, &"0123456789abcde\n".repeat(400_000));
        let read = look(&mut tail);
        assert!(read.starts_with("D 3 "), "{}", &read[..40]);
        assert!(read[read.find("\nL").unwrap()..].starts_with("\nL 3 - 0123456789abcde\n"));
        assert!(read.len() < 1 << 20);
    }

    #[test]
    fn a_pipe_or_folder_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(0, folder.path().to_owned());
        assert_eq!(look(&mut tail), "");
        assert!(tail.open.is_none());
    }
}
