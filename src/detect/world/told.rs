//! Questions of the detectors that judge what nodes tell of themselves.

use std::time::Duration;

use super::{Node, Shard, World};
use crate::{journal::event::Mode, time::Elapsed};

impl World {
    /// Whether a shard makes blocks now: what does not move elsewhere is then not its doing.
    #[must_use]
    pub fn makes_blocks(&self, shard: &Shard) -> bool {
        let patience = self.thresholds.stall_suspected + self.unwritten();
        shard.unseen_since.is_none()
            && shard
                .best
                .as_ref()
                .is_some_and(|best| self.now.since(best.at.max(shard.from)) < patience)
    }

    /// Blocks that come in this time, rounded up.
    #[must_use]
    pub fn blocks_in(&self, span: Duration) -> u64 {
        let interval = self.clocks.block_interval.as_secs_f64().max(1e-6);
        (span.as_secs_f64() / interval).ceil() as u64
    }

    /// Whether a node could take part all the time since `from`: it runs, answers, has room and has what its shard has.
    #[must_use]
    pub fn takes_part(&self, node: &Node, from: Elapsed) -> bool {
        let shard = &self.shards[node.shard];
        let best = shard.best.as_ref().map_or(0, |best| best.height.0);
        let level = node
            .height
            .is_some_and(|height| height.0 + self.thresholds.lag_blocks >= best);
        let normal = !matches!(node.mode, Some((Mode::Syncing | Mode::Listening, _)));
        node.runs()
            && node.started_at <= from
            && !node.was_down_since(from)
            && node.disk.full_since.is_none()
            && self.answers(node)
            && level
            && normal
    }
}
