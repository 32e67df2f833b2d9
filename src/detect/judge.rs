//! The judge: the world, all detectors and all measures over one journal, live or afterwards.

mod kept;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    causes::Causes,
    detector::{DETECTORS, Detector, Wants},
    excuses,
    finding::Finding,
    findings::{FindingChange, Findings},
    judgement::{Doubt, Judgement, NodeView, ShardView},
    measure::Measures,
    world::World,
};
use crate::{
    ids::ShardId,
    journal::{Entry, Event, event::FaultStep},
    plan::Plan,
    time::{Elapsed, WallTime},
};

/// The plan that a journal begins with.
///
/// # Errors
/// When the entry carries a plan that this version cannot read; `None` inside when it is not the first entry.
pub fn plan_of(entry: &Entry) -> Result<Option<Plan>, serde_json::Error> {
    match &entry.event {
        Event::RunStarted { plan, .. } => serde_json::from_value(plan.clone()).map(Some),
        _ => Ok(None),
    }
}

/// Judges a journal entry by entry.
pub struct Judge {
    plan: Plan,
    world: World,
    detectors: Vec<(&'static str, Option<Box<dyn Detector>>)>,
    /// Places of the detectors that want an entry, by its class.
    wanted: Vec<Vec<usize>>,
    findings: Findings,
    causes: Causes,
    measures: Measures,
    /// The world itself panicked: nothing can be said from there on.
    broken: bool,
}

impl Judge {
    /// All detectors of the table, with the plan's windows.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let table = DETECTORS
            .iter()
            .map(|info| (info.id, (info.build)()))
            .collect();
        Self::with_detectors(plan, table)
    }

    pub(super) fn with_detectors(
        plan: &Plan,
        detectors: Vec<(&'static str, Box<dyn Detector>)>,
    ) -> Self {
        let world = World::new(plan);
        let wanted = Wants::classes().map(|class| {
            let of = |(_, (_, detector)): &(usize, &(_, Box<dyn Detector>))| {
                detector.wants().meets(class)
            };
            let wanting = detectors.iter().enumerate().filter(of);
            wanting.map(|(place, _)| place).collect()
        });
        Self {
            plan: plan.clone(),
            wanted: wanted.collect(),
            detectors: detectors
                .into_iter()
                .map(|(id, detector)| (id, Some(detector)))
                .collect(),
            findings: Findings::new(plan.clocks, plan.gate.clone()),
            causes: Causes::new(plan, &world),
            measures: Measures::new(&world),
            world,
            broken: false,
        }
    }

    /// Judges one entry; answers what changed among the findings.
    pub fn step(&mut self, entry: &Entry) -> Vec<FindingChange> {
        if self.broken {
            return Vec::new();
        }
        let world = &mut self.world;
        if catch_unwind(AssertUnwindSafe(|| world.step(entry))).is_err() {
            self.broken = true;
            self.panicked("all", entry.elapsed);
            return Vec::new();
        }
        let now = self.world.now;
        self.findings.at(now, self.world.wall(now), entry.seq);
        self.detect(entry);
        let world = &self.world;
        let again = world.pulse || matches!(entry.event, Event::Fault { .. } | Event::Drill { .. });
        let begun = match &entry.event {
            Event::Fault {
                id,
                step: FaultStep::Acknowledged,
                ..
            } => world.expectation.requested(id),
            _ => None,
        };
        self.findings.excuse(
            again && (world.expectation.any() || world.drill.is_some()),
            begun,
            |finding| excuses::excuse(world, &world.expectation, finding),
        );
        let new = self.causes.step(entry, world, self.findings.changes());
        if new || !self.findings.changes().is_empty() {
            let causes = &self.causes;
            self.findings.link(|finding| causes.chain(finding, world));
        }
        let changes = self.findings.take_changes();
        self.measures.step(entry, &self.world, &changes);
        changes
    }

    /// All detectors that want the entry look at it. One guard for all of them: a guard each would cost more than most
    /// of them.
    fn detect(&mut self, entry: &Entry) {
        let class = Wants::class(&entry.event, &self.world, self.findings.at_rest());
        let mut next = 0;
        while next < self.wanted[class].len() {
            let (world, findings) = (&self.world, &mut self.findings);
            let (wanted, detectors) = (&self.wanted[class], &mut self.detectors);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                while let Some(place) = wanted.get(next) {
                    if let Some(detector) = &mut detectors[*place].1 {
                        detector.step(entry, world, findings);
                    }
                    next += 1;
                }
            }));
            if outcome.is_err() {
                // Its state may be anything now; the others go on after it.
                let place = self.wanted[class][next];
                self.detectors[place].1 = None;
                self.panicked(self.detectors[place].0, self.world.now);
                next += 1;
            }
        }
    }

    /// Whether a shard is on its way back from a heal: no block yet, or nodes that have not caught up.
    #[must_use]
    pub fn coming_back(&self) -> bool {
        self.measures.coming_back()
    }

    fn panicked(&mut self, detector: &str, from: Elapsed) {
        self.measures.doubt(Doubt {
            detector: detector.to_owned(),
            shard: None,
            node: None,
            from,
            until: None,
            why: "the detector failed (a bug of this program); it judged nothing from there on"
                .to_owned(),
            decisive: true,
        });
    }

    /// All findings so far, in the order in which they were noticed.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.findings.all()
    }

    /// The shards as they are now, for the live display.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardView> {
        self.measures.shard_views(&self.world, &self.findings)
    }

    /// The nodes as they are now, for the live display.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        self.measures.node_views(&self.world)
    }

    /// What the journal says of the network now.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether a finding would be excused if the faults that are being begun had begun: nobody knows yet.
    #[must_use]
    pub fn is_undecided(&self, finding: &Finding) -> bool {
        let supposed = self.world.expectation.supposed(self.world.now);
        finding.excused_by.is_none()
            && supposed.is_some_and(|expectation| {
                excuses::excuse(&self.world, &expectation, finding).is_some()
            })
    }

    /// Whether a finding so far would fail the plan's gate: for a run that ends at its first failure. What may be of the
    /// making of a fault that is just being begun waits until that is known.
    #[must_use]
    pub fn over_gate(&self) -> Option<&Finding> {
        let mut findings = self.findings.all().iter();
        findings.find(|finding| self.fails(finding) && !self.is_undecided(finding))
    }

    /// The newest open finding of a kind about a shard that would fail the plan's gate.
    #[must_use]
    pub fn failing(&self, shard: ShardId, kind: &str) -> Option<&Finding> {
        let mut findings = self.findings.all().iter().rev();
        findings.find(|finding| {
            finding.end.is_none()
                && finding.shard == Some(shard)
                && finding.kind == kind
                && self.fails(finding)
                && !self.is_undecided(finding)
        })
    }

    fn fails(&self, finding: &Finding) -> bool {
        let wall = self.world.wall(self.world.now);
        crate::verdict::fails(&self.plan.gate, finding, wall)
    }

    /// The first finding so far for which this holds.
    #[must_use]
    pub fn finding(&self, wanted: impl Fn(&Finding) -> bool) -> Option<&Finding> {
        self.findings.all().iter().find(|finding| wanted(finding))
    }

    /// Everything concluded so far; at the end of the journal, all of it.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        let mut judgement = self
            .measures
            .judgement(&self.plan, &self.world, &self.findings);
        let wall = end_of(&judgement);
        for finding in &mut judgement.findings {
            finding.waived = self
                .plan
                .gate
                .waive
                .iter()
                .find(|waiver| {
                    crate::verdict::waives(waiver, finding)
                        && !crate::verdict::expired(waiver, wall)
                })
                .map(|waiver| waiver.because.clone());
        }
        judgement
    }

    /// [`Self::judgement`], when no entry follows.
    #[must_use]
    pub fn finish(self) -> Judgement {
        self.judgement()
    }
}

/// Wall time at the last thing known of a run.
pub(crate) fn end_of(judgement: &Judgement) -> WallTime {
    judgement.finished.as_ref().map_or_else(
        || judgement.started.plus(judgement.last.as_duration()),
        |finish| finish.wall,
    )
}
