//! Signatures: families of bugs that were met before, told by name where findings look like them, with what to look at.
//!
//! The first five are those of the post-mortem of July 2019; the others are what the same chain met in the years after.
//! Numbers are those of its public issues. A signature says "this looks like", never "this is".

use serde::{Deserialize, Serialize};

use crate::{
    detect::finding::{Finding, Severity},
    ids::ShardId,
};

/// A family of bugs.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Stable id.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// Findings that it shows itself by: any of them.
    findings: &'static [&'static str],
    /// What must be in the finding's chain, or be found in its shard at that time: any of these; none if empty.
    with: &'static [&'static str],
    /// Where it was met before.
    pub met: &'static str,
    /// What to look at first.
    pub look: &'static str,
}

/// What takes room, or fails to write.
const WRITES: &[&str] = &[
    "failed-write",
    "disk-full",
    "disk-error",
    "disk-read-only",
    "inodes-full",
];
/// Ways in which a node ends or starts again.
const RESTARTS: &[&str] = &[
    "started-again",
    "healed",
    "crash",
    "oom-kill",
    "crash-loop",
    "fault",
];

/// All families, the nearest to a cause first.
pub const FAMILIES: &[Family] = &[
    Family {
        id: "resources-taken",
        title: "another process takes the node's disk or processor",
        findings: &["ghost-bytes", "disk-full", "stall", "crash", "hung"],
        with: &["ghost-bytes"],
        met: "July 2019: a log script unpacked the logs of the node",
        look: "processes beside the node and files that are open and unlinked (`lsof +L1`): what `df` counts and `du` does not see",
    },
    Family {
        id: "exits-on-failed-write",
        title: "a failed write ends the node",
        findings: &["crash", "crash-loop"],
        with: WRITES,
        met: "July 2019: \"don't exit the program if not fatal errors\"; ops 62, 94, 158",
        look: "the node's last lines before it ended, and whether it starts again once there is room",
    },
    Family {
        id: "memory-ahead-of-disk",
        title: "consensus went on although a block was not written",
        findings: &["height-mismatch", "invalid-announce"],
        with: WRITES,
        met: "July 2019: \"block number in consensus object inconsistent with the current block number in disk\"; 3485, 4089",
        look: "the height that consensus agrees on beside the one on disk, on the leader; a restart may lose what is only in memory",
    },
    Family {
        id: "commit-signatures-not-kept",
        title: "a leader that was restarted cannot propose",
        findings: &["commit-signatures-lost"],
        with: &[],
        met: "July 2019, 1163, 1235, 2854, 2875, 3088",
        look: "whether the signatures of the last block are written together with it, and are read back at the start",
    },
    Family {
        id: "view-change-does-not-recover",
        title: "leaders are replaced again and again, and none gets a block through",
        findings: &["view-change-loop", "no-recovery"],
        with: &["view-change", "view-change-loop"],
        met: "July 2019: \"the view change protocol did not succeed\"; 1347, 1591, 2974, 3148, 4307, 4403",
        look: "what validators say of the new leader's first message at the height that waits, and what the dead one had begun there",
    },
    Family {
        id: "stuck-in-sync",
        title: "a node that fell behind does not come back to consensus",
        findings: &["stuck-syncing"],
        with: &[],
        met: "July 2019: \"nodes stuck in sync mode\"; 2753, 3024, 3558, 4534",
        look: "its mode beside its height: level with the others and still in sync mode is the bug",
    },
    Family {
        id: "chain-reset",
        title: "a node's chain goes back after a restart",
        findings: &["height-regression", "tx-lost"],
        with: RESTARTS,
        met: "1607, 4044, 4166",
        look: "the log of its start (`Rewinding blockchain`, `Empty database`), and what was synced before it ended",
    },
    Family {
        id: "data-damaged",
        title: "a node's data is damaged after a failed or lost write",
        findings: &["db-corruption", "state-mismatch"],
        with: &[],
        met: "ops 105, 2456, 4091, 4471",
        look: "the first failed write or sudden end before it; keep the disk, and let the node sync anew on another",
    },
    Family {
        id: "fork-after-restart-or-heal",
        title: "nodes hold different blocks at one height after a restart or a heal",
        findings: &["fork"],
        with: &["started-again", "healed", "crash", "fault"],
        met: "1708, 3363, 3548, 3611, 4788",
        look: "the signatures on both blocks: who signed both, and what each side had locked",
    },
    Family {
        id: "two-leaders",
        title: "two proposals at one height and view",
        findings: &["double-proposal"],
        with: &[],
        met: "2801, 3363",
        look: "whether two processes hold one key, and what the leader proposed before and after a restart",
    },
    Family {
        id: "silent-new-leader",
        title: "a view change succeeds and no block follows",
        findings: &["no-leader"],
        with: &[],
        met: "3484, 3515, 3575: an hour on mainnet, at an epoch's block",
        look: "what the new leader waits for; the load and the epoch at the height that waits",
    },
    Family {
        id: "views-do-not-converge",
        title: "view changes are many, or nodes do not agree on the view",
        findings: &["view-change-storm", "leader-flapping"],
        with: &[],
        met: "1712, 2120, 4795, 4796",
        look: "the view that each validator wants, and messages that were sent once and lost",
    },
    Family {
        id: "memory-runs-out",
        title: "memory grows until the kernel ends the node",
        findings: &["oom-kill", "memory-growth"],
        with: &[],
        met: "665, 2800, 3668, 3709, 3915",
        look: "growth a block beside growth an hour: the one that is steady says what leaks",
    },
    Family {
        id: "files-run-out",
        title: "open files grow",
        findings: &["fd-growth"],
        with: &[],
        met: "ops 94, 104: `too many open files`",
        look: "what is open, by kind (`/proc/1/fd`): sockets of dead peers, or files of the store",
    },
    Family {
        id: "logs-fill-the-disk",
        title: "logs or old data fill the disk",
        findings: &["disk-growth", "disk-exhaustion-forecast", "disk-full"],
        with: &["log-flood", "disk-growth", "disk-exhaustion-forecast"],
        met: "ops 62, 158: \"clean up log files on disk regularly\"",
        look: "which folder of the data disk grows, and what rotates or prunes it",
    },
    Family {
        id: "behind-and-not-signing",
        title: "validators are behind and do not sign",
        findings: &["low-signers", "idle-validator"],
        with: &["node-lagging", "stuck-syncing", "sync-mode"],
        met: "2456, 3941, 3961, 3988, 5092",
        look: "whether lost messages are asked for again, or only the next sync brings the node back",
    },
    Family {
        id: "cross-links-stop",
        title: "one shard takes no note of another",
        findings: &["cross-shard-stall"],
        with: &[],
        met: "4307: `crosslink already exist`",
        look: "receipts that were sent and not received, and what restarted between the two",
    },
];

/// A family that findings look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The family.
    pub family: String,
    /// One line for people.
    pub title: String,
    /// Where it was met before.
    pub met: String,
    /// What to look at first.
    pub look: String,
    /// Shards in which it was so, in their order.
    pub shards: Vec<ShardId>,
    /// Ids of the findings; bounded.
    pub findings: Vec<String>,
}

/// Findings of one signature that are named.
const MOST_FINDINGS: usize = 100;

/// The families that these findings look like, in the order of the table.
#[must_use]
pub fn signatures(findings: &[Finding]) -> Vec<Signature> {
    let told: Vec<&Finding> = findings.iter().filter(|finding| counts(finding)).collect();
    FAMILIES
        .iter()
        .filter_map(|family| signature(family, &told))
        .collect()
}

/// What is excused is the fault's doing, and no bug that anybody should look for.
fn counts(finding: &Finding) -> bool {
    finding.severity >= Severity::Major && finding.excused_by.is_none() && finding.waived.is_none()
}

fn signature(family: &Family, told: &[&Finding]) -> Option<Signature> {
    let looks_so = |finding: &&&Finding| {
        family.findings.contains(&finding.kind.as_str()) && has_with(family, finding, told)
    };
    let matching: Vec<&&Finding> = told.iter().filter(looks_so).collect();
    if matching.is_empty() {
        return None;
    }
    let mut shards: Vec<ShardId> = matching
        .iter()
        .filter_map(|finding| finding.shard)
        .collect();
    shards.sort_unstable();
    shards.dedup();
    Some(Signature {
        family: family.id.to_owned(),
        title: family.title.to_owned(),
        met: family.met.to_owned(),
        look: family.look.to_owned(),
        shards,
        findings: matching
            .iter()
            .take(MOST_FINDINGS)
            .map(|finding| finding.id.clone())
            .collect(),
    })
}

/// Whether what must be there is in the finding's chain, or was found in its shard before it was over.
fn has_with(family: &Family, finding: &Finding, told: &[&Finding]) -> bool {
    let in_chain = |kind: &&str| finding.chain.iter().any(|cause| cause.kind == **kind);
    if family.with.is_empty() || family.with.contains(&finding.kind.as_str()) {
        return true;
    }
    family.with.iter().any(in_chain)
        || told.iter().any(|other| {
            other.shard == finding.shard
                && family.with.contains(&other.kind.as_str())
                && finding.end.is_none_or(|end| other.start <= end)
                && other.start <= finding.noticed.max(finding.start)
        })
}

/// Families that findings of this kind may belong to, for `explain`.
pub fn families_of(kind: &str) -> impl Iterator<Item = &'static Family> {
    FAMILIES
        .iter()
        .filter(move |family| family.findings.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{causes::testing::finding, detector::DETECTORS};

    fn named(findings: &[Finding]) -> Vec<String> {
        let signatures = signatures(findings);
        signatures.into_iter().map(|one| one.family).collect()
    }

    #[test]
    fn families_name_findings_and_steps_that_exist() {
        let steps = [
            "failed-write",
            "started-again",
            "healed",
            "fault",
            "view-change",
            "sync-mode",
        ];
        let exists = |kind: &str| DETECTORS.iter().any(|detector| detector.id == kind);
        for family in FAMILIES {
            for kind in family.findings {
                assert!(exists(kind), "{}: {kind}", family.id);
            }
            for kind in family.with {
                assert!(
                    exists(kind) || steps.contains(kind),
                    "{}: {kind}",
                    family.id
                );
            }
        }
        let mut ids: Vec<&str> = FAMILIES.iter().map(|family| family.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), FAMILIES.len());
    }

    #[test]
    fn july_2019_is_told_by_its_families() {
        let findings = [
            finding("ghost-bytes", 0, &[0], 10, &[]),
            finding("disk-full", 0, &[0], 20, &[("ghost-bytes", 10, 0)]),
            finding("crash", 0, &[0], 21, &[("failed-write", 20, 0)]),
            finding("height-mismatch", 0, &[0], 22, &[("disk-full", 20, 0)]),
            finding("view-change-loop", 0, &[], 21, &[("view-change", 23, 0)]),
            finding(
                "commit-signatures-lost",
                0,
                &[0],
                80,
                &[("started-again", 79, 0)],
            ),
            finding("stuck-syncing", 0, &[2], 90, &[]),
        ];
        let expected = [
            "resources-taken",
            "exits-on-failed-write",
            "memory-ahead-of-disk",
            "commit-signatures-not-kept",
            "view-change-does-not-recover",
            "stuck-in-sync",
        ];
        assert_eq!(named(&findings), expected);
    }

    #[test]
    fn what_must_go_before_it_must_be_there() {
        let alone = finding("crash", 0, &[0], 21, &[]);
        assert_eq!(named(std::slice::from_ref(&alone)), [""; 0]);
        let elsewhere = finding("disk-full", 1, &[0], 20, &[]);
        assert_eq!(named(&[alone.clone(), elsewhere]), [""; 0]);
        let later = finding("disk-full", 0, &[0], 60, &[]);
        assert_eq!(named(&[alone.clone(), later]), [""; 0]);
        let before = finding("disk-full", 0, &[0], 20, &[]);
        assert_eq!(named(&[alone, before]), ["exits-on-failed-write"]);
    }

    #[test]
    fn what_a_fault_excuses_is_no_bug() {
        let mut loops = finding("stuck-syncing", 0, &[0], 21, &[]);
        assert_eq!(named(std::slice::from_ref(&loops)), ["stuck-in-sync"]);
        loops.excused_by = Some("f1-kill".to_owned());
        assert_eq!(named(&[loops]), [""; 0]);
    }

    #[test]
    fn a_kind_knows_its_families() {
        let of = |kind| {
            families_of(kind)
                .map(|family| family.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("fork"), ["fork-after-restart-or-heal"]);
        assert!(of("blind").is_empty());
    }
}
