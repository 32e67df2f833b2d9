//! # What it reports
//! A lead that goes to another node and back, again and again within the window of rates, with view changes. `major`.
//!
//! # Why it matters
//! A leader that is just slow enough to be replaced and just fast enough to come back costs a timeout at every turn,
//! and the shard never settles.
//!
//! # Evidence
//! The blocks at which the lead came back.
//!
//! # When it stays quiet
//! Before the soak, for leads that change in turn (round robin, or at the end of an epoch), and for single dead
//! leaders: theirs does not come back. It closes when the lead did not come back for a whole window.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{
    ids::Seq,
    journal::{Entry, Event},
    time::Elapsed,
};

/// Returns that are kept: more than any threshold.
const MOST: usize = 256;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Leads {
    /// The leader of the last block and of the turn before it, and whether that turn began with a view change.
    now: Option<Arc<str>>,
    before: Option<Arc<str>>,
    changed_by_view: bool,
    /// When the lead came back.
    returns: VecDeque<(Elapsed, Seq)>,
}

/// Watches every shard at its blocks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    leads: Vec<Leads>,
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Block {
            leader: Some(leader),
            ..
        } = &entry.event
        else {
            return;
        };
        let Some(place) = world.touched_shard else {
            return;
        };
        let shard = &world.shards[place];
        let Some(new) = shard.new_block else { return };
        self.leads.resize_with(world.shards.len(), Leads::default);
        let leads = &mut self.leads[place];
        let window = world.thresholds.rate_window;
        let from = world.now - window;
        leads.returns.retain(|(at, _)| *at >= from);
        if leads.now.as_ref() != Some(leader) {
            let by_view = new.view_changes > 0;
            if leads.before.as_ref() == Some(leader) && (by_view || leads.changed_by_view) {
                if leads.returns.len() == MOST {
                    leads.returns.pop_front();
                }
                leads.returns.push_back((world.now, world.seq));
            }
            leads.before = leads.now.replace(Arc::clone(leader));
            leads.changed_by_view = by_view;
        }
        match self.open.get(place) {
            Some(handle) if leads.returns.is_empty() => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            None if world.judging_rates()
                && leads.returns.len() as u64 >= world.thresholds.view_change_storm_least =>
            {
                let (first, _) = leads.returns[0];
                let other = leads.before.as_deref().unwrap_or_default();
                let summary = format!(
                    "the lead of shard {} went to and fro between {} and {} {} times",
                    shard.id,
                    crate::journal::text::clean(leader, 64),
                    crate::journal::text::clean(other, 64),
                    leads.returns.len()
                );
                let mut opening = Opening::new("leader-flapping", Severity::Major, first, summary)
                    .shard(shard.id)
                    .resting_on(leads.returns.iter().map(|(_, seq)| *seq));
                opening.nodes = [&**leader, other]
                    .iter()
                    .filter_map(|name| name.parse().ok())
                    .filter(|name| world.node(name).is_some())
                    .collect();
                opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
                self.open.put(place, findings.open(opening));
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::BLOCKS
    }
}
