//! Whether the log line that tells where a node stands is overdue: its absence is an observation too.

use std::time::{Duration, Instant};

/// Nobody ticked for longer than this: nobody read either.
const GAP: Duration = Duration::from_secs(5);

/// The deadline of such lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overdue {
    deadline: Duration,
    /// The last line, or since when one is owed.
    since: Instant,
    ticked: Instant,
    /// The last line before the deadline passed.
    failing_since: Option<Instant>,
}

impl Overdue {
    pub(super) fn new(deadline: Duration, now: Instant) -> Self {
        Self {
            deadline,
            since: now,
            ticked: now,
            failing_since: None,
        }
    }

    /// A line told: how long none had, if that was too long.
    pub(super) fn told(&mut self, now: Instant) -> Option<Duration> {
        self.since = now;
        let since = self.failing_since.take()?;
        Some(now.saturating_duration_since(since))
    }

    /// Time passed: whether the deadline has just passed. Nothing is owed by a node that does not run.
    pub(super) fn tick(&mut self, now: Instant, running: bool) -> bool {
        let gap = now.saturating_duration_since(std::mem::replace(&mut self.ticked, now));
        if !running || gap > GAP {
            self.since = now;
            return false;
        }
        let silent = now.saturating_duration_since(self.since);
        if self.failing_since.is_some() || silent < self.deadline {
            return false;
        }
        self.failing_since = Some(self.since);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_once_and_only_while_the_node_runs_and_is_read() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut overdue = Overdue::new(Duration::from_secs(10), start);
        let passed = |overdue: &mut Overdue, seconds: std::ops::Range<u64>, running| {
            let ticks = seconds.filter(|second| overdue.tick(at(*second), running));
            ticks.collect::<Vec<_>>()
        };
        assert_eq!(passed(&mut overdue, 1..8, true), [0; 0]);
        assert_eq!(overdue.told(at(8)), None);
        assert_eq!(passed(&mut overdue, 9..30, true), [18]);
        assert_eq!(overdue.told(at(30)), Some(Duration::from_secs(22)));
        // Down, and then not read: the deadline begins anew each time.
        assert_eq!(passed(&mut overdue, 31..60, false), [0; 0]);
        assert_eq!(passed(&mut overdue, 60..68, true), [0; 0]);
        assert_eq!(passed(&mut overdue, 100..109, true), [0; 0]);
        assert_eq!(passed(&mut overdue, 109..120, true), [110]);
    }
}
