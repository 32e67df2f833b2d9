//! # What it reports
//! A node that answers and whose head is further behind its shard than the plan allows: `minor` once it was seen so
//! three times, `major` when it has not caught up within its budget.
//!
//! # Why it matters
//! A node that cannot follow does not vote, and is the first to be missing when another fails.
//!
//! # Evidence
//! The positions that showed it behind, its last start, its disk's failure.
//!
//! # When it stays quiet
//! For nodes that are down, frozen or silent (those are findings of their own, and their heads are old), and while the
//! node is within the limit. It closes when the node is back within it or goes down.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{
    ids::Height,
    journal::{Entry, Event, event::ProbeKind},
    time::Elapsed,
};

/// A node behind its shard.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Lag {
    since: Elapsed,
    seen: u32,
}

/// Watches every node at its positions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    lags: Vec<Option<Lag>>,
}

/// Seen this often before it is reported: one late answer is no lag.
const CONFIRMED: u32 = 3;

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if self.lags.len() < world.nodes.len() {
            self.lags.resize(world.nodes.len(), None);
        }
        match &entry.event {
            Event::Heads { nodes, .. } if world.judging_progress() => {
                for head in nodes {
                    if let Some(place) = world.node(&head.node) {
                        self.look(place, head.height, world, findings);
                    }
                }
            }
            // A sign of life without a height: it stands no higher than when it last told one. After a silence the height
            // follows.
            Event::ProbeAnswered {
                node,
                probe: ProbeKind::Rpc,
                silent_for,
            } if silent_for.is_zero() && world.judging_progress() => {
                if let Some(place) = world.node(node)
                    && let Some(height) = world.nodes[place].height
                {
                    self.look(place, height, world, findings);
                }
            }
            Event::Container { node, .. } => {
                if let Some(place) = world.node(node)
                    && !world.nodes[place].runs()
                {
                    self.over(place, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::HEADS | Wants::CONTAINERS | Wants::PROBES
    }
}

impl Watch {
    fn look(&mut self, place: usize, height: Height, world: &World, findings: &mut Findings) {
        let node = &world.nodes[place];
        let shard = &world.shards[node.shard];
        let Some(best) = &shard.best else { return };
        let behind = best.height.0.saturating_sub(height.0);
        if behind <= limit(world) {
            self.over(place, world, findings);
            return;
        }
        let lag = self.lags[place].get_or_insert(Lag {
            since: world.now,
            seen: 0,
        });
        lag.seen = lag.seen.saturating_add(1);
        let lag = *lag;
        if lag.seen < CONFIRMED {
            return;
        }
        let handle = match self.open.get(place) {
            Some(handle) => handle,
            None => {
                let summary = format!(
                    "{} is {behind} blocks behind shard {}, at height {height}",
                    node.name, shard.id
                );
                let restarted = node.starts > 1;
                let full = node.disk.full_since.is_some();
                let mut opening = Opening::new("node-lagging", Severity::Minor, lag.since, summary)
                    .shard(shard.id)
                    .node(&node.name)
                    .resting_on([best.seq])
                    .resting_on(node.container_seq.filter(|_| restarted))
                    .resting_on(node.severe.last().filter(|_| full).map(|line| line.1))
                    .after(restarted.then(|| format!("{} was started again before", node.name)))
                    .after(node.trouble(world.now, world.thresholds.hung));
                opening.heights = Some((height, best.height));
                let handle = findings.open(opening);
                self.open.put(place, handle);
                handle
            }
        };
        if world.now.since(lag.since) > world.thresholds.lag_budget {
            findings.raise(handle, Severity::Major);
        }
    }

    fn over(&mut self, place: usize, world: &World, findings: &mut Findings) {
        self.lags[place] = None;
        if let Some(handle) = self.open.take(place) {
            findings.close(handle, world.now);
        }
    }
}

/// Blocks behind that are allowed. Positions are told once a second, so blocks that came since do not count.
fn limit(world: &World) -> u64 {
    let interval = world.clocks.block_interval.as_secs_f64().max(1e-6);
    let of_time = (world.thresholds.lag_time.as_secs_f64() / interval).ceil();
    let since_told = (world.fresh().as_secs_f64() / interval).ceil();
    world
        .thresholds
        .lag_blocks
        .max(of_time as u64)
        .saturating_add(since_told as u64)
}
