//! What was found, what happened and what the gate made of it.

use std::collections::BTreeMap;

use super::section::Section;
use crate::{
    detect::{Finding, Severity},
    ids::ShardId,
    report::{
        ReportInput, Standing, look, story, subject, tally, tally_words, terminal,
        text::{self, clock, count, markdown},
        timeline,
    },
};

/// Rows of the table of what happened.
const MOST_ROWS: usize = 120;

/// Shards whose story is told.
const MOST_STORIES: usize = 4;

/// Reasons and warnings before the table of gates, which must have room too.
const MOST_REASONS: usize = 8;

pub(super) fn findings(input: &ReportInput) -> String {
    let ranked = input.ranked();
    if ranked.is_empty() {
        return Section::new("Findings", 1_000).text + "None.\n";
    }
    let mut section = Section::new("Findings", 7_500);
    let all: Vec<&Finding> = ranked.iter().map(|(_, finding)| *finding).collect();
    let waived = all
        .iter()
        .filter(|finding| finding.waived.is_some())
        .count();
    let words = tally_words(tally(all.iter().copied()));
    section.line(&format!("Not waived: {words}. Waived: {waived}.\n"));
    section.heading(&[
        "severity",
        "finding",
        "where",
        "since (UTC)",
        "wall",
        "mainnet",
        "heights",
        "what",
        "standing",
        "id",
    ]);
    section.rows(ranked, |(standing, finding)| {
        finding_cells(input, standing, finding)
    });
    let suppressed: u64 = input.judgement.suppressed.values().sum();
    section.finish(
        usize::try_from(suppressed).unwrap_or(usize::MAX / 2),
        "findings.json",
    )
}

/// A finding as a row.
fn finding_cells(input: &ReportInput, standing: Standing, finding: &Finding) -> Vec<String> {
    let heights = match finding.heights {
        Some((first, last)) => format!("{} to {}", count(first.0), count(last.0)),
        None => "-".to_owned(),
    };
    let open = if finding.end.is_none() {
        ", not ended"
    } else {
        ""
    };
    let causes: Vec<String> = story::steps(input, finding)
        .iter()
        .take(6)
        .map(|cause| markdown(cause, 160))
        .collect();
    let causes = if causes.is_empty() {
        String::new()
    } else {
        format!("<br>cause: {}", causes.join(" → "))
    };
    vec![
        look::severity(finding.severity).to_owned(),
        markdown(&finding.kind, 40),
        subject(finding),
        clock(input.wall(finding.start)),
        format!("{}{open}", text::span(finding.duration)),
        text::span(finding.mainnet),
        heights,
        markdown(&finding.summary, 240) + &causes,
        standing.word().to_owned(),
        markdown(&finding.id, 40),
    ]
}

/// How the worst findings about shards came about, one a shard: a stall where there is one.
pub(super) fn stories(input: &ReportInput) -> String {
    let mut told: BTreeMap<Option<ShardId>, &Finding> = BTreeMap::new();
    let of_a_shard = ["stall", "no-recovery", "view-change-loop", "never-started"];
    for kind in of_a_shard {
        for (standing, finding) in input.ranked() {
            let counts = finding.severity == Severity::Critical && !finding.chain.is_empty();
            if standing == Standing::Fails && finding.kind == kind && counts {
                told.entry(finding.shard).or_insert(finding);
            }
        }
    }
    if told.is_empty() {
        return String::new();
    }
    let mut section = Section::new("How it came about", 5_500);
    let interval = input.plan.clocks.block_interval.as_secs_f64().max(1e-6);
    let mut told: Vec<&Finding> = told.into_values().collect();
    told.sort_by_key(|finding| finding.start);
    for finding in told.iter().take(MOST_STORIES) {
        section.line(&format!(
            "**{} {}** ({})\n",
            subject(finding),
            markdown(&finding.kind, 40),
            markdown(&finding.id, 40)
        ));
        section.heading(&["UTC", "since the first", "blocks", "mainnet", "what"]);
        section.rows(story::rows(input, finding), |row| {
            vec![
                clock(input.wall(row.at)),
                format!("+{}", text::span(row.after)),
                count((row.after.as_secs_f64() / interval) as u64),
                text::span(input.plan.clocks.to_mainnet(row.after)),
                markdown(&row.what, 200),
            ]
        });
        section.line("");
    }
    section.finish(told.len().saturating_sub(MOST_STORIES), "findings.json")
}

pub(super) fn happened(input: &ReportInput) -> String {
    let mut section = Section::new("What happened", 5_000);
    let (rows, left_out) = timeline::rows(input, MOST_ROWS);
    section.heading(&["UTC", "elapsed", "height", "event", "journal"]);
    section.rows(rows, |row| {
        vec![
            clock(input.wall(row.at)),
            text::span(row.at.as_duration()),
            row.height
                .map_or_else(|| "-".to_owned(), |height| count(height.0)),
            markdown(&row.what, 240),
            row.seq
                .map_or_else(|| "-".to_owned(), |seq| format!("seq {seq}")),
        ]
    });
    section.finish(left_out, "journal/")
}

pub(super) fn gates(input: &ReportInput) -> String {
    let mut section = Section::new("Gates", 4_000);
    for reason in input.verdict.reasons.iter().take(MOST_REASONS) {
        let word = terminal::outcome_word(reason.outcome).to_lowercase();
        section.line(&format!("- {word}: {}", markdown(&reason.text, 200)));
    }
    for warning in input.verdict.warnings.iter().take(MOST_REASONS) {
        section.line(&format!("- warning: {}", markdown(warning, 200)));
    }
    section.line("");
    section.heading(&["gate", "asked", "measured", "outcome"]);
    section.rows(&input.verdict.gates, |gate| {
        vec![
            markdown(&gate.gate, 80),
            markdown(&gate.asked, 120),
            markdown(&gate.measured, 120),
            terminal::outcome_word(gate.outcome).to_lowercase(),
        ]
    });
    section.finish(0, "verdict.json")
}
