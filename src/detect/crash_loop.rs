//! # What it reports
//! A node that ended by itself (or for memory) several times within a window. `critical`.
//!
//! # Why it matters
//! A restart that does not help hides the failure from whoever looks only at "is it up".
//!
//! # Evidence
//! The ends.
//!
//! # When it stays quiet
//! For ends by an outside hand, by the canary or with the engine. It closes when a window has passed without an end.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, nodes_at},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::{Hand, World},
};
use crate::{ids::Seq, journal::Entry, time::Elapsed};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    ends: Vec<Vec<(Elapsed, Seq)>>,
}

/// Ends kept per node; more than any plan asks for.
const KEPT: usize = 32;

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Engine]
    }

    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        if self.ends.len() < world.nodes.len() {
            self.ends.resize(world.nodes.len(), Vec::new());
        }
        let window = world.thresholds.crash_loop_window;
        for place in nodes_at(world) {
            let node = &world.nodes[place];
            let ends = &mut self.ends[place];
            if node.down.is_none() && ends.is_empty() {
                continue;
            }
            let new = node.down.filter(|down| {
                down.hand == Hand::Itself
                    && world.judging()
                    && ends.last().is_none_or(|&(_, seq)| seq != down.seq)
            });
            if let Some(down) = new {
                if ends.len() == KEPT {
                    ends.remove(0);
                }
                ends.push((down.since, down.seq));
            } else if ends.is_empty() {
                continue;
            }
            let quiet = ends
                .last()
                .is_some_and(|&(at, _)| world.now.since(at) > window);
            if quiet {
                ends.clear();
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                continue;
            }
            let Some(down) = new else { continue };
            ends.retain(|&(at, _)| down.since.since(at) <= window);
            if let Some(handle) = self.open.get(place) {
                findings.cite(handle, down.seq);
                continue;
            }
            let most = (world.thresholds.crash_loop_exits.max(2) as usize).min(KEPT);
            if ends.len() < most {
                continue;
            }
            let summary = format!("{} ended by itself {} times", node.name, ends.len());
            let start = ends.first().map_or(down.since, |&(at, _)| at);
            let opening = Opening::new("crash-loop", Severity::Critical, start, summary)
                .shard(world.shards[node.shard].id)
                .node(&node.name)
                .resting_on(ends.iter().map(|&(_, seq)| seq));
            self.open.put(place, findings.open(opening));
        }
    }

    fn wants(&self) -> Wants {
        Wants::CONTAINERS | Wants::LOUD_PULSE
    }
}
