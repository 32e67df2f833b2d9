//! # What it reports
//! Receipts of one shard that another does not execute, or blocks of one shard that another takes no note of, although
//! both shards make blocks. `critical`.
//!
//! # Why it matters
//! Each shard looks healthy by itself, and value that crosses is gone for its owner until somebody notices.
//!
//! # Evidence
//! The ledgers of both sides: what was sent, and what was received when it last moved.
//!
//! # When it stays quiet
//! While nothing waits, and while either shard makes no blocks: that is a stall of its own, and the window begins anew
//! when it is over. It closes when something moves again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    world::World,
};
use crate::{
    ids::{Seq, ShardId},
    journal::{Entry, Event, event::Ledger},
    time::{Elapsed, human},
};

/// Blocks that a shard may be ahead of its last link before the link is missed: no chain links more seldom.
const LINK_BLOCKS: u64 = 100;
/// Pairs of shards that are watched; no network has more.
const MOST_PAIRS: usize = 64 * 64;

/// What moves from one shard to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum What {
    Receipts,
    Links,
}

/// How long something may wait; `None` while no ledger is journalled.
fn limit(world: &World) -> Option<Duration> {
    // A thinned journal tells of a ledger more seldom.
    let thinned = u32::try_from(world.thinned.samples).unwrap_or(u32::MAX);
    (thinned > 0).then(|| world.told.cross_shard_stall.saturating_mul(thinned))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pair {
    /// Most that the source is known to have sent.
    sent: u64,
    /// Most that the destination is known to have.
    received: u64,
    /// Since when something waits without a move.
    since: Option<Elapsed>,
    /// When the destination last told what it has.
    told: Elapsed,
    seq: Option<Seq>,
    open: Option<Handle>,
}

/// Watches every pair of shards at their ledgers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    pairs: BTreeMap<(What, ShardId, ShardId), Pair>,
    /// When the next pair will have waited for too long, if nothing is told until then.
    due: Option<Elapsed>,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let own = match &entry.event {
            Event::Ledger(ledger) => {
                let Some(place) = world.touched_shard else {
                    return;
                };
                let own = world.shards[place].id;
                self.take(own, ledger, world);
                Some(own)
            }
            // Ledgers are read every few seconds: a wait that becomes too long between two is not told at the next only.
            _ if self.due.is_some_and(|due| world.now >= due) => None,
            _ => return,
        };
        let pairs = self
            .pairs
            .iter_mut()
            .filter(|((_, from, to), _)| own.is_none_or(|own| *from == own || *to == own));
        for ((what, from, to), pair) in pairs {
            if own == Some(*to) {
                pair.told = world.now;
            }
            pair.look(*what, *from, *to, world, findings);
        }
        let waiting = self.pairs.values().filter(|pair| pair.open.is_none());
        let due = waiting.filter_map(|pair| Some(pair.since? + limit(world)?));
        // One that is due and was not told of waits for its next ledger.
        self.due = due.filter(|due| *due > world.now).min();
    }

    fn wants(&self) -> Wants {
        Wants::LEDGERS | Wants::OTHERS | Wants::PULSE
    }
}

impl Watch {
    fn take(&mut self, own: ShardId, ledger: &Ledger, world: &World) {
        for (to, batches, _) in &ledger.sent {
            self.pair(What::Receipts, own, *to, |pair| {
                pair.sent = pair.sent.max(*batches);
            });
        }
        for (from, batches, _) in &ledger.received {
            self.pair(What::Receipts, *from, own, |pair| {
                pair.receive(*batches, world);
            });
        }
        for (from, height) in &ledger.links {
            self.pair(What::Links, *from, own, |pair| {
                pair.receive(height.0, world);
            });
        }
    }

    fn pair(&mut self, what: What, from: ShardId, to: ShardId, change: impl FnOnce(&mut Pair)) {
        let key = (what, from, to);
        if from != to && (self.pairs.len() < MOST_PAIRS || self.pairs.contains_key(&key)) {
            change(self.pairs.entry(key).or_default());
        }
    }
}

impl Pair {
    /// A node of the destination tells what it has; another may have been ahead of it.
    fn receive(&mut self, count: u64, world: &World) {
        if count > self.received {
            self.received = count;
            self.since = None;
            self.seq = Some(world.seq);
        }
    }

    fn look(
        &mut self,
        what: What,
        from: ShardId,
        to: ShardId,
        world: &World,
        findings: &mut Findings,
    ) {
        let shard = |id| world.shards.iter().find(|shard| shard.id == id);
        let (Some(source), Some(destination)) = (shard(from), shard(to)) else {
            return;
        };
        let waits = match what {
            What::Receipts => self.sent > self.received,
            // A shard that was never linked is linked by another way, or not at all.
            What::Links => {
                let best = source.best.as_ref().map_or(0, |best| best.height.0);
                self.received > 0 && best > self.received.saturating_add(LINK_BLOCKS)
            }
        };
        let owed = waits
            && world.makes_blocks(source)
            && world.makes_blocks(destination)
            && world.judging_progress();
        if !owed {
            self.since = None;
            if !waits && let Some(handle) = self.open.take() {
                findings.close(handle, world.now);
            }
            return;
        }
        // A gap in what we saw begins the wait anew.
        let since = self.since.unwrap_or(world.now);
        let since = since.max(source.from).max(destination.from);
        self.since = Some(since);
        if self.open.is_some() {
            return;
        }
        let waited = world.now.since(since);
        let Some(limit) = limit(world) else { return };
        // Of a destination that tells nothing any more nobody knows whether it waits.
        if waited < limit || world.now.since(self.told) > limit / 2 {
            return;
        }
        let what = match what {
            What::Receipts => format!(
                "{} batches of receipts of shard {from} wait at shard {to}, none was executed",
                self.sent - self.received
            ),
            What::Links => {
                format!(
                    "shard {to} takes no note of shard {from} after its block {}",
                    self.received
                )
            }
        };
        let summary = format!("{what} for {}", human(waited));
        let mut opening = Opening::new("cross-shard-stall", Severity::Critical, since, summary)
            .shard(to)
            .resting_on(self.seq);
        opening.heights = destination
            .best
            .as_ref()
            .map(|best| (best.height, best.height));
        self.open = Some(findings.open(opening));
    }
}
