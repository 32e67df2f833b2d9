//! # What it reports
//! The canary, its containers included, over its own budget: CPU over a minute, memory in three looks in a row, or
//! observations that waited for seconds before they were written. `info`: what it does to the verdict is decided over
//! the whole soak.
//!
//! # Why it matters
//! A canary that starves the network it watches finds failures that it made itself.
//!
//! # Evidence
//! The costs that showed it; figures are in the summary.
//!
//! # When it stays quiet
//! Outside the soak (starting and collecting cost more, and nothing is gated then) and within the budget.

use std::{collections::VecDeque, time::Duration};

use super::{
    detector::Detector,
    finding::Severity,
    findings::{Findings, Handle, Opening},
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
const LAG: Duration = Duration::from_secs(2);

/// Watches the canary's cost.
#[derive(Debug, Default)]
pub struct Watch {
    costs: VecDeque<(Elapsed, u64)>,
    heavy: u32,
    open: Option<Handle>,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Stage { .. } | Event::WatchPaused | Event::WatchResumed => self.costs.clear(),
            Event::Cost(cost) if world.stage == Some(Stage::Soak) && !world.watch_paused => {
                self.look(cost, world, findings);
            }
            _ => {}
        }
    }
}

impl Watch {
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
