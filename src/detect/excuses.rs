//! Which effects of injected faults excuse which findings: one table.
//!
//! Findings that are not named here are never excused: safety, what a node does by itself, the canary's own. Excuses
//! are looked at again while a finding is open: one that outlives the fault and its recovery budget loses its excuse.

use super::{
    expectation::{Expectation, LookBack},
    finding::Finding,
    world::World,
};
use crate::{
    ids::NodeName,
    journal::effect::Effect::{self, *},
    plan::foreign::EndsOn,
    time::Elapsed,
};

/// What excuses a kind of finding.
enum Rule {
    /// Faults that leave the shard no quorum.
    Quorum,
    /// Any fault on a validator of the shard.
    Shard,
    /// A fault on one of the nodes, with one of these effects.
    Node(&'static [Effect]),
    /// Any fault on a validator of any shard: what crosses shards needs both.
    Network,
}

/// What can make a node late, silent or absent.
pub(super) const ANY: &[Effect] = &[
    Down,
    Frozen,
    CutOff,
    Impaired,
    DiskFull,
    InodesFull,
    DiskSlow,
    DiskHang,
    DiskErrors,
    DiskReadOnly,
    LostWrites,
    CpuStarved,
    MemoryPressed,
    FilesExhausted,
    ProcessesExhausted,
    GhostBytes,
    ClockOff,
    OtherBuild,
    SetBack,
];

const RULES: &[(&str, Rule)] = &[
    ("stall", Rule::Quorum),
    ("never-started", Rule::Quorum),
    ("view-change-loop", Rule::Quorum),
    ("no-leader", Rule::Quorum),
    ("slow-blocks", Rule::Shard),
    ("view-change-storm", Rule::Shard),
    ("leader-flapping", Rule::Shard),
    ("low-signers", Rule::Shard),
    ("cross-shard-stall", Rule::Network),
    ("idle-validator", Rule::Node(ANY)),
    ("empty-blocks", Rule::Shard),
    ("tx-not-included", Rule::Shard),
    ("new-log-template", Rule::Shard),
    ("log-template-vanished", Rule::Shard),
    ("log-template-storm", Rule::Shard),
    // Only where it is about one node's load generator; the canary's own cost names none.
    ("canary-overloaded", Rule::Node(ANY)),
    // Who misses a peer says so, again and again. All other trends leave such stretches out by themselves.
    ("log-flood", Rule::Shard),
    ("node-lagging", Rule::Node(ANY)),
    ("stuck-syncing", Rule::Node(ANY)),
    ("blind", Rule::Node(ANY)),
    (
        "hung",
        Rule::Node(&[
            Frozen,
            DiskHang,
            DiskSlow,
            DiskErrors,
            CpuStarved,
            MemoryPressed,
            FilesExhausted,
            ProcessesExhausted,
        ]),
    ),
    // An end that the canary asked for is no finding at all; an end over a full disk or a lost peer is the node's own.
    ("oom-kill", Rule::Node(&[MemoryPressed])),
    ("disk-full", Rule::Node(&[DiskFull, GhostBytes, InodesFull])),
    ("inodes-full", Rule::Node(&[InodesFull])),
    // A ballast is counted by the file system before a walk over its files meets it.
    ("ghost-bytes", Rule::Node(&[GhostBytes, DiskFull])),
    (
        "disk-error",
        Rule::Node(&[DiskErrors, DiskReadOnly, DiskHang, LostWrites, InodesFull]),
    ),
    ("disk-read-only", Rule::Node(&[DiskReadOnly, DiskErrors])),
    ("disk-hang", Rule::Node(&[DiskHang, DiskSlow])),
    ("slow-fsync", Rule::Node(&[DiskSlow, DiskHang])),
];

/// Findings over the window of rates, or later than what they are about by as much: what a fault did stays in the window
/// when it is healed.
const OVER_A_WINDOW: &[&str] = &[
    "slow-blocks",
    "view-change-storm",
    "leader-flapping",
    "low-signers",
    "idle-validator",
    "empty-blocks",
    "tx-not-included",
    "log-template-vanished",
    "log-template-storm",
    "log-flood",
];

/// What a node has signed, it has signed with or without a disk.
const SIGNED: &[&str] = &["fork", "double-proposal"];

/// The fault that excuses a finding now, by what is known of faults.
pub(super) fn excuse(
    world: &World,
    expectation: &Expectation,
    finding: &Finding,
) -> Option<String> {
    if let Some(drill) = drilled(world, finding) {
        return Some(drill);
    }
    let lost = |node: &&NodeName| expectation.had_no_disk(node, finding.noticed);
    if !SIGNED.contains(&finding.kind.as_str())
        && let Some(node) = finding.nodes.iter().find(lost)
    {
        return Some(format!("the canary, who lost the disk of {node}"));
    }
    let over = over(world, finding);
    let ends = Rule::Node(over);
    let known = RULES.iter().find(|(kind, _)| *kind == finding.kind);
    let rule = if over.is_empty() {
        known.map(|(_, rule)| rule)?
    } else {
        &ends
    };
    let at = match finding.kind.as_str() {
        // A finding that stands for its whole window is about ends: it is over with the start after the last of them.
        "crash-loop" => last_start(world, finding).max(finding.noticed),
        // It is over some time after its last sign, so as not to end between two failed writes; the sign is what counts.
        "disk-full" => last_full(world, finding).max(finding.noticed),
        _ => finding.end.unwrap_or(world.now),
    };
    let back = if OVER_A_WINDOW.contains(&finding.kind.as_str()) {
        LookBack::Window
    } else {
        LookBack::Moment
    };
    let fault_at = |at: Elapsed| match rule {
        Rule::Quorum => expectation.excuses_shard(finding.shard?, at),
        Rule::Shard => expectation.weakens_shard(finding.shard?, at, back),
        Rule::Network => expectation.weakens_any(at, back),
        Rule::Node(effects) => finding
            .nodes
            .iter()
            .find_map(|node| expectation.excuses_node(node, effects, at, back)),
    };
    let fault = fault_at(at)?;
    // The run's clock stood still while nobody was attached: it does not tell that the time to recover was over.
    let outlived = |wait| wait > world.thresholds.recovery && finding.noticed == world.now;
    if finding.kind == "stall"
        && world.unattended_wait.is_some_and(outlived)
        && fault.healed.is_some_and(|healed| healed < world.sight_back)
    {
        return None;
    }
    // What was seen before a fault was begun is not of its making, unless another one excused it until then.
    let mut first = fault;
    while finding.noticed < first.requested {
        let before = fault_at(Elapsed(first.requested.0.saturating_sub(1)))?;
        if before.requested >= first.requested {
            return None;
        }
        first = before;
    }
    Some(fault.id.to_string())
}

/// Over which faults a node ends by itself as its makers want it: such an end, and what comes of starting it again while
/// the fault lasts, is of the fault's making.
fn over(world: &World, finding: &Finding) -> &'static [Effect] {
    if !matches!(finding.kind.as_str(), "crash" | "crash-loop") {
        return &[];
    }
    let full = world.ends_on.contains(&EndsOn::DiskFull);
    let error = world.ends_on.contains(&EndsOn::DiskError);
    match (full, error) {
        (true, true) => &[
            DiskFull,
            GhostBytes,
            InodesFull,
            DiskErrors,
            DiskReadOnly,
            LostWrites,
        ],
        (true, false) => &[DiskFull, GhostBytes, InodesFull],
        (false, true) => &[DiskErrors, DiskReadOnly, LostWrites],
        (false, false) => &[],
    }
}

/// When the finding's node was last started; now, while it is down.
fn last_start(world: &World, finding: &Finding) -> Elapsed {
    let node = finding.nodes.first().and_then(|name| world.node(name));
    let node = node.map(|place| &world.nodes[place]);
    node.filter(|node| node.runs())
        .map_or(world.now, |node| node.started_at)
}

/// When the disk of the finding's node was last seen full.
fn last_full(world: &World, finding: &Finding) -> Elapsed {
    let node = finding.nodes.first().and_then(|name| world.node(name));
    node.map_or(world.now, |place| world.nodes[place].disk.full_at)
}

/// A finding that the canary's test of itself made: detectors know nothing of drills, and what they found of one is set
/// apart here. A stall that began before, or outlives the drill and the time to recover, is a real one.
fn drilled(world: &World, finding: &Finding) -> Option<String> {
    let at = finding.end.unwrap_or(world.now);
    let drill = world.drilled(world.drill.as_ref()?.shard, at)?;
    let here = finding.shard == Some(drill.shard)
        || finding.nodes.iter().any(|node| drill.nodes.contains(node));
    let of_its_making = matches!(
        finding.kind.as_str(),
        "stall"
            | "no-leader"
            | "hung"
            | "blind"
            | "node-lagging"
            | "slow-blocks"
            | "low-signers"
            | "view-change-loop"
            | "view-change-storm"
            | "stuck-syncing"
    );
    (here && of_its_making && finding.noticed >= drill.begins)
        .then(|| format!("drill on shard {}", drill.shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_findings_that_exist_and_never_a_safety_one() {
        for (kind, _) in RULES {
            assert!(
                crate::plan::findings::severity(kind).is_some(),
                "{kind} is no finding"
            );
        }
        for safety in [
            "fork",
            "height-regression",
            "crash",
            "crash-loop",
            "no-recovery",
        ] {
            assert!(RULES.iter().all(|(kind, _)| *kind != safety), "{safety}");
        }
    }
}
