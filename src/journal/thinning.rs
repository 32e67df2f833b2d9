//! The journal's budget is kept by writing less, never by deleting what was written.
//!
//! Pure policy. In order: notes and counts of log lines, samples 1 in k, unchanged heads 1 in k, blocks 1 in k. State
//! changes (containers, stages, probes, modes, leaders, views, failing disks, anything odd) are never left out.
//! k doubles each time the room that is left halves, so that the budget is approached and not passed by what can be
//! left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Event, LogClass, Mode, NodeHead, Origin};
use crate::ids::{Height, NodeName, ShardId, ViewId};

/// How much is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinness {
    /// One block in this many is written; 0: none.
    pub blocks: u64,
    /// One unchanged heads entry in this many.
    pub heads: u64,
    /// One sample of a node in this many.
    pub samples: u64,
    /// Whether notes and counts of log lines are written.
    pub notes: bool,
}

impl Thinness {
    /// Nothing is left out.
    pub const NONE: Self = Self {
        blocks: 1,
        heads: 1,
        samples: 1,
        notes: true,
    };

    /// The disk is full: only what must be written.
    pub const STARVED: Self = Self {
        blocks: 0,
        heads: 1024,
        samples: 1024,
        notes: false,
    };

    /// For a share of the budget in use. Below one half nothing is left out: a journal that was planned well never
    /// gets there.
    #[must_use]
    pub fn for_share(used: f64) -> Self {
        let left = (1.0 - used).max(0.0);
        if left > 0.5 || used.is_nan() {
            return Self::NONE;
        }
        let mut factor: u64 = 2;
        // 512 blocks in one entry still says every few minutes, at canary intervals, that a shard lives.
        while factor < 1024 && left < 1.0 / factor as f64 {
            factor *= 2;
        }
        Self {
            blocks: (factor / 4).max(1),
            heads: (factor / 2).max(1),
            samples: factor * 2,
            notes: false,
        }
    }
}

#[derive(Debug, Default)]
struct ShardMemory {
    leader: Option<std::sync::Arc<str>>,
    view: Option<ViewId>,
    height: Height,
    heads: u64,
    blocks: u64,
}

/// Decides for each event whether it is written.
#[derive(Debug)]
pub struct Thinning {
    thinness: Thinness,
    shards: BTreeMap<ShardId, ShardMemory>,
    nodes: BTreeMap<NodeName, NodeHead>,
    /// Periodic facts seen, by their kind and node.
    samples: BTreeMap<(u8, Option<NodeName>), u64>,
    /// Counts of log lines seen, and the lost lines the last one told of.
    counts: BTreeMap<NodeName, (u64, u64)>,
    left_out: u64,
}

impl Default for Thinning {
    fn default() -> Self {
        Self {
            thinness: Thinness::NONE,
            shards: BTreeMap::new(),
            nodes: BTreeMap::new(),
            samples: BTreeMap::new(),
            counts: BTreeMap::new(),
            left_out: 0,
        }
    }
}

impl Thinning {
    /// Changes how much is left out; answers whether that is new.
    pub fn set(&mut self, thinness: Thinness) -> bool {
        std::mem::replace(&mut self.thinness, thinness) != thinness
    }

    /// What is in force, as the journal says it.
    #[must_use]
    pub fn announcement(&self) -> Event {
        Event::Thinned {
            blocks: self.thinness.blocks,
            heads: self.thinness.heads,
            samples: self.thinness.samples,
            notes: self.thinness.notes,
            left_out: self.left_out,
        }
    }

    /// Entries left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether this event is to be written.
    pub fn keeps(&mut self, event: &Event) -> bool {
        let thin = self.thinness;
        let keep = match event {
            Event::Log { class, .. } => thin.notes || *class != LogClass::Note,
            Event::LogCount { node, lost, .. } => {
                let counts = self.counts.entry(node.clone()).or_default();
                counts.0 += 1;
                let more_lost = std::mem::replace(&mut counts.1, *lost) != *lost;
                thin.notes || more_lost || counts.0 % 6 == 1
            }
            Event::Sample(sample) => self.keeps_sample(0, sample.node.as_ref()),
            Event::Figures(figures) => self.keeps_sample(1, figures.node.as_ref()),
            Event::Ledger(ledger) => self.keeps_sample(2, ledger.node.as_ref()),
            Event::TemplateCounts { node, .. } => self.keeps_sample(3, Some(node)),
            // A disk that was read is no periodic fact.
            Event::Position(position) if position.origin != Origin::Disk => {
                self.keeps_sample(4 + position.origin as u8, Some(&position.node))
            }
            Event::Unsynced { .. } => thin.samples <= 1,
            Event::Heads { shard, nodes } => self.keeps_heads(*shard, nodes, thin.heads),
            Event::Block {
                shard,
                height,
                view,
                leader,
                ..
            } => {
                let memory = self.shards.entry(*shard).or_default();
                let turned = leader.is_some() && memory.leader != *leader;
                let views = match (memory.view, view) {
                    (Some(before), Some(now)) => now.0.saturating_sub(before.0),
                    _ => 0,
                };
                let changed = views > height.0.saturating_sub(memory.height.0).max(1);
                memory.leader.clone_from(leader);
                memory.view = *view;
                memory.height = *height;
                memory.blocks += 1;
                match thin.blocks {
                    0 => turned || changed,
                    1 => true,
                    // Every 16th time also the next one, so that true intervals can still be measured.
                    k => {
                        turned
                            || changed
                            || memory.blocks.is_multiple_of(k)
                            || memory.blocks % (16 * k) == 1
                    }
                }
            }
            _ => true,
        };
        self.left_out += u64::from(!keep);
        keep
    }

    fn keeps_sample(&mut self, kind: u8, node: Option<&NodeName>) -> bool {
        let count = self.samples.entry((kind, node.cloned())).or_default();
        *count += 1;
        self.thinness.samples <= 1 || *count % self.thinness.samples == 1
    }

    fn keeps_heads(&mut self, shard: ShardId, nodes: &[NodeHead], of: u64) -> bool {
        let mut changed = false;
        for head in nodes {
            let before = self.nodes.insert(head.node.clone(), head.clone());
            changed |= before.is_none_or(|before| {
                before.mode != head.mode
                    || before.leads != head.leads
                    || (before.height == head.height && before.view != head.view)
                    || head
                        .mode
                        .is_some_and(|mode| mode != Mode::Normal && mode != Mode::Listening)
            });
        }
        let memory = self.shards.entry(shard).or_default();
        memory.heads += 1;
        changed || memory.heads.is_multiple_of(of.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Sample;

    fn block(height: u64, leader: &str, view: u64) -> Event {
        Event::Block {
            shard: ShardId(0),
            height: Height(height),
            hash: "00".into(),
            view: Some(ViewId(view)),
            epoch: None,
            leader: Some(leader.into()),
            signers: None,
            committee: None,
            time: None,
            node: NodeName::of(ShardId(0), 0),
            content: None,
        }
    }

    #[test]
    fn the_factor_doubles_as_the_room_halves() {
        assert_eq!(Thinness::for_share(0.49), Thinness::NONE);
        assert_eq!(Thinness::for_share(0.5).samples, 4);
        assert_eq!(Thinness::for_share(0.5).blocks, 1);
        assert_eq!(Thinness::for_share(0.76).blocks, 2);
        assert_eq!(Thinness::for_share(0.88).blocks, 4);
        assert_eq!(Thinness::for_share(7.0).blocks, 256);
        let mut before = 0;
        for permille in 0..1100 {
            let blocks = Thinness::for_share(f64::from(permille) / 1000.0).blocks;
            assert!(blocks >= before);
            before = blocks;
        }
    }

    #[test]
    fn changes_are_always_kept_and_the_gap_is_bounded() {
        let mut thinning = Thinning::default();
        thinning.set(Thinness::for_share(0.9));
        let mut gap = 0;
        for height in 1..1000 {
            let kept = thinning.keeps(&block(height, "a", height));
            gap = if kept { 0 } else { gap + 1 };
            assert!(gap < 4, "no block written for {gap} at {height}");
        }
        assert!(thinning.keeps(&block(1000, "b", 1000)), "another leader");
        assert!(thinning.keeps(&block(1001, "b", 1002)), "a view change");
        assert!(thinning.keeps(&Event::WatchPaused));
        assert!(thinning.left_out() > 600);
    }

    #[test]
    fn samples_are_thinned_per_node() {
        let mut thinning = Thinning::default();
        thinning.set(Thinness::for_share(0.5));
        let sample = |index| {
            Event::Sample(Sample {
                node: Some(NodeName::of(ShardId(0), index)),
                ..Sample::default()
            })
        };
        let kept = (0..40)
            .filter(|round| thinning.keeps(&sample(round % 2)))
            .count();
        assert_eq!(kept, 10, "one in four of each");
    }
}
