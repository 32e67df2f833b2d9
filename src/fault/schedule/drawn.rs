//! What is drawn from the seed: chaos, and the drill's shard.

use std::time::Duration;

use rand::{RngExt as _, rngs::ChaCha8Rng};

use super::{Drafts, MOST, parameter_error, stream};
use crate::{
    ids::ShardId,
    plan::{
        PlanError,
        faults::{
            ChaosManifest, DrillManifest, PlannedDrill, PlannedFault, Target, Trigger, Who,
            parse_range,
        },
    },
};

impl Drafts<'_> {
    pub(super) fn chaos(
        &self,
        chaos: &ChaosManifest,
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
        let range = |key: &str, text: &Option<String>, default: (Duration, Duration)| {
            let Some(text) = text else {
                return Ok(default);
            };
            let (from, to) = parse_range(text).map_err(|message| bad(key, &message))?;
            let name = format!("chaos.{key}");
            let from = self.window(&name, Some(from))?.unwrap_or_default();
            let to = self.window(&name, Some(to))?.unwrap_or_default();
            if from > to {
                return Err(bad(key, "the second span is shorter than the first"));
            }
            Ok((from, to))
        };
        let seconds = Duration::from_secs;
        let gap = range("gap", &chaos.gap, (seconds(30), seconds(300)))?;
        let lasts = range("for", &chaos.lasts, (seconds(2), seconds(60)))?;
        let mut weights = Vec::new();
        for (kind, weight) in chaos.weights.clone().unwrap_or_default() {
            let info = self.kind("chaos.weights", &kind)?;
            if !weight.is_finite() || weight < 0.0 {
                return Err(bad("weights", &format!("{kind}: {weight} is no weight")));
            }
            let parameters = chaos
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.get(&kind));
            let parameters = serde_json::to_value(parameters.cloned().unwrap_or_default())
                .map_err(|error| bad("parameters", &error.to_string()))?;
            (info.parse)(&parameters)
                .map_err(|error| bad("parameters", &parameter_error(info, &error)))?;
            self.machine("chaos.weights", info)?;
            weights.push((kind, weight, parameters));
        }
        let total: f64 = weights.iter().map(|(_, weight, _)| weight).sum();
        if total <= 0.0 {
            return Err(bad(
                "weights",
                "no kind has a weight: nothing could be drawn",
            ));
        }
        let shards = if one_at_a_time {
            1
        } else {
            self.plan.network.shards
        };
        for shard in 0..shards {
            let mut random = stream(&self.plan.seed, &format!("chaos {shard}"));
            let between = |random: &mut ChaCha8Rng, (from, to): (Duration, Duration)| {
                Duration::from_micros(
                    random.random_range(from.as_micros() as u64..=to.as_micros() as u64),
                )
            };
            let mut at = between(&mut random, gap);
            loop {
                let low = lasts.0.as_secs_f64().max(0.001).ln();
                let high = lasts.1.as_secs_f64().max(0.001).ln();
                let length = (low + (high - low) * random.random::<f64>()).exp();
                let length = Duration::from_millis((length * 1000.0).round() as u64);
                if at + length > self.soak() || faults.len() >= MOST {
                    break;
                }
                let mut draw = random.random::<f64>() * total;
                let chosen = weights
                    .iter()
                    .find(|(_, weight, _)| {
                        draw -= weight;
                        draw < 0.0
                    })
                    .or(weights.last());
                let Some((kind, _, parameters)) = chosen else {
                    break;
                };
                faults.push(PlannedFault {
                    id: String::new(),
                    kind: kind.clone(),
                    parameters: parameters.clone(),
                    trigger: Trigger::After(at),
                    lasts: length,
                    target: Target {
                        who: Who::MinorityThird,
                        shard: (!one_at_a_time).then_some(ShardId(shard)),
                    },
                    seed: random.random(),
                    drawn: true,
                });
                // Never before the shard had its chance to come back from the one before.
                let rest = between(&mut random, gap).max(self.plan.thresholds.recovery * 3);
                at += length + rest;
            }
        }
        Ok(())
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
