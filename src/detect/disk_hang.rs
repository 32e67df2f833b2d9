//! # What it reports
//! A node of which a thread has waited for its disk for the whole window without running once in between. `major`.
//!
//! # Why it matters
//! A disk that does not answer gives no error to handle: the node looks alive, answers RPC, and will never write its
//! next block.
//!
//! # Evidence
//! The samples that showed it.
//!
//! # When it stays quiet
//! For waits that end, however slow the disk is. It closes when the thread runs again, or the node ends.

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
    journal::{Entry, Event},
    time::human,
};

/// Watches every node at its samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Sample(sample) => {
                let Some(place) = world.touched_node else {
                    return;
                };
                let stuck = Duration::from_micros(sample.stuck);
                let hangs = stuck >= world.told.disk_hang;
                match (self.open.get(place), hangs) {
                    (None, true) if world.judging() => {
                        let node = &world.nodes[place];
                        let summary = format!(
                            "the disk of {} does not answer: a thread waits for it since {}",
                            node.name,
                            human(stuck)
                        );
                        let opening =
                            Opening::new("disk-hang", Severity::Major, world.now - stuck, summary)
                                .shard(world.shards[node.shard].id)
                                .node(&node.name);
                        self.open.put(place, findings.open(opening));
                    }
                    (Some(handle), true) => findings.cite(handle, entry.seq),
                    (Some(_), false) => self.over(place, world, findings),
                    (None, _) => {}
                }
            }
            Event::Container { .. } if self.open.any() => {
                if let Some(place) = world.touched_node
                    && !world.nodes[place].runs()
                {
                    self.over(place, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_SAMPLES | Wants::CONTAINERS
    }
}

impl Watch {
    fn over(&mut self, place: usize, world: &World, findings: &mut Findings) {
        if let Some(handle) = self.open.take(place) {
            findings.close(handle, world.now);
        }
    }
}
