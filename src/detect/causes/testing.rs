//! Findings with chains, for the tests of what is said about many of them.

use std::time::Duration;

use super::Cause;
use crate::{
    detect::finding::{Finding, Severity},
    ids::{NodeName, Seq, ShardId},
    time::Elapsed,
};

/// A critical finding of a shard that began at a second and was noticed two seconds later; `chain` is kind, second and
/// number of the node of each step.
pub(super) fn finding(
    kind: &str,
    shard: u64,
    nodes: &[u32],
    start: u64,
    chain: &[(&str, u64, u32)],
) -> Finding {
    let name = |index: u32| NodeName::of(ShardId(shard), index);
    let cause = |(kind, at, node): &(&str, u64, u32)| Cause {
        kind: (*kind).to_owned(),
        at: Elapsed::from_secs(*at),
        node: Some(name(*node)),
        what: String::new(),
        seq: Seq(1),
        after: Duration::ZERO,
        blocks: 0,
        mainnet: Duration::ZERO,
    };
    Finding {
        id: format!("{kind}-{shard}-{start}"),
        kind: kind.to_owned(),
        severity: Severity::Critical,
        shard: Some(ShardId(shard)),
        nodes: nodes.iter().copied().map(name).collect(),
        start: Elapsed::from_secs(start),
        noticed: Elapsed::from_secs(start + 2),
        end: None,
        heights: None,
        duration: Duration::ZERO,
        mainnet: Duration::ZERO,
        summary: String::new(),
        evidence: Vec::new(),
        excused_by: None,
        waived: None,
        causes: Vec::new(),
        chain: chain.iter().map(cause).collect(),
        raised: None,
    }
}
