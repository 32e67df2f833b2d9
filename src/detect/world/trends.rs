//! Series of what may grow, of every node and shard, folded once for the detectors of trends and for the report.
//!
//! Positions are heights of the node's shard, so that a slope is growth per block and turns into mainnet days. A series
//! begins after the warm-up; anew with each start of the node's process where the process holds what grows; and anew
//! once the chain keeps as many blocks as it ever will, for what grows until then by design. While a fault is in force on
//! the node or its shard, and until it has recovered, nothing is added.

use serde::{Deserialize, Serialize};

use super::{World, node::Container, yardstick::Yardstick};
use crate::{
    detect::{
        excuses,
        expectation::LookBack,
        statistics::{Least, Rate, Windows},
    },
    ids::{NodeName, Seq},
    journal::event::{ContainerChange, Event, Sample},
    plan::Plan,
    time::Elapsed,
};

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Resident memory of a node, in bytes.
    Memory,
    /// Its open files.
    OpenFiles,
    /// Bytes on its disk that no visible file accounts for.
    GhostBytes,
    /// Bytes used on its disk.
    Disk,
    /// Inodes used there.
    Inodes,
    /// CPU time of a node for each block, in microseconds as they usually are on this machine (see [`Yardstick`]).
    Cpu,
    /// Bytes of log for each block.
    Log,
    /// A shard's block interval, in microseconds.
    BlockTime,
}

/// The first windows of rates, in blocks: a mean over fewer is mostly noise.
const RATE_BLOCKS: u64 = 20;
/// What is kept is full so much after the height at which it should be: pruning goes in steps.
const KEPT_SLACK: f64 = 1.1;

/// The limits that growth runs into, as the plan has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Memory of a node, its disk not counted, in bytes.
    pub memory: u64,
    /// Open files of its process.
    pub open_files: u64,
    /// Its disk on mainnet, in bytes, if the profile says so.
    pub mainnet_disk: Option<u64>,
    /// What a block costs on the disk as long as none is pruned, in bytes, if the profile says so.
    pub bytes_per_block: Option<u64>,
    /// Height from which the chain's data is as large as it ever gets; `None` if it always grows, or nobody knows.
    pub kept_from: Option<u64>,
}

/// All series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trends {
    /// The limits.
    pub capacity: Capacity,
    nodes: Vec<NodeSeries>,
    shards: Vec<ShardSeries>,
    yardstick: Yardstick,
    /// Blocks of the warm-up.
    warm_up: u64,
    /// Series of which a window was completed by the entry at hand, or which began anew: a bit each.
    changed: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NodeSeries {
    process: Windows<Least<3>>,
    disk: Windows<Least<2>>,
    cpu: Windows<Rate>,
    log: Windows<Rate>,
    /// Height and counter of the sample before; what lies between two samples belongs to the later one.
    cpu_before: Option<(u64, u64)>,
    log_before: Option<(u64, u64)>,
    /// Its series begin at this height.
    from: u64,
    /// The chain keeps what it keeps.
    full: bool,
    incarnation: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ShardSeries {
    block_time: Windows<Rate>,
    from: u64,
}

/// A series as points, with the first observation of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// Positions in blocks, and values.
    pub points: Vec<(f64, f64)>,
    /// When each point's first observation was made, and its entry.
    pub marks: Vec<(Elapsed, Seq)>,
}

impl Points {
    fn with_room(count: usize) -> Self {
        Self {
            points: Vec::with_capacity(count),
            marks: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, window: u64, length: u64, value: f64, mark: (Elapsed, Seq)) {
        self.points.push((window as f64 * length as f64, value));
        self.marks.push(mark);
    }

    fn least<const N: usize>(windows: &Windows<Least<N>>, column: usize) -> Self {
        let mut points = Self::with_room(windows.complete().len());
        for (window, point) in windows.complete() {
            let value = point.least[column] as f64;
            points.push(*window, windows.length(), value, (point.at, point.seq));
        }
        points
    }

    fn rates(windows: &Windows<Rate>) -> Self {
        let mut points = Self::with_room(windows.complete().len());
        for (window, point) in windows.complete() {
            if point.blocks > 0 {
                let value = point.amount as f64 / point.blocks as f64;
                points.push(*window, windows.length(), value, (point.at, point.seq));
            }
        }
        points
    }
}

impl Trends {
    pub(super) fn new(plan: &Plan, shards: usize) -> Self {
        let disk = &plan.network.disk;
        // A sample a second at most: the first windows hold one each.
        let interval = plan.clocks.block_interval.as_micros().max(1);
        let second = u64::try_from(1_000_000 / interval).unwrap_or(1).max(1);
        let series = NodeSeries {
            process: Windows::new(second),
            disk: Windows::new(second),
            cpu: Windows::new(second.max(RATE_BLOCKS)),
            log: Windows::new((10 * second).max(RATE_BLOCKS)),
            cpu_before: None,
            log_before: None,
            from: 0,
            full: disk.retention.is_none(),
            incarnation: 0,
        };
        let shard = ShardSeries {
            block_time: Windows::new(RATE_BLOCKS),
            from: 0,
        };
        Self {
            capacity: Capacity {
                memory: plan.network.limits.memory,
                open_files: plan.network.limits.open_files,
                mainnet_disk: plan.network.mainnet.disk,
                bytes_per_block: disk.bytes_per_block,
                kept_from: disk
                    .retention
                    .map(|blocks| (blocks as f64 * KEPT_SLACK) as u64),
            },
            nodes: vec![series; plan.network.nodes.len()],
            shards: vec![shard; shards],
            yardstick: Yardstick::new(),
            warm_up: plan.thresholds.trends.warm_up,
            changed: 0,
        }
    }

    /// Whether a window of this series was completed by the entry at hand (or it began anew), of the node or shard that
    /// the entry is about.
    #[must_use]
    pub fn changed(&self, series: Series) -> bool {
        self.changed & bit(series) != 0
    }

    /// Whether one of any series was.
    #[must_use]
    pub fn any_changed(&self) -> bool {
        self.changed != 0
    }

    /// The complete windows of a series of this node or shard.
    #[must_use]
    pub fn points(&self, series: Series, place: usize) -> Points {
        let node = |place: usize| self.nodes.get(place);
        let points = match series {
            Series::Memory => node(place).map(|node| Points::least(&node.process, 0)),
            Series::OpenFiles => node(place).map(|node| Points::least(&node.process, 1)),
            Series::GhostBytes => node(place).map(|node| Points::least(&node.process, 2)),
            Series::Disk => node(place).map(|node| Points::least(&node.disk, 0)),
            Series::Inodes => node(place).map(|node| Points::least(&node.disk, 1)),
            Series::Cpu => node(place).map(|node| {
                let mut points = Points::rates(&node.cpu);
                self.yardstick.correct(&mut points.points, &points.marks);
                points
            }),
            Series::Log => node(place).map(|node| Points::rates(&node.log)),
            Series::BlockTime => self.shards.get(place).map(|s| Points::rates(&s.block_time)),
        };
        points.unwrap_or_default()
    }

    /// Blocks until this node's chain keeps as much as it ever will; `None` if it does already, or always grows.
    #[must_use]
    pub fn filling(&self, place: usize, height: u64) -> Option<u64> {
        let full = self.nodes.get(place).is_none_or(|node| node.full);
        let kept_from = self.capacity.kept_from.filter(|_| !full)?;
        Some(kept_from.saturating_sub(height))
    }

    fn mark(&mut self, series: &[Series], changed: bool) {
        if changed {
            self.changed |= series.iter().fold(0, |bits, series| bits | bit(*series));
        }
    }

    /// The node's process is another one: what it held is gone.
    fn restart(&mut self, place: usize, height: u64) {
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        node.process.clear();
        node.cpu.clear();
        node.cpu_before = None;
        node.log_before = None;
        node.from = height.saturating_add(self.warm_up);
        self.mark(&PROCESS, true);
        self.mark(&[Series::Cpu], true);
    }

    fn sample(&mut self, place: usize, height: u64, sample: &Sample, now: Elapsed, seq: Seq) {
        let kept_from = self.capacity.kept_from;
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        if !node.full && kept_from.is_some_and(|from| height >= from) {
            node.full = true;
            node.process.clear();
            node.disk.clear();
        }
        let process = node.process.add(
            height,
            Least {
                least: [
                    sample.memory,
                    sample.open_files,
                    sample.disk_used.saturating_sub(sample.visible),
                ],
                at: now,
                seq,
            },
        );
        let has_disk = sample.disk_used.saturating_add(sample.disk_free) > 0;
        let disk = has_disk
            && node.disk.add(
                height,
                Least {
                    least: [
                        sample.disk_used,
                        sample.inodes.saturating_sub(sample.inodes_free),
                    ],
                    at: now,
                    seq,
                },
            );
        // The sampler's own time is ours, not the node's.
        let used = sample.cpu.saturating_sub(sample.sampler_cpu);
        let cpu = rate(&mut node.cpu, &mut node.cpu_before, height, used, now, seq);
        self.mark(&PROCESS, process);
        self.mark(&[Series::Disk, Series::Inodes], disk);
        self.mark(&[Series::Cpu], cpu);
    }

    /// What lies between the last observation and the next is not to be counted.
    fn interrupt(&mut self, place: usize) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.cpu_before = None;
            node.log_before = None;
        }
    }
}

const PROCESS: [Series; 3] = [Series::Memory, Series::OpenFiles, Series::GhostBytes];

const fn bit(series: Series) -> u16 {
    1 << series as u16
}

/// Adds what a counter grew by since it was seen before.
fn rate(
    windows: &mut Windows<Rate>,
    before: &mut Option<(u64, u64)>,
    height: u64,
    counter: u64,
    at: Elapsed,
    seq: Seq,
) -> bool {
    let Some((from, known)) = before.replace((height, counter)) else {
        return false;
    };
    // A counter that goes back is another process's.
    let (Some(amount), Some(blocks)) = (counter.checked_sub(known), height.checked_sub(from))
    else {
        return false;
    };
    windows.add(
        height,
        Rate {
            amount,
            blocks,
            at,
            seq,
        },
    )
}

impl World {
    /// Folds an entry into the series. Comes last: it rests on what the entry changed.
    pub(super) fn fold_trends(&mut self, event: &Event) {
        self.trends.changed = 0;
        match event {
            Event::Sample(sample) => {
                if let Some(place) = self.observed_node() {
                    let height = self.height_of(place);
                    if sample.incarnation != self.trends.nodes[place].incarnation {
                        self.trends.nodes[place].incarnation = sample.incarnation;
                        self.trends.restart(place, height);
                    }
                    if height >= self.trends.nodes[place].from {
                        let (now, seq) = (self.now, self.seq);
                        self.trends.sample(place, height, sample, now, seq);
                    }
                }
            }
            Event::Cost(cost) => self.trends.yardstick.fold(cost, self.now, self.seq),
            Event::LogCount { bytes, .. } => self.fold_log_bytes(*bytes),
            Event::Block { .. } | Event::Heads { .. } => self.fold_block_time(),
            Event::Container {
                change: ContainerChange::Started | ContainerChange::Died { .. },
                ..
            } => {
                if let Some(place) = self.touched_node {
                    let height = self.height_of(place);
                    self.trends.restart(place, height);
                }
            }
            Event::Stage { .. } if self.soak_begins => self.begin_trends(),
            // Samplers and followers are other ones, which count from zero.
            Event::Attached { .. } => {
                for place in 0..self.nodes.len() {
                    self.trends.interrupt(place);
                }
            }
            _ => {}
        }
    }

    /// The soak begins: what was before it was the warm-up's.
    fn begin_trends(&mut self) {
        for place in 0..self.nodes.len() {
            let height = self.height_of(place);
            self.trends.restart(place, height);
            self.trends.nodes[place].disk.clear();
            self.trends.nodes[place].log.clear();
        }
        self.trends.yardstick.clear();
        let warm_up = self.trends.warm_up;
        for (series, shard) in self.trends.shards.iter_mut().zip(&self.shards) {
            let height = shard.best.as_ref().map_or(0, |best| best.height.0);
            series.block_time.clear();
            series.from = height.saturating_add(warm_up);
        }
        self.trends.changed = 0;
    }

    fn height_of(&self, node: usize) -> u64 {
        let best = self.shards[self.nodes[node].shard].best.as_ref();
        best.map_or(0, |best| best.height.0)
    }

    /// The node that the entry is about, if what it tells of itself is what it does undisturbed.
    fn observed_node(&mut self) -> Option<usize> {
        let place = self.touched_node?;
        let node = &self.nodes[place];
        let undisturbed = self.judging_rates()
            && node.container == Container::Running
            && self.shards[node.shard].best.is_some()
            && !self.is_disturbed(node.shard, Some(&node.name));
        if !undisturbed {
            self.trends.interrupt(place);
        }
        undisturbed.then_some(place)
    }

    /// Whether an injected fault is in force, or was lately, on a shard or one of its nodes.
    fn is_disturbed(&self, shard: usize, node: Option<&NodeName>) -> bool {
        let (expectation, now) = (&self.expectation, self.now);
        if !expectation.any() {
            return false;
        }
        expectation
            .weakens_shard(self.shards[shard].id, now, LookBack::Moment)
            .is_some()
            || node.is_some_and(|node| {
                expectation
                    .excuses_node(node, excuses::ANY, now, LookBack::Moment)
                    .is_some()
            })
    }

    fn fold_log_bytes(&mut self, bytes: u64) {
        let Some(place) = self.observed_node() else {
            return;
        };
        let (height, now, seq) = (self.height_of(place), self.now, self.seq);
        let series = &mut self.trends.nodes[place];
        if height >= series.from {
            let before = &mut series.log_before;
            let changed = rate(&mut series.log, before, height, bytes, now, seq);
            self.trends.mark(&[Series::Log], changed);
        }
    }

    fn fold_block_time(&mut self) {
        let Some(place) = self.touched_shard else {
            return;
        };
        let shard = &self.shards[place];
        let (Some(new), Some(best)) = (shard.new_block, &shard.best) else {
            return;
        };
        // A gap that is a finding of its own, and a dead leader's turn, are no creeping.
        let suspected = self.thresholds.stall_suspected + self.unwritten();
        let ordinary = new.view_changes == 0
            && new.interval.is_some_and(|interval| interval < suspected)
            && self.judging_rates();
        let (Some(interval), true) = (new.interval, ordinary) else {
            return;
        };
        let (height, at, seq) = (best.height.0, self.now, self.seq);
        if height < self.trends.shards[place].from || self.is_disturbed(place, None) {
            return;
        }
        let point = Rate {
            amount: u64::try_from(interval.as_micros()).unwrap_or(u64::MAX),
            blocks: new.blocks,
            at,
            seq,
        };
        let changed = self.trends.shards[place].block_time.add(height, point);
        self.trends.mark(&[Series::BlockTime], changed);
    }
}
