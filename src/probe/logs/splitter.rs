//! Bytes into lines of bounded length, whatever the bytes are.

/// Longest line of a log that is kept, in bytes; the rest of a longer one is counted and thrown away.
pub const MAX_LINE: usize = 64 << 10;

/// Collects chunks into lines.
#[derive(Debug)]
pub struct Splitter {
    /// Longest line that is kept, in bytes.
    most: usize,
    partial: Vec<u8>,
    /// Bytes of the line at hand that were thrown away.
    cut: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::with_limit(MAX_LINE)
    }
}

impl Splitter {
    /// Keeps at most this many bytes of a line.
    #[must_use]
    pub fn with_limit(most: usize) -> Self {
        Self {
            most,
            partial: Vec::new(),
            cut: 0,
        }
    }

    /// Takes a chunk; calls `each` for every line that it ends, without the line end, with the number of bytes that
    /// were cut off it.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() && line.len() <= self.most {
                each(line, 0);
            } else {
                self.keep(line);
                self.finish(&mut each);
            }
            bytes = rest;
        }
        self.keep(bytes);
    }

    /// Ends the line at hand: nothing more comes.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8], u64)) {
        if !self.partial.is_empty() {
            each(&self.partial, self.cut);
        }
        self.cut = 0;
        if self.partial.capacity() > MAX_LINE / 4 {
            // Long lines are rare; sixteen nodes should not keep a buffer for one each.
            self.partial = Vec::new();
        } else {
            self.partial.clear();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.most - self.partial.len();
        let kept = bytes.len().min(room);
        self.partial.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ten_megabyte_line_is_cut_in_bounded_memory() {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for _ in 0..160 {
            splitter.push(&[b'x'; 65_536], |_, _| panic!("no line has ended"));
            assert!(splitter.partial.capacity() <= 2 * MAX_LINE);
        }
        splitter.push(b"end\nnext\n", |line, cut| lines.push((line.len(), cut)));
        assert_eq!(lines, [(MAX_LINE, 159 * 65_536 + 3), (4, 0)]);
        assert!(splitter.partial.capacity() <= MAX_LINE / 4);
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), size in 1usize..40) {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            for chunk in text.chunks(size) {
                splitter.push(chunk, |line, _| lines.push(line.to_vec()));
            }
            splitter.finish(|line, _| lines.push(line.to_vec()));
            let mut expected: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(lines, expected);
        }
    }
}
