//! What became of every injected fault: whether it was effective, and how long its shards took to come back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        expectation::Fault,
        judgement::{FaultView, KindView, Spread},
        world::World,
    },
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
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FaultMeasure {
    views: Vec<FaultView>,
    /// Healed, and not back yet: place in `views`, and the shards that owe a block since then.
    coming_back: BTreeMap<usize, Waiting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    /// The heal, or the last moment at which other faults took the quorum away: from then on blocks are owed.
    from: Elapsed,
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
            FaultStep::Effective { proof, .. } => {
                // One that works on some of its nodes only is not what the plan asked for.
                let everywhere = world.expectation.works_everywhere(id);
                view.effective = Some(everywhere);
                if everywhere {
                    view.proof = clean(proof, 300);
                }
            }
            FaultStep::Ineffective { why, .. } => {
                view.effective = Some(false);
                view.proof = clean(why, 300);
            }
            FaultStep::HealFailed { why } => view.heal_failed = Some(clean(why, 300)),
            FaultStep::Healed => {
                view.healed = Some(now);
                let shards = (0..world.shards.len())
                    .filter(|shard| view.shards.contains(&world.shards[*shard].id))
                    .collect();
                self.coming_back
                    .insert(place, Waiting { from: now, shards });
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
            let now = world.now;
            if view.first_block.is_none() {
                let taken = |shard: &usize| {
                    let id = world.shards[*shard].id;
                    world.expectation.takes_quorum(id, now)
                };
                if waiting.shards.iter().any(taken) {
                    waiting.from = now;
                    return true;
                }
                let back = waiting.shards.iter().all(|&shard| {
                    let best = world.shards[shard].best.as_ref();
                    best.is_some_and(|best| best.at > waiting.from)
                });
                if back {
                    view.first_block = Some(SoakTime(now.since(waiting.from)));
                }
            }
            let level = view.first_block.is_some()
                && waiting.shards.iter().all(|&shard| is_level(shard, world));
            if level {
                view.caught_up = Some(SoakTime(now.since(waiting.from)));
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

    /// One view a kind, in the order in which the kinds first fired.
    pub fn kinds(&self, budget: Duration, now: Elapsed) -> Vec<KindView> {
        let mut kinds: Vec<(KindView, Times)> = Vec::new();
        for view in &self.views {
            let place = kinds.iter().position(|(kind, _)| kind.kind == view.kind);
            let place = place.unwrap_or_else(|| {
                let kind = KindView {
                    kind: view.kind.clone(),
                    ..KindView::default()
                };
                kinds.push((kind, Times::default()));
                kinds.len() - 1
            });
            let (kind, times) = &mut kinds[place];
            count(view, kind, times, budget, now);
        }
        let finished = kinds.into_iter().map(|(mut kind, times)| {
            kind.first_block = Spread::of(times.first_block);
            kind.caught_up = Spread::of(times.caught_up);
            kind
        });
        finished.collect()
    }
}

#[derive(Default)]
struct Times {
    first_block: Vec<Duration>,
    caught_up: Vec<Duration>,
}

/// Adds one fault to its kind.
fn count(view: &FaultView, kind: &mut KindView, times: &mut Times, budget: Duration, now: Elapsed) {
    if view.skipped.is_some() {
        kind.skipped += 1;
        return;
    }
    kind.fired += 1;
    kind.healed += u64::from(view.healed.is_some());
    // What had no effect has nothing to come back from.
    if view.effective != Some(true) {
        return;
    }
    kind.effective += 1;
    let Some(healed) = view.healed else { return };
    let passed = now.since(healed);
    match view.first_block {
        Some(SoakTime(time)) => {
            kind.late += u64::from(time > budget);
            times.first_block.push(time);
        }
        None if passed > budget => {
            kind.late += 1;
            kind.never_back += 1;
        }
        None => {}
    }
    match view.caught_up {
        Some(SoakTime(time)) => times.caught_up.push(time),
        None if passed > budget * 3 => kind.never_caught_up += 1,
        None => {}
    }
}

/// Whether every node of a shard that is to be counted on has the newest block.
fn is_level(shard: usize, world: &World) -> bool {
    let shard = &world.shards[shard];
    let best = shard.best.as_ref().map_or(0, |best| best.height.0);
    let in_force: Vec<&Fault> = world
        .expectation
        .faults()
        .iter()
        .filter(|fault| fault.start.is_some() && fault.healed.is_none())
        .collect();
    shard.nodes.iter().all(|&node| {
        let node = &world.nodes[node];
        let height = node.height.map_or(0, |height| height.0);
        // One that is down, or taken by another fault, has nothing to catch up with now.
        !node.runs()
            || in_force
                .iter()
                .any(|fault| fault.takes.contains(&node.name))
            || height + IN_FLIGHT >= best
    })
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
