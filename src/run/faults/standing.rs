//! Where a fault stands. Pure.
//!
//! Invariant: what heals begins when nothing that breaks is under way any more: it would find nothing yet to undo, and
//! what is broken after it would stay so. Everything that breaks has a deadline, so that the wait ends.

use crate::time::Elapsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Breaking,
    InForce { until: Elapsed },
    Healing,
}

/// Where a fault stands.
#[derive(Debug)]
pub(super) struct Standing {
    state: State,
    /// Tasks that break and have not told what came of it: the first one, and those for nodes that were started again.
    under_way: u32,
}

impl Standing {
    /// It is being broken.
    pub(super) fn breaking() -> Self {
        Self {
            state: State::Breaking,
            under_way: 1,
        }
    }

    /// It was broken by somebody else.
    pub(super) fn in_force(until: Elapsed) -> Self {
        Self {
            state: State::InForce { until },
            under_way: 0,
        }
    }

    pub(super) fn is_in_force(&self) -> bool {
        matches!(self.state, State::InForce { .. })
    }

    pub(super) fn is_over(&self, now: Elapsed) -> bool {
        matches!(self.state, State::InForce { until } if now >= until)
    }

    /// One more task breaks.
    pub(super) fn breaks_more(&mut self) {
        self.under_way = self.under_way.saturating_add(1);
    }

    /// A task that breaks has ended. Whether what heals is to begin now.
    pub(super) fn has_ended(&mut self) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        self.state == State::Healing && self.under_way == 0
    }

    /// What breaks was tried: from now on it lasts. `false` if it is to be healed already.
    pub(super) fn lasts(&mut self, until: Elapsed) -> bool {
        let begins = self.state == State::Breaking;
        if begins {
            self.state = State::InForce { until };
        }
        begins
    }

    /// It is to be healed: whether what heals is to begin at once; `None` if that is known already.
    pub(super) fn heal(&mut self) -> Option<bool> {
        if self.state == State::Healing {
            return None;
        }
        self.state = State::Healing;
        Some(self.under_way == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_broken_lasts_and_is_healed() {
        let mut standing = Standing::breaking();
        assert!(!standing.is_in_force());
        assert!(!standing.has_ended(), "nobody wants it healed");
        assert!(standing.lasts(Elapsed::from_secs(5)));
        assert!(standing.is_in_force() && !standing.is_over(Elapsed::from_secs(4)));
        assert!(standing.is_over(Elapsed::from_secs(5)));
        assert_eq!(standing.heal(), Some(true));
        assert_eq!(standing.heal(), None, "once");
        assert!(!standing.is_in_force() && !standing.is_over(Elapsed::from_secs(9)));
    }

    #[test]
    fn what_is_being_broken_is_healed_when_that_is_done() {
        let mut standing = Standing::breaking();
        assert_eq!(standing.heal(), Some(false));
        assert!(standing.has_ended(), "now");
        assert!(!standing.lasts(Elapsed::from_secs(5)), "and never lasts");
    }

    #[test]
    fn a_node_that_is_broken_again_is_waited_for() {
        let mut standing = Standing::in_force(Elapsed::from_secs(5));
        standing.breaks_more();
        standing.breaks_more();
        assert!(!standing.has_ended());
        assert_eq!(standing.heal(), Some(false));
        assert!(standing.has_ended());
        assert!(!Standing::in_force(Elapsed::from_secs(5)).has_ended());
    }
}
