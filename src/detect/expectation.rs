//! Live expectation: what a shard owes now.
//!
//! Only a fault that the canary injected and journalled excuses: from its acknowledged start to its heal plus the
//! recovery budget. A node that is down, full or cut off by itself, or by someone else's hand, is a finding and never
//! lowers what is owed. A fault that had no effect excuses nothing; one that works on some of its nodes excuses these;
//! and where it does not work any more, because a node was started again, its excuse ends as with a heal.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{NodeName, ShardId},
    journal::{
        effect::{Effect, RECOVERY},
        event::FaultStep,
    },
    plan::foreign::Quorum,
    time::Elapsed,
};

/// How long what is wrong with one node (not with its shard) is excused after a heal, in recovery budgets: the time in
/// which a shard is to be back at its normal rate.
const CATCHING_UP: u32 = 3;

/// What a node says of a disk that the canary has lost may come so long before the engine tells of the loss: the two
/// come by different ways.
const DISK_LOST_REACH: Duration = Duration::from_secs(10);
/// Beginning a fault takes no longer (`BREAK_DEADLINE` of a run and its heal); whose beginning is not told by then was
/// forgotten.
const BEGINNING: Duration = Duration::from_secs(240);
/// Some findings are over later than their last sign, by which they are excused: a fault is remembered for as long.
const TOLD_LATE: Duration = Duration::from_secs(30);

/// What a finding was concluded from: it may rest on what lies that far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookBack {
    /// One moment.
    Moment,
    /// The window of rates before it.
    Window,
}

/// A fault with what it takes away while it is in force. Where it comes to an end on some of its nodes before it does on
/// others, or begins anew there, it is here more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its id in the schedule, as findings name it.
    pub id: Arc<str>,
    /// Its kind, for people.
    pub kind: Arc<str>,
    /// Nodes that cannot be counted on while it is in force.
    pub takes: Vec<NodeName>,
    /// What it does to them.
    pub effects: Vec<Effect>,
    /// When it was begun.
    pub requested: Elapsed,
    /// When all of it was acknowledged; until then it excuses nothing.
    pub start: Option<Elapsed>,
    /// When it was healed, or was seen not to work any more; `None` while it is in force.
    pub healed: Option<Elapsed>,
    /// It had no effect.
    pub ineffective: bool,
    /// All that it was to take.
    asked: Vec<NodeName>,
    /// Its effect was read back.
    effective: bool,
    /// It was healed for good: its nodes are not broken again.
    over: bool,
}

impl Fault {
    fn is_in_force(&self) -> bool {
        self.healed.is_none() && !self.ineffective
    }

    /// Whether it is in force or within `after` of its heal.
    fn excuses(&self, at: Elapsed, after: Duration) -> bool {
        !self.ineffective
            && self.start.is_some()
            && self.requested <= at
            && self.healed.is_none_or(|healed| at <= healed + after)
    }
}

/// The voting power of a shard's committee.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Committee {
    powers: BTreeMap<NodeName, u64>,
    quorum: Quorum,
}

impl Committee {
    /// From the voting power of each validator.
    #[must_use]
    pub fn new(powers: impl IntoIterator<Item = (NodeName, u64)>) -> Self {
        Self {
            powers: powers.into_iter().collect(),
            quorum: Quorum::default(),
        }
    }

    /// With another share that must agree.
    #[must_use]
    pub fn with(self, quorum: Quorum) -> Self {
        Self { quorum, ..self }
    }

    fn total(&self) -> u64 {
        self.powers
            .values()
            .fold(0, |sum, power| sum.saturating_add(*power))
    }
}

/// What injected faults excuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    committees: BTreeMap<ShardId, Committee>,
    recovery: Duration,
    window: Duration,
    faults: Vec<Fault>,
    disks_lost: BTreeMap<NodeName, Elapsed>,
}

impl Expectation {
    /// Nothing is excused until a fault is injected. `recovery` is the budget after a heal, `window` what rates look back.
    #[must_use]
    pub fn new(
        committees: BTreeMap<ShardId, Committee>,
        recovery: Duration,
        window: Duration,
    ) -> Self {
        Self {
            committees,
            recovery,
            window,
            faults: Vec::new(),
            disks_lost: BTreeMap::new(),
        }
    }

    /// The canary has lost the FUSE disk of a node.
    pub fn disk_lost(&mut self, node: &NodeName, at: Elapsed) {
        self.disks_lost.entry(node.clone()).or_insert(at);
    }

    /// Whether what was noticed of a node then may be the canary's doing, who has lost its disk.
    #[must_use]
    pub fn had_no_disk(&self, node: &NodeName, noticed: Elapsed) -> bool {
        self.disks_lost
            .get(node)
            .is_some_and(|lost| noticed + DISK_LOST_REACH >= *lost)
    }

    /// A step of a fault, as journalled.
    pub fn fold(&mut self, id: &Arc<str>, kind: &Arc<str>, step: &FaultStep, at: Elapsed) {
        if let FaultStep::Requested { takes, effects, .. } = step {
            // What healed long ago excuses nothing any more; only so many are kept in mind.
            let reach = self.after_heal(LookBack::Window) + TOLD_LATE;
            self.faults
                .retain(|fault| fault.healed.is_none_or(|healed| at <= healed + reach));
            self.faults.push(Fault {
                id: Arc::clone(id),
                kind: Arc::clone(kind),
                takes: takes.clone(),
                effects: effects.clone(),
                requested: at,
                start: None,
                healed: None,
                ineffective: false,
                asked: takes.clone(),
                effective: false,
                over: false,
            });
            return;
        }
        match step {
            FaultStep::Effective { nodes, .. } => self.works(id, nodes, at),
            FaultStep::Ineffective { nodes, .. } => self.works_not(id, nodes, at),
            FaultStep::Acknowledged => {
                for fault in self.going_on(id) {
                    fault.start = fault.start.or(Some(at));
                }
            }
            FaultStep::Healed => {
                for fault in self.going_on(id) {
                    fault.healed = fault.healed.or(Some(at));
                    fault.over = true;
                }
            }
            _ => {}
        }
    }

    fn going_on(&mut self, id: &str) -> impl Iterator<Item = &mut Fault> {
        let of = move |fault: &&mut Fault| *fault.id == *id && !fault.over;
        self.faults.iter_mut().filter(of)
    }

    /// A fault works on these nodes (none: on all). Where it did not, or did not any more, it begins now.
    fn works(&mut self, id: &str, nodes: &[NodeName], at: Elapsed) {
        let last = self.going_on(id).last().map(|fault| fault.clone());
        let Some(mut again) = last else { return };
        again.takes = again.asked.clone();
        again
            .takes
            .retain(|node| nodes.is_empty() || nodes.contains(node));
        for fault in self.going_on(id).filter(|fault| fault.is_in_force()) {
            fault.effective = true;
            again.takes.retain(|node| !fault.takes.contains(node));
        }
        if !again.takes.is_empty() {
            (again.requested, again.start, again.healed) = (at, Some(at), None);
            (again.ineffective, again.effective) = (false, true);
            self.faults.push(again);
        }
    }

    /// A fault does not work on these nodes (none: on any). Where it did, that is over now; else it never did.
    fn works_not(&mut self, id: &str, nodes: &[NodeName], at: Elapsed) {
        let meant = |node: &NodeName| nodes.is_empty() || nodes.contains(node);
        let mut ended = Vec::new();
        for fault in self.going_on(id).filter(|fault| fault.is_in_force()) {
            let (gone, left) = fault.takes.iter().cloned().partition(meant);
            match (fault.effective, nodes.is_empty()) {
                (true, true) => fault.healed = Some(at),
                (true, false) => {
                    fault.takes = left;
                    ended.push(Fault {
                        takes: gone,
                        healed: Some(at),
                        ..fault.clone()
                    });
                }
                (false, _) => {
                    fault.takes = left;
                    fault.ineffective = fault.takes.is_empty();
                }
            }
        }
        ended.retain(|fault| !fault.takes.is_empty());
        self.faults.extend(ended);
    }

    /// When the last fault with this id was begun.
    #[must_use]
    pub fn requested(&self, id: &str) -> Option<Elapsed> {
        let last = self.faults.iter().rfind(|fault| *fault.id == *id)?;
        Some(last.requested)
    }

    /// What would be excused if all faults had begun that are being begun; `None` if there is no such fault.
    #[must_use]
    pub fn supposed(&self, now: Elapsed) -> Option<Self> {
        let begins = |fault: &Fault| {
            fault.start.is_none() && fault.is_in_force() && now <= fault.requested + BEGINNING
        };
        if !self.faults.iter().any(begins) {
            return None;
        }
        let mut supposed = self.clone();
        for fault in supposed.faults.iter_mut().filter(|fault| begins(fault)) {
            fault.start = Some(now);
        }
        Some(supposed)
    }

    /// Whether a fault works now on all that it was to take.
    #[must_use]
    pub fn works_everywhere(&self, id: &str) -> bool {
        let of = |fault: &&Fault| *fault.id == *id && fault.effective && fault.healed.is_none();
        let Some(asked) = self.faults.iter().find(of).map(|fault| &fault.asked) else {
            return false;
        };
        let works = |node: &NodeName| {
            let mut faults = self.faults.iter().filter(of);
            faults.any(|fault| fault.takes.contains(node))
        };
        asked.iter().all(works)
    }

    /// How long after a heal what was measured may still be of the fault's making.
    fn after_heal(&self, back: LookBack) -> Duration {
        let catching_up = self.recovery * CATCHING_UP;
        match back {
            LookBack::Moment => catching_up,
            // A window of so many blocks is longer than its time where blocks were late.
            LookBack::Window => catching_up + self.window * 3 / 2,
        }
    }

    /// Whether there was any fault so far.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Faults that are remembered: in force, or healed not long ago.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The fault that excuses a shard from making blocks at this moment: the power that faults leave is no quorum.
    /// `None` means that blocks are owed.
    #[must_use]
    pub fn excuses_shard(&self, shard: ShardId, at: Elapsed) -> Option<&Fault> {
        self.quorum_taken(shard, at, self.recovery)
    }

    /// The same without the time after a heal: whether it is taken right now.
    #[must_use]
    pub fn takes_quorum(&self, shard: ShardId, at: Elapsed) -> bool {
        self.quorum_taken(shard, at, Duration::ZERO).is_some()
    }

    fn quorum_taken(&self, shard: ShardId, at: Elapsed, after: Duration) -> Option<&Fault> {
        // Nearly every look ends here: there is no copy to be made of a committee that nothing is taken from.
        if !self.faults.iter().any(|fault| fault.excuses(at, after)) {
            return None;
        }
        let committee = self.committees.get(&shard)?;
        let mut left = committee.powers.clone();
        let mut last = None;
        for fault in self.faults.iter().filter(|fault| fault.excuses(at, after)) {
            let before = left.len();
            left.retain(|node, _| !fault.takes.contains(node));
            if left.len() < before {
                last = Some(fault);
            }
        }
        let present = left
            .values()
            .fold(0_u64, |sum, power| sum.saturating_add(*power));
        if committee.quorum.is_met(committee.total(), present) {
            return None;
        }
        last
    }

    /// The fault that slows a shard down or thins out its signers at this moment: one that takes any of its validators.
    #[must_use]
    pub fn weakens_shard(&self, shard: ShardId, at: Elapsed, back: LookBack) -> Option<&Fault> {
        let committee = self.committees.get(&shard)?;
        self.faults.iter().find(|fault| {
            fault.excuses(at, self.after_heal(back))
                && fault
                    .takes
                    .iter()
                    .any(|node| committee.powers.contains_key(node))
        })
    }

    /// The fault that weakens any shard at this moment.
    #[must_use]
    pub fn weakens_any(&self, at: Elapsed, back: LookBack) -> Option<&Fault> {
        self.committees
            .keys()
            .find_map(|shard| self.weakens_shard(*shard, at, back))
    }

    /// The fault that excuses what is wrong with a node at this moment, if it has one of these effects.
    #[must_use]
    pub fn excuses_node(
        &self,
        node: &NodeName,
        effects: &[Effect],
        at: Elapsed,
        back: LookBack,
    ) -> Option<&Fault> {
        self.faults.iter().find(|fault| {
            fault.excuses(at, self.after_heal(back))
                && fault.takes.contains(node)
                && fault.effects.iter().any(|effect| effects.contains(effect))
        })
    }

    /// Whether a node's head may go back: its data was put back on purpose. Counted from the request on, because the node
    /// may tell of it before the canary knows that all was done.
    #[must_use]
    pub fn was_set_back(&self, node: &NodeName, at: Elapsed) -> bool {
        let after = self.after_heal(LookBack::Window);
        self.faults.iter().any(|fault| {
            !fault.ineffective
                && fault.effects.contains(&Effect::SetBack)
                && fault.takes.contains(node)
                && fault.requested <= at
                && fault.healed.is_none_or(|healed| at <= healed + after)
        })
    }

    /// The last heal of a fault that took nodes of this shard, if nothing takes its quorum now: from then on the
    /// recovery budget runs. What was done to bring the shard back is no such fault: it stood still before.
    #[must_use]
    pub fn healed(&self, shard: ShardId, at: Elapsed) -> Option<(Elapsed, &Fault)> {
        // First what is quick, and true at most times.
        if self.faults.is_empty() || self.takes_quorum(shard, at) {
            return None;
        }
        let committee = self.committees.get(&shard)?;
        self.faults
            .iter()
            .filter(|fault| {
                !fault.ineffective
                    && *fault.kind != *RECOVERY
                    && fault
                        .takes
                        .iter()
                        .any(|node| committee.powers.contains_key(node))
            })
            .filter_map(|fault| fault.healed.map(|healed| (healed, fault)))
            .max_by_key(|(healed, _)| *healed)
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
            Duration::from_secs(20),
        )
    }

    fn step(expectation: &mut Expectation, id: &str, step: FaultStep, at: u64) {
        expectation.fold(&id.into(), &"kill".into(), &step, Elapsed::from_secs(at));
    }

    fn inject(expectation: &mut Expectation, id: &str, takes: &[u32], at: u64) {
        let requested = FaultStep::Requested {
            targets: Vec::new(),
            takes: takes.iter().copied().map(node).collect(),
            effects: vec![Effect::Down],
            lasts: Duration::from_secs(9),
        };
        step(expectation, id, requested, at);
        step(expectation, id, FaultStep::Acknowledged, at + 1);
    }

    fn shard(expectation: &Expectation, at: u64) -> Option<String> {
        expectation
            .excuses_shard(ShardId(0), Elapsed::from_secs(at))
            .map(|fault| fault.id.to_string())
    }

    #[test]
    fn nothing_is_excused_without_a_fault() {
        let expectation = expectation();
        let at = Elapsed::from_secs(20);
        assert_eq!(expectation.excuses_shard(ShardId(0), at), None);
        assert_eq!(
            expectation.excuses_node(&node(0), &[Effect::Down], at, LookBack::Moment),
            None
        );
    }

    #[test]
    fn a_third_is_owed_and_more_is_excused_until_heal_and_budget() {
        let mut expectation = expectation();
        inject(&mut expectation, "kill-1", &[1], 10);
        let at = Elapsed::from_secs;
        assert_eq!(shard(&expectation, 20), None, "a quorum is left");
        assert!(
            expectation
                .excuses_node(&node(1), &[Effect::Down], at(20), LookBack::Moment)
                .is_some()
        );
        assert!(
            expectation
                .excuses_node(&node(1), &[Effect::DiskFull], at(20), LookBack::Moment)
                .is_none(),
            "another effect"
        );
        assert!(
            expectation
                .weakens_shard(ShardId(0), at(20), LookBack::Moment)
                .is_some()
        );
        inject(&mut expectation, "kill-2", &[2], 12);
        assert_eq!(shard(&expectation, 9), None, "before the start");
        assert_eq!(shard(&expectation, 20).unwrap(), "kill-2");
        assert!(expectation.takes_quorum(ShardId(0), at(20)));
        assert!(
            expectation.excuses_shard(ShardId(1), at(20)).is_none(),
            "another shard"
        );
        step(&mut expectation, "kill-2", FaultStep::Healed, 30);
        assert!(!expectation.takes_quorum(ShardId(0), at(31)));
        assert_eq!(expectation.healed(ShardId(0), at(31)).unwrap().0, at(30));
        assert_eq!(shard(&expectation, 35).unwrap(), "kill-2", "budget");
        assert_eq!(shard(&expectation, 36), None);
    }

    #[test]
    fn what_looks_back_over_a_window_is_excused_for_as_long_as_the_fault_is_in_it() {
        let mut expectation = expectation();
        inject(&mut expectation, "kill-1", &[1], 10);
        step(&mut expectation, "kill-1", FaultStep::Healed, 30);
        // Three budgets of 5 s; the window of 20 s and half of it again.
        for (at, moment, window) in [
            (45, true, true),
            (46, false, true),
            (75, false, true),
            (76, false, false),
        ] {
            let at = Elapsed::from_secs(at);
            let weakens = |back| expectation.weakens_shard(ShardId(0), at, back).is_some();
            let excuses = |back| {
                expectation
                    .excuses_node(&node(1), &[Effect::Down], at, back)
                    .is_some()
            };
            assert_eq!(
                (weakens(LookBack::Moment), weakens(LookBack::Window)),
                (moment, window)
            );
            assert_eq!(
                (excuses(LookBack::Moment), excuses(LookBack::Window)),
                (moment, window)
            );
        }
        // It is kept in mind for as long, though another one comes.
        inject(&mut expectation, "kill-2", &[2], 60);
        let at = Elapsed::from_secs(60);
        assert!(
            expectation
                .excuses_node(&node(1), &[Effect::Down], at, LookBack::Window)
                .is_some()
        );
    }

    #[test]
    fn what_was_not_acknowledged_or_had_no_effect_excuses_nothing() {
        let mut expectation = expectation();
        let requested = FaultStep::Requested {
            targets: Vec::new(),
            takes: (0..4).map(node).collect(),
            effects: vec![Effect::Down],
            lasts: Duration::from_secs(9),
        };
        step(&mut expectation, "f1", requested, 10);
        assert_eq!(shard(&expectation, 11), None);
        step(&mut expectation, "f1", FaultStep::Acknowledged, 12);
        assert!(shard(&expectation, 13).is_some());
        let none = FaultStep::ineffective(String::new());
        step(&mut expectation, "f1", none, 14);
        assert_eq!(shard(&expectation, 15), None);
    }

    fn works(nodes: &[u32]) -> FaultStep {
        FaultStep::Effective {
            proof: String::new(),
            nodes: nodes.iter().copied().map(node).collect(),
        }
    }

    fn works_not(nodes: &[u32]) -> FaultStep {
        FaultStep::Ineffective {
            why: String::new(),
            nodes: nodes.iter().copied().map(node).collect(),
        }
    }

    fn excused(expectation: &Expectation, at: u64) -> Vec<u32> {
        let at = Elapsed::from_secs(at);
        let excuses = |index: &u32| {
            let fault =
                expectation.excuses_node(&node(*index), &[Effect::Down], at, LookBack::Moment);
            fault.is_some()
        };
        (0..4).filter(excuses).collect()
    }

    #[test]
    fn a_fault_that_works_in_part_excuses_that_part() {
        let mut expectation = expectation();
        let requested = FaultStep::Requested {
            targets: Vec::new(),
            takes: vec![node(1), node(2), node(3)],
            effects: vec![Effect::Down],
            lasts: Duration::from_secs(9),
        };
        step(&mut expectation, "f1", requested, 10);
        step(&mut expectation, "f1", works_not(&[3]), 11);
        step(&mut expectation, "f1", FaultStep::Acknowledged, 11);
        step(&mut expectation, "f1", works(&[1, 2]), 11);
        assert_eq!(excused(&expectation, 12), [1, 2]);
        assert_eq!(shard(&expectation, 12).unwrap(), "f1", "two are no quorum");
        assert!(!expectation.works_everywhere("f1"));
        // It works on the third too, once that was started again.
        step(&mut expectation, "f1", works(&[3]), 20);
        assert_eq!(excused(&expectation, 20), [1, 2, 3]);
        assert_eq!(excused(&expectation, 19), [1, 2], "not before");
        assert!(expectation.works_everywhere("f1"));
        step(&mut expectation, "f1", FaultStep::Healed, 30);
        assert_eq!(excused(&expectation, 45), [1, 2, 3]);
        assert!(excused(&expectation, 46).is_empty());
    }

    #[test]
    fn a_fault_that_works_no_more_after_a_start_is_healed_there_until_it_does() {
        let mut expectation = expectation();
        inject(&mut expectation, "f1", &[1, 2], 10);
        step(&mut expectation, "f1", works(&[]), 11);
        assert!(expectation.works_everywhere("f1"));
        step(&mut expectation, "f1", works_not(&[2]), 20);
        assert!(!expectation.works_everywhere("f1"));
        assert_eq!(excused(&expectation, 15), [1, 2], "what was, was");
        assert_eq!(excused(&expectation, 35), [1, 2], "three budgets");
        assert_eq!(excused(&expectation, 36), [1]);
        assert_eq!(shard(&expectation, 25).unwrap(), "f1");
        assert_eq!(shard(&expectation, 26), None, "a quorum, and its budget");
        let at = Elapsed::from_secs;
        assert_eq!(expectation.healed(ShardId(0), at(26)).unwrap().0, at(20));
        step(&mut expectation, "f1", works(&[2]), 40);
        assert_eq!(excused(&expectation, 60), [1, 2]);
        assert_eq!(shard(&expectation, 60).unwrap(), "f1");
        // As older journals say it: of all at once, without names.
        step(&mut expectation, "f1", works_not(&[]), 70);
        assert_eq!(excused(&expectation, 85), [1, 2]);
        assert!(excused(&expectation, 86).is_empty());
        step(&mut expectation, "f1", works(&[]), 90);
        assert_eq!(excused(&expectation, 100), [1, 2]);
        step(&mut expectation, "f1", FaultStep::Healed, 110);
        // A snapshot tells what came of it when it is over.
        step(&mut expectation, "f1", works(&[]), 111);
        assert!(excused(&expectation, 126).is_empty());
    }

    #[test]
    fn what_brings_a_shard_back_excuses_like_a_fault_and_owes_no_recovery() {
        let mut expectation = expectation();
        let mut tell = |step, at| {
            let (id, kind) = ("recovery-0-1-wipe-node".into(), RECOVERY.into());
            expectation.fold(&id, &kind, &step, Elapsed::from_secs(at));
            expectation.clone()
        };
        let requested = FaultStep::Requested {
            targets: vec![node(3)],
            takes: vec![node(3)],
            effects: vec![Effect::Down, Effect::SetBack],
            lasts: Duration::ZERO,
        };
        let told = tell(requested, 10);
        let at = Elapsed::from_secs;
        assert!(told.was_set_back(&node(3), at(10)), "before it is certain");
        assert!(!told.was_set_back(&node(2), at(10)));
        tell(FaultStep::Acknowledged, 12);
        let told = tell(FaultStep::Healed, 13);
        assert!(
            told.weakens_shard(ShardId(0), at(14), LookBack::Moment)
                .is_some()
        );
        assert!(told.was_set_back(&node(3), at(40)));
        assert!(!told.was_set_back(&node(3), at(100)));
        assert_eq!(told.healed(ShardId(0), at(14)), None);
    }

    #[test]
    fn what_was_noticed_of_a_node_without_a_disk_is_not_its_own() {
        let mut expectation = expectation();
        expectation.disk_lost(&node(1), Elapsed::from_secs(60));
        let had_no_disk = |index, at| expectation.had_no_disk(&node(index), Elapsed::from_secs(at));
        assert!(had_no_disk(1, 61) && had_no_disk(1, 50));
        assert!(!had_no_disk(1, 49), "long before");
        assert!(!had_no_disk(2, 61), "another node");
    }

    #[test]
    fn quorum_is_more_than_two_thirds_and_does_not_overflow() {
        assert!(Quorum::TwoThirds.is_met(4, 3));
        assert!(!Quorum::TwoThirds.is_met(3, 2) && Quorum::Majority.is_met(3, 2));
        assert!(!Quorum::Majority.is_met(4, 2));
        assert!(!Quorum::TwoThirds.is_met(u64::MAX, u64::MAX / 3 * 2));
        assert!(Quorum::TwoThirds.is_met(u64::MAX, u64::MAX));
    }
}
