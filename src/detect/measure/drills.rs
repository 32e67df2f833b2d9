//! Stalls, and the fake ones by which the canary tests itself: these are found, and are in no statistic.

use super::{MOST_NOTES, Measures};
use crate::{
    detect::{
        finding::Severity,
        findings::{ChangeKind, FindingChange},
        judgement::DrillView,
        world::World,
    },
    ids::{NodeName, ShardId},
    time::Elapsed,
};

impl Measures {
    pub(super) fn drill(&mut self, shard: ShardId, nodes: &[NodeName], begins: bool, now: Elapsed) {
        let open = self
            .drills
            .iter_mut()
            .rfind(|drill| drill.shard == shard && drill.ends.is_none());
        if let Some(drill) = open {
            if !begins {
                drill.ends = Some(now);
            }
        } else if begins && self.drills.len() < MOST_NOTES {
            self.drills.push(DrillView {
                shard,
                nodes: nodes.to_vec(),
                begins: now,
                ends: None,
                found: None,
            });
        }
    }

    pub(super) fn change(&mut self, change: &FindingChange, world: &World) {
        let finding = &change.finding;
        if finding.kind == "stall" && finding.severity == Severity::Critical {
            for drill in self.drills.iter_mut().filter(|drill| drill.found.is_none()) {
                // One that began before is a real one, and proves nothing.
                let during = finding.noticed >= drill.begins
                    && drill.ends.is_none_or(|ends| world.now <= ends);
                if Some(drill.shard) == finding.shard && during {
                    drill.found = Some(world.now);
                }
            }
        }
        if finding.kind != "stall" {
            return;
        }
        let place = world
            .shards
            .iter()
            .position(|shard| Some(shard.id) == finding.shard);
        let Some(place) = place else { return };
        let shard = &world.shards[place];
        let of_drill = world
            .drill
            .as_ref()
            .is_some_and(|drill| drill.shard == shard.id && finding.noticed >= drill.begins);
        let outlived = of_drill && world.drilled(shard.id, world.now).is_none();
        // A stall that a fault made is measured as that fault's recovery.
        let of_fault = match change.kind {
            ChangeKind::Opened => {
                let excuse = world.expectation.excuses_shard(shard.id, world.now);
                excuse.is_some() && self.stalls_of_faults.insert(place)
            }
            ChangeKind::Closed => self.stalls_of_faults.remove(&place),
            _ => return,
        };
        if of_fault {
            return;
        }
        match change.kind {
            ChangeKind::Opened if !of_drill => self.shards[place].stalled(),
            ChangeKind::Closed if !of_drill || outlived => {
                // One that began in a drill and outlived it is a real one, which nobody counted yet.
                if outlived {
                    self.shards[place].stalled();
                }
                self.shards[place].recovered(shard, finding.start, world.now);
            }
            _ => {}
        }
    }
}
