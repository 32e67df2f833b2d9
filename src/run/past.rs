//! A run so far, from its journal: for who takes it over.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use super::{conductor::chain, directory::RunRecord, error::RunError};
use crate::{
    detect::Judge,
    ids::ShardId,
    journal::{Capability, Event, Reader, event::Stage},
    plan::Plan,
    probe::watcher::protocol::KnownBlock,
    report::Curves,
    time::{Elapsed, WallTime},
};

/// What is known of a run from its journal so far.
pub(super) struct Past {
    pub(super) started: WallTime,
    pub(super) stages: Vec<(Stage, Elapsed)>,
    /// The newest block of each shard: what follows it was missed by nobody.
    pub(super) blocks: BTreeMap<ShardId, KnownBlock>,
    /// Faults that were begun.
    pub(super) fired: BTreeSet<String>,
    /// What became of the recovery ladders.
    pub(super) recovery: Vec<(Elapsed, Event)>,
    /// What faults need of the machine, as it was tried.
    pub(super) capabilities: Vec<Capability>,
    /// What the report draws.
    pub(super) curves: Curves,
}

/// Judges the journal so far, so that findings go on where they were.
pub(super) fn judge_again(
    folder: &Path,
    record: &RunRecord,
) -> Result<(Plan, Judge, Past), RunError> {
    let unreadable = |why: String| RunError::Attach {
        run: record.name.clone(),
        why,
    };
    let mut judging = None;
    let mut past = Past {
        started: WallTime::default(),
        stages: Vec::new(),
        blocks: BTreeMap::new(),
        fired: BTreeSet::new(),
        recovery: Vec::new(),
        capabilities: Vec::new(),
        curves: Curves::default(),
    };
    for entry in Reader::open(folder).map_err(|error| unreadable(chain(&error)))? {
        let entry = entry.map_err(|error| unreadable(chain(&error)))?;
        match &entry.event {
            Event::RunStarted { plan, wall, .. } if judging.is_none() => {
                let plan: Plan =
                    serde_json::from_value(plan.clone()).map_err(|source| RunError::Plan {
                        run: record.name.clone(),
                        source,
                    })?;
                past.started = *wall;
                judging = Some((Judge::new(&plan), plan));
            }
            Event::Fault { id, .. } => {
                past.fired.insert(id.to_string());
            }
            event @ Event::Recovery { .. } => past.recovery.push((entry.elapsed, event.clone())),
            Event::Capability(capability) => past.capabilities.push(capability.clone()),
            Event::Drill { .. } => {
                past.fired.insert("drill".to_owned());
            }
            Event::Stage { stage } => past.stages.push((*stage, entry.elapsed)),
            Event::Block {
                shard,
                height,
                hash,
                ..
            } => {
                let known = KnownBlock {
                    shard: *shard,
                    height: *height,
                    hash: Arc::clone(hash),
                };
                past.blocks.insert(*shard, known);
            }
            _ => {}
        }
        if let Some((judge, _)) = &mut judging {
            let changes = judge.step(&entry);
            past.curves.step(&entry, judge.world(), &changes);
        }
    }
    let (judge, plan) =
        judging.ok_or_else(|| unreadable("its journal does not begin with its plan".to_owned()))?;
    Ok((plan, judge, past))
}
