//! # What it reports
//! Log lines of a node that were lost before they were read. `info`: the engine's driver rotates under a flood.
//!
//! # Why it matters
//! A line that was never read may have been the one that tells of the failure.
//!
//! # Evidence
//! The counts that showed it; the number is in the summary.
//!
//! # When it stays quiet
//! While no line is lost. It closes when a later count shows no further loss. Its share decides at the verdict.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::journal::{Entry, Event};

/// Watches every node's counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    lost: Vec<u64>,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Canary]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if let Event::Attached { .. } = &entry.event {
            // Another owner counts from zero.
            self.lost.fill(0);
        }
        let Event::LogCount {
            node, lines, lost, ..
        } = &entry.event
        else {
            return;
        };
        let Some(place) = world.node(node) else {
            return;
        };
        self.lost.resize(world.nodes.len(), 0);
        let before = std::mem::replace(&mut self.lost[place], *lost);
        match (self.open.get(place), *lost > before) {
            (None, true) => {
                let summary = format!(
                    "{} log lines of {node} were lost, {lines} were read",
                    lost - before
                );
                let opening = Opening::new("log-lines-lost", Severity::Info, world.now, summary)
                    .shard(world.shards[world.nodes[place].shard].id)
                    .node(node);
                self.open.put(place, findings.open(opening));
            }
            (Some(handle), true) => findings.cite(handle, entry.seq),
            (Some(handle), false) => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            (None, false) => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::COUNTS | Wants::OTHERS
    }
}
