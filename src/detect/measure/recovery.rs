//! What became of every injected fault: whether it was effective, and how long its shards took to come back.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    detect::{judgement::FaultView, world::World},
    ids::NodeName,
    journal::{event::FaultStep, text::clean},
    plan::SoakTime,
    time::Elapsed,
};

/// Blocks that a node may be behind and still have caught up: those in flight.
const IN_FLIGHT: u64 = 2;
/// Faults that are remembered one by one.
const MOST: usize = 20_000;

/// Follows every fault from its request until its shards are back.
#[derive(Debug, Default)]
pub(super) struct FaultMeasure {
    views: Vec<FaultView>,
    /// Healed, and not back yet: place in `views`, and the shards that owe a block since then.
    coming_back: BTreeMap<usize, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    healed: Elapsed,
    shards: Vec<usize>,
}

impl FaultMeasure {
    pub fn step(&mut self, id: &Arc<str>, kind: &Arc<str>, step: &FaultStep, world: &World) {
        let now = world.now;
        if let FaultStep::Requested { targets, .. } = step {
            if self.views.len() < MOST {
                let mut view = FaultView::new(id, kind, now);
                view.targets = targets
                    .iter()
                    .map(|node| clean(node.as_str(), 64))
                    .collect();
                view.shards = shards_of(targets, world)
                    .iter()
                    .map(|place| world.shards[*place].id)
                    .collect();
                self.views.push(view);
            }
            return;
        }
        if let FaultStep::Skipped { why } = step {
            if self.views.len() < MOST {
                let mut view = FaultView::new(id, kind, now);
                view.skipped = Some(clean(why, 300));
                self.views.push(view);
            }
            return;
        }
        let Some(place) = self.views.iter().rposition(|view| view.id == **id) else {
            return;
        };
        let view = &mut self.views[place];
        match step {
            FaultStep::Acknowledged => view.acknowledged = Some(now),
            FaultStep::Effective { proof } => {
                view.effective = Some(true);
                view.proof = clean(proof, 300);
            }
            FaultStep::Ineffective { why } => {
                view.effective = Some(false);
                view.proof = clean(why, 300);
            }
            FaultStep::HealFailed { why } => view.heal_failed = Some(clean(why, 300)),
            FaultStep::Healed => {
                view.healed = Some(now);
                let shards = (0..world.shards.len())
                    .filter(|shard| view.shards.contains(&world.shards[*shard].id))
                    .collect();
                self.coming_back.insert(
                    place,
                    Waiting {
                        healed: now,
                        shards,
                    },
                );
            }
            FaultStep::Requested { .. } | FaultStep::Skipped { .. } | FaultStep::HealRequested => {}
        }
    }

    /// A block or a pulse: who is back.
    pub fn look(&mut self, world: &World) {
        let views = &mut self.views;
        self.coming_back.retain(|&place, waiting| {
            let Some(view) = views.get_mut(place) else {
                return false;
            };
            let (now, healed) = (world.now, waiting.healed);
            if view.first_block.is_none() {
                let back = waiting.shards.iter().all(|&shard| {
                    let best = world.shards[shard].best.as_ref();
                    best.is_some_and(|best| best.at > healed)
                });
                if back {
                    view.first_block = Some(SoakTime(now.since(healed)));
                }
            }
            let level = view.first_block.is_some()
                && waiting.shards.iter().all(|&shard| {
                    let shard = &world.shards[shard];
                    let best = shard.best.as_ref().map_or(0, |best| best.height.0);
                    shard.nodes.iter().all(|&node| {
                        let node = &world.nodes[node];
                        let height = node.height.map_or(0, |height| height.0);
                        // One that is down, now or by another fault, has nothing to catch up with.
                        !node.runs() || height + IN_FLIGHT >= best
                    })
                });
            if level {
                view.caught_up = Some(SoakTime(now.since(healed)));
            }
            !level
        });
    }

    /// Whether anything is to be looked at.
    pub fn waits(&self) -> bool {
        !self.coming_back.is_empty()
    }

    pub fn views(&self) -> Vec<FaultView> {
        self.views.clone()
    }
}

fn shards_of(nodes: &[NodeName], world: &World) -> Vec<usize> {
    let mut shards: Vec<usize> = nodes
        .iter()
        .filter_map(|node| world.node(node))
        .map(|place| world.nodes[place].shard)
        .collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}
