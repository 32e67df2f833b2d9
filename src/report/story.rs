//! How a finding came about, in order: what came before it, and when it was noticed.

use std::time::Duration;

use super::{ReportInput, text::clock};
use crate::{
    detect::{Finding, Severity},
    time::{Elapsed, human},
};

/// A finding's chain as one line a step, the first with its wall time, the others with the time since then; where there
/// is none, what its detector knew. Not harmless yet: lines may quote a node.
pub(super) fn steps(input: &ReportInput, finding: &Finding) -> Vec<String> {
    let Some(first) = finding.chain.first() else {
        return finding.causes.clone();
    };
    let begin = format!("{} {}", clock(input.wall(first.at)), first.what);
    let rest = finding.chain.iter().skip(1);
    [begin]
        .into_iter()
        .chain(rest.map(|cause| format!("+{} {}", human(cause.after), cause.what)))
        .collect()
}

/// One row of a story.
pub(super) struct Row {
    pub(super) at: Elapsed,
    /// Since the story began.
    pub(super) after: Duration,
    /// Not harmless yet.
    pub(super) what: String,
}

/// The story of a finding about a shard: its chain, and between it what the canary made of it.
pub(super) fn rows(input: &ReportInput, finding: &Finding) -> Vec<Row> {
    let begin = finding
        .chain
        .first()
        .map_or(finding.start, |cause| cause.at.min(finding.start));
    let row = |at: Elapsed, what: String| Row {
        at,
        after: at.since(begin),
        what,
    };
    let mut rows: Vec<Row> = finding
        .chain
        .iter()
        .map(|cause| row(cause.at, cause.what.clone()))
        .collect();
    let wait = |at: Elapsed| waited(input, finding, at);
    if finding.kind == "stall" {
        rows.push(row(finding.start, "the last block".to_owned()));
    }
    let noticed = format!("canary: {} noticed{}", finding.kind, wait(finding.noticed));
    rows.push(row(finding.noticed, noticed));
    let pages = input.judgement.pages.iter();
    for page in pages.filter(|page| page.finding == finding.id) {
        rows.push(row(page.at, format!("canary: page{}", wait(page.at))));
    }
    if let Some(at) = finding.raised
        && finding.severity == Severity::Critical
    {
        rows.push(row(at, format!("canary: critical{}", wait(at))));
    }
    if let Some(end) = finding.end {
        rows.push(row(end, format!("{} over{}", finding.kind, wait(end))));
    }
    rows.sort_by_key(|row| row.at);
    rows
}

/// How long the condition had held by then, in all clocks.
fn waited(input: &ReportInput, finding: &Finding, at: Elapsed) -> String {
    let wall = at.since(finding.start);
    let mainnet = human(input.plan.clocks.to_mainnet(wall));
    format!(", {} = {mainnet} of mainnet after it began", human(wall))
}
