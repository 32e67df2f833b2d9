//! Reads a journal: streaming, in bounded memory, compressed and raw segments in order.
//!
//! The end may be torn (the writer was killed) and may grow (the writer is still at work): [`Reader`] then answers
//! `None` and goes on at the next call. Damage is reported with file and line and does not stop the reading; an input
//! or output error of a segment ends that segment.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    event::{Entry, Event, FORMAT},
    segments,
    text_lines::{Line, Lines, longest},
    usual_lines,
};
use crate::{journal::text::clean, time::Elapsed};

/// Why an entry could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The folder cannot be listed.
    #[error("cannot list the journal {path}")]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no segment in the folder.
    #[error("{path} holds no journal: no segment NNNNNN.jsonl or NNNNNN.jsonl.zst")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A segment is missing between two others.
    #[error("segment {number} is missing from the journal {path}")]
    Missing {
        /// The folder.
        path: PathBuf,
        /// Its number.
        number: u64,
    },
    /// A segment cannot be opened.
    #[error("cannot open journal segment {path}")]
    Open {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A segment cannot be read on; what follows in it is lost.
    #[error("cannot read journal segment {path} after line {line}")]
    Read {
        /// The segment.
        path: PathBuf,
        /// Lines read before.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is longer than an entry can be.
    #[error("{path}:{line}: longer than {limit} bytes")]
    TooLong {
        /// The segment.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is accepted in its place, in bytes.
        limit: usize,
    },
    /// A line is no entry.
    #[error("{path}:{line}: not an entry: {text}")]
    NotAnEntry {
        /// The segment.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Its beginning, cleaned.
        text: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A segment that is not the last ends within a line.
    #[error("{path}:{line}: the line has no end although another segment follows")]
    Torn {
        /// The segment.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// A newer program wrote the journal.
    #[error(
        "{path}:{line}: journal format {format} is newer than this program reads ({FORMAT}); use a newer canarynet"
    )]
    Newer {
        /// The segment.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Its format.
        format: u32,
    },
}

struct Open {
    number: u64,
    path: PathBuf,
    compressed: bool,
    lines: Lines,
    line: u64,
    /// The next segment was seen to exist, so this one is whole: one more read finds its true end.
    last_look: bool,
}

/// An iterator over the entries of a journal. Not fused: after `None` it may go on when the journal has grown.
pub struct Reader {
    directory: PathBuf,
    open: Option<Open>,
    next_number: u64,
    torn: usize,
}

impl Reader {
    /// Opens the journal in this folder (`<run>/journal`).
    ///
    /// # Errors
    /// When the folder cannot be listed or holds no segment.
    pub fn open(directory: &Path) -> Result<Self, ReadError> {
        let found = segments::list(directory).map_err(|source| ReadError::List {
            path: directory.to_owned(),
            source,
        })?;
        let Some(first) = found.first() else {
            return Err(ReadError::Empty {
                path: directory.to_owned(),
            });
        };
        Ok(Self {
            directory: directory.to_owned(),
            open: None,
            next_number: first.number,
            torn: 0,
        })
    }

    /// Opens the journal at the last segment that begins at or before this entry; at the first for `None`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_before(directory: &Path, seq: Option<crate::ids::Seq>) -> Result<Self, ReadError> {
        let mut reader = Self::open(directory)?;
        let Some(seq) = seq else { return Ok(reader) };
        let found = segments::list(directory).map_err(|source| ReadError::List {
            path: directory.to_owned(),
            source,
        })?;
        // Only the first line of each is read, newest first: a finding is nearly always about what is new.
        for segment in found.iter().rev() {
            let mut one = Self {
                directory: directory.to_owned(),
                open: None,
                next_number: segment.number,
                torn: 0,
            };
            if let Some(Ok(first)) = one.next()
                && first.seq <= seq
            {
                reader.next_number = segment.number;
                break;
            }
        }
        Ok(reader)
    }

    /// Opens the end of a journal: its last two segments, because the last may still be empty.
    pub(crate) fn open_last(directory: &Path) -> Result<Self, ReadError> {
        let mut reader = Self::open(directory)?;
        let found = segments::list(directory).map_err(|source| ReadError::List {
            path: directory.to_owned(),
            source,
        })?;
        if let Some(segment) = found.get(found.len().saturating_sub(2)) {
            reader.next_number = segment.number;
        }
        Ok(reader)
    }

    /// Bytes of an unfinished line at the end of what was read: not zero after a kill, or while the writer writes.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.torn
    }

    /// The next line as it stands in the file, handed to `use_line` with its path and number; `None` at the end.
    pub fn next_line<T>(
        &mut self,
        use_line: impl FnOnce(&[u8], &Path, u64) -> T,
    ) -> Option<Result<T, ReadError>> {
        loop {
            if self.open.is_none() {
                match self.open_next() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
            let open = self.open.as_mut()?;
            match open.lines.next() {
                // The borrow of the line ends with the call, so it is handed over here.
                Ok(Line::Whole(line)) => {
                    open.line += 1;
                    self.torn = 0;
                    return Some(Ok(use_line(line, &open.path, open.line)));
                }
                Ok(Line::TooLong) => {
                    open.line += 1;
                    return Some(Err(ReadError::TooLong {
                        path: open.path.clone(),
                        line: open.line,
                        limit: longest(open.number == 0 && open.line == 1),
                    }));
                }
                Ok(Line::End(held)) => {
                    self.torn = held;
                    let more = segments::exists(&self.directory, self.next_number);
                    if open.compressed || open.last_look {
                        let error = ReadError::Torn {
                            path: open.path.clone(),
                            line: open.line + 1,
                        };
                        self.open = None;
                        if held > 0 && more {
                            return Some(Err(error));
                        }
                        continue;
                    }
                    if !more {
                        return None;
                    }
                    open.last_look = true;
                }
                Err(source) => {
                    let error = ReadError::Read {
                        path: open.path.clone(),
                        line: open.line,
                        source,
                    };
                    self.open = None;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Opens the next segment; false when there is none.
    fn open_next(&mut self) -> Result<bool, ReadError> {
        let number = self.next_number;
        // The compressed one is looked for first and last: between the two looks the raw one may be replaced by it.
        for (path, compressed) in [
            (segments::compressed_path(&self.directory, number), true),
            (segments::raw_path(&self.directory, number), false),
            (segments::compressed_path(&self.directory, number), true),
        ] {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    self.next_number += 1;
                    return Err(ReadError::Open { path, source });
                }
            };
            self.next_number += 1;
            let source: Box<dyn io::Read + Send> = if compressed {
                match zstd::Decoder::new(file) {
                    Ok(decoder) => Box::new(decoder),
                    Err(source) => return Err(ReadError::Open { path, source }),
                }
            } else {
                Box::new(file)
            };
            let lines = Lines::new(source, number == 0);
            self.open = Some(Open {
                number,
                path,
                compressed,
                lines,
                line: 0,
                last_look: false,
            });
            return Ok(true);
        }
        let later = segments::list(&self.directory).map_err(|source| ReadError::List {
            path: self.directory.clone(),
            source,
        })?;
        if let Some(segment) = later.iter().find(|segment| segment.number > number) {
            self.next_number = segment.number;
            return Err(ReadError::Missing {
                path: self.directory.clone(),
                number,
            });
        }
        Ok(false)
    }

    /// Number of the segment that is being read, for progress displays.
    #[must_use]
    pub fn segment(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.number)
    }
}

/// An entry from its line.
fn parse(line: &[u8], path: &Path, number: u64) -> Result<Entry, ReadError> {
    if let Some(entry) = usual_lines::parse(line) {
        return Ok(entry);
    }
    // Checked once for the line instead of once for each of its strings: a tenth of the parser's time.
    let parsed = match std::str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(line),
    };
    let entry: Entry = parsed.map_err(|source| {
        let text = String::from_utf8_lossy(&line[..line.len().min(400)]);
        ReadError::NotAnEntry {
            path: path.to_owned(),
            line: number,
            text: clean(&text, 120),
            source,
        }
    })?;
    if let Event::RunStarted { format, .. } = entry.event
        && format > FORMAT
    {
        return Err(ReadError::Newer {
            path: path.to_owned(),
            line: number,
            format,
        });
    }
    Ok(entry)
}

impl Iterator for Reader {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        // The usual line is made an entry right where the caller gets it: a copy of each would cost as much as the parser.
        if let Some(open) = &mut self.open
            && let Some((entry, length)) = usual_lines::parse_next(open.lines.ahead())
        {
            open.lines.take(length);
            open.line += 1;
            self.torn = 0;
            return Some(Ok(entry));
        }
        self.next_line(parse)
            .map(|outcome| outcome.and_then(|entry| entry))
    }
}

/// Place after the last whole entry, and its time. Only the last segments are read: places are counted through.
pub(super) fn last_entry(directory: &Path) -> Result<(u64, Elapsed), ReadError> {
    let reader = match Reader::open_last(directory) {
        Ok(reader) => reader,
        // A writer that was killed before its first flush leaves a folder without a line.
        Err(ReadError::Empty { .. }) => return Ok((0, Elapsed::default())),
        Err(error) => return Err(error),
    };
    let mut last = (0, Elapsed::default());
    for entry in reader {
        let entry = entry?;
        last = (entry.seq.0 + 1, entry.elapsed);
    }
    Ok(last)
}
