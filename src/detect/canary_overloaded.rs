//! # What it reports
//! The canary, its containers included, over its own budget: CPU over a minute, memory in three looks in a row, or
//! observations that waited for seconds before they were written; or a load generator that is too late for a tenth of
//! the transactions that it is to make. `info`: what it does to the verdict is decided over the whole soak.
//!
//! # Why it matters
//! A canary that starves the network it watches finds failures that it made itself, and one that offers less load than
//! the plan says shows less than its green claims. Load that the chain does not take is the chain's, and counts as offered.
//!
//! # Evidence
//! The costs or figures that showed it; numbers are in the summary.
//!
//! # When it stays quiet
//! Outside the soak (starting and collecting cost more, and nothing is gated then) and within the budget; for the
//! generator of a node that did not run all the time.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    journal::{
        Entry, Event,
        event::{Cost, Stage},
    },
    time::{Elapsed, human},
};

/// CPU is judged over this long: shorter peaks hurt nobody.
const WINDOW: Duration = Duration::from_secs(60);
/// An observation that is older than this when it is written is late for every window.
pub(super) const LAG: Duration = Duration::from_secs(2);
/// Share of the transactions that a generator may be too late for.
const LATE: f64 = 0.1;
/// Fewer transactions say nothing of a generator.
const LEAST: u64 = 10;

/// Watches the canary's cost.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    costs: VecDeque<(Elapsed, u64)>,
    heavy: u32,
    open: Option<Handle>,
    generators: Vec<Option<Offered>>,
    behind: Slots,
}

/// What a node's generator had done by its last figures.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Offered {
    at: Elapsed,
    /// Made or held back.
    offered: u64,
    missed: u64,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Canary, Source::Metrics]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            // Another owner's costs begin at zero.
            Event::Stage { .. }
            | Event::WatchPaused
            | Event::WatchResumed
            | Event::Attached { .. } => self.costs.clear(),
            Event::Cost(cost) if world.stage == Some(Stage::Soak) && !world.watch_paused => {
                self.look(cost, world, findings);
            }
            Event::Figures(figures) if world.stage == Some(Stage::Soak) => {
                let offered = figures.made.zip(figures.held_back);
                if let (Some(place), Some((made, held_back)), Some(missed)) =
                    (world.touched_node, offered, figures.missed)
                {
                    let now = Offered {
                        at: world.now,
                        offered: made.saturating_add(held_back),
                        missed,
                    };
                    self.generator(place, now, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::COSTS | Wants::FIGURES | Wants::OTHERS
    }
}

impl Watch {
    fn generator(&mut self, place: usize, now: Offered, world: &World, findings: &mut Findings) {
        self.generators.resize(world.nodes.len(), None);
        let node = &world.nodes[place];
        let Some(before) = self.generators[place].replace(now) else {
            return;
        };
        let runs = node.runs() && node.started_at <= before.at && !node.was_down_since(before.at);
        let share = late_share(before.offered, now.offered, before.missed, now.missed);
        let Some(share) = share.filter(|_| runs) else {
            return;
        };
        match self.behind.get(place) {
            None if share > LATE => {
                let summary = format!(
                    "the load generator of {} was too late for {:.0} % of its transactions",
                    node.name,
                    share * 100.0
                );
                let opening = Opening::new("canary-overloaded", Severity::Info, before.at, summary)
                    .shard(world.shards[node.shard].id)
                    .node(&node.name);
                self.behind.put(place, findings.open(opening));
            }
            Some(handle) if share <= LATE => {
                self.behind.take(place);
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }

    fn look(&mut self, cost: &Cost, world: &World, findings: &mut Findings) {
        let (cpu_budget, memory_budget) = (world.budget.cpu_share, world.budget.memory);
        let over_cpu = self.cpu(cost, world).filter(|&share| share > cpu_budget);
        let memory = memory(cost);
        self.heavy = if memory > memory_budget {
            self.heavy + 1
        } else {
            0
        };
        let lag = Duration::from_micros(cost.lag);
        let what = if let Some(share) = over_cpu {
            format!(
                "{:.1} % of a core, budget {:.1} %",
                share * 100.0,
                cpu_budget * 100.0
            )
        } else if self.heavy >= 3 {
            format!("{memory} bytes of memory, budget {memory_budget}")
        } else if lag > LAG {
            format!("an observation waited {}", human(lag))
        } else {
            if let Some(handle) = self.open.take() {
                findings.close(handle, world.now);
            }
            return;
        };
        match self.open {
            Some(handle) => findings.cite(handle, world.seq),
            None => {
                let summary = format!("the canary uses {what}");
                let opening = Opening::new("canary-overloaded", Severity::Info, world.now, summary);
                self.open = Some(findings.open(opening));
            }
        }
    }

    fn cpu(&mut self, cost: &Cost, world: &World) -> Option<f64> {
        self.costs.push_back((world.now, cpu(cost)));
        // One entry older than the window stays, so that the window is covered.
        while self.costs.len() > 2
            && self
                .costs
                .get(1)
                .is_some_and(|&(at, _)| world.now.since(at) >= WINDOW)
        {
            self.costs.pop_front();
        }
        let &(from, before) = self.costs.front()?;
        let span = world.now.since(from);
        (span >= WINDOW).then(|| {
            Duration::from_micros(cpu(cost).saturating_sub(before)).as_secs_f64()
                / span.as_secs_f64()
        })
    }
}

/// Share that a generator was too late for between two figures; `None` if they are of two processes, or too few.
pub(super) fn late_share(
    offered_before: u64,
    offered: u64,
    missed_before: u64,
    missed: u64,
) -> Option<f64> {
    let offered = offered.checked_sub(offered_before)?;
    let missed = missed.checked_sub(missed_before)?;
    let due = offered.saturating_add(missed);
    (due >= LEAST).then(|| missed as f64 / due as f64)
}

/// CPU time of canary, watcher, samplers and helper, in microseconds.
pub(super) fn cpu(cost: &Cost) -> u64 {
    cost.canary_cpu
        .saturating_add(cost.watcher_cpu)
        .saturating_add(cost.samplers_cpu)
        .saturating_add(cost.helper_cpu)
}

/// Memory of canary, watcher and samplers, in bytes.
pub(super) fn memory(cost: &Cost) -> u64 {
    cost.canary_memory
        .saturating_add(cost.watcher_memory)
        .saturating_add(cost.samplers_memory)
}
