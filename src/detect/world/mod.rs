//! The state of the network as the journal tells it, folded once for all detectors.
//!
//! Pure: the only clock is the entries'. A shard is in one of three states that are never confused: *progressing*,
//! *stalled* (it is seen that no block comes) and *blind* (the canary does not see). What the canary did not see never
//! counts towards a window.

mod canary;
mod contradiction;
mod disk;
mod drill;
mod fold;
mod kept;
mod names;
mod node;
mod rates;
mod shard;
mod told;
mod trends;
mod yardstick;

use std::{collections::BTreeMap, time::Duration};

pub use contradiction::Contradiction;
pub use disk::Disk;
pub(in crate::detect) use node::HAND_GRACE;
pub use node::{Container, Down, Hand, Node, Probe};
pub use rates::{Rates, Sums};
pub use shard::{Best, NewBlock, Shard};
pub use trends::{Capacity, Points, Series, Trends};

use crate::{
    detect::expectation::{Committee, Expectation},
    ids::{NodeName, Seq},
    journal::{
        Thinness,
        event::{Entry, Event, Stage},
    },
    plan::{Budget, LogBaseline, Plan, Role, Thresholds, ToldThresholds, foreign::EndsOn},
    time::{Clocks, Elapsed, WallTime},
};

/// The journal gets a tick at least every second when nothing else is written. Where it holds nothing for this long,
/// the canary itself did not run, and nobody knows what happened.
const GAP: Duration = Duration::from_secs(5);
/// Positions are told once a second; with half as much again for scheduling they are still fresh.
const FRESH: Duration = Duration::from_millis(1_500);
/// Below this the host's disk is dry, and full disks are not the nodes' doing.
const HOST_DRY_BYTES: u64 = 32 * 1024 * 1024;

/// The state of the network.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct World {
    /// Windows and thresholds.
    #[serde(skip)]
    pub thresholds: Thresholds,
    /// Those of findings that rest on what nodes tell of themselves.
    #[serde(skip)]
    pub told: ToldThresholds,
    /// The canary's own budget.
    #[serde(skip)]
    pub budget: Budget,
    /// Faults over which nodes end by themselves, as their makers want it.
    #[serde(skip)]
    pub ends_on: Vec<EndsOn>,
    /// The chain's clocks.
    pub clocks: Clocks,
    /// Time of the entry at hand.
    pub now: Elapsed,
    /// Its place.
    pub seq: Seq,
    /// Whether timers are to be looked at: a fraction of a block interval has passed.
    pub pulse: bool,
    /// Time since the pulse before, at a pulse.
    pub since_pulse: Duration,
    /// At a pulse: all nodes run and answer, their logs and disks are seen, and so are all shards.
    #[serde(skip)]
    pub all_well: bool,
    /// The stage.
    pub stage: Option<Stage>,
    /// The entry at hand begins the soak. One that goes on, because the run was taken over, does not begin again.
    pub soak_begins: bool,
    /// All shards.
    pub shards: Vec<Shard>,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The node that the entry at hand is about.
    pub touched_node: Option<usize>,
    /// The shard that the entry at hand is about.
    pub touched_shard: Option<usize>,
    /// The contradiction that the entry at hand told of.
    pub contradiction: Option<Contradiction>,
    /// Where the entry at hand tells of time in which nobody was attached: the best block before it.
    pub unattended: Option<Best>,
    /// ... and the longest wait for a block in it.
    pub unattended_wait: Option<Duration>,
    /// Since when the observation path is gone, and the entry that said so.
    pub sight_lost: Option<(Elapsed, Seq)>,
    /// When the observation path came back last, or a gap of it ended.
    pub sight_back: Elapsed,
    /// Since when at least one node answers without a break.
    pub answered_since: Option<Elapsed>,
    /// Watching is switched off on purpose.
    pub watch_paused: bool,
    /// What the journal leaves out.
    pub thinned: Thinness,
    /// The host's disk is dry.
    pub host_dry: bool,
    /// Gaps and jumps after which windows restarted.
    pub gaps: u64,
    /// Wall time at elapsed zero.
    pub started: WallTime,
    /// What injected faults excuse.
    pub expectation: Expectation,
    /// Log forms of an earlier good run.
    #[serde(skip)]
    pub log_baseline: Option<LogBaseline>,
    /// The last fake stall: known to what sets its findings apart, never to a detector.
    pub drill: Option<drill::Drill>,
    /// Series of what may grow.
    pub trends: Trends,
    by_name: names::Names,
    by_shard: BTreeMap<crate::ids::ShardId, usize>,
    last_pulse: Elapsed,
    pulse_every: Duration,
    engine_trouble: Option<Elapsed>,
    /// While the engine is away: whether watching was off before.
    engine_away: Option<bool>,
    first_entry: bool,
    last_wall: Option<(WallTime, Elapsed)>,
    soaked: bool,
    /// No shard's wait for its next block passes one of its windows before this moment.
    next_window: Elapsed,
}

impl World {
    /// Before the first entry.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let window = plan.thresholds.rate_window;
        let quorum = plan.network.foreign.quorum;
        let mut shards: BTreeMap<_, Shard> = BTreeMap::new();
        for node in &plan.network.nodes {
            shards
                .entry(node.shard)
                .or_insert_with(|| Shard::new(node.shard, window, quorum));
        }
        let by_shard: BTreeMap<_, _> = shards.keys().copied().zip(0..).collect();
        let mut shards: Vec<Shard> = shards.into_values().collect();
        let mut nodes = Vec::with_capacity(plan.network.nodes.len());
        let mut committees: BTreeMap<_, Vec<(NodeName, u64)>> = BTreeMap::new();
        for planned in &plan.network.nodes {
            let shard = by_shard[&planned.shard];
            let power = match planned.role {
                Role::Validator => planned.voting_power,
                Role::Explorer => 0,
            };
            shards[shard].nodes.push(nodes.len());
            shards[shard].total_power = shards[shard].total_power.saturating_add(power);
            nodes.push(Node::new(planned.name.clone(), shard, planned.role, power));
            if power > 0 {
                let committee = committees.entry(planned.shard).or_default();
                committee.push((planned.name.clone(), power));
            }
        }
        let committees = committees
            .into_iter()
            .map(|(shard, powers)| (shard, Committee::new(powers).with(quorum)))
            .collect();
        let interval = plan.clocks.block_interval;
        Self {
            told: ToldThresholds::of(plan),
            thresholds: plan.thresholds.clone(),
            budget: plan.budget.clone(),
            ends_on: plan.network.foreign.ends_on.clone(),
            clocks: plan.clocks,
            now: Elapsed::default(),
            seq: Seq(0),
            pulse: false,
            since_pulse: Duration::ZERO,
            all_well: false,
            stage: None,
            soak_begins: false,
            by_name: names::Names::new(nodes.iter().map(|node: &Node| &node.name)),
            by_shard,
            trends: Trends::new(plan, shards.len()),
            shards,
            nodes,
            touched_node: None,
            touched_shard: None,
            contradiction: None,
            unattended: None,
            unattended_wait: None,
            sight_lost: None,
            sight_back: Elapsed::default(),
            answered_since: None,
            watch_paused: false,
            thinned: Thinness::NONE,
            host_dry: false,
            gaps: 0,
            started: WallTime::default(),
            expectation: Expectation::new(
                committees,
                plan.thresholds.recovery,
                plan.thresholds.rate_window,
            ),
            log_baseline: plan.log_baseline.clone(),
            drill: None,
            last_pulse: Elapsed::default(),
            // Half a block: what a window is late by is small against the block that it may be late by.
            pulse_every: (interval / 2).clamp(Duration::from_millis(5), Duration::from_millis(250)),
            engine_trouble: None,
            engine_away: None,
            first_entry: true,
            last_wall: None,
            soaked: false,
            next_window: Elapsed::default(),
        }
    }

    /// Whether the chain is to be judged: it was started and is not being taken down.
    #[must_use]
    pub fn judging(&self) -> bool {
        matches!(
            self.stage,
            None | Some(Stage::Start | Stage::WarmUp | Stage::Soak | Stage::Settle)
        )
    }

    /// Whether progress is to be judged: all containers were started.
    #[must_use]
    pub fn judging_progress(&self) -> bool {
        self.judging() && self.stage != Some(Stage::Start)
    }

    /// Whether rates are to be judged: the network is warm.
    #[must_use]
    pub fn judging_rates(&self) -> bool {
        matches!(self.stage, None | Some(Stage::Soak | Stage::Settle))
    }

    /// Whether the canary sees anything at all.
    #[must_use]
    pub fn seeing(&self) -> bool {
        self.sight_lost.is_none() && !self.watch_paused && self.thinned.blocks > 0
    }

    /// Time of blocks that may have come and are not in the journal, by what it says it leaves out.
    #[must_use]
    pub fn unwritten(&self) -> Duration {
        self.clocks.blocks(self.thinned.blocks.saturating_sub(1))
    }

    /// How old an answer may be to be fresh.
    #[must_use]
    pub fn fresh(&self) -> Duration {
        let factor = u32::try_from(self.thinned.heads).unwrap_or(u32::MAX);
        FRESH + Duration::from_secs(1) * (factor.max(1) - 1)
    }

    /// Whether the canary sees this shard now: a node answers, or too few validators run for anything to happen.
    fn sees(&self, shard: &Shard) -> bool {
        if !self.seeing() {
            return false;
        }
        if shard.total_power > 0 && !shard.has_quorum() && self.anything_started(shard) {
            return true;
        }
        shard.answered_at.is_some_and(|at| at >= self.fresh_from())
            && shard.nodes.iter().any(|&node| {
                let node = &self.nodes[node];
                node.runs() && node.rpc.failing_since.is_none() && node.rpc.answered_at.is_some()
            })
    }

    /// An answer that came before this moment is not fresh.
    fn fresh_from(&self) -> Elapsed {
        self.now - self.fresh()
    }

    /// Whether a node's last answer is fresh.
    #[must_use]
    pub fn answers(&self, node: &Node) -> bool {
        node.answered_since(self.fresh_from())
    }

    fn anything_started(&self, shard: &Shard) -> bool {
        shard
            .nodes
            .iter()
            .any(|&node| self.nodes[node].first_start.is_some())
    }

    /// Whether it is seen that this shard makes no block: an answer came after the last block (or nobody can make one).
    #[must_use]
    pub fn sees_no_block(&self, shard: &Shard) -> bool {
        shard.unseen_since.is_none()
            && (!shard.has_quorum()
                || match (shard.answered_at, shard.gap_start()) {
                    (Some(answered), Some(start)) => answered > start,
                    _ => false,
                })
    }

    /// What is wrong with a shard's nodes now: their places, and a line on each.
    #[must_use]
    pub fn troubles(&self, shard: &Shard) -> (Vec<NodeName>, Vec<String>) {
        let mut nodes = Vec::new();
        let mut lines = Vec::new();
        for &place in &shard.nodes {
            let node = &self.nodes[place];
            if let Some(line) = node.trouble(self.now, self.thresholds.blind) {
                nodes.push(node.name.clone());
                lines.push(line);
            }
        }
        (nodes, lines)
    }

    /// Place of a node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<usize> {
        self.by_name.place(name)
    }

    /// Folds one entry in.
    pub fn step(&mut self, entry: &Entry) {
        self.advance(entry.elapsed.max(self.now), entry.seq);
        match &entry.event {
            Event::RunStarted { wall, .. } => {
                self.started = *wall;
                self.last_wall = Some((*wall, self.now));
            }
            Event::Stage { stage } => self.fold_stage(*stage),
            Event::Tick { wall } => self.fold_wall(*wall),
            Event::RunFinished { wall, .. } => {
                self.fold_wall(*wall);
                for node in &mut self.nodes {
                    node.decide();
                }
            }
            Event::Fault { id, kind, step } => {
                self.expectation.fold(id, kind, step, self.now);
            }
            Event::Drill { .. } => self.fold_drill(&entry.event),
            Event::Attached { wall } => {
                self.last_wall = Some((*wall, self.now));
                // Who takes a run over watches it, whatever the owner before had switched off.
                self.watch_paused = false;
                self.fold_attached();
            }
            Event::Unattended(told) => self.fold_unattended(told),
            Event::EngineAway { .. } | Event::EngineReturned { .. } => {
                self.fold_engine(&entry.event);
            }
            Event::WatchPaused => self.watch_paused = true,
            Event::WatchResumed => {
                self.watch_paused = false;
                self.restart_windows();
            }
            Event::Sight { seeing, .. } => {
                if *seeing {
                    self.sight_back = self.now;
                }
                self.sight_lost = match (seeing, self.sight_lost) {
                    (true, _) => None,
                    (false, Some(lost)) => Some(lost),
                    (false, None) => Some((self.now, self.seq)),
                };
            }
            Event::Thinned {
                blocks,
                heads,
                samples,
                notes,
                ..
            } => {
                self.thinned = Thinness {
                    blocks: *blocks,
                    heads: *heads,
                    samples: *samples,
                    notes: *notes,
                };
            }
            Event::Infra { what, .. } => match what.as_str() {
                "engine" => self.engine_trouble = Some(self.now),
                "host-disk" => self.host_dry = true,
                _ => {}
            },
            Event::DiskServerEnded { node, .. } => self.expectation.disk_lost(node, self.now),
            Event::HostDisk { engine_free, .. } => self.host_dry = *engine_free < HOST_DRY_BYTES,
            event => self.fold_network(event),
        }
        self.look();
        self.fold_trends(&entry.event);
        self.first_entry = false;
    }

    fn advance(&mut self, now: Elapsed, seq: Seq) {
        let before = std::mem::replace(&mut self.now, now);
        let passed = now.since(before);
        self.seq = seq;
        self.soak_begins = false;
        self.touched_node = None;
        self.contradiction = None;
        self.unattended = None;
        self.unattended_wait = None;
        if let Some(shard) = self.touched_shard.take() {
            self.shards[shard].new_block = None;
        }
        if passed > GAP && !self.first_entry {
            self.restart_windows();
        } else if !passed.is_zero() {
            for shard in &mut self.shards {
                if shard.unseen_since.is_some() {
                    shard.unseen += passed;
                }
            }
        }
        self.since_pulse = now.since(self.last_pulse);
        self.pulse = self.since_pulse >= self.pulse_every || self.window_passed(before);
        if self.pulse {
            self.last_pulse = now;
            for node in &mut self.nodes {
                node.advance(now);
                if matches!(node.container, Container::Ended | Container::Paused) {
                    node.last_down_at = Some(now);
                }
            }
        }
    }

    /// Whether a shard's wait for its next block has just passed one of its windows: that is looked at at once.
    fn window_passed(&mut self, before: Elapsed) -> bool {
        if self.now < self.next_window {
            return false;
        }
        let windows = [
            self.thresholds.stall_suspected,
            self.thresholds.page,
            self.thresholds.stall,
        ];
        let mut passed = false;
        self.next_window = Elapsed(u64::MAX);
        let waits = self.shards.iter().filter_map(|shard| shard.best.as_ref());
        for due in waits.flat_map(|best| windows.map(|window| best.at + window)) {
            passed |= before < due && due <= self.now;
            if due > self.now {
                self.next_window = self.next_window.min(due);
            }
        }
        passed
    }

    /// Whether each shard is in sight, after the entry was folded in.
    fn look(&mut self) {
        let fresh = self.fresh_from();
        if self.pulse {
            self.all_well = self.seeing() && self.nodes.iter().all(|node| node.is_well(fresh));
            let mut nodes = self.nodes.iter();
            let answers =
                self.all_well || self.seeing() && nodes.any(|node| node.answered_since(fresh));
            self.answered_since = answers.then(|| self.answered_since.unwrap_or(self.now));
        }
        let all_well = self.pulse && self.all_well;
        let places = match (self.pulse, self.touched_shard) {
            (true, _) => 0..self.shards.len(),
            (false, Some(shard)) => shard..shard + 1,
            (false, None) => return,
        };
        for place in places {
            // Where all nodes are well, a shard is in sight if it has answered itself: after a gap the nodes' answers are set
            // anew, their shards' are not.
            let answered = self.shards[place].answered_at.is_some_and(|at| at >= fresh);
            let sees = all_well && answered || self.sees(&self.shards[place]);
            let shard = &mut self.shards[place];
            self.all_well &= sees;
            match (sees, shard.unseen_since) {
                (false, None) => shard.unseen_since = Some(self.now),
                (true, Some(since)) => {
                    shard.unseen_since = None;
                    if self.now.since(since) >= self.thresholds.blind {
                        shard.restart_windows(self.now);
                    }
                }
                _ => {}
            }
        }
    }
}
