//! Which effects of injected faults excuse which findings: one table.
//!
//! Findings that are not named here are never excused: safety, what a node does by itself, the canary's own. Excuses
//! are looked at again while a finding is open: one that outlives the fault and its recovery budget loses its excuse.

use super::{finding::Finding, world::World};
use crate::journal::effect::Effect::{self, *};

/// What excuses a kind of finding.
enum Rule {
    /// Faults that leave the shard no quorum.
    Quorum,
    /// Any fault on a validator of the shard.
    Shard,
    /// A fault on one of the nodes, with one of these effects.
    Node(&'static [Effect]),
}

/// What can make a node late, silent or absent.
const ANY: &[Effect] = &[
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
    ("ghost-bytes", Rule::Node(&[GhostBytes])),
    (
        "disk-error",
        Rule::Node(&[DiskErrors, DiskReadOnly, DiskHang, LostWrites, InodesFull]),
    ),
    ("disk-read-only", Rule::Node(&[DiskReadOnly, DiskErrors])),
    ("disk-hang", Rule::Node(&[DiskHang, DiskSlow])),
    ("slow-fsync", Rule::Node(&[DiskSlow, DiskHang])),
];

/// The fault that excuses a finding now.
pub(super) fn excuse(world: &World, finding: &Finding) -> Option<String> {
    if let Some(drill) = drilled(world, finding) {
        return Some(drill);
    }
    let (_, rule) = RULES.iter().find(|(kind, _)| *kind == finding.kind)?;
    let at = finding.end.unwrap_or(world.now);
    let expectation = &world.expectation;
    let fault = match rule {
        Rule::Quorum => expectation.excuses_shard(finding.shard?, at),
        Rule::Shard => expectation.weakens_shard(finding.shard?, at),
        Rule::Node(effects) => finding
            .nodes
            .iter()
            .find_map(|node| expectation.excuses_node(node, effects, at)),
    }?;
    // What was seen before the fault was begun is not of its making.
    (finding.noticed >= fault.requested).then(|| fault.id.to_string())
}

/// A finding that the canary's test of itself made: detectors know nothing of drills, and what they found of one is set
/// apart here. A stall that began before, or outlives the drill and the time to recover, is a real one.
fn drilled(world: &World, finding: &Finding) -> Option<String> {
    let drill = world.drill.as_ref()?;
    let here = finding.shard == Some(drill.shard)
        || finding.nodes.iter().any(|node| drill.nodes.contains(node));
    let at = finding.end.unwrap_or(world.now);
    let until = drill
        .ends
        .is_none_or(|ends| at <= ends + world.thresholds.recovery * 3);
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
    (here && until && of_its_making && finding.noticed >= drill.begins)
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
