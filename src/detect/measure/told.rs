//! What nodes tell of themselves, what faults did to leaders, and when facts came late.

use std::{collections::BTreeMap, time::Duration};

use super::{Measures, traffic};
use crate::{
    detect::{
        canary_overloaded, excuses,
        expectation::LookBack,
        judgement::{Doubt, InfraView, Latencies},
        world::World,
    },
    ids::{NodeName, Seq},
    journal::{
        Event,
        effect::Effect,
        event::{Cost, FaultStep, ProbeKind, Stage},
    },
};

/// What is told of the host's own disk.
const HOST_DISK: &str = "host-disk";

impl Measures {
    /// What nodes tell of themselves.
    pub(super) fn told(&mut self, event: &Event, world: &World) {
        let Some(place) = world.touched_node else {
            return;
        };
        let shard = world.nodes[place].shard;
        match event {
            // Figures that tell nothing of load are no generator's.
            Event::Figures(figures) if figures.made.is_some() => {
                let name = &world.nodes[place].name;
                let faulted =
                    world
                        .expectation
                        .excuses_node(name, excuses::ANY, world.now, LookBack::Moment);
                let before = &mut self.generators[place];
                self.traffic[shard].figures(before, figures, faulted.is_none());
            }
            Event::ProbeFailed {
                probe: ProbeKind::Metrics,
                ..
            } => self.nodes[place].metrics_failing = true,
            Event::ProbeAnswered {
                probe: ProbeKind::Metrics,
                ..
            } => self.nodes[place].metrics_failing = false,
            Event::TemplateSeen {
                node,
                id,
                level,
                text,
            } => self.templates.seen(node, *id, level, text, world),
            Event::TemplateCounts {
                counts, dropped, ..
            } => {
                self.templates.counted(shard, counts, world);
                self.nodes[place].passed_over.set(*dropped);
            }
            _ => {}
        }
    }

    /// A host without room is ours to answer for: what nodes do without it says nothing about them.
    pub(super) fn host_disk(&mut self, engine_free: u64, seq: Seq, world: &World) {
        let told = |note: &InfraView| note.fatal && note.what == HOST_DISK;
        if !world.host_dry || !world.judging() || self.infra.iter().any(told) {
            return;
        }
        self.infra(InfraView {
            at: world.now,
            what: HOST_DISK.to_owned(),
            detail: format!(
                "the host's disk is dry: {} MiB are free where the engine keeps its data",
                engine_free >> 20
            ),
            fatal: true,
            seq,
        });
    }

    /// A stretch in which facts waited for seconds is one that was judged late.
    pub(super) fn note_lag(&mut self, cost: &Cost, world: &World) {
        let from = std::mem::replace(&mut self.cost_at, world.now);
        let late = Duration::from_micros(cost.lag) > canary_overloaded::LAG;
        if late && world.stage == Some(Stage::Soak) {
            self.late += world.now.since(from);
            self.doubt(Doubt {
                detector: "all".to_owned(),
                shard: None,
                node: None,
                from,
                until: Some(world.now),
                why: "the canary was overloaded: facts were written late".to_owned(),
                decisive: false,
            });
        }
    }

    /// A fault that ends nodes fires: how many of them lead at this moment.
    pub(super) fn count_leader_kills(&mut self, step: &FaultStep, world: &World) {
        if let FaultStep::Requested {
            targets, effects, ..
        } = step
            && effects.contains(&Effect::Down)
        {
            let leads = |name: &&NodeName| {
                let node = world.node(name).map(|place| &world.nodes[place]);
                node.is_some_and(|node| node.leads == Some(true))
            };
            self.leader_kills += targets.iter().filter(leads).count() as u64;
        }
    }

    /// The time until inclusion over all shards.
    pub(super) fn inclusion(&self) -> Latencies {
        let mut steps = BTreeMap::new();
        for traffic in &self.traffic {
            traffic.add_to(&mut steps);
        }
        traffic::latencies(&steps)
    }
}
