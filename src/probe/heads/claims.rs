//! Whose word a height is taken on. One node may be wrong, or lie: what it shows above all others is held back until
//! another one shows as much, or until those that could tell say nothing of it.

use std::sync::Arc;

use super::{Heads, MAX_GAP, SILENT, shard::Shard};
use crate::{
    ids::{Height, ShardId},
    journal::event::Event,
    profile::dialect::Header,
    time::Elapsed,
};

/// Blocks that a node may be ahead of all others on its own word: between two polls a healthy one is so for a moment.
/// Far fewer than make a stall, so that no single node hides one.
pub(super) const MAX_LEAD: u64 = 2;

/// The heights that members of a shard have ever shown, as far as they vouch for each other.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The highest, and whose it is.
    highest: Option<(usize, u64)>,
    /// The highest that another one has shown, too.
    supported: Option<u64>,
}

impl Claims {
    /// A node shows this height.
    pub(super) fn note(&mut self, node: usize, height: u64) {
        match self.highest {
            Some((who, most)) if who == node => self.highest = Some((who, most.max(height))),
            Some((_, most)) if height <= most => {
                self.supported = self.supported.max(Some(height));
            }
            before => {
                self.supported = self.supported.max(before.map(|(_, height)| height));
                self.highest = Some((node, height));
            }
        }
    }

    /// Whether a second node vouches for this height, or nearly so.
    pub(super) fn vouch(&self, height: u64) -> bool {
        self.supported
            .is_some_and(|supported| height <= supported.saturating_add(MAX_LEAD))
    }
}

impl Heads {
    /// Notes what a node shows, and since when nobody vouches for it.
    pub(super) fn note_claim(
        &mut self,
        node: usize,
        height: Height,
        before: Option<Height>,
        now: Elapsed,
    ) {
        let quorum = self.quorum;
        let Some((state, shard)) = self.parts(node) else {
            return;
        };
        shard.claims.note(node, height.0);
        let decides = shard.members.len() == 1 || quorum.is_met(shard.power, state.power);
        if decides || shard.claims.vouch(height.0) {
            state.alone_since = None;
        } else if state.alone_since.is_none()
            || before.is_some_and(|before| shard.claims.vouch(before.0))
        {
            // What it showed before has been shown by others since: this is another lead.
            state.alone_since = Some(now);
        }
    }

    /// Drops a tip that one node made up while nobody else was heard.
    pub(super) fn outvote(&mut self, node: usize, now: Elapsed) {
        let Some(shard_id) = self.nodes.get(node).map(|node| node.shard) else {
            return;
        };
        let Some(tip) = self.shards.get(&shard_id).and_then(Shard::unvouched_tip) else {
            return;
        };
        let limit = tip.saturating_sub(MAX_GAP);
        if self.refuted(shard_id, limit, Elapsed::default(), now)
            && let Some(shard) = self.shards.get_mut(&shard_id)
        {
            shard.forget_tip();
        }
    }

    /// Whether no quorum can have signed what is above this height: those that answered since and do not show it are too
    /// many. Who signs a block shows it soon.
    fn refuted(&self, shard: ShardId, height: u64, since: Elapsed, now: Elapsed) -> bool {
        let Some(shard) = self.shards.get(&shard) else {
            return false;
        };
        let mut below = 0_u64;
        for member in &shard.members {
            let Some(member) = self.nodes.get(*member) else {
                continue;
            };
            let answers = |at: Elapsed| at > since && now.since(at) < SILENT;
            let lower = |head: &(Height, Arc<str>)| head.0.0 < height;
            if member.answered.is_some_and(answers) && member.head.as_ref().is_some_and(lower) {
                below = below.saturating_add(member.power);
            }
        }
        below > 0
            && !self
                .quorum
                .is_met(shard.power, shard.power.saturating_sub(below))
    }

    /// Places a head that is to be believed; another one waits until others vouch for it.
    pub(super) fn weigh(
        &mut self,
        node: usize,
        head: Header,
        now: Elapsed,
        events: &mut Vec<Event>,
    ) {
        let height = head.height.0;
        let Some((state, shard)) = self.parts(node) else {
            return;
        };
        let (shard_id, alone_since) = (state.shard, state.alone_since);
        shard.held.remove(&node);
        let mut believed = shard.vouched();
        let alone = alone_since.is_some_and(|since| {
            let Some(shard) = self.shards.get(&shard_id) else {
                return true;
            };
            // Nobody else may be there to tell: it is waited for them, unless it goes on where it was.
            let waits = !shard.goes_on(height) && now.since(since) < SILENT;
            waits || self.refuted(shard_id, height.saturating_sub(MAX_LEAD), since, now)
        });
        if !alone {
            believed.push((node, head));
        } else if let Some((_, shard)) = self.parts(node) {
            shard.held.insert(node, head);
        }
        believed.sort_by_key(|(_, head)| head.height);
        for (node, head) in believed {
            self.place(node, head, events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_vouch_for_what_both_have_shown() {
        let mut claims = Claims::default();
        claims.note(0, 1_000);
        claims.note(0, 1_001);
        assert!(!claims.vouch(5), "one node alone");
        claims.note(1, 10);
        assert!(claims.vouch(10 + MAX_LEAD) && !claims.vouch(11 + MAX_LEAD));
        claims.note(2, 9);
        assert!(claims.vouch(10 + MAX_LEAD), "it has been shown");
        claims.note(2, 2_000);
        assert!(claims.vouch(1_001 + MAX_LEAD) && !claims.vouch(2_000));
        claims.note(0, u64::MAX);
        assert!(claims.vouch(2_000) && !claims.vouch(u64::MAX));
        claims.note(1, u64::MAX);
        assert!(claims.vouch(u64::MAX));
    }
}
