//! The canary's test of itself: known to what sets its findings apart, never to a detector.

use serde::{Deserialize, Serialize};

use super::World;
use crate::{
    ids::{NodeName, ShardId},
    journal::Event,
    time::Elapsed,
};

/// A fake stall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Where.
    pub shard: ShardId,
    /// The nodes that were paused.
    pub nodes: Vec<NodeName>,
    /// From when.
    pub begins: Elapsed,
    /// Until when.
    pub ends: Option<Elapsed>,
}

impl World {
    /// The drill that a shard is in at this moment, or on its way back from: what is measured then is the canary's doing.
    #[must_use]
    pub fn drilled(&self, shard: ShardId, at: Elapsed) -> Option<&Drill> {
        let drill = self.drill.as_ref()?;
        let back = self.thresholds.recovery * 3;
        Some(drill).filter(|drill| {
            drill.shard == shard
                && at >= drill.begins
                && drill.ends.is_none_or(|ends| at <= ends + back)
        })
    }

    pub(super) fn fold_drill(&mut self, event: &Event) {
        let Event::Drill {
            shard,
            nodes,
            begins,
        } = event
        else {
            return;
        };
        match (*begins, &mut self.drill) {
            (true, drill) => {
                *drill = Some(Drill {
                    shard: *shard,
                    nodes: nodes.clone(),
                    begins: self.now,
                    ends: None,
                });
            }
            (false, Some(drill)) => drill.ends = Some(self.now),
            (false, None) => {}
        }
    }
}
