//! # What it reports
//! A shard whose mean block interval over the window of rates is longer than asked for by the plan's factor, or whose
//! epochs begin with a block that takes longer than its budget, three times in a row. `major`.
//!
//! # Why it matters
//! A network that makes blocks, but slower and slower, passes every check for stalls until users notice.
//!
//! # Evidence
//! The block at which the mean passed the limit, or the epochs' first blocks; the time is in the summary.
//!
//! # When it stays quiet
//! Before the soak, until the window has filled, and for gaps that are stalls of their own: their time is left out of
//! the mean. A boundary that needed a view change is no boundary's fault. It closes when the mean is back under the
//! limit, or an epoch begins in time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    world::World,
};
use crate::{
    ids::{Epoch, Seq},
    journal::Entry,
    time::{Elapsed, human, whole_nanos},
};

/// Watches every shard at its blocks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    boundaries: Vec<Boundaries>,
}

/// Epochs of a shard that began late, one after the other.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Boundaries {
    epoch: Option<Epoch>,
    late: Vec<(Elapsed, Seq)>,
    open: Option<Handle>,
}

/// Once is chance, twice a coincidence.
const LATE: usize = 3;

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        let Some(place) = world.touched_shard else {
            return;
        };
        let shard = &world.shards[place];
        if shard.new_block.is_none() || !world.judging_rates() {
            return;
        }
        self.boundary(place, world, findings);
        let Some(sums) = shard.rates.full(world.now) else {
            return;
        };
        if sums.timed_blocks == 0 {
            return;
        }
        // Whole nanoseconds: durations are only made where people are told.
        let mean = (whole_nanos(sums.block_time) as f64 / sums.timed_blocks as f64).round();
        let asked = world.clocks.block_interval;
        let limit = (whole_nanos(asked) as f64 * world.thresholds.slow_blocks_factor).round();
        match self.open.get(place) {
            None if mean > limit => {
                let start = (world.now - world.thresholds.rate_window).max(shard.rates.from());
                let summary = format!(
                    "shard {} makes a block every {} on average, asked for {}",
                    shard.id,
                    human(Duration::from_nanos(mean as u64)),
                    human(asked)
                );
                let (nodes, causes) = world.troubles(shard);
                let mut opening = Opening::new("slow-blocks", Severity::Major, start, summary)
                    .shard(shard.id)
                    .after(causes);
                opening.nodes = nodes;
                opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
                self.open.put(place, findings.open(opening));
            }
            Some(handle) if mean <= limit => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::CHAIN
    }
}

impl Watch {
    /// The first block of an epoch has its own budget: committees change with it.
    fn boundary(&mut self, place: usize, world: &World, findings: &mut Findings) {
        let shard = &world.shards[place];
        let (Some(new), Some(best)) = (shard.new_block, &shard.best) else {
            return;
        };
        self.boundaries
            .resize_with(world.shards.len(), Boundaries::default);
        let state = &mut self.boundaries[place];
        let before = std::mem::replace(&mut state.epoch, best.epoch);
        let begins = before.is_some() && best.epoch > before;
        let (true, 1, 0, Some(interval)) = (begins, new.blocks, new.view_changes, new.interval)
        else {
            return;
        };
        if interval <= world.told.epoch_boundary {
            state.late.clear();
            if let Some(handle) = state.open.take() {
                findings.close(handle, world.now);
            }
            return;
        }
        state.late.push((world.now - interval, best.seq));
        if state.late.len() < LATE || state.open.is_some() {
            state.late.truncate(LATE);
            return;
        }
        let summary = format!(
            "epochs of shard {} begin with a block after {}, budget {}",
            shard.id,
            human(interval),
            human(world.told.epoch_boundary)
        );
        let mut opening = Opening::new("slow-blocks", Severity::Major, state.late[0].0, summary)
            .shard(shard.id)
            .resting_on(state.late.iter().map(|(_, seq)| *seq));
        opening.heights = Some((best.height, best.height));
        state.open = Some(findings.open(opening));
    }
}
