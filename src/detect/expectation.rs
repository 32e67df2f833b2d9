//! Live expectation: what a shard owes now.
//!
//! Only a fault that the canary injected and journalled excuses: from its acknowledged start to its heal plus the
//! recovery budget. A node that is down, full or cut off by itself, or by someone else's hand, is a finding and never
//! lowers what is owed. This version injects no fault, so nothing feeds [`Expectation`] yet; detectors ask it all the
//! same, so that faults arrive as facts and not as an afterthought.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ids::{NodeName, ShardId},
    time::Elapsed,
};

/// A fault with what it takes away while it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its id in the schedule, as findings name it.
    pub id: String,
    /// Nodes that cannot take part while it is in force.
    pub takes: Vec<NodeName>,
    /// When the engine acknowledged it.
    pub start: Elapsed,
    /// When it was healed; `None` while it is in force.
    pub healed: Option<Elapsed>,
}

/// The voting power of a shard's committee.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committee {
    powers: BTreeMap<NodeName, u64>,
}

impl Committee {
    /// From the voting power of each validator.
    #[must_use]
    pub fn new(powers: impl IntoIterator<Item = (NodeName, u64)>) -> Self {
        Self {
            powers: powers.into_iter().collect(),
        }
    }

    /// Whether these powers together are a quorum: more than two thirds.
    #[must_use]
    pub fn is_quorum(total: u64, present: u64) -> bool {
        u128::from(present) * 3 > u128::from(total) * 2
    }

    fn total(&self) -> u64 {
        self.powers
            .values()
            .fold(0, |sum, power| sum.saturating_add(*power))
    }
}

/// What injected faults excuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    committees: BTreeMap<ShardId, Committee>,
    recovery: Duration,
    faults: Vec<Fault>,
}

impl Expectation {
    /// Nothing is excused until a fault is injected. `recovery` is the budget after a heal.
    #[must_use]
    pub fn new(committees: BTreeMap<ShardId, Committee>, recovery: Duration) -> Self {
        Self {
            committees,
            recovery,
            faults: Vec::new(),
        }
    }

    /// An injected fault was acknowledged.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// It was healed.
    pub fn heal(&mut self, id: &str, at: Elapsed) {
        for fault in &mut self.faults {
            if fault.id == id && fault.healed.is_none() {
                fault.healed = Some(at);
            }
        }
    }

    fn excusing(&self, at: Elapsed) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| {
            fault.start <= at
                && fault
                    .healed
                    .is_none_or(|healed| at <= healed + self.recovery)
        })
    }

    /// The fault that excuses a shard from making blocks at this moment: the power that faults leave is no quorum.
    /// `None` means that blocks are owed.
    #[must_use]
    pub fn excuses_shard(&self, shard: ShardId, at: Elapsed) -> Option<&str> {
        let committee = self.committees.get(&shard)?;
        let mut left = committee.powers.clone();
        let mut last = None;
        for fault in self.excusing(at) {
            let before = left.len();
            left.retain(|node, _| !fault.takes.contains(node));
            if left.len() < before {
                last = Some(fault.id.as_str());
            }
        }
        let present = left
            .values()
            .fold(0_u64, |sum, power| sum.saturating_add(*power));
        if Committee::is_quorum(committee.total(), present) {
            return None;
        }
        last
    }

    /// The fault that excuses what is wrong with a node at this moment.
    #[must_use]
    pub fn excuses_node(&self, node: &NodeName, at: Elapsed) -> Option<&str> {
        self.excusing(at)
            .find(|fault| fault.takes.contains(node))
            .map(|fault| fault.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: u32) -> NodeName {
        NodeName::of(ShardId(0), index)
    }

    fn expectation() -> Expectation {
        let committee = Committee::new((0..4).map(|index| (node(index), 1)));
        Expectation::new(
            BTreeMap::from([(ShardId(0), committee)]),
            Duration::from_secs(5),
        )
    }

    fn fault(id: &str, takes: &[u32]) -> Fault {
        Fault {
            id: id.to_owned(),
            takes: takes.iter().copied().map(node).collect(),
            start: Elapsed::from_secs(10),
            healed: None,
        }
    }

    #[test]
    fn nothing_is_excused_without_a_fault() {
        let expectation = expectation();
        assert_eq!(
            expectation.excuses_shard(ShardId(0), Elapsed::from_secs(20)),
            None
        );
        assert_eq!(
            expectation.excuses_node(&node(0), Elapsed::from_secs(20)),
            None
        );
    }

    #[test]
    fn a_third_is_owed_and_more_is_excused_until_heal_and_budget() {
        let mut expectation = expectation();
        expectation.inject(fault("kill-1", &[1]));
        let at = Elapsed::from_secs;
        assert_eq!(
            expectation.excuses_shard(ShardId(0), at(20)),
            None,
            "a quorum is left"
        );
        assert_eq!(expectation.excuses_node(&node(1), at(20)), Some("kill-1"));
        expectation.inject(fault("kill-2", &[2]));
        assert_eq!(
            expectation.excuses_shard(ShardId(0), at(9)),
            None,
            "before the start"
        );
        assert_eq!(
            expectation.excuses_shard(ShardId(0), at(20)),
            Some("kill-2")
        );
        assert_eq!(
            expectation.excuses_shard(ShardId(1), at(20)),
            None,
            "another shard"
        );
        expectation.heal("kill-2", at(30));
        assert_eq!(
            expectation.excuses_shard(ShardId(0), at(35)),
            Some("kill-2"),
            "budget"
        );
        assert_eq!(expectation.excuses_shard(ShardId(0), at(36)), None);
    }

    #[test]
    fn quorum_is_more_than_two_thirds_and_does_not_overflow() {
        assert!(Committee::is_quorum(4, 3));
        assert!(!Committee::is_quorum(3, 2));
        assert!(!Committee::is_quorum(u64::MAX, u64::MAX / 3 * 2));
        assert!(Committee::is_quorum(u64::MAX, u64::MAX));
    }
}
