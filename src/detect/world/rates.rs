//! Sums over the last window of rates, in fixed memory.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::time::Elapsed;

/// The window is cut into this many parts; it slides by one part at a time, so it is right to within 3 %.
const PARTS: u64 = 32;

/// What is summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Blocks.
    pub blocks: u64,
    /// Time that these blocks took; the stretches that are findings of their own are left out, with their blocks.
    pub block_time: Duration,
    /// Blocks whose time is in `block_time`.
    pub timed_blocks: u64,
    /// Blocks that needed a view change.
    pub view_changes: u64,
    /// Signers of blocks that tell.
    pub signers: u64,
    /// Committees of blocks that tell.
    pub committee: u64,
    /// Blocks that tell.
    pub told: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.block_time += other.block_time;
        self.timed_blocks += other.timed_blocks;
        self.view_changes += other.view_changes;
        self.signers += other.signers;
        self.committee += other.committee;
        self.told += other.told;
    }

    fn subtract(&mut self, other: &Self) {
        self.blocks -= other.blocks;
        self.block_time -= other.block_time;
        self.timed_blocks -= other.timed_blocks;
        self.view_changes -= other.view_changes;
        self.signers -= other.signers;
        self.committee -= other.committee;
        self.told -= other.told;
    }
}

/// A sliding window of [`Sums`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rates {
    part: u64,
    window: Duration,
    parts: VecDeque<(u64, Sums)>,
    sums: Sums,
    from: Elapsed,
}

impl Rates {
    /// An empty window of this length.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self {
            part: (micros / PARTS).max(1),
            window,
            parts: VecDeque::new(),
            sums: Sums::default(),
            from: Elapsed::default(),
        }
    }

    /// Forgets everything; the window fills from this moment on.
    pub fn restart(&mut self, now: Elapsed) {
        self.parts.clear();
        self.sums = Sums::default();
        self.from = now;
    }

    /// Adds at this moment.
    pub fn add(&mut self, now: Elapsed, sums: &Sums) {
        let part = now.0 / self.part;
        self.slide(part);
        match self.parts.back_mut() {
            Some((last, held)) if *last == part => held.add(sums),
            _ => self.parts.push_back((part, *sums)),
        }
        self.sums.add(sums);
    }

    /// `part`: the one of now.
    fn slide(&mut self, part: u64) {
        let oldest = part.saturating_sub(PARTS - 1);
        while let Some((part, held)) = self.parts.front()
            && *part < oldest
        {
            self.sums.subtract(held);
            self.parts.pop_front();
        }
    }

    /// The sums over the window as of the last addition, if it has filled since the restart. To be asked at an
    /// addition: what is older than the window slides out only then.
    #[must_use]
    pub fn full(&self, now: Elapsed) -> Option<Sums> {
        (now.since(self.from) >= self.window).then_some(self.sums)
    }

    /// The sums over the window as of the last addition, full or not.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Since when the window fills.
    #[must_use]
    pub fn from(&self) -> Elapsed {
        self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_is_full_only_after_its_length() {
        let mut rates = Rates::new(Duration::from_secs(32));
        rates.restart(Elapsed::from_secs(100));
        let one = Sums {
            blocks: 1,
            ..Sums::default()
        };
        for second in 100..132 {
            rates.add(Elapsed::from_secs(second), &one);
        }
        assert_eq!(rates.full(Elapsed::from_secs(131)), None);
        rates.add(Elapsed::from_secs(132), &one);
        let sums = rates.full(Elapsed::from_secs(132)).unwrap();
        assert_eq!(sums.blocks, 32, "the first one slid out");
        rates.add(Elapsed::from_secs(500), &one);
        assert_eq!(rates.full(Elapsed::from_secs(500)).unwrap().blocks, 1);
    }
}
