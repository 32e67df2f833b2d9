//! What a report draws: courses over time, folded from the journal entry by entry in bounded memory.
//!
//! ```text
//!  entry, world, findings that changed --> one bucket of time of its shard or node --> low, high, sum, count
//!  more buckets than there is room for --> each two become one, twice as wide; lows and highs are kept
//! ```
//! So a run of a week takes no more room than one of a minute, and its shortest stall is still seen.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        findings::{ChangeKind, FindingChange},
        world::World,
    },
    ids::{NodeName, ShardId},
    journal::{Entry, Event, text::clean},
    time::Elapsed,
};

/// Buckets of a shard's course: about one for each second pixel of a plot.
const SHARD_BUCKETS: usize = 480;
/// Buckets of a node's course: there are many nodes, and what they use changes slowly.
const NODE_BUCKETS: usize = 160;
/// Width of the first buckets: a run of two minutes is not folded at all.
const FIRST_WIDTH: Duration = Duration::from_millis(250);
/// Leaders that are told apart; further ones share the last place.
const MOST_LEADERS: usize = 256;
/// Findings whose leader is kept.
const MOST_NOTED: usize = 512;

/// All courses of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Curves {
    /// Per shard, ordered by number.
    pub shards: Vec<ShardCurve>,
    /// Per node, in the plan's order.
    pub nodes: Vec<NodeCurve>,
    /// Who had led a finding's shard last when it opened, by the finding's id.
    pub leaders: BTreeMap<String, String>,
}

/// The course of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardCurve {
    /// The shard.
    pub shard: ShardId,
    /// Over time.
    pub course: Course<ShardBucket>,
    /// Those who led it, in the order in which they first did; buckets name them by place.
    pub leaders: Vec<String>,
    /// View changes at the height being agreed on that are counted already.
    climbed: u64,
}

/// The course of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeCurve {
    /// The node.
    pub node: NodeName,
    /// Over time.
    pub course: Course<NodeBucket>,
}

/// Buckets of equal width from the start of the run on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course<B> {
    /// Width of a bucket, in microseconds.
    pub width: u64,
    /// The buckets up to the last one with a value.
    pub buckets: Vec<B>,
    most: usize,
}

/// What buckets hold and how two of them become one.
pub trait Bucket: Default {
    /// Takes what the bucket after it held.
    fn join(&mut self, later: Self);
}

impl<B: Bucket> Course<B> {
    fn new(most: usize) -> Self {
        Self {
            width: u64::try_from(FIRST_WIDTH.as_micros()).unwrap_or(250_000),
            buckets: Vec::new(),
            most,
        }
    }

    /// The bucket of a moment.
    fn at(&mut self, at: Elapsed) -> &mut B {
        while at.0 / self.width >= self.most as u64 {
            self.width = self.width.saturating_mul(2);
            let mut pairs = std::mem::take(&mut self.buckets).into_iter();
            while let Some(mut first) = pairs.next() {
                if let Some(second) = pairs.next() {
                    first.join(second);
                }
                self.buckets.push(first);
            }
        }
        let place = (at.0 / self.width) as usize;
        if place >= self.buckets.len() {
            self.buckets.resize_with(place + 1, B::default);
        }
        &mut self.buckets[place]
    }

    /// When the bucket at this place begins.
    #[must_use]
    pub fn starts(&self, place: usize) -> Elapsed {
        Elapsed(self.width.saturating_mul(place as u64))
    }

    /// The same course in at most so many buckets, for a smaller plot or a table.
    #[must_use]
    pub fn folded(&self, most: usize) -> Self
    where
        B: Clone,
    {
        let mut by = 1;
        while self.buckets.len().div_ceil(by) > most.max(1) {
            by += 1;
        }
        let join = |pieces: &[B]| {
            let mut joined = B::default();
            for piece in pieces {
                joined.join(piece.clone());
            }
            joined
        };
        Self {
            width: self.width.saturating_mul(by as u64),
            buckets: self.buckets.chunks(by).map(join).collect(),
            most: self.most,
        }
    }
}

/// Values of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Values {
    /// How many.
    pub count: u64,
    /// The lowest.
    pub low: u64,
    /// The highest.
    pub high: u64,
    /// All of them together.
    pub sum: u64,
}

impl Values {
    fn add(&mut self, value: u64, count: u64) {
        self.join(Self {
            count,
            low: value,
            high: value,
            sum: value.saturating_mul(count),
        });
    }

    /// The mean, if there is any value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

impl Bucket for Values {
    fn join(&mut self, later: Self) {
        match (self.count, later.count) {
            (_, 0) => {}
            (0, _) => *self = later,
            _ => {
                self.low = self.low.min(later.low);
                self.high = self.high.max(later.high);
                self.sum = self.sum.saturating_add(later.sum);
                self.count = self.count.saturating_add(later.count);
            }
        }
    }
}

/// A stretch of a shard's time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShardBucket {
    /// Block intervals, in microseconds.
    pub intervals: Values,
    /// Blocks.
    pub blocks: u64,
    /// View changes.
    pub view_changes: u64,
    /// Signers of a block.
    pub signers: Values,
    /// How many could have signed, at most.
    pub committee: u32,
    /// Who led most of its blocks, by place, and by how many blocks more than all others.
    pub leader: Option<(u16, u64)>,
}

impl ShardBucket {
    /// The majority's vote: two buckets of different leaders weigh against each other.
    fn led(&mut self, leader: u16, blocks: u64) {
        self.leader = Some(match self.leader {
            Some((known, weight)) if known == leader => (known, weight.saturating_add(blocks)),
            Some((known, weight)) if weight >= blocks => (known, weight - blocks),
            Some((_, weight)) => (leader, blocks - weight),
            None => (leader, blocks),
        });
    }
}

impl Bucket for ShardBucket {
    fn join(&mut self, later: Self) {
        self.intervals.join(later.intervals);
        self.blocks = self.blocks.saturating_add(later.blocks);
        self.view_changes = self.view_changes.saturating_add(later.view_changes);
        self.signers.join(later.signers);
        self.committee = self.committee.max(later.committee);
        if let Some((leader, weight)) = later.leader {
            self.led(leader, weight);
        }
    }
}

/// A stretch of a node's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeBucket {
    /// Bytes used on its data disk.
    pub disk: Values,
    /// Size of that disk, in bytes.
    pub disk_size: u64,
    /// Resident memory, in bytes.
    pub memory: Values,
}

impl Bucket for NodeBucket {
    fn join(&mut self, later: Self) {
        self.disk.join(later.disk);
        self.memory.join(later.memory);
        self.disk_size = self.disk_size.max(later.disk_size);
    }
}

impl Curves {
    /// Looks at one entry, which `world` already holds, and at what it changed among the findings.
    pub fn step(&mut self, entry: &Entry, world: &World, changes: &[FindingChange]) {
        if self.nodes.len() != world.nodes.len() || self.shards.len() != world.shards.len() {
            self.begin(world);
        }
        match &entry.event {
            Event::Block { .. } | Event::Heads { .. } => self.chain(world),
            Event::Sample(sample) => {
                let Some(node) = world
                    .touched_node
                    .and_then(|place| self.nodes.get_mut(place))
                else {
                    return;
                };
                let bucket = node.course.at(world.now);
                bucket.disk.add(sample.disk_used, 1);
                bucket.memory.add(sample.memory, 1);
                let size = sample.disk_used.saturating_add(sample.disk_free);
                bucket.disk_size = bucket.disk_size.max(size);
            }
            _ => {}
        }
        for change in changes {
            self.note_leader(change, world);
        }
    }

    fn begin(&mut self, world: &World) {
        self.shards = world
            .shards
            .iter()
            .map(|shard| ShardCurve {
                shard: shard.id,
                course: Course::new(SHARD_BUCKETS),
                leaders: Vec::new(),
                climbed: 0,
            })
            .collect();
        self.nodes = world
            .nodes
            .iter()
            .map(|node| NodeCurve {
                node: node.name.clone(),
                course: Course::new(NODE_BUCKETS),
            })
            .collect();
    }

    fn chain(&mut self, world: &World) {
        let Some(place) = world.touched_shard else {
            return;
        };
        let (of, curve) = (&world.shards[place], &mut self.shards[place]);
        let mut views = of.views_at_height.saturating_sub(curve.climbed);
        if let Some(new) = of.new_block {
            views = views.saturating_add(new.view_changes.saturating_sub(curve.climbed));
            let leader = of.best.as_ref().and_then(|best| best.leader.as_deref());
            let leader = leader.map(|leader| curve.leader(leader));
            let bucket = curve.course.at(world.now);
            let blocks = new.blocks.max(1);
            bucket.blocks = bucket.blocks.saturating_add(blocks);
            if let Some(interval) = new.interval {
                let each = interval.as_micros() / u128::from(blocks);
                let each = u64::try_from(each).unwrap_or(u64::MAX);
                bucket.intervals.add(each, blocks);
            }
            if let Some((signed, committee)) = new.signers {
                bucket.signers.add(u64::from(signed), 1);
                bucket.committee = bucket.committee.max(committee);
            }
            if let Some(leader) = leader {
                bucket.led(leader, blocks);
            }
        }
        curve.climbed = of.views_at_height;
        if views > 0 {
            let bucket = curve.course.at(world.now);
            bucket.view_changes = bucket.view_changes.saturating_add(views);
        }
    }

    fn note_leader(&mut self, change: &FindingChange, world: &World) {
        let finding = &change.finding;
        if change.kind != ChangeKind::Opened || self.leaders.len() >= MOST_NOTED {
            return;
        }
        let shard = world
            .shards
            .iter()
            .find(|shard| Some(shard.id) == finding.shard);
        let leader = shard
            .and_then(|shard| shard.best.as_ref())
            .and_then(|best| best.leader.as_deref());
        if let Some(leader) = leader {
            self.leaders.insert(finding.id.clone(), clean(leader, 64));
        }
    }
}

impl ShardCurve {
    fn leader(&mut self, name: &str) -> u16 {
        let known = self.leaders.iter().position(|leader| leader == name);
        let place = known.unwrap_or_else(|| {
            let name = clean(name, 64);
            // A cleaned name may be known although the raw one is not.
            let again = self.leaders.iter().position(|leader| *leader == name);
            again.unwrap_or_else(|| {
                if self.leaders.len() < MOST_LEADERS {
                    self.leaders.push(name);
                }
                self.leaders.len() - 1
            })
        });
        place as u16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        detect::Judge,
        journal::generate::{Generator, Shape},
    };

    #[test]
    fn courses_keep_lows_and_highs_whatever_the_length() {
        let mut course = Course::<NodeBucket>::new(16);
        for second in 0..1_000_u64 {
            let value = if second == 777 { 9_000 } else { 100 + second };
            course.at(Elapsed::from_secs(second)).disk.add(value, 1);
        }
        assert!(course.buckets.len() <= 16);
        let all = course.folded(1).buckets[0].disk;
        assert_eq!((all.low, all.high, all.count), (100, 9_000, 1_000));
        let peak = course
            .buckets
            .iter()
            .position(|bucket| bucket.disk.high == 9_000)
            .unwrap();
        let from = course.starts(peak);
        assert!(
            from <= Elapsed::from_secs(777) && Elapsed::from_secs(777) < course.starts(peak + 1)
        );
    }

    #[test]
    fn a_generated_run_has_its_blocks_and_samples() {
        let shape = Shape {
            shards: 2,
            soak: Duration::from_secs(300),
            ..Shape::default()
        };
        let mut judge = Judge::new(&shape.plan());
        let mut curves = Curves::default();
        for entry in Generator::new(&shape, 1, Vec::new()) {
            let changes = judge.step(&entry);
            curves.step(&entry, judge.world(), &changes);
        }
        let judgement = judge.finish();
        assert_eq!((curves.shards.len(), curves.nodes.len()), (2, 8));
        for (curve, view) in curves.shards.iter().zip(&judgement.shards) {
            let all = &curve.course.folded(1).buckets[0];
            let heights = view.height.unwrap().0 - view.first_height.unwrap().0 + 1;
            assert_eq!(all.blocks, heights, "every block is in a bucket");
            assert!(all.intervals.low >= 100_000 && all.intervals.high <= 400_000);
            assert_eq!(all.view_changes, view.view_changes);
            assert!(curve.course.buckets.len() <= SHARD_BUCKETS);
            assert!(!curve.leaders.is_empty() && all.signers.count > 0);
        }
        for node in &curves.nodes {
            assert!(node.course.folded(1).buckets[0].disk.count > 200);
        }
    }

    proptest! {
        #[test]
        fn any_moment_has_its_bucket(moments in prop::collection::vec(any::<u64>(), 1..40)) {
            let mut course = Course::<Values>::new(8);
            for moment in &moments {
                course.at(Elapsed(*moment)).add(*moment, 1);
            }
            prop_assert!(course.buckets.len() <= 8);
            let all = course.folded(1).buckets[0];
            prop_assert_eq!(all.count, moments.len() as u64);
            prop_assert_eq!(all.high, *moments.iter().max().unwrap());
            prop_assert_eq!(all.low, *moments.iter().min().unwrap());
        }
    }
}
