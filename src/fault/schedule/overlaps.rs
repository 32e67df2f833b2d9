//! Faults that cannot be in force together, refused before the start; and the stretches that drawn faults keep out of.

use std::time::Duration;

use super::{Drafts, Sources};
use crate::{
    fault::kinds::{self, Claim},
    ids::ShardId,
    plan::{
        NodePlan, PlanError,
        faults::{PlannedDrill, PlannedFault, Target, Trigger, Who},
    },
    time::human,
};

/// A fault with its time: what waits for a height or a line has none, and is skipped when it fires beside another.
struct Timed<'a> {
    name: &'a str,
    target: Target,
    start: Duration,
    end: Duration,
    claim: Claim,
}

fn timed<'a>(fault: &'a PlannedFault) -> Option<Timed<'a>> {
    let Trigger::After(start) = fault.trigger else {
        return None;
    };
    let info = kinds::kind(&fault.kind)?;
    let parsed = (info.parse)(&fault.parameters).ok()?;
    Some(Timed {
        name: info.kind,
        target: fault.target.clone(),
        start,
        end: start + fault.lasts,
        claim: Claim::of(info, parsed.as_ref()),
    })
}

/// A drill pauses all nodes of its shard.
fn of_drill(drill: &PlannedDrill) -> Option<Timed<'static>> {
    let info = kinds::kind("pause")?;
    let parsed = (info.parse)(&serde_json::json!({})).ok()?;
    Some(Timed {
        name: "drill",
        target: Target {
            who: Who::All,
            shard: Some(drill.shard),
        },
        start: drill.at,
        end: drill.at + drill.lasts,
        claim: Claim::of(info, parsed.as_ref()),
    })
}

impl Drafts<'_> {
    /// Two faults on what may be the same node at the same time, of which one cannot begin while the other is in force.
    pub(super) fn refuse_overlaps(
        &self,
        faults: &[PlannedFault],
        drill: Option<&PlannedDrill>,
    ) -> Result<(), PlanError> {
        let mut ordered: Vec<Timed<'_>> = faults
            .iter()
            .filter_map(timed)
            .chain(drill.and_then(of_drill))
            .collect();
        ordered.sort_by_key(|fault| fault.start);
        for (place, one) in ordered.iter().enumerate() {
            for later in &ordered[place + 1..] {
                if later.start >= one.end {
                    break;
                }
                let nodes = &self.plan.network.nodes;
                if one.claim.forbids(later.claim) && may_meet(&one.target, &later.target, nodes) {
                    return Err(refused(self.sources, one, later));
                }
            }
        }
        Ok(())
    }
}

/// A stretch of time that drawn faults of a shard (of all, where there is none) keep out of.
pub(super) type Stretch = (Option<ShardId>, Duration, Duration);

/// When a drawn fault that would begin at `at` and last so long begins at the earliest, so that it meets nothing that
/// the plan itself names: the two together could take the quorum away.
pub(super) fn keep_out(
    named: &[Stretch],
    shard: Option<ShardId>,
    mut at: Duration,
    lasts: Duration,
) -> Duration {
    // Sorted by start, so that one pass pushes it past all that stand in a row.
    for (of, start, end) in named {
        let same = of.is_none() || shard.is_none() || *of == shard;
        if same && at < *end && *start < at + lasts {
            at = *end;
        }
    }
    at
}

/// Stretches of what the plan itself names, each with `rest` behind it, ordered by their start.
pub(super) fn named(
    nodes: &[NodePlan],
    faults: &[PlannedFault],
    drill: Option<&PlannedDrill>,
    rest: Duration,
) -> Vec<Stretch> {
    let mut named: Vec<_> = faults
        .iter()
        .filter_map(timed)
        .chain(drill.and_then(of_drill))
        .map(|fault| {
            (
                shard_of(&fault.target, nodes),
                fault.start,
                fault.end + rest,
            )
        })
        .collect();
    named.sort_by_key(|(_, start, _)| *start);
    named
}

/// The one shard that a target is in, if it is in one.
fn shard_of(target: &Target, nodes: &[NodePlan]) -> Option<ShardId> {
    let Who::Nodes(names) = &target.who else {
        return target.shard;
    };
    let mut shards = nodes
        .iter()
        .filter(|node| names.contains(&node.name))
        .map(|node| node.shard);
    let first = shards.next()?;
    shards.all(|shard| shard == first).then_some(first)
}

fn refused(sources: &Sources, one: &Timed<'_>, later: &Timed<'_>) -> PlanError {
    let message = format!(
        "`{}` on {} at {} and `{}` on {} at {} overlap and may be on the same node, where the second cannot work beside the first",
        one.name,
        one.target,
        human(one.start),
        later.name,
        later.target,
        human(later.start),
    );
    sources.bad("fault", &message)
}

/// Whether two targets can name the same node.
fn may_meet(one: &Target, other: &Target, nodes: &[NodePlan]) -> bool {
    match (&one.who, &other.who) {
        (Who::Nodes(one), Who::Nodes(other)) => one.iter().any(|node| other.contains(node)),
        _ => match (shard_of(one, nodes), shard_of(other, nodes)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        },
    }
}
