//! # What it reports
//! A node whose calls that make writes durable take longer on average than the plan allows, twice in a row. `minor`.
//!
//! # Why it matters
//! A block is some of them, one after the other. A disk that is slow today is late for a vote tomorrow.
//!
//! # Evidence
//! The figures between which the mean was taken; it is in the summary.
//!
//! # When it stays quiet
//! For nodes whose metrics do not tell, and when there were too few calls for a mean. It closes at the first mean within
//! the limit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    ids::Seq,
    journal::{Entry, Event},
    time::{Elapsed, human},
};

/// Fewer calls say nothing of the disk.
const LEAST: u64 = 5;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Last {
    syncs: u64,
    time: u64,
    at: Elapsed,
    seq: Seq,
    /// The mean before was over the limit too: since when.
    slow: Option<Elapsed>,
}

/// Watches every node's figures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    last: Vec<Option<Last>>,
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Metrics]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Figures(figures) = &entry.event else {
            return;
        };
        let (Some(place), Some(syncs), Some(time)) =
            (world.touched_node, figures.syncs, figures.sync_time)
        else {
            return;
        };
        self.last.resize(world.nodes.len(), None);
        let mut now = Last {
            syncs,
            time,
            at: world.now,
            seq: world.seq,
            slow: None,
        };
        // Counters that went back are another process.
        let before = self.last[place].filter(|last| last.syncs <= syncs && last.time <= time);
        if let Some(before) = before {
            let calls = syncs - before.syncs;
            if calls < LEAST {
                return;
            }
            let mean = Duration::from_micros((time - before.time) / calls);
            if mean > world.told.slow_fsync {
                now.slow = Some(before.slow.unwrap_or(before.at));
                if before.slow.is_some() && self.open.get(place).is_none() && world.judging() {
                    let node = &world.nodes[place];
                    let summary = format!(
                        "a sync of {}'s disk takes {} on average, limit {}",
                        node.name,
                        human(mean),
                        human(world.told.slow_fsync)
                    );
                    let since = now.slow.unwrap_or(before.at);
                    let opening = Opening::new("slow-fsync", Severity::Minor, since, summary)
                        .shard(world.shards[node.shard].id)
                        .node(&node.name)
                        .resting_on([before.seq]);
                    self.open.put(place, findings.open(opening));
                }
            } else if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
        }
        self.last[place] = Some(now);
    }

    fn wants(&self) -> Wants {
        Wants::FIGURES
    }
}
