//! # What it reports
//! A node that logs the plan's factor (ten times) of what it usually does for half a minute, or whose log volume for a
//! block grows so that it doubles within the horizon of mainnet time. `major`.
//!
//! # Why it matters
//! A node that repeats one message without end is stuck, and fills its disk with saying so. On the incident's day the
//! logs were what the disk was full of.
//!
//! # Evidence
//! The counts of lines and bytes that showed it.
//!
//! # When it stays quiet
//! Until a minute of ordinary counts was seen; below a volume that harms nobody; while faults take validators of the
//! shard and until it has recovered (excused). It closes with the flood.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    statistics::median,
    world::{Series, World},
};
use crate::{
    ids::Seq,
    journal::{Entry, Event},
    plan::values::human_size,
    time::Elapsed,
};

/// Counts in a row that must show a flood: at one each ten seconds, half a minute.
const FLOODED: usize = 3;
/// Usual rates that are remembered, and how many of them are needed.
const USUAL: usize = 32;
const USUAL_LEAST: usize = 6;
/// Bytes a second that flood nobody: a gigabyte in a day.
const HARMLESS: f64 = 12_000.0;

const KIND: Kind = Kind {
    id: "log-flood",
    series: Series::Log,
    name: "log volume",
    quantum: 1.0,
    // What is logged for a block depends on its load.
    noise: 4.0,
    expected: |_| 0.0,
    limit: |world, _, start| {
        let factor = world.thresholds.trends.creep_factor;
        Some(Limit {
            value: start * factor,
            what: format!("{factor} times what it was"),
        })
    },
    unit: Unit::Bytes,
};

/// Watches every node's counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    growth: Growth,
    open: Slots,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Node {
    last: Option<(Elapsed, u64)>,
    usual: VecDeque<f64>,
    /// Counts in a row above the limit: when the first began, and their entries.
    above: Vec<(Elapsed, Seq)>,
}

impl Node {
    /// Bytes a second since the count before.
    fn rate(&mut self, now: Elapsed, bytes: u64) -> Option<(Elapsed, f64)> {
        let (at, before) = self.last.replace((now, bytes))?;
        let span = now.since(at).as_secs_f64();
        let grown = bytes.checked_sub(before)?;
        (span > 0.0).then(|| (at, grown as f64 / span))
    }

    fn usual(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.usual.iter().copied().collect();
        (rates.len() >= USUAL_LEAST)
            .then(|| median(&mut rates))
            .flatten()
    }
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let (Event::LogCount { bytes, .. }, Some(place)) = (&entry.event, world.touched_node)
        else {
            return;
        };
        self.growth.step(&KIND, world, findings);
        if self.nodes.len() < world.nodes.len() {
            self.nodes.resize(world.nodes.len(), Node::default());
        }
        let node = &mut self.nodes[place];
        let Some((since, rate)) = node.rate(world.now, *bytes) else {
            return;
        };
        // Below what floods nobody, as nearly all are, it does not matter what is usual.
        let usual = if rate < HARMLESS { None } else { node.usual() };
        let limit = usual.map_or(f64::MAX, |usual| {
            (usual * world.thresholds.trends.flood_factor).max(HARMLESS)
        });
        if rate < limit {
            node.above.clear();
            if node.usual.len() == USUAL {
                node.usual.pop_front();
            }
            node.usual.push_back(rate);
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, since);
            }
            return;
        }
        if self.open.get(place).is_some() || !world.judging() {
            return;
        }
        node.above.push((since, entry.seq));
        if node.above.len() < FLOODED {
            return;
        }
        let above = std::mem::take(&mut node.above);
        let name = &world.nodes[place].name;
        let summary = format!(
            "{name} logs {} a second, {} before",
            human_size(rate as u64),
            human_size(usual.unwrap_or(0.0) as u64)
        );
        let opening = Opening::new("log-flood", Severity::Major, above[0].0, summary)
            .shard(world.shards[world.nodes[place].shard].id)
            .node(name)
            .resting_on(above.iter().map(|(_, seq)| *seq));
        self.open.put(place, findings.open(opening));
    }

    fn wants(&self) -> Wants {
        Wants::COUNTS
    }
}
