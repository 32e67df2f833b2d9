//! Whether a form of log line comes all the time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Elapsed;

/// Lines before a form can be called regular.
const LEAST: u64 = 30;
/// ... and the time over which they came.
const LEAST_SPAN: Duration = Duration::from_secs(40);
/// Counts come every ten seconds from each node; what came in all of them was never missed for longer.
const LONGEST_GAP: Duration = Duration::from_secs(12);

/// When lines of a form came.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Regularity {
    first: Option<Elapsed>,
    pub last: Elapsed,
    pub lines: u64,
    longest: Duration,
}

impl Regularity {
    pub fn seen(&mut self, now: Elapsed, lines: u64) {
        if self.first.is_some() {
            self.longest = self.longest.max(now.since(self.last));
        } else {
            self.first = Some(now);
        }
        self.last = now;
        self.lines = self.lines.saturating_add(lines);
    }

    pub fn is_regular(&self) -> bool {
        let span = self
            .first
            .map_or(Duration::ZERO, |first| self.last.since(first));
        self.lines >= LEAST && span >= LEAST_SPAN && self.longest <= LONGEST_GAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_paused_is_regular_and_what_did_is_not() {
        let (mut steady, mut paused) = (Regularity::default(), Regularity::default());
        for second in (0..60).step_by(10) {
            steady.seen(Elapsed::from_secs(second), 50);
            if second != 20 {
                paused.seen(Elapsed::from_secs(second), 50);
            }
        }
        assert!(steady.is_regular() && !paused.is_regular());
        let mut short = Regularity::default();
        short.seen(Elapsed::from_secs(1), 1_000);
        assert!(!short.is_regular());
    }
}
