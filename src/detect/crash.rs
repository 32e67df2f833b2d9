//! # What it reports
//! A node's process that ended without the canary asking for it: `minor` when an outside hand did it (the engine told
//! of a signal before the end), `major` when it ended by itself, whatever its exit code.
//!
//! # Why it matters
//! A node that ends itself over a failed write or a bad message turns one fault into an outage.
//!
//! # Evidence
//! The end, the signal before it, and the node's last severe log lines.
//!
//! # When it stays quiet
//! For ends that the canary asked for, for ends that the engine's own failure caused (infra), and for ends that
//! `oom-kill` already reports. Where an exit code may be somebody else's signal it waits half a second for the
//! engine's word. It closes when the node is started again.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, nodes_at},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::{Down, Hand, Node, World},
};
use crate::{ids::Seq, journal::Entry};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    reported: Vec<Option<Seq>>,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Engine]
    }

    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        if self.reported.len() < world.nodes.len() {
            self.reported.resize(world.nodes.len(), None);
        }
        for place in nodes_at(world) {
            let node = &world.nodes[place];
            let Some(down) = node.down else {
                if node.runs()
                    && let Some(handle) = self.open.take(place)
                {
                    findings.close(handle, world.now);
                }
                continue;
            };
            if self.reported[place] == Some(down.seq) || !world.judging() {
                continue;
            }
            let severity = match down.hand {
                Hand::Undecided => continue,
                Hand::Canary | Hand::Engine => None,
                Hand::Itself if down.out_of_memory => None,
                Hand::Itself => Some(Severity::Major),
                Hand::Outside => Some(Severity::Minor),
            };
            self.reported[place] = Some(down.seq);
            // A node that ended again before it was seen to run: the end before is over.
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, down.since);
            }
            if let Some(severity) = severity {
                let opening = opening(node, down, severity, world);
                self.open.put(place, findings.open(opening));
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::CONTAINERS | Wants::LOUD_PULSE
    }
}

fn opening(node: &Node, down: Down, severity: Severity, world: &World) -> Opening {
    let how = match down.hand {
        Hand::Outside => "was ended by an outside hand",
        _ => "ended by itself",
    };
    let summary = format!("{} {how}, exit {}", node.name, down.exit_code);
    let outside = down.hand == Hand::Outside;
    // Lines of the minute before are about this end.
    let lately = world.now - std::time::Duration::from_secs(60);
    let mut opening = Opening::new("crash", severity, down.since, summary)
        .shard(world.shards[node.shard].id)
        .node(&node.name)
        .resting_on([down.seq])
        .resting_on(node.kill_seq().filter(|_| outside))
        .resting_on(
            node.severe
                .iter()
                .filter(|(_, _, at)| *at >= lately)
                .map(|(_, seq, _)| *seq),
        )
        .after(
            node.disk
                .full_since
                .map(|_| format!("the disk of {} was full", node.name)),
        );
    opening.heights = node.height.map(|height| (height, height));
    opening
}
