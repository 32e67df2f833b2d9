//! Which line of a spool goes into which segment, and which segment goes when there is no more room. Pure.

use std::collections::VecDeque;

/// How much a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Segments.
    pub segments: usize,
    /// Bytes of one.
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    bytes: usize,
    lines: u64,
}

/// The segments of a spool.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    segments: VecDeque<Segment>,
    dropped: u64,
}

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placing {
    /// The segment.
    pub segment: u64,
    /// It begins with this line.
    pub begins: bool,
    /// The segment that makes room for it.
    pub gone: Option<u64>,
}

impl Ring {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            segments: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Lines that are gone.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A segment that is there already, in the order of their numbers.
    pub fn knows(&mut self, number: u64, bytes: usize, lines: u64) {
        self.segments.push_back(Segment {
            number,
            bytes,
            lines,
        });
    }

    /// So many lines are gone.
    pub fn drop_lines(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
    }

    /// Finds room for a line of so many bytes; `anew` begins a segment in any case.
    pub fn place(&mut self, bytes: usize, anew: bool) -> Placing {
        let fits = |segment: &&mut Segment| segment.bytes + bytes <= self.limits.bytes;
        if let Some(newest) = self.segments.back_mut().filter(fits)
            && !anew
        {
            newest.bytes += bytes;
            newest.lines += 1;
            return Placing {
                segment: newest.number,
                begins: false,
                gone: None,
            };
        }
        let number = self.segments.back().map_or(0, |newest| newest.number + 1);
        let full = self.segments.len() >= self.limits.segments.max(1);
        let gone = full.then(|| self.segments.pop_front()).flatten();
        if let Some(gone) = gone {
            self.drop_lines(gone.lines);
        }
        self.segments.push_back(Segment {
            number,
            bytes,
            lines: 1,
        });
        Placing {
            segment: number,
            begins: true,
            gone: gone.map(|gone| gone.number),
        }
    }
}
