//! What happened in order: stages, findings, pages, what broke on our side, and the entries that findings cite.

use std::collections::BTreeSet;

use super::{ReportInput, Standing, look, subject};
use crate::{
    detect::{Judgement, judgement::StepOutcome},
    ids::{Height, Seq},
    journal::event::{Entry, FinishReason, Stage},
    time::{Elapsed, human},
};

/// More cited entries than this tell nothing that a reader would read on.
const MOST_ENTRIES: usize = 400;
/// Of one finding, the first ones: they hold the cause.
const MOST_OF_ONE: usize = 12;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When.
    pub at: Elapsed,
    /// The height it concerns, if one.
    pub height: Option<Height>,
    /// What happened, in one line. Not harmless yet: it may quote a node.
    pub what: String,
    /// The journal's entry, if it is one.
    pub seq: Option<Seq>,
    /// How soon the row is left out when there are too many: higher is sooner.
    pub rank: u8,
}

/// The entries that a report wants to show: those cited by the findings that count most. Bounded.
#[must_use]
pub fn wanted(judgement: &Judgement) -> BTreeSet<Seq> {
    let mut findings: Vec<_> = judgement.findings.iter().collect();
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.noticed));
    let cited = findings
        .into_iter()
        .flat_map(|finding| finding.evidence.iter().copied().take(MOST_OF_ONE));
    let mut wanted = BTreeSet::new();
    for seq in cited {
        if wanted.len() == MOST_ENTRIES {
            break;
        }
        wanted.insert(seq);
    }
    wanted
}

/// At most `most` rows in order of time, and how many were left out.
#[must_use]
pub fn rows(input: &ReportInput, most: usize) -> (Vec<Row>, usize) {
    let judgement = &input.judgement;
    let mut rows = Vec::new();
    for stage in &judgement.stages {
        rows.push(row(stage.at, 0, stage_words(stage.stage).to_owned()));
    }
    if let Some(finish) = &judgement.finished {
        rows.push(row(
            judgement.last,
            0,
            finish_words(&finish.reason).to_owned(),
        ));
    }
    for page in &judgement.pages {
        let what = format!("page for {} after {}", page.finding, human(page.after));
        rows.push(row(page.at, 1, what));
    }
    for infra in &judgement.infra {
        rows.push(Row {
            seq: Some(infra.seq),
            ..row(
                infra.at,
                2,
                format!("our side: {}: {}", infra.what, infra.detail),
            )
        });
    }
    findings(input, &mut rows);
    climbs(input, &mut rows);
    let told: BTreeSet<Seq> = judgement.infra.iter().map(|infra| infra.seq).collect();
    rows.extend(
        input
            .entries
            .iter()
            .filter(|entry| !told.contains(&entry.seq))
            .filter_map(entry_row),
    );
    let over = rows.len().saturating_sub(most);
    if over > 0 {
        rows.sort_by_key(|row| (row.rank, row.at));
        rows.truncate(most);
    }
    // At one moment the facts come before what was concluded from them.
    rows.sort_by_key(|row| (row.at, std::cmp::Reverse(row.rank)));
    (rows, over)
}

fn row(at: Elapsed, rank: u8, what: String) -> Row {
    Row {
        at,
        height: None,
        what,
        seq: None,
        rank,
    }
}

fn findings(input: &ReportInput, rows: &mut Vec<Row>) {
    for (standing, finding) in input.ranked() {
        let rank = if standing == Standing::Fails { 1 } else { 3 };
        let name = format!(
            "{} {} {} ({})",
            look::severity(finding.severity),
            finding.kind,
            subject(finding),
            finding.id
        );
        rows.push(Row {
            height: finding.heights.map(|(first, _)| first),
            seq: finding.evidence.first().copied(),
            ..row(
                finding.noticed,
                rank,
                format!("{name}: {}", finding.summary),
            )
        });
        if let Some(end) = finding.end.filter(|_| !finding.duration.is_zero()) {
            rows.push(Row {
                height: finding.heights.map(|(_, last)| last),
                ..row(
                    end,
                    rank + 1,
                    format!("{name} ended after {}", human(finding.duration)),
                )
            });
        }
    }
}

/// What the recovery ladder did, in its moments.
fn climbs(input: &ReportInput, rows: &mut Vec<Row>) {
    for climb in &input.judgement.climbs {
        let name = |what: &str| format!("recovery of shard {}: {what}", climb.shard);
        for step in &climb.steps {
            let what = match step.outcome {
                StepOutcome::Skipped => format!("{} skipped: {}", step.step, step.why),
                _ if step.nodes.is_empty() => step.step.clone(),
                _ => format!("{} on {}", step.step, step.nodes.join(" ")),
            };
            rows.push(row(step.begins, 1, name(&what)));
            if let (StepOutcome::BroughtBack, Some(took)) = (step.outcome, step.took) {
                let what = format!("{} brought it back", step.step);
                rows.push(Row {
                    height: climb.back_at,
                    ..row(step.begins + took.0, 1, name(&what))
                });
            }
        }
    }
}

/// The name of a stage, for people.
#[must_use]
pub fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Prepare => "prepare",
        Stage::Start => "start",
        Stage::WarmUp => "warm up",
        Stage::Soak => "soak",
        Stage::Settle => "settle",
        Stage::Collect => "collect",
        Stage::TearDown => "tear down",
    }
}

fn stage_words(stage: Stage) -> &'static str {
    match stage {
        Stage::Prepare => "images and preflight",
        Stage::Start => "containers start",
        Stage::WarmUp => "warm-up begins",
        Stage::Soak => "soak begins",
        Stage::Settle => "load ends, the network settles",
        Stage::Collect => "evidence is collected",
        Stage::TearDown => "teardown begins",
    }
}

/// Why a run ended, for people.
#[must_use]
pub fn finish_words(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Completed => "the plan is done",
        FinishReason::Interrupted => "interrupted",
        FinishReason::Deadline => "the plan's deadline passed",
        FinishReason::StoppedOnFailure => "stopped at the first finding that fails the gate",
        FinishReason::Infra => "the run cannot go on",
    }
}

fn entry_row(entry: &Entry) -> Option<Row> {
    let (height, what) = super::describe::describe(&entry.event)?;
    Some(Row {
        height,
        seq: Some(entry.seq),
        ..row(entry.elapsed, 5, what)
    })
}
