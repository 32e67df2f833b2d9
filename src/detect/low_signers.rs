//! # What it reports
//! A shard whose blocks carry, on average over the window of rates, fewer signatures than the plan's share of the
//! committee. `minor` when nodes known to be down explain all that is missing, else `major`.
//!
//! # Why it matters
//! Blocks still come, but the next failure stops the shard. In the incident this was visible hours before.
//!
//! # Evidence
//! The block at which the mean fell below the limit, and the ends of the nodes that explain it.
//!
//! # When it stays quiet
//! Before the soak and until the window has filled. It closes when the mean is back over the limit; while open it
//! rises to `major` when what is missing is more than what is known to be down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::{Shard, Sums, World},
};
use crate::journal::Entry;

/// Watches every shard at its blocks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

/// Part of a signer that is no signer: a mean of whole numbers never hits its limit exactly.
const SLACK: f64 = 0.05;

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        let Some(place) = world.touched_shard else {
            return;
        };
        let shard = &world.shards[place];
        if shard.new_block.is_none_or(|block| block.signers.is_none()) || !world.judging_rates() {
            return;
        }
        let Some(sums) = shard.rates.full(world.now) else {
            return;
        };
        if sums.committee == 0 {
            return;
        }
        let share = sums.signers as f64 / sums.committee as f64;
        if share >= world.thresholds.low_signers_share {
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
            return;
        }
        let severity = severity(shard, &sums, world);
        match self.open.get(place) {
            Some(handle) => findings.raise(handle, severity),
            None => {
                let handle = findings.open(opening(shard, &sums, severity, world));
                self.open.put(place, handle);
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::CHAIN
    }
}

/// Nodes that were down within the window, or so lately that they may still be catching up. One that ends at this very
/// moment has signed until now, and whether its end is told before the block or after it is chance.
fn down<'a>(shard: &'a Shard, world: &'a World) -> impl Iterator<Item = usize> + 'a {
    // Three recovery budgets: the time to be back at the normal rate after a heal.
    let reach: Duration = world.thresholds.rate_window + world.thresholds.recovery * 3;
    let before = world.now - reach;
    shard.nodes.iter().copied().filter(move |&node| {
        let node = &world.nodes[node];
        let now = node.down.is_some_and(|down| down.since >= world.now);
        let earlier = node.last_down_at.is_some_and(|at| at >= before);
        node.power > 0 && node.was_down_since(before) && (earlier || !now)
    })
}

fn severity(shard: &Shard, sums: &Sums, world: &World) -> Severity {
    let told = sums.told.max(1) as f64;
    let missing = (sums.committee.saturating_sub(sums.signers)) as f64 / told;
    if missing <= down(shard, world).count() as f64 + SLACK {
        Severity::Minor
    } else {
        Severity::Major
    }
}

fn opening(shard: &Shard, sums: &Sums, severity: Severity, world: &World) -> Opening {
    let told = sums.told.max(1) as f64;
    let summary = format!(
        "{:.1} of {:.1} sign the blocks of shard {}",
        sums.signers as f64 / told,
        sums.committee as f64 / told,
        shard.id
    );
    let start = (world.now - world.thresholds.rate_window).max(shard.rates.from());
    let (_, causes) = world.troubles(shard);
    let mut opening = Opening::new("low-signers", severity, start, summary)
        .shard(shard.id)
        .resting_on(down(shard, world).filter_map(|node| world.nodes[node].container_seq))
        .after(causes);
    opening.nodes = down(shard, world)
        .map(|node| world.nodes[node].name.clone())
        .collect();
    opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
    opening
}
