//! At most so many classified lines a second of one rule and node go into the journal. Pure: "now" is an argument.

use std::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// Lines that may pass at once, and that come back each second.
    rate: f64,
    level: f64,
    filled: Instant,
    /// Lines that did not pass since this was last asked.
    held_back: u64,
}

impl Bucket {
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            rate: f64::from(rate),
            level: f64::from(rate),
            filled: now,
            held_back: 0,
        }
    }

    pub(super) fn pass(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + seconds * self.rate).min(self.rate);
        self.filled = now;
        if self.level < 1.0 {
            self.held_back += 1;
            return false;
        }
        self.level -= 1.0;
        true
    }

    pub(super) fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_passes_at_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50, start);
        let passed = (0..10_000_u64)
            .filter(|index| bucket.pass(start + Duration::from_micros(index * 500)))
            .count();
        // Five seconds and the fill of the start.
        assert!((298..=302).contains(&passed), "{passed}");
        assert_eq!(bucket.take_held_back(), 10_000 - passed as u64);
        assert_eq!(bucket.take_held_back(), 0);
    }
}
