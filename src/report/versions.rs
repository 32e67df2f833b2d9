//! Figures split by version of the nodes' program, where a network had several.

use super::{
    ReportInput, tally, tally_words, terminal,
    text::{bytes, count, percent, ratio, shard},
};
use crate::{
    detect::judgement::VersionView,
    ids::{NodeName, ShardId},
    time::human,
};

/// Nodes and shards of a version that are named.
const NAMES: usize = 8;

/// The columns.
pub(super) const HEADING: &[&str] = &[
    "version",
    "nodes now (ever)",
    "ran",
    "restarts",
    "exits",
    "memory (peak)",
    "cpu",
    "behind (most)",
    "led",
    "interval p50/p99 where alone",
    "findings",
];

/// A row for each version; `show` makes a text harmless where it is shown.
pub(super) fn rows(input: &ReportInput, show: fn(&str, usize) -> String) -> Vec<Vec<String>> {
    let versions = input.judgement.versions.iter();
    versions.map(|version| row(input, version, show)).collect()
}

fn row(input: &ReportInput, of: &VersionView, show: fn(&str, usize) -> String) -> Vec<String> {
    let judgement = &input.judgement;
    let named = of.nodes.iter().map(NodeName::as_str);
    let alone = |asked: &ShardId| {
        let view = judgement.shards.iter().find(|of| of.shard == *asked)?;
        Some(format!("{}: {}", shard(*asked), terminal::interval(view)))
    };
    let findings = judgement.findings.iter();
    let findings = findings.filter(|finding| of.findings.contains(&finding.id));
    vec![
        show(&of.version, 64),
        format!("{} ({})", listed(named, of.nodes.len()), of.ever),
        human(of.ran),
        of.restarts.to_string(),
        of.exits.to_string(),
        format!("{} ({})", bytes(of.memory), bytes(of.memory_peak)),
        percent(of.cpu_share),
        format!("{} ({})", ratio(of.behind), count(of.behind_most)),
        count(of.led),
        listed(of.shards.iter().filter_map(alone), of.shards.len()),
        tally_words(tally(findings)),
    ]
}

/// The first few of them, and how many more there are.
fn listed<T: AsRef<str>>(texts: impl Iterator<Item = T>, all: usize) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let texts: Vec<T> = texts.take(NAMES).collect();
    let mut words: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let more = format!("and {} more", all.saturating_sub(NAMES));
    if all > NAMES {
        words.push(&more);
    }
    words.join(" ")
}
