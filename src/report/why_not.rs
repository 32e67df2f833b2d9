//! Why a detector stayed quiet at a moment: what the judge knew then, held against what it waits for.

use std::time::Duration;

use super::timeline::stage_word;
use crate::{
    detect::{Finding, expectation::Fault, world::World},
    ids::ShardId,
    time::{Elapsed, human},
};

/// Lines for people, the most decisive first. `windows` are those of the detector, by their keys.
#[must_use]
pub fn why_not(
    world: &World,
    findings: &[Finding],
    kind: &str,
    shard: Option<ShardId>,
    windows: &[(&str, Duration)],
) -> Vec<String> {
    let mut lines = raised(world.now, findings, kind, shard);
    lines.extend(stage_and_sight(world));
    for place in 0..world.shards.len() {
        if shard.is_none_or(|shard| shard == world.shards[place].id) {
            lines.extend(of_shard(world, place));
        }
    }
    if world.host_dry {
        lines.push("the host's own disk was dry: full disks were not the nodes' doing".to_owned());
    }
    for (key, window) in windows {
        lines.push(format!("window {key}: {}", human(*window)));
    }
    for fault in world.expectation.faults() {
        lines.push(of_fault(world, fault));
    }
    lines
}

/// Findings of the kind before and at the moment.
fn raised(now: Elapsed, findings: &[Finding], kind: &str, shard: Option<ShardId>) -> Vec<String> {
    let mut lines: Vec<String> = findings
        .iter()
        .filter(|finding| finding.kind == kind)
        .filter(|finding| shard.is_none() || finding.shard == shard)
        .map(|finding| {
            let state = match finding.end {
                None => "open then: it was not quiet".to_owned(),
                Some(end) => format!("over since {} before", human(now.since(end))),
            };
            let excused = finding
                .excused_by
                .as_ref()
                .map_or_else(String::new, |by| format!(", excused by {by}"));
            format!(
                "{} {}: {state}{excused} ({})",
                finding.kind, finding.id, finding.summary
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("no {kind} had been found by then"));
    }
    lines
}

fn stage_and_sight(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    match world.stage {
        Some(stage) if !world.judging() => {
            lines.push(format!("stage {}: nothing is judged", stage_word(stage)));
        }
        Some(stage) if !world.judging_progress() => lines.push(format!(
            "stage {}: not all containers had been started, progress is not judged",
            stage_word(stage)
        )),
        Some(stage) if !world.judging_rates() => lines.push(format!(
            "stage {}: rates and trends are not judged before the soak",
            stage_word(stage)
        )),
        _ => {}
    }
    if world.watch_paused {
        lines.push("watching was switched off on purpose".to_owned());
    }
    if let Some((since, _)) = world.sight_lost {
        lines.push(format!(
            "the canary saw nothing at all for {}",
            human(world.now.since(since))
        ));
    }
    lines
}

fn of_shard(world: &World, place: usize) -> Vec<String> {
    let shard = &world.shards[place];
    let id = shard.id;
    let mut lines = vec![match &shard.best {
        None => format!("shard {id} had made no block"),
        Some(best) => format!(
            "shard {id}: last block {} came {} before, {} of it seen; voting power {} of {} ran",
            best.height,
            human(world.now.since(best.at)),
            shard
                .seen_gap(world.now)
                .map_or_else(|| "nothing".to_owned(), human),
            shard.running_power,
            shard.total_power
        ),
    }];
    if let Some(since) = shard.unseen_since {
        lines.push(format!(
            "shard {id} was out of sight for {}: a gap in our sight is no gap in the chain",
            human(world.now.since(since))
        ));
    } else if !world.sees_no_block(shard) {
        lines.push(format!(
            "shard {id}: no answer came after its last block, so that nothing says it stood still"
        ));
    }
    let from = world.now.since(shard.from);
    if shard.best.as_ref().is_some_and(|best| shard.from > best.at) {
        lines.push(format!(
            "windows of shard {id} restarted {} before (a gap, or sight came back)",
            human(from)
        ));
    }
    lines
}

fn of_fault(world: &World, fault: &Fault) -> String {
    let state = match (fault.ineffective, fault.start, fault.healed) {
        (true, ..) => "had no effect and excuses nothing".to_owned(),
        (_, None, _) => "was not acknowledged yet and excuses nothing".to_owned(),
        (_, Some(start), None) => format!("in force for {}", human(world.now.since(start))),
        (_, Some(_), Some(healed)) => format!(
            "healed {} before; the recovery budget is {}",
            human(world.now.since(healed)),
            human(world.thresholds.recovery)
        ),
    };
    let takes: Vec<&str> = fault.takes.iter().map(|node| node.as_str()).collect();
    format!(
        "fault {} ({}) on {}: {state}",
        fault.id,
        fault.kind,
        takes.join(", ")
    )
}
