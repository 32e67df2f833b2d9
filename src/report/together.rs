//! What findings say together: common causes, and the families of bugs that they look like.

use std::collections::BTreeMap;

use super::{
    ReportInput,
    look::{Look, Tone},
    text::{percent, plain},
};
use crate::{
    detect::{
        causes::{
            common::{CommonCause, common_causes},
            signatures::{Signature, signatures},
        },
        judgement::ObserverView,
    },
    ids::ShardId,
};

/// Longest text of one line.
const TEXT: usize = 240;
/// Lines of each kind on a terminal.
const MOST_SHOWN: usize = 2;

/// What several places have in common.
pub(super) fn common(input: &ReportInput) -> Vec<CommonCause> {
    let mut nodes: BTreeMap<ShardId, usize> = BTreeMap::new();
    for node in &input.plan.network.nodes {
        *nodes.entry(node.shard).or_default() += 1;
    }
    common_causes(&input.judgement.findings, &nodes)
}

/// What findings look like.
pub(super) fn looks_like(input: &ReportInput) -> Vec<Signature> {
    signatures(&input.judgement.findings)
}

/// The same for a terminal, short: the widest common causes first.
pub(super) fn lines(input: &ReportInput, look: Look) -> Vec<String> {
    let mut common = common(input);
    common.sort_by_key(|one| std::cmp::Reverse(one.shards.len()));
    let common = common.iter().take(MOST_SHOWN);
    let alike = looks_like(input);
    let alike = alike.iter().take(MOST_SHOWN).map(|one| {
        let line = format!("{} ({}): look at {}", one.family, one.title, one.look);
        ("like", plain(&line, TEXT))
    });
    common
        .map(|one| ("together", plain(&one.summary, TEXT)))
        .chain(alike)
        .map(|(title, line)| look.paint(Tone::Warning, &format!("{title:<9}")) + &line)
        .collect()
}

/// What watching does to the block interval: `blocks 0.4 % slower by watching (-0.3 % to 1.1 %)`.
pub(super) fn observer_words(observer: ObserverView) -> String {
    let signed = |share: f64| {
        format!(
            "{}{}",
            if share < 0.0 { "-" } else { "" },
            percent(share.abs())
        )
    };
    let word = if observer.difference < 0.0 {
        "faster"
    } else {
        "slower"
    };
    format!(
        "blocks {} {word} by watching (95 %: {} to {}, {} turns)",
        percent(observer.difference.abs()),
        signed(observer.interval.0),
        signed(observer.interval.1),
        observer.turns
    )
}
