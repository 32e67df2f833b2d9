//! A run that is taken over: what its lost owner had broken.

use std::{collections::BTreeSet, time::Duration};

use super::{Active, Faults, State, Step, arm};
use crate::{
    fault::kinds,
    ids::NodeName,
    journal::event::FaultStep,
    plan::faults::{PlannedFault, Target, Trigger, Who},
    time::{Elapsed, RunClock},
};

impl Faults {
    /// Takes over what a run that lost its owner has armed. Answers what its guard has healed meanwhile.
    pub(in crate::run) fn adopt(&mut self, fired: &BTreeSet<String>, now: Elapsed) -> Vec<Step> {
        self.waiting.retain(|planned| !fired.contains(&planned.id));
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
            let targets: BTreeSet<NodeName> = armed
                .heals
                .iter()
                .map(|operation| operation.node().clone())
                .collect();
            let active = Active {
                planned: planned.cloned().unwrap_or_else(|| PlannedFault {
                    id: armed.id.clone(),
                    kind: armed.kind.clone(),
                    parameters,
                    trigger: Trigger::After(Duration::ZERO),
                    lasts: left,
                    target: Target {
                        who: Who::Nodes(targets.iter().cloned().collect()),
                        shard: None,
                    },
                    seed: 0,
                    drawn: false,
                }),
                fault,
                targets: targets.into_iter().collect(),
                heals: armed.heals,
                state: State::InForce { until: now + left },
                drill: None,
            };
            self.active.insert(armed.id, active);
        }
        self.guarded = false;
        steps
    }
}
