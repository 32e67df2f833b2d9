//! What the recovery ladder does to nodes: armed, guarded and excused like a fault, on a shard that nothing else is done to.

use std::{collections::BTreeSet, time::Duration};

use super::{Faults, Step};
use crate::{
    fault::{recovery, target::Seen},
    ids::{NodeName, ShardId},
    journal::event::FaultStep,
    plan::faults::PlannedFault,
};

/// How ids of steps begin; no fault's does.
const PREFIX: &str = "recovery-";
/// Carrying out a step may take so long: disks are filled in it.
pub(super) const DEADLINE: Duration = Duration::from_secs(600);

/// Whether an id is that of a step of the ladder.
pub(in crate::run) fn is_recovery(id: &str) -> bool {
    id.starts_with(PREFIX)
}

impl Faults {
    /// Carries a step out. Answers on whom, and what is to be journalled.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(in crate::run) fn recover(
        &mut self,
        planned: &PlannedFault,
        seen: &Seen,
    ) -> Result<(Vec<NodeName>, Vec<Step>), String> {
        let info = recovery::kind(&planned.kind).ok_or("this version has no such step")?;
        let ready = self.ready(planned, info, seen, None)?;
        let steps = self.begin(ready);
        match steps.first().map(|step| &step.step) {
            Some(FaultStep::Requested { targets, .. }) => Ok((targets.clone(), steps)),
            Some(FaultStep::Skipped { why }) => Err(why.clone()),
            _ => Err("it could not be begun".to_owned()),
        }
    }

    /// On these shards the ladder is at work: nothing else is done there.
    pub(in crate::run) fn reserve(&mut self, shards: BTreeSet<ShardId>) {
        self.reserved = shards;
    }

    /// The shard of one of these nodes on which the ladder is at work.
    pub(super) fn reserved(&self, targets: &[NodeName]) -> Option<ShardId> {
        let nodes = &self.plan.network.nodes;
        let here = nodes.iter().filter(|node| targets.contains(&node.name));
        here.map(|node| node.shard)
            .find(|shard| self.reserved.contains(shard))
    }

    /// Whether anything is being done to nodes of this shard.
    pub(in crate::run) fn acts_on(&self, shard: ShardId) -> bool {
        let nodes = self.plan.network.nodes.iter();
        let of_shard: Vec<&NodeName> = nodes
            .filter(|node| node.shard == shard)
            .map(|node| &node.name)
            .collect();
        let mut active = self.active.values();
        active.any(|active| active.targets.iter().any(|node| of_shard.contains(&node)))
    }
}
