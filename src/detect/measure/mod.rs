//! Everything that is measured and is no finding: rates, coverage, cost, what could not be judged.

mod acceleration;
mod climbs;
mod cost;
mod counts;
mod coverage;
mod drills;
mod metrics;
mod node;
mod observer;
mod participation;
mod recovery;
mod shard;
mod standstills;
mod templates;
mod told;
mod traffic;
mod unattended;
mod versions;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use climbs::Climbs;
use cost::CostMeasure;
use node::NodeMeasure;
use observer::ObserverMeasure;
use participation::ParticipationMeasure;
use recovery::FaultMeasure;
use shard::ShardMeasure;
use standstills::Standstills;
use templates::TemplateMeasure;
use traffic::{Generator, TrafficMeasure};
use versions::VersionMeasure;

use super::{
    finding::Severity,
    findings::{FindingChange, Findings},
    judgement::{Doubt, DrillView, Finish, InfraView, Judgement, NodeView, ShardView, StageStart},
    kept,
    world::World,
};
use crate::{
    ids::RunId,
    journal::{
        Capability, Entry, Event,
        effect::{RECOVERY, SNAPSHOT},
        event::{ContainerChange, Stage},
        text::clean,
    },
    plan::Plan,
    time::Elapsed,
};

/// Kept of what broke on our side, and of what could not be judged: the first ones tell the story.
const MOST_NOTES: usize = 200;

/// All measures of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measures {
    run: Option<RunId>,
    canarynet: String,
    finished: Option<Finish>,
    entries: u64,
    stages: Vec<StageStart>,
    shards: Vec<ShardMeasure>,
    nodes: Vec<NodeMeasure>,
    participation: Vec<ParticipationMeasure>,
    traffic: Vec<TrafficMeasure>,
    generators: Vec<Generator>,
    versions: VersionMeasure,
    templates: TemplateMeasure,
    leader_kills: u64,
    /// Time of the soak in which facts were written late.
    late: Duration,
    cost_at: Elapsed,
    cost: CostMeasure,
    observer: ObserverMeasure,
    faults: FaultMeasure,
    drills: Vec<DrillView>,
    standstills: Standstills,
    climbs: Climbs,
    /// Places of shards whose stall at hand a fault made.
    stalls_of_faults: BTreeSet<usize>,
    #[serde(with = "kept::by_name")]
    capabilities: Vec<Capability>,
    infra: Vec<InfraView>,
    doubts: Vec<Doubt>,
    /// The soak's start and the last moment in it.
    soak: Option<(Elapsed, Elapsed)>,
    watched: Duration,
    gaps: u64,
    before: Elapsed,
    /// Doubts about a shard that the canary does not see, by the shard's place.
    unseen: BTreeMap<usize, usize>,
}

impl Measures {
    pub fn new(world: &World) -> Self {
        Self {
            run: None,
            canarynet: String::new(),
            finished: None,
            entries: 0,
            stages: Vec::new(),
            shards: world.shards.iter().map(|_| ShardMeasure::new()).collect(),
            nodes: world.nodes.iter().map(|_| NodeMeasure::default()).collect(),
            participation: world.shards.iter().map(|_| Default::default()).collect(),
            traffic: world.shards.iter().map(|_| TrafficMeasure::new()).collect(),
            generators: vec![Generator::default(); world.nodes.len()],
            versions: VersionMeasure::new(world),
            templates: TemplateMeasure::default(),
            leader_kills: 0,
            late: Duration::ZERO,
            cost_at: Elapsed::default(),
            cost: CostMeasure::default(),
            observer: ObserverMeasure::default(),
            faults: FaultMeasure::default(),
            drills: Vec::new(),
            standstills: Standstills::default(),
            climbs: Climbs::default(),
            stalls_of_faults: BTreeSet::new(),
            capabilities: Vec::new(),
            infra: Vec::new(),
            doubts: Vec::new(),
            soak: None,
            watched: Duration::ZERO,
            gaps: 0,
            before: Elapsed::default(),
            unseen: BTreeMap::new(),
        }
    }

    /// Whether a healed fault is still followed.
    pub fn coming_back(&self) -> bool {
        self.faults.waits()
    }

    /// Looks at one entry, which `world` already holds, and at what the detectors made of it.
    pub fn step(&mut self, entry: &Entry, world: &World, changes: &[FindingChange]) {
        self.entries += 1;
        let soaking = matches!(world.stage, None | Some(Stage::Soak));
        match &entry.event {
            Event::Block { .. } | Event::Heads { .. } => {
                if let Some(place) = world.touched_shard {
                    let of = &world.shards[place];
                    let aside =
                        world.drilled(of.id, world.now).is_some() || self.standstills.cover(world);
                    self.shards[place].block(of, world.now, soaking, aside);
                    if let Event::Block { content, .. } = &entry.event {
                        let content = content.as_ref();
                        self.participation[place].block(of, content, world);
                        self.traffic[place].block(of, content);
                    }
                }
            }
            Event::Sample(sample) => {
                if let Some(place) = world.touched_node {
                    self.nodes[place].sample(sample, world.now);
                }
            }
            event => self.rare(event, entry, world),
        }
        self.observer.step(&entry.event, world);
        self.versions.step(entry, world, changes);
        for change in changes {
            self.change(change, world);
        }
        if self.faults.waits() && (world.pulse || matches!(entry.event, Event::Block { .. })) {
            self.faults.look(world);
        }
        if world.pulse {
            self.time(world);
        }
        self.before = world.now;
    }

    fn rare(&mut self, event: &Event, entry: &Entry, world: &World) {
        match event {
            Event::RunStarted { run, canarynet, .. } => {
                self.run = Some(run.clone());
                self.canarynet = clean(canarynet, 64);
            }
            Event::Stage { stage } => {
                if self.stages.len() < MOST_NOTES {
                    self.stages.push(StageStart {
                        stage: *stage,
                        at: world.now,
                    });
                }
                if world.soak_begins {
                    self.begin_soak(world);
                }
            }
            Event::RunFinished { reason, wall } => {
                self.finished = Some(Finish {
                    reason: reason.clone(),
                    wall: *wall,
                });
            }
            Event::Infra {
                what,
                detail,
                fatal,
            } => self.infra(InfraView {
                at: world.now,
                what: clean(what, 64),
                detail: clean(detail, 400),
                fatal: *fatal,
                seq: entry.seq,
            }),
            Event::DiskServerEnded { node, exit_code } => self.infra(InfraView {
                at: world.now,
                what: "faulty-disk".to_owned(),
                detail: format!(
                    "the process of {node}'s FUSE disk ended with exit code {exit_code}"
                ),
                fatal: true,
                seq: entry.seq,
            }),
            Event::LogCount {
                node, lines, lost, ..
            } => {
                if let Some(place) = world.node(node) {
                    self.nodes[place].lines.set(*lines);
                    self.nodes[place].lost.set(*lost);
                }
            }
            Event::Container {
                node,
                change: ContainerChange::Died { .. },
                requested: false,
            } => {
                if let Some(place) = world.node(node) {
                    self.nodes[place].exits += 1;
                }
            }
            Event::Cost(cost) => {
                self.cost.step(cost, world);
                self.note_lag(cost, world);
            }
            Event::Fault { id, kind, step } if **kind == *SNAPSHOT => {
                self.standstills.step(id, step, world.now);
            }
            Event::Fault { id, kind, step } if **kind == *RECOVERY => {
                self.climbs.carried_out(id, step);
            }
            Event::Recovery { shard, what } => self.climbs.step(*shard, what, world.now),
            Event::Fault { id, kind, step } => {
                self.count_leader_kills(step, world);
                self.faults.step(id, kind, step, world);
            }
            Event::Attached { .. } => {
                self.attached(world);
                self.templates.attached();
                self.nodes.iter_mut().for_each(NodeMeasure::attached);
                self.cost.attached();
            }
            Event::Unattended(told) => self.unattended(told, world),
            Event::Capability(capability) => self.capability(capability),
            Event::Drill {
                shard,
                nodes,
                begins,
            } => self.drill(*shard, nodes, *begins, world.now),
            Event::HostDisk { engine_free, .. } => self.host_disk(*engine_free, entry.seq, world),
            event => self.told(event, world),
        }
    }

    fn infra(&mut self, note: InfraView) {
        if self.infra.len() < MOST_NOTES {
            self.infra.push(note);
        } else if note.fatal {
            // A fatal one decides the verdict and must not be lost behind many that do not.
            self.infra[MOST_NOTES - 1] = note;
        }
    }

    fn begin_soak(&mut self, world: &World) {
        self.soak = Some((world.now, world.now));
        self.watched = Duration::ZERO;
        for (measure, shard) in self.shards.iter_mut().zip(&world.shards) {
            measure.begin_soak(shard, world.now);
        }
        for node in &mut self.nodes {
            node.begin_soak();
        }
        self.participation
            .iter_mut()
            .for_each(ParticipationMeasure::clear);
        self.traffic.iter_mut().for_each(TrafficMeasure::clear);
        self.late = Duration::ZERO;
    }

    fn capability(&mut self, capability: &Capability) {
        if self.capabilities.len() < MOST_NOTES {
            self.capabilities.push(Capability {
                id: clean(&capability.id, 40),
                able: capability.able,
                proof: clean(&capability.proof, 400),
                remedy: capability.remedy.as_deref().map(|text| clean(text, 400)),
            });
        }
    }

    /// Time passed: what was watched, what was blind, what could not be judged.
    fn time(&mut self, world: &World) {
        if world.gaps > self.gaps {
            let why = "the canary did not look, or the machine was suspended; windows began anew";
            self.gap(why, world);
            return;
        }
        let soaking = matches!(world.stage, None | Some(Stage::Soak));
        if soaking {
            let soak = self.soak.get_or_insert((self.before, world.now));
            soak.1 = world.now;
            if !world.watch_paused && !self.standstills.cover(world) {
                self.watched += world.since_pulse;
                if !world.all_well || self.nodes.iter().any(|node| node.metrics_failing) {
                    for (measure, node) in self.nodes.iter_mut().zip(&world.nodes) {
                        measure.watched(node, world, world.since_pulse);
                    }
                }
            }
        }
        if !world.all_well || !self.unseen.is_empty() {
            for place in 0..world.shards.len() {
                self.doubt_unseen(place, world);
            }
        }
    }

    fn doubt_unseen(&mut self, place: usize, world: &World) {
        let shard = &world.shards[place];
        match (shard.unseen_since, self.unseen.get(&place).copied()) {
            (Some(since), None) => {
                if !world.judging_progress() || world.now.since(since) < world.thresholds.blind {
                    return;
                }
                let stalled = shard
                    .gap_start()
                    .is_some_and(|start| since.since(start) >= world.thresholds.stall_suspected);
                let why = if world.watch_paused {
                    "watching was switched off on purpose"
                } else {
                    "the canary did not see the shard"
                };
                self.doubt(Doubt {
                    detector: "all".to_owned(),
                    shard: Some(shard.id),
                    node: None,
                    from: since,
                    until: None,
                    why: why.to_owned(),
                    // Blind while a recovery was due: nobody can say how it went.
                    decisive: stalled && !world.watch_paused,
                });
                self.unseen
                    .insert(place, self.doubts.len().saturating_sub(1));
            }
            (None, Some(doubt)) => {
                self.unseen.remove(&place);
                if let Some(doubt) = self.doubts.get_mut(doubt)
                    && doubt.until.is_none()
                {
                    doubt.until = Some(world.now);
                }
            }
            _ => {}
        }
    }

    pub fn doubt(&mut self, doubt: Doubt) {
        if self.doubts.len() < MOST_NOTES {
            self.doubts.push(doubt);
        } else if doubt.decisive {
            self.doubts[MOST_NOTES - 1] = doubt;
        }
    }

    pub fn shard_views(&self, world: &World, findings: &Findings) -> Vec<ShardView> {
        let mut open = vec![[0_u32; 4]; world.shards.len()];
        let mut stalled = vec![false; world.shards.len()];
        for finding in findings
            .all()
            .iter()
            .filter(|finding| finding.end.is_none())
        {
            let place = world
                .shards
                .iter()
                .position(|shard| Some(shard.id) == finding.shard);
            let Some(place) = place else { continue };
            let severity = match finding.severity {
                Severity::Info => 0,
                Severity::Minor => 1,
                Severity::Major => 2,
                Severity::Critical => 3,
            };
            open[place][severity] += 1;
            stalled[place] |= finding.kind == "stall";
        }
        let counts = open.into_iter().zip(stalled);
        self.shards
            .iter()
            .zip(&world.shards)
            .zip(counts)
            .zip(&self.traffic)
            .map(|(((measure, shard), (open, stalled)), traffic)| ShardView {
                traffic: traffic.view(),
                ..measure.view(shard, world, stalled, open)
            })
            .collect()
    }

    pub fn node_views(&self, world: &World) -> Vec<NodeView> {
        self.nodes
            .iter()
            .zip(&world.nodes)
            .zip(0..)
            .map(|((measure, node), place)| {
                let seat = world.shards[node.shard]
                    .nodes
                    .iter()
                    .position(|&of| of == place);
                NodeView {
                    participation: seat
                        .map(|seat| self.participation[node.shard].view(seat))
                        .unwrap_or_default(),
                    ..measure.view(place, world, self.watched)
                }
            })
            .collect()
    }

    /// All of it.
    pub fn judgement(&self, plan: &Plan, world: &World, findings: &Findings) -> Judgement {
        let shards = self.shard_views(world, findings);
        let nodes = self.node_views(world);
        let coverage = self.coverage(world, findings, &shards, &nodes);
        let mut cost = self.cost.view(&plan.budget);
        cost.observer = self.observer.view();
        let acceleration = self.acceleration(plan, world, &shards);
        let mut judgement = Judgement {
            run: self.run.clone(),
            canarynet: self.canarynet.clone(),
            started: world.started,
            finished: self.finished.clone(),
            last: world.now,
            entries: self.entries,
            stages: self.stages.clone(),
            findings: findings.until(world.now),
            suppressed: findings.suppressed().clone(),
            beyond: findings.beyond().clone(),
            pages: findings.pages().to_vec(),
            shards,
            nodes,
            versions: self.versions.views(world),
            coverage,
            measures: BTreeMap::new(),
            cost,
            acceleration,
            infra: self.infra.clone(),
            faults: self.faults.views(),
            kinds: self.faults.kinds(plan.thresholds.recovery, world.now),
            drills: self.drills.clone(),
            standstills: self.standstills.views(),
            climbs: self.climbs.views(),
            capabilities: self.capabilities.clone(),
            doubts: self.doubts.clone(),
            detectors: Vec::new(),
            templates: self.templates.views(),
        };
        judgement.detectors = self.detector_views(&judgement.coverage);
        judgement.measures = metrics::measures(&judgement, world, &self.inclusion());
        judgement
    }
}

/// A sum that hostile numbers cannot overflow.
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}
