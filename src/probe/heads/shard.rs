//! One shard's blocks: which are known, which wait for earlier ones, which are being fetched.

use std::{collections::BTreeMap, sync::Arc};

use super::{MAX_GAP, MAX_JUMP, RING};
use crate::{
    ids::Height,
    profile::dialect::{BadAnswer, Header, MAX_HEADERS},
    time::Elapsed,
};

/// Addresses that nodes of one shard may claim before more are ignored.
const MAX_OWNERS: usize = 4096;
/// Requests for the same missing blocks before they are given up.
const MAX_ATTEMPTS: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) members: Vec<usize>,
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
    /// The node asked for the hole, and the last height it was asked for.
    fetching: Option<(usize, u64)>,
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
        self.fetching = None;
        self.attempts = 0;
    }

    pub(super) fn is_above(&self, height: u64) -> bool {
        self.tip.is_some_and(|tip| tip > height)
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
            self.fetching = None;
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

    /// What to ask this node for: the next hole, if nobody else is being asked and its head is above it.
    pub(super) fn wanted(&mut self, node: usize, head: Height) -> Option<Vec<Height>> {
        if self.fetching.is_some() {
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
        self.fetching = Some((node, last));
        Some(heights)
    }

    /// Takes what a node answered to [`Self::wanted`]; returns the blocks that can be written now.
    pub(super) fn fetched(&mut self, node: usize, headers: Vec<Header>) -> Vec<(Header, usize)> {
        let Some((_, last)) = self.fetching.take_if(|(asked, _)| *asked == node) else {
            return Vec::new();
        };
        let tip = self.tip.unwrap_or_default();
        let answered = !headers.is_empty();
        for header in headers {
            if (tip.saturating_add(1)..=last).contains(&header.height.0) {
                self.waiting
                    .entry(header.height.0)
                    .or_insert((header, node));
            }
        }
        self.attempts += 1;
        let mut ready = self.drain();
        if answered || self.attempts >= MAX_ATTEMPTS {
            // What is still missing up to here is gone (pruned, or nobody tells): go on without it.
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
        }
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
