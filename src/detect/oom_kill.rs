//! # What it reports
//! A node of which the kernel ended a process for memory. `major`. There is then no `crash` beside it.
//!
//! # Why it matters
//! Memory that grows with the chain ends every node of a shard at nearly the same time.
//!
//! # Evidence
//! The engine's word, and the end that followed.
//!
//! # When it stays quiet
//! Never while the network is judged. It closes when the node is started again; if its main process lived on, as soon as
//! that is certain.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::{HAND_GRACE, World},
};
use crate::journal::{Entry, Event, event::ContainerChange};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Engine]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.look(world, findings);
        let Event::Container { node, change, .. } = &entry.event else {
            return;
        };
        let Some(place) = world.node(node) else {
            return;
        };
        match change {
            ContainerChange::OutOfMemory if world.judging() => {
                if let Some(handle) = self.open.get(place) {
                    findings.cite(handle, entry.seq);
                    return;
                }
                let node = &world.nodes[place];
                let summary = format!("the kernel ended a process of {} for memory", node.name);
                let opening = Opening::new("oom-kill", Severity::Major, world.now, summary)
                    .shard(world.shards[node.shard].id)
                    .node(&node.name)
                    .resting_on(node.down.map(|down| down.seq));
                self.open.put(place, findings.open(opening));
            }
            ContainerChange::Died { .. } => {
                if let Some(handle) = self.open.get(place) {
                    findings.cite(handle, entry.seq);
                }
            }
            ContainerChange::Started => {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::CONTAINERS | Wants::LOUD_PULSE
    }
}

impl Watch {
    /// A node that goes on running when its end would have been told had lost another process than its main one.
    fn look(&mut self, world: &World, findings: &mut Findings) {
        if !world.pulse || !self.open.any() {
            return;
        }
        for (place, node) in world.nodes.iter().enumerate() {
            let killed = node.out_of_memory().map(|(at, _)| at);
            if node.runs()
                && killed.is_none_or(|at| world.now.since(at) > HAND_GRACE)
                && let Some(handle) = self.open.take(place)
            {
                findings.close(handle, world.now);
            }
        }
    }
}
