//! Lines of a byte stream with a bound on their length, without a copy where the line is whole in the buffer.

use std::io::{self, Read};

/// Longest line that is accepted. Entries are far shorter.
pub(super) const LINE_LIMIT: usize = 1024 * 1024;
/// ... but for the first one of a journal, which carries the plan: with as many faults as a schedule may have it takes
/// some four megabytes.
pub(super) const FIRST_LINE_LIMIT: usize = 64 * 1024 * 1024;

/// Bytes that are read at once. What was just decompressed is to be in the nearest cache when it is taken apart.
const BUFFER: usize = 32 * 1024;

/// Longest line in bytes that is accepted, as the first one of a journal or as another.
pub(super) const fn longest(first: bool) -> usize {
    if first { FIRST_LINE_LIMIT } else { LINE_LIMIT }
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A whole line, its end left out.
    Whole(&'a [u8]),
    /// A line beyond the limit; it was skipped.
    TooLong,
    /// No line end yet: this many bytes of an unfinished line are held. More may come later.
    End(usize),
}

/// Splits a stream into lines; goes on where it was when a file that had ended grows.
pub(super) struct Lines {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` that are known to hold no line end.
    searched: usize,
    skipping: bool,
    /// Longest line that is accepted now.
    limit: usize,
}

impl Lines {
    /// `first`: of a journal's first segment, whose first line may be longer.
    pub(super) fn new(source: Box<dyn Read + Send>, first: bool) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            searched: 0,
            skipping: false,
            limit: longest(first),
        }
    }

    /// What the buffer holds from the next line's begin on, as much of it as a line may have; nothing within a line that
    /// is skipped.
    #[inline(always)]
    pub(super) fn ahead(&self) -> &[u8] {
        let most = match self.skipping {
            true => 0,
            false => (self.end - self.start).min(self.limit),
        };
        &self.buffer[self.start..self.start + most]
    }

    /// Takes the next line, of which [`Self::ahead`] held so many bytes, its end among them.
    #[inline(always)]
    pub(super) fn take(&mut self, length: usize) {
        self.start += length;
        self.searched = 0;
        self.limit = LINE_LIMIT;
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        loop {
            let from = self.start + self.searched;
            if let Some(offset) = memchr::memchr(b'\n', &self.buffer[from..self.end]) {
                let line = self.start..from + offset;
                self.start = from + offset + 1;
                self.searched = 0;
                let limit = std::mem::replace(&mut self.limit, LINE_LIMIT);
                if std::mem::take(&mut self.skipping) || line.len() > limit {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Whole(&self.buffer[line]));
            }
            self.searched = self.end - self.start;
            if self.searched > self.limit {
                self.skipping = true;
                self.start = self.end;
                self.searched = 0;
            }
            if self.fill()? == 0 {
                return Ok(Line::End(self.searched));
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // Bounded: a line beyond the limit was dropped above, so this at most doubles past it once.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: Vec<u8>) -> (Vec<Option<Vec<u8>>>, usize) {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes)), false);
        let mut found = Vec::new();
        loop {
            // Either way of asking, in turns.
            if found.len() % 3 > 0
                && let Some(end) = lines.ahead().iter().position(|byte| *byte == b'\n')
            {
                found.push(Some(lines.ahead()[..end].to_vec()));
                lines.take(end + 1);
                continue;
            }
            match lines.next().unwrap() {
                Line::Whole(line) => found.push(Some(line.to_vec())),
                Line::TooLong => found.push(None),
                Line::End(held) => return (found, held),
            }
        }
    }

    #[test]
    fn long_lines_are_skipped_and_the_rest_is_read() {
        let mut bytes = b"a\n".to_vec();
        bytes.extend(vec![b'x'; LINE_LIMIT * 3]);
        bytes.extend(b"\nb\n\ntorn");
        let (found, held) = all(bytes);
        assert_eq!(
            found,
            [Some(b"a".to_vec()), None, Some(b"b".to_vec()), Some(vec![])]
        );
        assert_eq!(held, 4);
    }

    #[test]
    fn only_the_first_line_of_a_journal_may_be_longer() {
        let long = vec![b'x'; LINE_LIMIT + 1];
        let bytes = [&long[..], b"\n", &long[..], b"\nc\n"].concat();
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes.clone())), true);
        assert_eq!(lines.next().unwrap(), Line::Whole(&long));
        assert_eq!(lines.next().unwrap(), Line::TooLong);
        assert_eq!(lines.next().unwrap(), Line::Whole(b"c"));
        let (found, _) = all(bytes);
        assert_eq!(found, [None, None, Some(b"c".to_vec())]);
    }

    proptest! {
        #[test]
        fn same_as_the_plain_split(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let (found, held) = all(bytes.clone());
            let mut expected: Vec<_> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            let rest = expected.pop().unwrap();
            prop_assert_eq!(found, expected.into_iter().map(Some).collect::<Vec<_>>());
            prop_assert_eq!(held, rest.len());
        }
    }
}
