//! What is drawn from the seed: chaos, and the drill's shard.

use std::time::Duration;

use rand::{RngExt as _, rngs::ChaCha8Rng};

use super::{
    Drafts, MOST,
    overlaps::{Stretch, keep_out, named},
    stream,
};
use crate::{
    fault::{
        kinds::{Cast, Fault},
        target::{self, Seen},
    },
    ids::ShardId,
    plan::{
        PlanError,
        error::did_you_mean,
        faults::{
            ChaosManifest, DrillManifest, PlannedDrill, PlannedFault, Target, Trigger, Who,
            parse_range,
        },
    },
};

/// A kind that may be drawn.
struct Weighted {
    kind: String,
    weight: f64,
    parameters: serde_json::Value,
    fault: Box<dyn Fault>,
}

/// `[chaos]`, resolved.
struct Chaos {
    gap: Range,
    lasts: Range,
    weighted: Vec<Weighted>,
    total: f64,
    /// Time that a shard has to come back in.
    recovery: Duration,
    /// What the plan itself names.
    kept: Vec<Stretch>,
}

/// Two spans, the shorter first.
type Range = (Duration, Duration);

impl Drafts<'_> {
    pub(super) fn chaos(
        &self,
        chaos: &ChaosManifest,
        drill: Option<&PlannedDrill>,
        faults: &mut Vec<PlannedFault>,
    ) -> Result<(), PlanError> {
        let bad = |key: &str, message: &str| self.sources.bad(&format!("chaos.{key}"), message);
        let one_at_a_time = match chaos.fault_budget.as_deref() {
            None | Some("minority-third per shard") => false,
            Some("one per network") => true,
            Some(_) => {
                return Err(bad(
                    "fault_budget",
                    "write `minority-third per shard` or `one per network`",
                ));
            }
        };
        let seconds = Duration::from_secs;
        let weighted = self.weighted(chaos)?;
        let total: f64 = weighted.iter().map(|kind| kind.weight).sum();
        if total <= 0.0 {
            return Err(bad(
                "weights",
                "no kind has a weight: nothing could be drawn",
            ));
        }
        let recovery = self.plan.thresholds.recovery * 3;
        let chaos = Chaos {
            gap: self.range("gap", chaos.gap.as_deref(), (seconds(30), seconds(300)))?,
            lasts: self.range("for", chaos.lasts.as_deref(), (seconds(2), seconds(60)))?,
            weighted,
            total,
            recovery,
            kept: named(&self.plan.network.nodes, faults, drill, recovery),
        };
        if one_at_a_time {
            return self.draw(&chaos, 0, None, faults);
        }
        for shard in 0..self.plan.network.shards {
            self.draw(&chaos, shard, Some(ShardId(shard)), faults)?;
        }
        Ok(())
    }

    /// Draws the faults of one shard, or of the network.
    fn draw(
        &self,
        chaos: &Chaos,
        number: u64,
        shard: Option<ShardId>,
        faults: &mut Vec<PlannedFault>,
    ) -> Result<(), PlanError> {
        let mut random = stream(&self.plan.seed, &format!("chaos {number}"));
        let mut at = between(&mut random, chaos.gap);
        loop {
            let length = length(&mut random, chaos.lasts);
            at = keep_out(&chaos.kept, shard, at, length + chaos.recovery);
            if at + length > self.soak() || faults.len() >= MOST {
                return Ok(());
            }
            let mut draw = random.random::<f64>() * chaos.total;
            let chosen = chaos
                .weighted
                .iter()
                .find(|kind| {
                    draw -= kind.weight;
                    draw < 0.0
                })
                .or(chaos.weighted.last());
            let Some(chosen) = chosen else {
                return Ok(());
            };
            let planned = PlannedFault {
                id: String::new(),
                kind: chosen.kind.clone(),
                parameters: chosen.parameters.clone(),
                trigger: Trigger::After(at),
                lasts: length,
                target: Target {
                    who: Who::MinorityThird,
                    shard,
                },
                seed: random.random(),
                drawn: true,
            };
            self.leaves_quorum(&planned, chosen.fault.as_ref())?;
            faults.push(planned);
            // Never before the shard had its chance to come back from the one before.
            at += length + between(&mut random, chaos.gap).max(chaos.recovery);
        }
    }

    /// A range of `[chaos]`, as typed or its default.
    fn range(&self, key: &str, text: Option<&str>, default: Range) -> Result<Range, PlanError> {
        let Some(text) = text else {
            return Ok(default);
        };
        let name = format!("chaos.{key}");
        let (from, to) = parse_range(text).map_err(|message| self.sources.bad(&name, &message))?;
        let from = self.window(&name, Some(from))?.unwrap_or_default();
        let to = self.window(&name, Some(to))?.unwrap_or_default();
        if from > to {
            let message = "the second span is shorter than the first";
            return Err(self.sources.bad(&name, message));
        }
        Ok((from, to))
    }

    fn weighted(&self, chaos: &ChaosManifest) -> Result<Vec<Weighted>, PlanError> {
        let bad = |key: &str, message: &str| self.sources.bad(&format!("chaos.{key}"), message);
        let weights = chaos.weights.clone().unwrap_or_default();
        let parameters = chaos.parameters.clone().unwrap_or_default();
        if let Some(unused) = parameters.keys().find(|kind| !weights.contains_key(*kind)) {
            let hint = did_you_mean(unused, weights.keys().map(String::as_str));
            let message = format!("{unused:?} has no weight{hint}");
            return Err(bad("parameters", &message));
        }
        let mut weighted = Vec::new();
        for (kind, weight) in weights {
            let info = self.kind("chaos.weights", &kind)?;
            if !weight.is_finite() || weight < 0.0 {
                return Err(bad("weights", &format!("{kind}: {weight} is no weight")));
            }
            let parameters = parameters.get(&kind).cloned().unwrap_or_default();
            let parameters = serde_json::Value::Object(parameters);
            let table = format!("chaos.parameters.{kind}");
            let fault = self.read(&table, info, &parameters, &[])?;
            self.permitted("chaos.weights", info)?;
            weighted.push(Weighted {
                kind,
                weight,
                parameters,
                fault,
            });
        }
        Ok(weighted)
    }

    /// What a drawn fault takes away leaves every shard its quorum, whatever its kind makes of its targets.
    fn leaves_quorum(&self, planned: &PlannedFault, fault: &dyn Fault) -> Result<(), PlanError> {
        let network = &self.plan.network;
        // Whom this target resolves to depends on nothing that is seen.
        let Ok(targets) = target::resolve(&planned.target, network, &Seen::default(), planned.seed)
        else {
            return Ok(());
        };
        let cast = Cast {
            fault: "drawn",
            targets: &targets,
            nodes: &network.nodes,
            quorum: network.foreign.quorum,
            duration: planned.lasts,
            seed: planned.seed,
        };
        if target::leave_quorum(&fault.takes(&cast), network) {
            return Ok(());
        }
        let message = format!(
            "`{}` takes a quorum away also where it is done to less than a third of a shard: it cannot be drawn",
            planned.kind
        );
        Err(self.sources.bad("chaos.weights", &message))
    }

    pub(super) fn drill(&self, drill: &DrillManifest) -> Result<PlannedDrill, PlanError> {
        let stall = self.plan.thresholds.stall;
        let lasts = self
            .window("drill.for", drill.lasts)?
            .unwrap_or(stall + stall / 2);
        if lasts <= stall {
            let message = format!(
                "a drill of {} cannot be found: `stall` opens after {}",
                crate::time::human(lasts),
                crate::time::human(stall)
            );
            return Err(self.sources.bad("drill.for", &message));
        }
        let at = self
            .window("drill.at", drill.at)?
            .unwrap_or(self.soak() / 4);
        self.fits("drill.at", at + lasts)?;
        let shards = self.plan.network.shards;
        let shard = match drill.shard {
            Some(shard) if shard < shards => shard,
            Some(shard) => {
                let message = format!("there is no shard {shard}: the network has {shards}");
                return Err(self.sources.bad("drill.shard", &message));
            }
            None => stream(&self.plan.seed, "drill").random_range(0..shards.max(1)),
        };
        Ok(PlannedDrill {
            at,
            lasts,
            shard: ShardId(shard),
        })
    }
}

/// A span drawn evenly.
fn between(random: &mut ChaCha8Rng, (from, to): Range) -> Duration {
    Duration::from_micros(random.random_range(from.as_micros() as u64..=to.as_micros() as u64))
}

/// A span drawn evenly on a logarithmic scale.
fn length(random: &mut ChaCha8Rng, (from, to): Range) -> Duration {
    let low = from.as_secs_f64().max(0.001).ln();
    let high = to.as_secs_f64().max(0.001).ln();
    let length = (low + (high - low) * random.random::<f64>()).exp();
    Duration::from_millis((length * 1000.0).round() as u64)
}
