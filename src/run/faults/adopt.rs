//! A run that is taken over: what its lost owner had broken.

use std::{collections::BTreeSet, time::Duration};

use super::{Active, Faults, State, Step, arm, fire::cast, hold::left as left_of_hold};
use crate::{
    fault::kinds::{self, Claim},
    ids::NodeName,
    journal::event::FaultStep,
    plan::faults::{PlannedFault, Target, Trigger, Who},
    time::{Elapsed, RunClock},
};

impl Faults {
    /// Takes over what a run that lost its owner has armed. Answers what its guard has healed meanwhile.
    pub(in crate::run) fn adopt(&mut self, fired: &BTreeSet<String>, now: Elapsed) -> Vec<Step> {
        self.waiting.retain(|planned| !fired.contains(&planned.id));
        // A number that was used before would overwrite what is armed under it.
        let by_hand = fired.iter().filter_map(|id| number_by_hand(id));
        self.by_hand_last = self.by_hand_last.max(by_hand.max().unwrap_or(0));
        self.holds_so_far(fired.iter());
        let drill = self.plan.drill.as_ref().map(|drill| drill.shard);
        if fired.contains("drill") {
            self.drill = None;
        }
        let mut steps = Vec::new();
        for id in arm::healed_by_guard(&self.directory) {
            let kind = id.split_once('-').map_or("", |(_, kind)| kind).to_owned();
            steps.push(Step {
                id,
                kind,
                step: FaultStep::Healed,
            });
        }
        let wall = RunClock::wall();
        for armed in arm::armed(&self.directory) {
            let planned = self.plan.schedule.iter().find(|fault| fault.id == armed.id);
            let Some(info) = kinds::kind(&armed.kind) else {
                continue;
            };
            let parameters = planned.map_or_else(
                || serde_json::Value::Object(serde_json::Map::new()),
                |planned| planned.parameters.clone(),
            );
            let Ok(fault) = (info.parse)(&parameters) else {
                continue;
            };
            let left = Duration::from_millis(armed.by.0.saturating_sub(wall.0));
            let left = left_of_hold(&armed.id, left);
            let targets: BTreeSet<NodeName> = armed
                .heals
                .iter()
                .map(|operation| operation.node().clone())
                .collect();
            let targets: Vec<NodeName> = targets.into_iter().collect();
            let planned = planned.cloned().unwrap_or_else(|| PlannedFault {
                id: armed.id.clone(),
                kind: armed.kind.clone(),
                parameters,
                trigger: Trigger::After(Duration::ZERO),
                lasts: left,
                target: Target {
                    who: Who::Nodes(targets.clone()),
                    shard: None,
                },
                seed: 0,
                drawn: false,
            });
            let nodes = &self.plan.network.nodes;
            let active = Active {
                takes: fault.takes(&cast(&planned, &targets, nodes)),
                claim: Claim::of(info, fault.as_ref()),
                planned,
                fault,
                targets,
                heals: armed.heals,
                state: State::InForce { until: now + left },
                drill: drill.filter(|_| armed.id == "drill"),
            };
            // Armed, and ended before that was journalled: from now on it is one of the run's faults.
            if !fired.contains(&armed.id) && armed.id != "drill" {
                self.waiting.retain(|planned| planned.id != armed.id);
                let step = |step| Step {
                    id: armed.id.clone(),
                    kind: armed.kind.clone(),
                    step,
                };
                steps.push(step(FaultStep::Requested {
                    targets: active.targets.clone(),
                    takes: active.takes.clone(),
                    effects: active.fault.effects().to_vec(),
                    lasts: left,
                }));
                steps.push(step(FaultStep::Acknowledged));
            }
            self.active.insert(armed.id, active);
        }
        self.guarded = false;
        steps
    }
}

/// The number of a fault that was asked for by hand.
fn number_by_hand(id: &str) -> Option<u64> {
    id.strip_prefix('h')?.split_once('-')?.0.parse().ok()
}
