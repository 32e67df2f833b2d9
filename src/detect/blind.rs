//! # What it reports
//! A stretch in which the canary saw nothing: of everything (the watcher is gone), of one shard (no running node of it
//! answers, and nothing says that they are down), or of one node's log or resources. `info`: it is ours, and what it
//! does to the verdict is decided by its share of the watched time.
//!
//! # Why it matters
//! What was not seen is neither health nor failure. Said loudly, nobody takes silence for a green run.
//!
//! # Evidence
//! The entry that told of the loss, or the last answer.
//!
//! # When it stays quiet
//! For less than its window, while watching is switched off on purpose, and for nodes that are known to be down. A
//! single node whose RPC is silent is `hung`, never blind.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    judgement::Source,
    world::{Node, Probe, World},
};
use crate::journal::Entry;

/// Watches the canary's own sight.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    all: Option<Handle>,
    shards: Slots,
    logs: Slots,
    samplers: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Canary]
    }

    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        if !world.pulse && world.sight_lost.is_none() && self.all.is_none() {
            return;
        }
        self.everything(world, findings);
        if world.sight_lost.is_some() || world.watch_paused || !world.judging() {
            return;
        }
        for place in 0..world.shards.len() {
            self.shard(place, world, findings);
        }
        for (place, node) in world.nodes.iter().enumerate() {
            let works = node.log.failing_since.is_none() && node.sampler.failing_since.is_none();
            if works && self.logs.get(place).is_none() && self.samplers.get(place).is_none() {
                continue;
            }
            probe(
                &mut self.logs,
                place,
                node,
                &node.log,
                "log",
                world,
                findings,
            );
            probe(
                &mut self.samplers,
                place,
                node,
                &node.sampler,
                "resources",
                world,
                findings,
            );
        }
    }

    fn wants(&self) -> Wants {
        Wants::OTHERS | Wants::LOUD_PULSE
    }
}

impl Watch {
    fn everything(&mut self, world: &World, findings: &mut Findings) {
        match (self.all, world.sight_lost) {
            (None, Some((since, seq)))
                if world.now.since(since) >= world.thresholds.blind && world.judging() =>
            {
                let summary = "the canary sees nothing of the network".to_owned();
                let opening =
                    Opening::new("blind", Severity::Info, since, summary).resting_on([seq]);
                self.all = Some(findings.open(opening));
            }
            (Some(handle), None) => {
                self.all = None;
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }

    fn shard(&mut self, place: usize, world: &World, findings: &mut Findings) {
        let shard = &world.shards[place];
        let Some(since) = shard.unseen_since else {
            if let Some(handle) = self.shards.take(place) {
                findings.close(handle, world.now);
            }
            return;
        };
        // What was unseen while everything was is told once.
        let since = since.max(world.sight_back);
        let runs = shard.nodes.iter().any(|&node| world.nodes[node].runs());
        if self.shards.get(place).is_some()
            || !runs
            || world.now.since(since) < world.thresholds.blind
        {
            return;
        }
        let start = match shard.answered_at {
            Some(at) if at >= world.sight_back => at.min(since),
            _ => since,
        };
        let summary = format!("no running node of shard {} answers", shard.id);
        let opening = Opening::new("blind", Severity::Info, start, summary)
            .shard(shard.id)
            .resting_on(shard.answered_seq)
            .resting_on(
                shard
                    .nodes
                    .iter()
                    .filter_map(|&node| world.nodes[node].rpc.seq),
            );
        self.shards.put(place, findings.open(opening));
    }
}

fn probe(
    open: &mut Slots,
    place: usize,
    node: &Node,
    probe: &Probe,
    what: &str,
    world: &World,
    findings: &mut Findings,
) {
    let failing = probe.failing_since.filter(|_| node.runs());
    match (open.get(place), failing) {
        (None, Some(since)) => {
            // A node that was just started again has its probes attached again first.
            let since = since.max(node.started_at);
            if world.now.since(since) < world.thresholds.blind {
                return;
            }
            let summary = format!("the canary does not see the {what} of {}", node.name);
            let opening = Opening::new("blind", Severity::Info, since, summary)
                .shard(world.shards[node.shard].id)
                .node(&node.name)
                .resting_on(probe.seq);
            open.put(place, findings.open(opening));
        }
        (Some(handle), None) => {
            open.take(place);
            findings.close(handle, world.now);
        }
        _ => {}
    }
}
