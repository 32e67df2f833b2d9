//! Causes: what came before a finding on the same node or in the same shard, as a short chain, oldest first.
//!
//! ```text
//!  entry, world, findings that changed --> RULES, one a kind of predecessor --> marks (so many a shard)
//!  finding --> marks of its node or shard, from REACH before its start on --> chain
//! ```
//! A chain says what came before, in the order of the journal; that the one made the other is for people to say.
//! Nothing here opens a finding or excuses one.

pub mod common;
mod disk_level;
mod processor;
mod rules;
pub mod signatures;
#[cfg(test)]
mod testing;

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use self::{
    disk_level::DiskLevel,
    processor::Processor,
    rules::{Draft, Look, RULES},
};
use super::{detector::Wants, finding::Finding, findings::FindingChange, world::World};
use crate::{
    ids::{NodeName, Seq},
    journal::{Entry, Event},
    plan::Plan,
    time::{Clocks, Elapsed, micros},
};

/// How far before a finding's start its causes are looked for, in blocks: twenty mainnet minutes at 8 s a block, the
/// time that the incident's leaders took from a growing file to a stop.
const REACH_BLOCKS: u64 = 150;
/// Marks kept of a shard: more than a chain can show, many times over.
const MOST_MARKS: usize = 64;
/// Steps of a chain.
const MOST_STEPS: usize = 12;
/// Findings about a whole shard: whatever happened to any of its nodes may be on the way to them, also after the last
/// block and until the stall was certain. All others are about their nodes, and their causes came first.
const OF_A_SHARD: &[&str] = &[
    "stall",
    "slow-blocks",
    "never-started",
    "no-recovery",
    "cross-shard-stall",
    "view-change-loop",
    "view-change-storm",
    "leader-flapping",
    "no-leader",
    "low-signers",
];

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Kind of predecessor, stable: `fault`, `ghost-bytes`, `failed-write`, ...
    pub kind: String,
    /// When.
    pub at: Elapsed,
    /// The node, if it was one.
    pub node: Option<NodeName>,
    /// What happened, in one line. It may quote a node.
    pub what: String,
    /// The entry of the journal.
    pub seq: Seq,
    /// Wall time since the chain's first step.
    #[serde(with = "micros")]
    pub after: Duration,
    /// The same in the canary's blocks.
    pub blocks: u64,
    /// The same in mainnet time.
    #[serde(with = "micros")]
    pub mainnet: Duration,
}

/// Something that may be on the way to a finding.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    kind: Cow<'static, str>,
    /// Whether a story can begin with it.
    begins: bool,
    /// Place of its rule in the table.
    rank: usize,
    draft: Draft,
    seq: Seq,
}

/// What happened lately, by shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Causes {
    clocks: Clocks,
    /// Processors that a node may use.
    limit: f64,
    processors: Vec<Processor>,
    disks: Vec<DiskLevel>,
    shards: Vec<VecDeque<Mark>>,
}

impl Causes {
    pub fn new(plan: &Plan, world: &World) -> Self {
        Self {
            clocks: plan.clocks,
            limit: plan.network.limits.cpus,
            processors: vec![Processor::default(); world.nodes.len()],
            disks: vec![DiskLevel::default(); world.nodes.len()],
            shards: vec![VecDeque::new(); world.shards.len()],
        }
    }

    /// Looks at one entry and what it changed. Answers whether there is anything new that chains may hold.
    pub fn step(&mut self, entry: &Entry, world: &World, changes: &[FindingChange]) -> bool {
        if let (Event::Sample(sample), Some(place)) = (&entry.event, world.touched_node) {
            self.processors[place].fold(sample, self.limit, world.now);
            self.disks[place].fold(sample);
        }
        let mut new = false;
        let asked: &[usize] = match changes.is_empty() {
            true => &rules::BY_CLASS[Wants::plain_class(&entry.event)],
            false => &rules::ALL,
        };
        for &rank in asked {
            let rule = &RULES[rank];
            let look = Look {
                entry,
                world,
                changes,
                processors: &self.processors,
                disks: &self.disks,
            };
            for draft in (rule.of)(&look) {
                new = true;
                self.mark(Mark {
                    kind: rule.kind_of(&draft).into(),
                    begins: rule.begins,
                    rank,
                    draft,
                    seq: entry.seq,
                });
            }
        }
        new
    }

    /// Again the same on the same node: the time of the first, the words of the last.
    fn mark(&mut self, mark: Mark) {
        let reach = self.reach();
        let Some(marks) = self.shards.get_mut(mark.draft.shard) else {
            return;
        };
        let again = marks.iter_mut().rev().find(|known| {
            known.kind == mark.kind
                && known.draft.node == mark.draft.node
                && known.draft.key == mark.draft.key
                && mark.draft.at.since(known.draft.at) <= reach
        });
        if let Some(known) = again {
            known.draft.what = mark.draft.what;
            return;
        }
        if marks.len() == MOST_MARKS {
            marks.pop_front();
        }
        marks.push_back(mark);
    }

    fn reach(&self) -> Duration {
        self.clocks.blocks(REACH_BLOCKS)
    }

    /// The chain of a finding as it stands now.
    pub fn chain(&self, finding: &Finding, world: &World) -> Vec<Cause> {
        let shard = world
            .shards
            .iter()
            .position(|shard| Some(shard.id) == finding.shard);
        let Some(marks) = shard.and_then(|shard| self.shards.get(shard)) else {
            return Vec::new();
        };
        let of_a_shard = OF_A_SHARD.contains(&finding.kind.as_str());
        let from = finding.start - self.reach();
        let until = if of_a_shard {
            finding.start + world.thresholds.stall + self.clocks.block_interval
        } else {
            finding.start
        };
        let name = |mark: &Mark| mark.draft.node.map(|node| &world.nodes[node].name);
        let belongs = |mark: &&Mark| {
            let at = mark.draft.at;
            let here = of_a_shard || name(mark).is_some_and(|node| finding.nodes.contains(node));
            // A finding does not come before itself.
            here && at >= from && at <= until && mark.kind != finding.kind
        };
        let mut chain: Vec<&Mark> = marks.iter().filter(belongs).collect();
        chain.sort_by_key(|mark| (mark.draft.at, mark.rank, mark.seq));
        // What only follows from something is no beginning, where there is one.
        let begin = chain.iter().position(|mark| mark.begins).unwrap_or(0);
        let first = chain.get(begin).map_or(finding.start, |mark| mark.draft.at);
        chain
            .into_iter()
            .skip(begin)
            .take(MOST_STEPS)
            .map(|mark| {
                let after = mark.draft.at.since(first);
                let interval = self.clocks.block_interval.as_micros().max(1);
                Cause {
                    kind: mark.kind.to_string(),
                    at: mark.draft.at,
                    node: name(mark).cloned(),
                    what: mark.draft.what.clone(),
                    seq: mark.seq,
                    after,
                    blocks: u64::try_from(after.as_micros() / interval).unwrap_or(u64::MAX),
                    mainnet: self.clocks.to_mainnet(after),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
