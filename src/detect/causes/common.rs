//! What several shards or nodes have in common: findings of one kind in many places, with the same kind of predecessor
//! in each place's chain.
//!
//! One shard that stops has a cause of its own; three of four that stop after the same kind of thing have one cause, and
//! that is what to look for. Pure, over findings with their chains.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    detect::finding::{Finding, Severity},
    ids::{NodeName, ShardId},
    time::{human, micros},
};

/// In fewer places it is no pattern.
const LEAST: usize = 2;
/// Places that are named.
const MOST_PLACES: usize = 32;
/// Findings that are named.
const MOST_FINDINGS: usize = 100;
/// What is told; more would be a list of everything.
const MOST: usize = 8;
/// Steps of a chain from which all else may follow, the deepest first: of two that are in as many places the deeper one
/// is told.
const DEEPEST_FIRST: &[&str] = &[
    "ghost-bytes",
    "oom-kill",
    "disk-read-only",
    "inodes-full",
    "disk-hang",
    "disk-error",
    "disk-level",
    "disk-full",
    "failed-write",
    "fault",
    "db-corruption",
    "crash",
    "hung",
    "processor",
    "commit-signatures-lost",
    "height-mismatch",
    "invalid-announce",
    "stuck-syncing",
    "sync-mode",
    "started-again",
];

/// One kind of finding after one kind of predecessor, in several places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonCause {
    /// The kind of the findings.
    pub finding: String,
    /// The kind of the predecessor, as in their chains.
    pub cause: String,
    /// Shards in which it was so, in their order.
    pub shards: Vec<ShardId>,
    /// Nodes on which the predecessors were; bounded.
    pub nodes: Vec<NodeName>,
    /// Places of the same kind in all: shards of the network, or validators and explorers of the shard.
    pub of: usize,
    /// The longest time from a predecessor to its finding.
    #[serde(with = "micros")]
    pub within: Duration,
    /// Ids of the findings; bounded.
    pub findings: Vec<String>,
    /// In one line for people.
    pub summary: String,
}

/// One finding's step of one kind.
struct Step<'a> {
    finding: &'a Finding,
    node: Option<&'a NodeName>,
    lead: Duration,
}

/// What findings have in common: across shards, then across the nodes of each shard. `nodes` are the nodes of each
/// shard of the network.
#[must_use]
pub fn common_causes(findings: &[Finding], nodes: &BTreeMap<ShardId, usize>) -> Vec<CommonCause> {
    let mut steps: BTreeMap<(&str, &str), Vec<Step<'_>>> = BTreeMap::new();
    let told = findings
        .iter()
        .filter(|finding| finding.severity >= Severity::Major && finding.waived.is_none());
    for finding in told {
        for cause in &finding.chain {
            if !DEEPEST_FIRST.contains(&cause.kind.as_str()) {
                continue;
            }
            let of_kind = steps.entry((&finding.kind, &cause.kind)).or_default();
            // The last before the finding began is the nearest; what came after it was not its beginning.
            of_kind.push(Step {
                finding,
                node: cause.node.as_ref(),
                lead: finding.start.since(cause.at),
            });
        }
    }
    let mut found = across_shards(&steps, nodes.len());
    found.extend(across_nodes(&steps, nodes));
    found.truncate(MOST);
    found
}

/// For each kind of finding the predecessor that most shards have in common.
fn across_shards(steps: &BTreeMap<(&str, &str), Vec<Step<'_>>>, shards: usize) -> Vec<CommonCause> {
    let mut best: BTreeMap<&str, CommonCause> = BTreeMap::new();
    for ((kind, cause), steps) in steps {
        let all: Vec<&Step<'_>> = steps.iter().collect();
        let mut places: Vec<ShardId> = steps.iter().filter_map(|step| step.finding.shard).collect();
        places.sort_unstable();
        places.dedup();
        if places.len() < LEAST {
            continue;
        }
        let place = |one: &CommonCause| (one.shards.len(), std::cmp::Reverse(depth(&one.cause)));
        let candidate = told(kind, cause, &all, places, shards);
        match best.get(kind) {
            Some(known) if place(known) >= place(&candidate) => {}
            _ => {
                best.insert(kind, candidate);
            }
        }
    }
    best.into_values().collect()
}

/// The same within one shard, for findings about nodes.
fn across_nodes(
    steps: &BTreeMap<(&str, &str), Vec<Step<'_>>>,
    nodes: &BTreeMap<ShardId, usize>,
) -> Vec<CommonCause> {
    let mut found = Vec::new();
    for (shard, of) in nodes {
        let mut best: BTreeMap<&str, CommonCause> = BTreeMap::new();
        for ((kind, cause), steps) in steps {
            let here: Vec<&Step<'_>> = steps
                .iter()
                .filter(|step| step.finding.shard == Some(*shard))
                .filter(|step| {
                    step.node
                        .is_some_and(|node| step.finding.nodes == [node.clone()])
                })
                .collect();
            let mut candidate = told(kind, cause, &here, vec![*shard], *of);
            if candidate.nodes.len() < LEAST {
                continue;
            }
            candidate.summary = format!(
                "{} of {of} nodes of shard {shard}: {kind}, each within {} after {cause}",
                candidate.nodes.len(),
                human(candidate.within)
            );
            let place = |one: &CommonCause| (one.nodes.len(), std::cmp::Reverse(depth(&one.cause)));
            match best.get(kind) {
                Some(known) if place(known) >= place(&candidate) => {}
                _ => {
                    best.insert(kind, candidate);
                }
            }
        }
        found.extend(best.into_values());
    }
    found
}

fn depth(cause: &str) -> usize {
    DEEPEST_FIRST
        .iter()
        .position(|known| *known == cause)
        .unwrap_or(DEEPEST_FIRST.len())
}

fn told(
    kind: &str,
    cause: &str,
    steps: &[&Step<'_>],
    shards: Vec<ShardId>,
    of: usize,
) -> CommonCause {
    let mut nodes: Vec<NodeName> = steps.iter().filter_map(|step| step.node.cloned()).collect();
    nodes.sort();
    nodes.dedup();
    nodes.truncate(MOST_PLACES);
    let mut findings: Vec<String> = Vec::new();
    for step in steps {
        if !findings.contains(&step.finding.id) && findings.len() < MOST_FINDINGS {
            findings.push(step.finding.id.clone());
        }
    }
    let within = steps.iter().map(|step| step.lead).max().unwrap_or_default();
    let names: Vec<&str> = nodes.iter().take(4).map(NodeName::as_str).collect();
    let on = if names.is_empty() {
        String::new()
    } else {
        format!(" on {}", names.join(", "))
    };
    CommonCause {
        finding: kind.to_owned(),
        cause: cause.to_owned(),
        summary: format!(
            "{} of {of} shards: {kind}, each within {} after {cause}{on}",
            shards.len(),
            human(within)
        ),
        shards,
        nodes,
        of,
        within,
        findings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::causes::testing::finding;

    fn four() -> BTreeMap<ShardId, usize> {
        (0..4).map(|shard| (ShardId(shard), 4)).collect()
    }

    #[test]
    fn shards_that_stopped_after_the_same_thing_have_a_common_cause() {
        let findings = [
            finding(
                "stall",
                0,
                &[],
                100,
                &[("failed-write", 40, 0), ("crash", 99, 0)],
            ),
            finding(
                "stall",
                1,
                &[],
                200,
                &[("ghost-bytes", 120, 1), ("failed-write", 170, 1)],
            ),
            finding("stall", 3, &[], 300, &[("failed-write", 210, 2)]),
            finding("stall", 2, &[], 350, &[("fault", 340, 0)]),
        ];
        let common = common_causes(&findings, &four());
        assert_eq!(common.len(), 1, "{common:#?}");
        let one = &common[0];
        assert_eq!(
            (one.finding.as_str(), one.cause.as_str()),
            ("stall", "failed-write")
        );
        assert_eq!(one.shards, [ShardId(0), ShardId(1), ShardId(3)]);
        assert_eq!((one.of, one.within), (4, Duration::from_secs(90)));
        assert_eq!(
            one.summary,
            "3 of 4 shards: stall, each within 1m30s after failed-write on s0-n00, s1-n01, s3-n02"
        );
        assert_eq!(one.findings.len(), 3);
    }

    #[test]
    fn one_shard_alone_has_none_and_of_two_the_deeper_is_told() {
        let alone = [finding("stall", 0, &[], 100, &[("failed-write", 40, 0)])];
        assert_eq!(common_causes(&alone, &four()), []);
        let both = [("crash", 90, 0), ("ghost-bytes", 30, 0)];
        let findings = [
            finding("stall", 0, &[], 100, &both),
            finding("stall", 1, &[], 100, &both),
        ];
        assert_eq!(common_causes(&findings, &four())[0].cause, "ghost-bytes");
    }

    #[test]
    fn nodes_of_one_shard_have_something_in_common_too() {
        let findings = [
            finding("crash", 2, &[0], 100, &[("failed-write", 99, 0)]),
            finding("crash", 2, &[1], 110, &[("failed-write", 108, 1)]),
            finding("crash", 2, &[3], 120, &[("fault", 118, 3)]),
        ];
        let common = common_causes(&findings, &four());
        assert_eq!(common.len(), 1, "{common:#?}");
        assert_eq!(
            common[0].summary,
            "2 of 4 nodes of shard 2: crash, each within 2.0 s after failed-write"
        );
    }

    #[test]
    fn what_is_minor_or_waived_counts_for_nothing() {
        let mut findings = vec![
            finding("stall", 0, &[], 100, &[("crash", 40, 0)]),
            finding("stall", 1, &[], 100, &[("crash", 40, 0)]),
        ];
        findings[0].severity = Severity::Minor;
        assert_eq!(common_causes(&findings, &four()), []);
        findings[0].severity = Severity::Critical;
        findings[1].waived = Some("known".to_owned());
        assert_eq!(common_causes(&findings, &four()), []);
    }
}
