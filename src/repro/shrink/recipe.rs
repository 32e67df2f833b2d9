//! From a recorded run to a problem, and from a shape to the plan that it stands for. Pure.
//!
//! A shape is a plan as typed with less in it, resolved anew: what is tried is what is written in the end, and what a
//! person runs with `soak`.

use std::time::Duration;

use super::{Episode, Problem, Shape, Soak};
use crate::{
    detect::{
        finding::Finding,
        judgement::{FaultView, StageStart},
    },
    fault::target::{self, Seen},
    journal::event::Stage,
    plan::{
        Plan, PlanError, Recorded, Role, Start, check,
        faults::{PlannedDrill, PlannedFault, Target, Trigger, Who},
        values::human_duration,
    },
    time::Elapsed,
};

/// The fewest validators of which one may fail.
const LEAST_VALIDATORS: u32 = 4;

/// The soak of a first try beyond the moment at which the finding was noticed: half as long again, and this.
const SPARE: Duration = Duration::from_secs(5);

/// Keys of a plan that have nothing to do with whether a finding comes: what would be told to people, measured or asked
/// for beside it. Nobody is to be paged by a repetition, and a short plan cannot cover what a long one does.
const DROPPED: [&str; 8] = [
    "alert",
    "drill_to",
    "heartbeat_to",
    "observer_ab",
    "deadline",
    "log_baseline",
    "snapshot",
    "recovery",
];

/// Why a run cannot be shrunk.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Made by an older version.
    #[error(
        "the run was made by an older version, which did not keep what its plan was made from: run it again with this one"
    )]
    NoLayers,
    /// A plan that does not resolve.
    #[error("the plan does not resolve")]
    Plan(#[from] PlanError),
    /// A plan that resolves and cannot work.
    #[error("the plan cannot be run: {0}")]
    Refused(String),
    /// Its chain did not begin at genesis.
    #[error(
        "the run began from a snapshot: another shape has no disks for it, so it cannot be shrunk; `repro` begins there too"
    )]
    Begun,
    /// Not as TOML.
    #[error("the plan cannot be written as TOML")]
    Encode(#[from] toml::ser::Error),
}

/// What is known of a recorded run.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its plan, resolved.
    pub plan: &'a Plan,
    /// What that was made from.
    pub layers: Option<&'a Recorded>,
    /// The finding.
    pub finding: &'a Finding,
    /// What became of its faults.
    pub faults: &'a [FaultView],
    /// When its stages began.
    pub stages: &'a [StageStart],
}

/// Makes plans of shapes.
#[derive(Debug, Clone)]
pub struct Recipe {
    layers: Recorded,
    schedule: Vec<PlannedFault>,
    drill: Option<PlannedDrill>,
    /// Load as recorded: transfers a second and shard.
    rate: f64,
    whole: Shape,
}

impl Recipe {
    /// What is to be shrunk, and how plans are made of it.
    ///
    /// # Errors
    /// When the record does not say what its plan was made from.
    pub fn of(record: &Record<'_>) -> Result<(Self, Problem), RecipeError> {
        let plan = record.plan;
        if plan.start != Start::Genesis {
            return Err(RecipeError::Begun);
        }
        let mut layers = record.layers.ok_or(RecipeError::NoLayers)?.clone();
        for key in DROPPED {
            layers.plan.remove(key);
        }
        if let Some(toml::Value::Table(gate)) = layers.plan.get_mut("gate") {
            for key in ["coverage", "limits", "against"] {
                gate.remove(key);
            }
        }
        layers
            .plan
            .insert("seed".to_owned(), plan.seed.clone().into());
        let schedule: Vec<PlannedFault> = plan
            .schedule
            .iter()
            .map(|fault| pinned(fault, plan, record.faults))
            .collect();
        let problem = problem(record, &schedule);
        let recipe = Self {
            layers,
            schedule,
            drill: plan.drill.clone(),
            rate: plan.load.rate,
            whole: problem.whole.clone(),
        };
        Ok((recipe, problem))
    }

    /// The faults of a shape.
    #[must_use]
    pub fn faults(&self, shape: &Shape) -> Vec<PlannedFault> {
        let left = shape
            .episodes
            .iter()
            .filter_map(|place| self.schedule.get(*place));
        left.cloned()
            .map(|mut fault| {
                if let Trigger::After(after) = &mut fault.trigger {
                    *after = after.saturating_sub(shape.earlier);
                }
                fault
            })
            .collect()
    }

    /// A shape as a plan and a profile, as typed.
    ///
    /// # Errors
    /// When a value of it makes no sense.
    pub fn layers(&self, shape: &Shape) -> Result<Recorded, RecipeError> {
        let has_drill = shape.episodes.contains(&self.schedule.len());
        let drill = self.drill.clone().filter(|_| has_drill).map(|mut drill| {
            drill.at = drill.at.saturating_sub(shape.earlier);
            drill
        });
        let explicit = self
            .layers
            .with_schedule(&self.faults(shape), drill.as_ref())?;
        let mut set = Vec::new();
        if let Some(Soak(soak)) = shape.soak {
            set.push(format!("until={}", human_duration(soak)));
        }
        if shape.shards != self.whole.shards {
            set.push(format!("profile.shards={}", shape.shards));
        }
        if shape.validators != self.whole.validators {
            set.push(format!("profile.nodes.validator={}", shape.validators));
        }
        if shape.explorers != self.whole.explorers {
            set.push(format!("profile.nodes.explorer={}", shape.explorers));
        }
        if shape.load != self.whole.load {
            set.push(format!("load.rate={} tx/s per shard", self.rate_of(shape)));
        }
        Ok(explicit.with(&set, None)?)
    }

    /// A shape as the plan of a try.
    ///
    /// # Errors
    /// When there is no such plan.
    pub fn plan(&self, shape: &Shape) -> Result<Plan, RecipeError> {
        let plan = self.layers(shape)?.resolve()?;
        let refusals = check::check(&plan).refusals;
        if refusals.is_empty() {
            Ok(plan)
        } else {
            Err(RecipeError::Refused(refusals.join("; ")))
        }
    }

    /// Load of a shape: transfers a second and shard.
    #[must_use]
    pub fn rate_of(&self, shape: &Shape) -> f64 {
        // Two decimals suffice for what is a share of a round number.
        (self.rate * f64::from(shape.load)).round() / 100.0
    }

    /// A shape in words: `3 faults, 2 shards x 4, 20 tx/s, 24s`.
    #[must_use]
    pub fn words(&self, shape: &Shape) -> String {
        let faults = match shape.episodes.len() {
            0 => "no fault".to_owned(),
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        let shards = match shape.shards {
            1 => "1 shard".to_owned(),
            count => format!("{count} shards"),
        };
        let explorers = match shape.explorers {
            0 => String::new(),
            count => format!("+{count}"),
        };
        let soak = match shape.soak {
            Some(Soak(soak)) => human_duration(soak),
            None => "as long as recorded".to_owned(),
        };
        format!(
            "{faults}, {shards} x {}{explorers}, {} tx/s, {soak}",
            shape.validators,
            self.rate_of(shape)
        )
    }
}

/// A fault with its target as far as it is known before it fires: nodes that are drawn are named, so that they stay the
/// same in a smaller network; a leader is whoever leads then, in the shard that it was in.
fn pinned(fault: &PlannedFault, plan: &Plan, views: &[FaultView]) -> PlannedFault {
    let mut fault = fault.clone();
    let view = views.iter().find(|view| view.id == fault.id);
    let fired = view.filter(|view| view.skipped.is_none());
    match fault.target.who {
        Who::One | Who::MinorityThird | Who::MoreThanF => {
            let recorded: Vec<_> = fired
                .iter()
                .flat_map(|view| &view.targets)
                .filter_map(|name| name.parse().ok())
                .collect();
            let nodes = if recorded.is_empty() {
                target::resolve(&fault.target, &plan.network, &Seen::default(), fault.seed)
                    .unwrap_or_default()
            } else {
                recorded
            };
            if !nodes.is_empty() {
                fault.target = Target {
                    who: Who::Nodes(nodes),
                    shard: None,
                };
            }
        }
        Who::Leader | Who::NextLeader | Who::FullestDisk => {
            let shard = fired.and_then(|view| view.shards.first().copied());
            fault.target.shard = fault.target.shard.or(shard);
        }
        Who::Nodes(_) | Who::All => {}
    }
    fault
}

fn problem(record: &Record<'_>, schedule: &[PlannedFault]) -> Problem {
    let plan = record.plan;
    let mut episodes: Vec<Episode> = schedule.iter().map(|fault| episode(fault, plan)).collect();
    episodes.extend(plan.drill.iter().map(|drill| Episode {
        time: Some((drill.at, drill.at + drill.lasts)),
        shards: drill.shard.0 + 1,
        nodes: 0,
    }));
    let of_first = |role: Role| {
        let nodes = plan.network.nodes.iter();
        let count = nodes
            .filter(|node| node.shard.0 == 0 && node.role == role)
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let whole = Shape {
        episodes: (0..episodes.len()).collect(),
        shards: plan.network.shards,
        validators: of_first(Role::Validator),
        explorers: of_first(Role::Explorer),
        load: if plan.load.rate > 0.0 { 100 } else { 0 },
        earlier: Duration::ZERO,
        soak: plan.soak.map(|soak| Soak(soak.0)),
    };
    let concerned = plan
        .network
        .nodes
        .iter()
        .filter(|node| record.finding.nodes.contains(&node.name));
    let of_finding = concerned
        .map(|node| node.index + 1)
        .max()
        .unwrap_or_default();
    Problem {
        until_noticed: until_noticed(record, &whole, &episodes),
        suspects: suspects(record, schedule),
        least_shards: record.finding.shard.map_or(1, |shard| shard.0 + 1),
        least_validators: of_finding.max(LEAST_VALIDATORS).min(whole.validators),
        least_load: if plan.network.foreign.load.is_some() {
            whole.load
        } else {
            0
        },
        episodes,
        whole,
    }
}

fn episode(fault: &PlannedFault, plan: &Plan) -> Episode {
    let time = match fault.trigger {
        Trigger::After(after) => Some((after, after + fault.lasts)),
        Trigger::Height(_) | Trigger::Log(_) => None,
    };
    let mut episode = Episode {
        time,
        shards: fault.target.shard.map_or(1, |shard| shard.0 + 1),
        nodes: 0,
    };
    if let Who::Nodes(names) = &fault.target.who {
        for node in plan
            .network
            .nodes
            .iter()
            .filter(|node| names.contains(&node.name))
        {
            episode.shards = episode.shards.max(node.shard.0 + 1);
            episode.nodes = episode.nodes.max(node.index + 1);
        }
    }
    episode
}

/// When a finding was as bad as it became, from the soak's begin on; zero if before.
#[must_use]
pub fn soaked(finding: &Finding, stages: &[StageStart]) -> Duration {
    let noticed = finding
        .raised
        .map_or(finding.noticed, |raised| raised.max(finding.noticed));
    let soak = stages.iter().find(|stage| stage.stage == Stage::Soak);
    soak.map_or(Duration::ZERO, |soak| noticed.since(soak.at))
}

/// What had begun when the finding was noticed, and the soak that it takes.
fn until_noticed(record: &Record<'_>, whole: &Shape, episodes: &[Episode]) -> Shape {
    let noticed = soaked(record.finding, record.stages);
    let at = record
        .finding
        .raised
        .unwrap_or(record.finding.noticed)
        .max(record.finding.noticed);
    let began = |place: &usize| match record.plan.schedule.get(*place) {
        Some(fault) => record
            .faults
            .iter()
            .any(|view| view.id == fault.id && view.skipped.is_none() && view.requested <= at),
        None => record
            .plan
            .drill
            .as_ref()
            .is_some_and(|drill| drill.at <= noticed),
    };
    let left: Vec<usize> = whole.episodes.iter().copied().filter(began).collect();
    let healed = left
        .iter()
        .filter_map(|place| episodes.get(*place)?.time)
        .map(|(_, end)| end);
    let needed = (noticed + noticed / 2 + SPARE).max(healed.max().unwrap_or_default());
    let needed = Duration::from_secs(needed.as_secs() + 1);
    Shape {
        episodes: left,
        soak: Some(Soak(
            whole.soak.map_or(needed, |Soak(soak)| soak.min(needed)),
        )),
        ..whole.clone()
    }
}

/// Faults whose begin or heal is in the finding's chain of causes.
fn suspects(record: &Record<'_>, schedule: &[PlannedFault]) -> Vec<usize> {
    let in_chain = |kind: &str, at: Option<Elapsed>| {
        let chain = record.finding.chain.iter();
        at.is_some_and(|at| {
            chain
                .clone()
                .any(|cause| cause.kind == kind && cause.at == at)
        })
    };
    let suspected = |fault: &PlannedFault| {
        record.faults.iter().any(|view| {
            view.id == fault.id
                && (in_chain("fault", Some(view.requested)) || in_chain("healed", view.healed))
        })
    };
    let places = schedule.iter().enumerate();
    places
        .filter(|(_, fault)| suspected(fault))
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests;
