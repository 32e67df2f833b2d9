//! `--observer-ab`: before a run settles, watching is switched off and on in turns, so that the judge can say whether
//! watching slows the network. Pure: moments in, switches out.

use std::time::Duration;

use crate::{
    plan::observer::{TURNS, stretch},
    time::{Clocks, Elapsed},
};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Watching is switched off.
    Off,
    /// Watching is switched on.
    On,
    /// All turns are over; watching is on.
    Over,
}

/// The turns of a run.
#[derive(Debug, Clone, Copy)]
pub struct ObserverAb {
    stretch: Duration,
    /// Switches that were made.
    made: u32,
    next: Elapsed,
}

impl ObserverAb {
    /// Turns that begin at this moment.
    #[must_use]
    pub fn starting(clocks: &Clocks, now: Elapsed) -> Self {
        Self {
            stretch: stretch(clocks),
            made: 0,
            next: now,
        }
    }

    /// The switch that is due, once.
    pub fn due(&mut self, now: Elapsed) -> Option<Switch> {
        if now < self.next {
            return None;
        }
        if self.made >= 2 * TURNS {
            return Some(Switch::Over);
        }
        self.made += 1;
        // From now, not from when it was due: a late switch must not make the next stretch short.
        self.next = now + self.stretch;
        Some(if self.made % 2 == 1 {
            Switch::Off
        } else {
            Switch::On
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::generate::Shape, plan::observer::takes};

    #[test]
    fn watching_is_off_and_on_in_turns_and_on_at_the_end() {
        let clocks = Shape::default().plan().clocks;
        let mut turns = ObserverAb::starting(&clocks, Elapsed::from_secs(10));
        let mut switches = Vec::new();
        let mut over = None;
        for tick in 0..3_000 {
            let now = Elapsed::from_secs(10) + Duration::from_millis(50) * tick;
            match turns.due(now) {
                Some(Switch::Over) => {
                    over = Some(now);
                    break;
                }
                Some(switch) => switches.push((switch, now)),
                None => {}
            }
        }
        assert_eq!(switches.len(), 12);
        assert!(
            switches
                .iter()
                .step_by(2)
                .all(|(switch, _)| *switch == Switch::Off)
        );
        assert!(
            switches
                .iter()
                .skip(1)
                .step_by(2)
                .all(|(switch, _)| *switch == Switch::On)
        );
        let whole = over.unwrap().since(Elapsed::from_secs(10));
        assert_eq!(whole, takes(&clocks));
        for pair in switches.windows(2) {
            assert_eq!(
                pair[1].1.since(pair[0].1),
                Duration::from_secs(8),
                "40 blocks of 200 ms"
            );
        }
    }
}
