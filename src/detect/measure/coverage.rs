//! What the run exercised, and what each detector could judge of it.

use std::time::Duration;

use super::{Measures, total};
use crate::detect::{
    DETECTORS,
    findings::Findings,
    judgement::{DetectorView, Measured, NodeView, ShardView, Source},
    world::World,
};

impl Measures {
    pub(super) fn coverage(
        &self,
        world: &World,
        findings: &Findings,
        shards: &[ShardView],
        nodes: &[NodeView],
    ) -> Measured {
        let blocks = || {
            self.shards
                .iter()
                .zip(&world.shards)
                .map(|(measure, shard)| measure.blocks(shard))
        };
        let full = || {
            findings
                .all()
                .iter()
                .filter(|finding| finding.kind == "disk-full")
        };
        let blind = nodes
            .iter()
            .filter(|node| node.blind_share > 0.0)
            .max_by(|a, b| a.blind_share.total_cmp(&b.blind_share));
        let lines = total(nodes.iter().map(|node| node.lines.0));
        let lost = total(nodes.iter().map(|node| node.lines.1));
        let load = || shards.iter().map(|shard| shard.traffic.load);
        let offered = total(load().map(|load| load.made.saturating_add(load.held_back)));
        let missed = total(load().map(|load| load.missed));
        let due = offered.saturating_add(missed);
        Measured {
            blocks: total(blocks()),
            blocks_least: blocks().min().unwrap_or(0),
            epochs: total(
                self.shards
                    .iter()
                    .zip(&world.shards)
                    .map(|(measure, shard)| measure.epochs(shard)),
            ),
            leader_turns: self.shards.iter().map(|shard| shard.leader_turns).sum(),
            view_changes: total(shards.iter().map(|shard| shard.view_changes)),
            restarts: nodes.iter().map(|node| node.restarts).sum(),
            full_disks: full().count() as u64,
            full_disks_recovered: full().filter(|finding| finding.end.is_some()).count() as u64,
            leader_kills: self.leader_kills,
            receipts: total(shards.iter().map(|shard| shard.traffic.receipts)),
            load_share: (due > 0).then(|| offered as f64 / due as f64),
            watched: self.watched,
            soak: self
                .soak
                .map_or(Duration::ZERO, |(from, to)| to.since(from)),
            blind_share: blind.map_or(0.0, |node| node.blind_share),
            blind_node: blind.map(|node| node.node.clone()),
            lines,
            lines_lost: lost,
            lines_lost_share: lost as f64 / lines.saturating_add(lost).max(1) as f64,
            gaps: self.gaps,
        }
    }

    /// The share of the watched time in which each detector had what it needs, on the node where it had least.
    pub(super) fn detector_views(&self, coverage: &Measured) -> Vec<DetectorView> {
        let watched = self.watched.as_secs_f64();
        let late = self.late.as_secs_f64();
        let unseen = |source: Source| -> f64 {
            let of_nodes = self
                .nodes
                .iter()
                .map(|node| node.unseen(source).as_secs_f64())
                .fold(0.0, f64::max);
            let lost = match source {
                Source::Log => coverage.lines_lost_share,
                _ => 0.0,
            };
            // What is told of a stretch in which facts came late is late itself.
            let late = if source == Source::Canary { 0.0 } else { late };
            if watched > 0.0 {
                (of_nodes + late) / watched + lost
            } else {
                lost
            }
        };
        DETECTORS
            .iter()
            .map(|info| {
                let needs = (info.build)().needs();
                let worst = needs
                    .iter()
                    .map(|source| unseen(*source))
                    .fold(0.0, f64::max);
                DetectorView {
                    id: info.id.to_owned(),
                    needs: needs.to_vec(),
                    judged: (1.0 - worst).clamp(0.0, 1.0),
                }
            })
            .collect()
    }
}
