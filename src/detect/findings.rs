//! The findings of a run while they grow.
//!
//! Invariant: once opened, a finding changes only so: its severity rises, its end is set, evidence and nodes are
//! appended, its last height and its duration grow. Entries that follow never take it back.
//! Everything is bounded: findings of a kind, evidence and nodes of a finding. Of a kind with too many the oldest of
//! those that are over and fail nothing go, and are counted: what fails the gate is never lost behind what does not.

mod opening;

use std::collections::{BTreeMap, BTreeSet};

pub use opening::Opening;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        causes::Cause,
        finding::{Finding, Severity},
        judgement::Page,
        kept,
    },
    ids::{Height, NodeName, Seq, ShardId},
    plan::Gate,
    time::{Clocks, Elapsed, WallTime},
    verdict,
};

/// More of one kind that are over tell nobody anything new; they are counted.
const MOST_OF_A_KIND: usize = 1000;
/// ... of all of a kind, also of those that are open or fail the gate: a run with so many has long failed.
const MOST_AT_ALL: usize = 4 * MOST_OF_A_KIND;
/// Entries that a finding cites: the ones it opened with, then as they come.
pub const MOST_EVIDENCE: usize = 20;
const MOST_NODES: usize = 64;
const MOST_CAUSES: usize = 16;

/// A finding's number in the run, kept by the detector that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle(u64);

/// The handle of a finding that is only counted.
const COUNTED_ONLY: Handle = Handle(u64::MAX);

/// How a finding changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was opened.
    Opened,
    /// Its severity rose.
    Raised,
    /// Somebody is to be woken up.
    Paged,
    /// It ended.
    Closed,
}

/// A change with the finding as it stands after it.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingChange {
    /// What changed.
    pub kind: ChangeKind,
    /// The finding.
    pub finding: Finding,
}

/// All findings of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Findings {
    clocks: Clocks,
    #[serde(with = "kept::by_name")]
    gate: Gate,
    now: Elapsed,
    wall: WallTime,
    seq: Seq,
    #[serde(with = "kept::by_name")]
    all: Vec<Finding>,
    /// The numbers of `all`, in the same order: ascending.
    numbers: Vec<u64>,
    next: u64,
    /// Numbers of those that are open.
    open: BTreeSet<u64>,
    suppressed: BTreeMap<String, u64>,
    beyond: BTreeMap<String, u64>,
    pages: Vec<Page>,
    /// Those of the entry at hand.
    #[serde(skip)]
    changes: Vec<FindingChange>,
}

impl Findings {
    /// None yet. The gate says what severities the plan gives, and which findings fail nothing.
    #[must_use]
    pub fn new(clocks: Clocks, gate: Gate) -> Self {
        Self {
            clocks,
            gate,
            now: Elapsed::default(),
            wall: WallTime::default(),
            seq: Seq(0),
            all: Vec::new(),
            numbers: Vec::new(),
            next: 0,
            open: BTreeSet::new(),
            suppressed: BTreeMap::new(),
            beyond: BTreeMap::new(),
            pages: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The entry at hand.
    pub(super) fn at(&mut self, now: Elapsed, wall: WallTime, seq: Seq) {
        self.now = now;
        self.wall = wall;
        self.seq = seq;
    }

    /// The changes since they were last taken.
    pub(super) fn take_changes(&mut self) -> Vec<FindingChange> {
        std::mem::take(&mut self.changes)
    }

    /// All findings, in the order in which they were noticed. Durations of open ones stand at their last change.
    #[must_use]
    pub fn all(&self) -> &[Finding] {
        &self.all
    }

    /// Findings that are only counted: over, and excused or otherwise without weight at the gate.
    #[must_use]
    pub fn suppressed(&self) -> &BTreeMap<String, u64> {
        &self.suppressed
    }

    /// Findings that came when even more could not be held; each of them may be one that fails the gate.
    #[must_use]
    pub fn beyond(&self) -> &BTreeMap<String, u64> {
        &self.beyond
    }

    /// The pages that went out.
    #[must_use]
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Whether none is open. One that is only counted may be open for its detector.
    pub(super) fn at_rest(&self) -> bool {
        self.open.is_empty() && self.beyond.is_empty()
    }

    /// All findings with the durations of open ones up to this moment.
    #[must_use]
    pub fn until(&self, now: Elapsed) -> Vec<Finding> {
        let mut all = self.all.clone();
        for finding in &mut all {
            if finding.end.is_none() {
                finding.duration = now.since(finding.start);
                finding.mainnet = self.clocks.to_mainnet(finding.duration);
            }
        }
        all
    }

    /// Opens a finding.
    pub fn open(&mut self, opening: Opening) -> Handle {
        if !self.make_room(opening.kind) {
            *self.beyond.entry(opening.kind.to_owned()).or_default() += 1;
            return COUNTED_ONLY;
        }
        let mut evidence = opening.evidence;
        evidence.push(self.seq);
        evidence.sort_unstable();
        evidence.dedup();
        // The newest are the nearest to what is claimed.
        evidence.drain(..evidence.len().saturating_sub(MOST_EVIDENCE));
        let mut nodes = opening.nodes;
        nodes.truncate(MOST_NODES);
        let mut causes = opening.causes;
        causes.truncate(MOST_CAUSES);
        let duration = self.now.since(opening.start);
        let finding = Finding {
            id: self.id(opening.kind, opening.shard, nodes.first()),
            kind: opening.kind.to_owned(),
            severity: self.effective(opening.kind, opening.severity),
            shard: opening.shard,
            nodes,
            start: opening.start,
            noticed: self.now,
            end: None,
            heights: opening.heights,
            duration,
            mainnet: self.clocks.to_mainnet(duration),
            summary: opening.summary,
            evidence,
            excused_by: opening.excused_by,
            waived: None,
            causes,
            chain: Vec::new(),
            raised: None,
        };
        self.all.push(finding);
        let handle = Handle(self.next);
        self.numbers.push(self.next);
        self.open.insert(self.next);
        self.next += 1;
        self.changed(handle, ChangeKind::Opened);
        handle
    }

    /// Makes room for one more of this kind; answers whether there is any.
    fn make_room(&mut self, kind: &str) -> bool {
        // The usual case by far, without a look at any of them.
        if self.all.len() < MOST_OF_A_KIND {
            return true;
        }
        let of_kind = || self.all.iter().filter(move |finding| finding.kind == kind);
        let over = of_kind().filter(|finding| finding.end.is_some()).count();
        if over < MOST_OF_A_KIND && of_kind().count() < MOST_AT_ALL {
            return true;
        }
        let light = |finding: &Finding| {
            finding.excused_by.is_some() || finding.severity < self.gate.fail_on
        };
        // Waived ones and those that only warn go last: people look for these.
        let without_weight = |finding: &Finding| !verdict::fails(&self.gate, finding, self.wall);
        let oldest = |goes: &dyn Fn(&Finding) -> bool| {
            let candidate =
                |finding: &Finding| finding.kind == kind && finding.end.is_some() && goes(finding);
            self.all.iter().position(candidate)
        };
        let Some(place) = oldest(&light).or_else(|| oldest(&without_weight)) else {
            return of_kind().count() < MOST_AT_ALL;
        };
        let gone = self.all.remove(place);
        self.numbers.remove(place);
        self.pages.retain(|page| page.finding != gone.id);
        *self.suppressed.entry(gone.kind).or_default() += 1;
        true
    }

    fn place(&self, handle: Handle) -> Option<usize> {
        self.numbers.binary_search(&handle.0).ok()
    }

    fn get_mut(&mut self, handle: Handle) -> Option<&mut Finding> {
        let place = self.place(handle)?;
        self.all.get_mut(place)
    }

    /// Places of those that are open or changed at this entry, in order.
    fn restless(&self, open: bool) -> BTreeSet<usize> {
        let place = |number: &u64| self.place(Handle(*number));
        let open = self.open.iter().filter(|_| open).filter_map(place);
        let changed = self.changes.iter().filter_map(|change| {
            let same = |finding: &Finding| finding.id == change.finding.id;
            self.all.iter().rposition(same)
        });
        open.chain(changed).collect()
    }

    /// Opens a finding that is about a moment and over at once.
    pub fn moment(&mut self, opening: Opening) -> Handle {
        let handle = self.open(opening);
        self.close(handle, self.now);
        handle
    }

    /// The severity rises to this, if it is lower.
    pub fn raise(&mut self, handle: Handle, severity: Severity) {
        let Some(place) = self.place(handle) else {
            return;
        };
        let severity = self.effective(&self.all[place].kind, severity);
        let finding = &mut self.all[place];
        if finding.end.is_none() && severity > finding.severity {
            finding.severity = severity;
            finding.raised = Some(self.now);
            self.cite(handle, self.seq);
            self.changed(handle, ChangeKind::Raised);
        }
    }

    /// Somebody is to be woken up.
    pub fn page(&mut self, handle: Handle) {
        let Some(finding) = self.place(handle).map(|place| &self.all[place]) else {
            return;
        };
        self.pages.push(Page {
            finding: finding.id.clone(),
            at: self.now,
            after: self.now.since(finding.start),
        });
        self.changed(handle, ChangeKind::Paged);
    }

    /// Adds an entry to the evidence.
    pub fn cite(&mut self, handle: Handle, seq: Seq) {
        if let Some(finding) = self.get_mut(handle)
            && finding.evidence.len() < MOST_EVIDENCE
            && !finding.evidence.contains(&seq)
        {
            finding.evidence.push(seq);
        }
    }

    /// Adds a node that it concerns.
    pub fn name_node(&mut self, handle: Handle, node: &NodeName) {
        if let Some(finding) = self.get_mut(handle)
            && finding.nodes.len() < MOST_NODES
            && !finding.nodes.contains(node)
        {
            finding.nodes.push(node.clone());
        }
    }

    /// The changes at the entry at hand.
    pub(super) fn changes(&self) -> &[FindingChange] {
        &self.changes
    }

    /// Looks again at what came before findings that changed at this entry or are open.
    pub(super) fn link(&mut self, chain: impl Fn(&Finding) -> Vec<Cause>) {
        for place in self.restless(true) {
            let finding = &mut self.all[place];
            finding.chain = chain(finding);
            for change in &mut self.changes {
                if change.finding.id == finding.id {
                    change.finding.chain.clone_from(&finding.chain);
                }
            }
        }
    }

    /// Looks again at what excuses: at findings that changed at this entry, if `all`, at all that are open, and at those
    /// that were noticed `since`, over or not: what a fault did while it was begun is of its making once it is known to
    /// have begun. The changes at hand show the answer.
    pub(super) fn excuse(
        &mut self,
        all: bool,
        since: Option<Elapsed>,
        excuse: impl Fn(&Finding) -> Option<String>,
    ) {
        // Most entries by far: nothing changed, and nothing is open that could have.
        let may_have = all && !self.open.is_empty();
        if self.changes.is_empty() && !may_have && since.is_none() {
            return;
        }
        let changed = self.restless(false);
        let lately = since.map_or(self.all.len(), |since| {
            self.all.partition_point(|finding| finding.noticed < since)
        });
        let mut places = self.restless(all);
        places.extend(lately..self.all.len());
        for place in places {
            let finding = &self.all[place];
            // What ended while it was excused stays so.
            if finding.end.is_some() && finding.excused_by.is_some() {
                continue;
            }
            let excused_by = excuse(finding);
            if excused_by == finding.excused_by {
                continue;
            }
            self.all[place].excused_by = excused_by;
            if !changed.contains(&place) {
                self.changed(Handle(self.numbers[place]), ChangeKind::Raised);
            }
        }
        for change in &mut self.changes {
            if let Some(finding) = self
                .all
                .iter()
                .rev()
                .find(|finding| finding.id == change.finding.id)
            {
                change.finding.excused_by.clone_from(&finding.excused_by);
            }
        }
    }

    /// It concerns heights up to this one too.
    pub fn up_to_height(&mut self, handle: Handle, height: Height) {
        if let Some(finding) = self.get_mut(handle) {
            finding.heights = Some(match finding.heights {
                Some((first, last)) => (first, last.max(height)),
                None => (height, height),
            });
        }
    }

    /// It ended at this moment.
    pub fn close(&mut self, handle: Handle, end: Elapsed) {
        let clocks = self.clocks;
        let Some(finding) = self.get_mut(handle) else {
            return;
        };
        if finding.end.is_some() {
            return;
        }
        finding.end = Some(end);
        finding.duration = end.since(finding.start);
        finding.mainnet = clocks.to_mainnet(finding.duration);
        self.open.remove(&handle.0);
        self.cite(handle, self.seq);
        self.changed(handle, ChangeKind::Closed);
    }

    /// A plan may raise or lower, but what is critical stays critical.
    fn effective(&self, kind: &str, severity: Severity) -> Severity {
        match self.gate.severity.get(kind) {
            Some(&asked) if severity != Severity::Critical => asked,
            _ => severity,
        }
    }

    fn changed(&mut self, handle: Handle, kind: ChangeKind) {
        if let Some(place) = self.place(handle) {
            self.changes.push(FindingChange {
                kind,
                finding: self.all[place].clone(),
            });
        }
    }

    /// Two letters of the kind and a few hexadecimal digits: the same for the same journal. More digits where earlier ids
    /// are not known any more, so that none comes twice.
    fn id(&self, kind: &str, shard: Option<ShardId>, node: Option<&NodeName>) -> String {
        let mut words = kind.split('-');
        let initials: String = match (words.next(), words.next()) {
            (Some(first), Some(second)) => first
                .chars()
                .take(1)
                .chain(second.chars().take(1))
                .collect(),
            (Some(only), None) => only.chars().take(2).collect(),
            _ => String::new(),
        };
        // FNV-1a: stable over versions and platforms, which the standard hasher does not promise.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let node = node.map_or("", NodeName::as_str);
        let shard = shard.map_or(u64::MAX, |shard| shard.0);
        for byte in kind
            .bytes()
            .chain(node.bytes())
            .chain(shard.to_le_bytes())
            .chain(self.seq.0.to_le_bytes())
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let digits = format!("{hash:016x}");
        let least = if self.suppressed.is_empty() { 4 } else { 12 };
        (least..=16)
            .map(|length| format!("{initials}-{}", &digits[..length]))
            .find(|id| self.all.iter().all(|finding| finding.id != *id))
            .unwrap_or_else(|| format!("{initials}-{digits}-{}", self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn findings(overrides: &[(&str, Severity)]) -> Findings {
        let clocks = Clocks {
            block_interval: Duration::from_millis(200),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_millis(2700),
        };
        let overrides = overrides
            .iter()
            .map(|&(kind, severity)| (kind.to_owned(), severity))
            .collect();
        let gate = Gate {
            severity: overrides,
            ..crate::journal::generate::Shape::default().plan().gate
        };
        Findings::new(clocks, gate)
    }

    fn stall(severity: Severity) -> Opening {
        Opening::new(
            "stall",
            severity,
            Elapsed::from_secs(1),
            "no block".to_owned(),
        )
    }

    #[test]
    fn severity_only_rises_and_what_is_critical_cannot_be_lowered() {
        let mut findings = findings(&[("stall", Severity::Info)]);
        let handle = findings.open(stall(Severity::Minor));
        assert_eq!(findings.all()[0].severity, Severity::Info, "the plan's");
        findings.raise(handle, Severity::Critical);
        assert_eq!(findings.all()[0].severity, Severity::Critical);
        findings.raise(handle, Severity::Minor);
        assert_eq!(findings.all()[0].severity, Severity::Critical);
        let kinds: Vec<_> = findings
            .take_changes()
            .iter()
            .map(|change| change.kind)
            .collect();
        assert_eq!(kinds, [ChangeKind::Opened, ChangeKind::Raised]);
    }

    #[test]
    fn all_is_bounded_and_ids_differ() {
        let mut findings = findings(&[]);
        for count in 0..3000 {
            findings.at(Elapsed::from_secs(2), WallTime(0), Seq(count));
            let handle = findings.open(stall(Severity::Minor));
            findings.close(handle, Elapsed::from_secs(3));
            findings.raise(handle, Severity::Critical);
        }
        assert_eq!(findings.all().len(), MOST_OF_A_KIND);
        assert_eq!(findings.suppressed()["stall"], 2000);
        let ids: std::collections::BTreeSet<_> =
            findings.all().iter().map(|finding| &finding.id).collect();
        assert_eq!(ids.len(), MOST_OF_A_KIND);
        assert!(findings.beyond().is_empty());
        let handle = findings.open(stall(Severity::Minor));
        for seq in 0..100 {
            findings.cite(handle, Seq(seq));
            findings.name_node(handle, &NodeName::of(ShardId(seq), 0));
        }
        let last = findings.all().last().unwrap();
        assert_eq!(last.evidence.len(), MOST_EVIDENCE);
        assert_eq!(last.nodes.len(), MOST_NODES);
    }

    /// A finding at each moment that is over in the next one, and its id.
    fn over(findings: &mut Findings, count: u64, severity: Severity, excused: bool) -> String {
        findings.at(Elapsed::from_secs(count), WallTime(0), Seq(count));
        let mut opening = stall(severity);
        opening.excused_by = excused.then(|| "kill-1".to_owned());
        let handle = findings.open(opening);
        findings.close(handle, Elapsed::from_secs(count + 1));
        findings.all().last().unwrap().id.clone()
    }

    #[test]
    fn what_fails_the_gate_is_kept_behind_thousands_that_do_not() {
        let mut findings = findings(&[]);
        let early = over(&mut findings, 0, Severity::Critical, false);
        let open = findings.open(stall(Severity::Minor));
        let (mut kept, thousands) = (vec![early], 3 * MOST_OF_A_KIND as u64);
        for count in 1..=thousands {
            match count % 100 {
                0 => kept.push(over(&mut findings, count, Severity::Major, false)),
                1..50 => drop(over(&mut findings, count, Severity::Minor, false)),
                _ => drop(over(&mut findings, count, Severity::Critical, true)),
            }
        }
        let fails: Vec<_> = findings
            .all()
            .iter()
            .filter(|finding| verdict::fails(&findings.gate, finding, WallTime(0)))
            .map(|finding| finding.id.clone())
            .collect();
        assert_eq!(fails, kept);
        assert_eq!(findings.all().len(), MOST_OF_A_KIND + 1);
        assert_eq!(
            findings.suppressed()["stall"],
            thousands + 1 - MOST_OF_A_KIND as u64
        );
        // The one that is open is the same by its handle, wherever it stands by now.
        findings.raise(open, Severity::Critical);
        findings.close(open, Elapsed::from_secs(9_000));
        let raised = findings
            .all()
            .iter()
            .filter(|finding| finding.raised.is_some());
        assert_eq!(raised.count(), 1);
        assert!(findings.beyond().is_empty());
        let ids: BTreeSet<_> = findings.all().iter().map(|finding| &finding.id).collect();
        assert_eq!(ids.len(), findings.all().len());
    }

    #[test]
    fn what_cannot_be_held_at_all_is_told_apart() {
        let mut findings = findings(&[]);
        let more = MOST_AT_ALL as u64 + 3;
        for count in 0..more {
            over(&mut findings, count, Severity::Critical, false);
        }
        assert_eq!(findings.all().len(), MOST_AT_ALL);
        assert_eq!(findings.beyond()["stall"], 3);
        assert!(findings.suppressed().is_empty());
    }
}
