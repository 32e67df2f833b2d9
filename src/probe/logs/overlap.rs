//! Telling lines that come again after a new follow from new ones. Pure.
//!
//! A follow can only be asked for from a whole second on, so the chunks of that second come again. They are known by
//! the engine's timestamp and a hash of their bytes. Where the last chunk seen does not come again, lines are missing
//! (the engine's log was rotated meanwhile).

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Chunks that are remembered. More of them in one second are known by their time alone.
const REMEMBERED: usize = 2_048;

#[derive(Debug, Default)]
pub(super) struct Overlap {
    seen: VecDeque<(u64, u64)>,
    /// The newest time seen.
    newest: u64,
    /// While set: the newest time at the moment of the new follow, and whether anything came again.
    resumed: Option<Resumed>,
}

#[derive(Debug)]
struct Resumed {
    until: u64,
    met: bool,
}

/// What to do with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is new.
    New,
    /// It was there before.
    Again,
    /// It is new, and what was before it is missing.
    AfterGap,
}

impl Overlap {
    /// The newest time seen, in nanoseconds since 1970; zero before the first.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// A new follow begins, at or before [`Self::newest`].
    pub(super) fn resume(&mut self) {
        if self.newest > 0 {
            self.resumed = Some(Resumed {
                until: self.newest,
                met: false,
            });
        }
    }

    pub(super) fn check(&mut self, time: u64, bytes: &[u8]) -> Seen {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let key = (time, hasher.finish());
        let mut seen = Seen::New;
        if let Some(resumed) = &mut self.resumed {
            let oldest = self.seen.front().map_or(0, |(time, _)| *time);
            if time <= resumed.until && (time < oldest || self.seen.contains(&key)) {
                resumed.met = true;
                return Seen::Again;
            }
            if time > resumed.until {
                // Output and error are stamped apart, so an old chunk may still follow; one is enough to see a gap.
                if !resumed.met {
                    seen = Seen::AfterGap;
                }
                self.resumed = None;
            }
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(key);
        self.newest = self.newest.max(time);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_known_and_gaps_are_seen() {
        let mut overlap = Overlap::default();
        overlap.resume();
        assert_eq!(
            overlap.check(10, b"a"),
            Seen::New,
            "the first follow has no past"
        );
        assert_eq!(overlap.check(11, b"a"), Seen::New);
        assert_eq!(
            overlap.check(11, b"a"),
            Seen::New,
            "live, equal lines are two lines"
        );
        assert_eq!(
            overlap.check(10, b"late"),
            Seen::New,
            "live, times may cross"
        );
        overlap.resume();
        assert_eq!(overlap.check(10, b"a"), Seen::Again);
        assert_eq!(overlap.check(11, b"a"), Seen::Again);
        assert_eq!(overlap.check(11, b"b"), Seen::New, "same time, other line");
        assert_eq!(overlap.check(12, b"a"), Seen::New);
        overlap.resume();
        assert_eq!(overlap.check(50, b"z"), Seen::AfterGap);
        assert_eq!(overlap.check(51, b"z"), Seen::New);
    }

    #[test]
    fn memory_is_bounded_and_older_chunks_are_known_by_time() {
        let mut overlap = Overlap::default();
        for time in 1..10_000 {
            overlap.check(time, b"x");
        }
        assert_eq!(overlap.seen.len(), REMEMBERED);
        overlap.resume();
        for time in 1..10_000 {
            assert_eq!(overlap.check(time, b"x"), Seen::Again);
        }
        assert_eq!(overlap.check(10_000, b"x"), Seen::New);
    }
}
