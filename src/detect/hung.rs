//! # What it reports
//! A node whose container runs and whose RPC has answered nothing for the whole window, while other nodes answer.
//! `major`.
//!
//! # Why it matters
//! "Up" proves nothing. A node that hangs holds its place in the committee and does none of its work.
//!
//! # Evidence
//! The first failed probe and the container's last change.
//!
//! # When it stays quiet
//! While no other node answers or the observation path is gone: then the canary is blind, and that is no finding
//! against a node. For nodes that are down. It closes with the next answer.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, nodes_at},
    finding::Severity,
    findings::{Findings, Opening},
    world::{Container, Node, World},
};
use crate::{journal::Entry, time::Elapsed};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        for place in nodes_at(world) {
            let node = &world.nodes[place];
            let silent = silent_since(node, world);
            match (self.open.get(place), silent) {
                (None, Some(since)) if world.judging_progress() => {
                    // Silence counts only while somebody else answers: else it is the canary that hears nothing.
                    let Some(others) = world.answered_since else {
                        continue;
                    };
                    if world.now.since(since.max(others)) < world.thresholds.hung {
                        continue;
                    }
                    let frozen = node.paused.is_some();
                    let how = if node.rpc.refused {
                        "refuses connections"
                    } else {
                        "answers nothing"
                    };
                    let summary = format!("{} runs and {how}", node.name);
                    let opening = Opening::new("hung", Severity::Major, since, summary)
                        .shard(world.shards[node.shard].id)
                        .node(&node.name)
                        .resting_on(node.rpc.seq)
                        .resting_on(node.container_seq)
                        .after(
                            frozen.then(|| format!("{} was frozen by an outside hand", node.name)),
                        );
                    self.open.put(place, findings.open(opening));
                }
                (Some(handle), None) => {
                    self.open.take(place);
                    findings.close(handle, world.now);
                }
                _ => {}
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::PROBES | Wants::CONTAINERS | Wants::LOUD_PULSE
    }
}

/// Since when a running node says nothing; `None` if it answers, is down, or is frozen by the canary itself.
fn silent_since(node: &Node, world: &World) -> Option<Elapsed> {
    match (node.container, node.paused) {
        (Container::Running, _) | (Container::Paused, Some((_, false))) => {}
        _ => return None,
    }
    let stale = node
        .rpc
        .answered_at
        .is_none_or(|at| world.now.since(at) > world.fresh());
    if node.rpc.failing_since.is_none() && !stale {
        return None;
    }
    let shard = &world.shards[node.shard];
    let last = node.rpc.answered_at.or(node.rpc.failing_since);
    Some(
        last.unwrap_or(node.started_at)
            .max(node.started_at)
            .max(shard.from),
    )
}
