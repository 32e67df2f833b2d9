//! One shard's blocks: which are known, which wait for earlier ones, which are being fetched.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    MAX_GAP, MAX_JUMP, RING,
    claims::{Claims, MAX_LEAD},
};
use crate::{
    ids::Height,
    profile::dialect::{BadAnswer, Header, MAX_HEADERS},
    time::Elapsed,
};

/// Addresses that nodes of one shard may claim before more are ignored.
const MAX_OWNERS: usize = 4096;
/// Requests for the same missing blocks before they are given up.
const MAX_ATTEMPTS: u32 = 2;
/// A node that was asked for missing blocks is waited for so long before another one is asked, too: blocks of a shard
/// must not wait for the deadline of a frozen node. One that gave none is not asked again for as long.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) members: Vec<usize>,
    /// Voting power of all its nodes.
    pub(super) power: u64,
    pub(super) claims: Claims,
    /// Heads that nobody vouches for, by the node that shows them.
    pub(super) held: BTreeMap<usize, Header>,
    pub(super) heads_at: Option<Elapsed>,
    pub(super) changed: bool,
    pub(super) compared_at: Option<Elapsed>,
    pub(super) comparison: u64,
    pub(super) surveyed_at: Option<Elapsed>,
    pub(super) compared_height: Option<Height>,
    /// Hashes of the newest blocks that were written.
    ring: BTreeMap<u64, Arc<str>>,
    /// The highest block written.
    tip: Option<u64>,
    /// Blocks above a hole, with the node that showed them.
    waiting: BTreeMap<u64, (Header, usize)>,
    /// The nodes that are being asked for the hole, with the last height of it.
    asked: BTreeMap<usize, u64>,
    /// When the last of them was asked.
    asked_at: Elapsed,
    /// The last one that gave nothing, and when.
    failed: Option<(usize, Elapsed)>,
    attempts: u32,
    /// Which node an address belongs to; `None` once two nodes claimed it.
    owners: BTreeMap<Arc<str>, Option<usize>>,
}

impl Shard {
    pub(super) fn know(&mut self, height: Height, hash: &Arc<str>) {
        self.remember(height.0, hash);
        self.tip = Some(self.tip.map_or(height.0, |tip| tip.max(height.0)));
    }

    pub(super) fn knows(&self, height: Height) -> bool {
        self.ring.contains_key(&height.0)
    }

    pub(super) fn known(&self, height: Height) -> Option<&Arc<str>> {
        self.ring.get(&height.0)
    }

    pub(super) fn forget_tip(&mut self) {
        self.tip = None;
        self.waiting.clear();
        self.asked.clear();
        self.attempts = 0;
    }

    /// The tip, if only one node has ever shown it.
    pub(super) fn unvouched_tip(&self) -> Option<u64> {
        self.tip.filter(|tip| !self.claims.vouch(*tip))
    }

    /// Whether a block of this height comes right after those that are known.
    pub(super) fn goes_on(&self, height: u64) -> bool {
        self.tip
            .is_some_and(|tip| height <= tip.saturating_add(MAX_LEAD))
    }

    /// Takes out what was held back and is vouched for now.
    pub(super) fn vouched(&mut self) -> Vec<(usize, Header)> {
        let vouched =
            |(node, head): (&usize, &Header)| self.claims.vouch(head.height.0).then_some(*node);
        let vouched: Vec<usize> = self.held.iter().filter_map(vouched).collect();
        let take = |node| Some((node, self.held.remove(&node)?));
        vouched.into_iter().filter_map(take).collect()
    }

    pub(super) fn owns(&mut self, address: &Arc<str>, node: usize) {
        if let Some(owner) = self.owners.get_mut(address) {
            // Two nodes of one account: the address tells no node.
            if *owner != Some(node) {
                *owner = None;
            }
        } else if self.owners.len() < MAX_OWNERS {
            self.owners.insert(Arc::clone(address), Some(node));
        }
    }

    pub(super) fn owner(&self, address: &Arc<str>) -> Option<usize> {
        self.owners.get(address).copied().flatten()
    }

    /// Refuses a height that no chain could have reached since the last look.
    pub(super) fn believe(&self, height: Height) -> Result<(), BadAnswer> {
        let Some(tip) = self.tip else { return Ok(()) };
        if height.0 > tip.saturating_add(MAX_JUMP) {
            return Err(BadAnswer::new(&format!(
                "height {height} is {} above all that is known",
                height.0 - tip
            )));
        }
        Ok(())
    }

    /// Takes a block that is not in the ring; returns the blocks that can be written now, in order.
    pub(super) fn saw(&mut self, node: usize, header: Header) -> Vec<(Header, usize)> {
        let height = header.height.0;
        let Some(tip) = self.tip else {
            return vec![self.write(header, node)];
        };
        if height < tip {
            // Below the tip and unknown: a height that was left out, or one that the ring has forgotten.
            let forgotten = self.ring.len() >= RING
                && self
                    .ring
                    .first_key_value()
                    .is_none_or(|(lowest, _)| height < *lowest);
            if forgotten || height.saturating_add(MAX_GAP) < tip {
                return Vec::new();
            }
            return vec![self.write(header, node)];
        }
        if height - tip > MAX_GAP {
            let mut ready: Vec<_> = std::mem::take(&mut self.waiting).into_values().collect();
            self.asked.clear();
            self.attempts = 0;
            ready.retain(|(waiting, _)| waiting.height.0 < height);
            let mut written: Vec<_> = ready
                .into_iter()
                .map(|(header, node)| self.write(header, node))
                .collect();
            written.push(self.write(header, node));
            return written;
        }
        self.waiting.entry(height).or_insert((header, node));
        self.drain()
    }

    /// What to ask this node for: the next hole, if its head is above it and nobody else is about to tell.
    pub(super) fn wanted(
        &mut self,
        node: usize,
        head: Height,
        now: Elapsed,
    ) -> Option<Vec<Height>> {
        let soon = |at: Elapsed| now.since(at) < PATIENCE;
        let failed = self.failed.is_some_and(|(who, at)| who == node && soon(at));
        if failed || (!self.asked.is_empty() && soon(self.asked_at)) {
            return None;
        }
        let tip = self.tip?;
        let (above, _) = self.waiting.first_key_value()?;
        if head.0 < *above {
            return None;
        }
        let heights: Vec<_> = (tip.saturating_add(1)..*above)
            .take(MAX_HEADERS)
            .map(Height)
            .collect();
        let last = heights.last()?.0;
        self.asked.insert(node, last);
        self.asked_at = now;
        Some(heights)
    }

    /// Takes what a node answered to [`Self::wanted`]; returns the blocks that can be written now. What others were asked
    /// for meanwhile is taken, too: who is slow has not been asked in vain.
    pub(super) fn fetched(
        &mut self,
        node: usize,
        headers: Vec<Header>,
        now: Elapsed,
    ) -> Vec<(Header, usize)> {
        let Some(last) = self.asked.remove(&node) else {
            return Vec::new();
        };
        let Some(tip) = self.tip.filter(|tip| *tip < last) else {
            // Another one was quicker.
            return Vec::new();
        };
        let answered = !headers.is_empty();
        for header in headers {
            if (tip.saturating_add(1)..=last).contains(&header.height.0) {
                self.waiting
                    .entry(header.height.0)
                    .or_insert((header, node));
            }
        }
        self.attempts += 1;
        if !answered {
            self.failed = Some((node, now));
        }
        let mut ready = self.drain();
        if answered || self.attempts >= MAX_ATTEMPTS {
            // What is still missing up to here is gone (pruned, or nobody tells): go on without it.
            ready.extend(self.go_on_after(last));
        }
        ready
    }

    /// Goes on without what this node was to be asked for.
    pub(super) fn leave_out(&mut self, node: usize) -> Vec<(Header, usize)> {
        match self.asked.remove(&node) {
            Some(last) => self.go_on_after(last),
            None => Vec::new(),
        }
    }

    /// Nothing more is waited for up to this height.
    fn go_on_after(&mut self, last: u64) -> Vec<(Header, usize)> {
        let mut ready = Vec::new();
        self.attempts = 0;
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > last {
                break;
            }
            let (header, seen_on) = entry.remove();
            ready.push(self.write(header, seen_on));
        }
        self.tip = Some(self.tip.map_or(last, |tip| tip.max(last)));
        ready.extend(self.drain());
        ready
    }

    /// Writes all waiting blocks that follow the tip without a hole.
    fn drain(&mut self) -> Vec<(Header, usize)> {
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry() {
            if self
                .tip
                .is_some_and(|tip| *entry.key() > tip.saturating_add(1))
            {
                break;
            }
            let (header, node) = entry.remove();
            if self.ring.contains_key(&header.height.0) {
                continue;
            }
            ready.push(self.write(header, node));
        }
        if self.waiting.is_empty() {
            self.attempts = 0;
        }
        ready
    }

    fn write(&mut self, header: Header, node: usize) -> (Header, usize) {
        let height = header.height.0;
        self.remember(height, &header.hash);
        self.tip = Some(self.tip.map_or(height, |tip| tip.max(height)));
        (header, node)
    }

    fn remember(&mut self, height: u64, hash: &Arc<str>) {
        self.ring.insert(height, Arc::clone(hash));
        while self.ring.len() > RING {
            self.ring.pop_first();
        }
    }
}
