//! The whole network held still, so that its disks can be copied at one moment: armed, guarded and excused like a fault.

use std::time::Duration;

use super::{Active, Faults, Step};
use crate::{
    ids::NodeName,
    journal::event::FaultStep,
    plan::faults::{PlannedFault, Target, Trigger, Who},
};

/// How ids of standstills begin; no fault's does.
const PREFIX: &str = crate::plan::whole::HOLDS;

/// Whether an id is that of a standstill.
pub(in crate::run) fn is_hold(id: &str) -> bool {
    id.starts_with(PREFIX)
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix(PREFIX)?.parse().ok()
}

impl Faults {
    /// Whether the network is held, or about to be let go.
    pub(in crate::run) fn holding(&self) -> bool {
        self.active.keys().any(|id| is_hold(id))
    }

    /// Holds these nodes still, at most so long. Answers the id of the standstill, and what is to be journalled.
    ///
    /// # Errors
    /// Why it cannot be now.
    pub(in crate::run) fn hold(
        &mut self,
        nodes: Vec<NodeName>,
        most: Duration,
    ) -> Result<(String, Vec<Step>), String> {
        self.holds += 1;
        let id = format!("{PREFIX}{}", self.holds);
        let planned = PlannedFault {
            id: id.clone(),
            kind: "pause".to_owned(),
            parameters: serde_json::Value::Object(serde_json::Map::new()),
            trigger: Trigger::After(Duration::ZERO),
            lasts: most,
            target: Target {
                who: Who::Nodes(nodes),
                shard: None,
            },
            seed: 0,
            drawn: false,
        };
        let steps = self.fire(planned, &crate::fault::target::Seen::default(), None);
        match steps.first() {
            Some(Step {
                step: FaultStep::Skipped { why },
                ..
            }) => Err(why.clone()),
            _ => Ok((id, steps)),
        }
    }

    /// Lets the network go.
    /// Whether the nodes of a standstill stand still: they were told to, and nothing lets them go yet.
    pub(in crate::run) fn stands(&self, id: &str) -> bool {
        let active = self.active.get(id);
        active.is_some_and(|active| active.standing.is_in_force())
    }

    /// Lets them go.
    pub(in crate::run) fn release(&mut self, id: &str) -> Vec<Step> {
        self.heal(id)
    }

    /// Numbers that were used before would overwrite what is armed under them.
    pub(super) fn holds_so_far<'a>(&mut self, ids: impl Iterator<Item = &'a String>) {
        self.holds = ids
            .filter_map(|id| number(id))
            .max()
            .unwrap_or(self.holds)
            .max(self.holds);
    }

    /// What is journalled when all nodes were told to stand still. One that does not is no matter of the network's: the
    /// others are excused, and let go again.
    pub(super) fn held(&mut self, id: &str, kind: &str, proof: Option<String>) -> Vec<Step> {
        let step = |step| Step {
            id: id.to_owned(),
            kind: kind.to_owned(),
            step,
        };
        let mut steps = vec![step(FaultStep::Acknowledged)];
        match proof {
            Some(proof) => steps.push(step(FaultStep::effective(proof))),
            None => steps.extend(self.heal(id)),
        }
        steps
    }
}

/// One that was taken over is of no use any more: its copy went with its owner.
pub(super) fn left(id: &str, left: Duration) -> Duration {
    if is_hold(id) { Duration::ZERO } else { left }
}

/// The nodes of a standstill in progress.
pub(super) fn count(active: &Active) -> usize {
    active.targets.len()
}
