//! What the recovery ladder tried: a line for each shard that stood still, and a row for each step.

use super::{
    ReportInput,
    text::{clock, count, span},
};
use crate::{
    detect::judgement::{ClimbView, StepOutcome},
    time::human,
};

/// Steps named in one line.
const MOST_STEPS: usize = 8;

/// What the columns of [`rows`] are.
pub(super) const HEADING: &[&str] = &[
    "shard",
    "UTC",
    "step",
    "on",
    "outcome",
    "after",
    "what was read",
];

/// One shard in a line: which step brought it back, after what.
pub(super) fn line(climb: &ClimbView, show: fn(&str, usize) -> String) -> String {
    let named = |wanted: StepOutcome| {
        let steps = climb.steps.iter();
        let steps: Vec<String> = steps
            .filter(|step| step.outcome == wanted)
            .take(MOST_STEPS)
            .map(|step| show(&step.step, 60))
            .collect();
        steps.join(", ")
    };
    let (tried, skipped) = (named(StepOutcome::DidNotHelp), named(StepOutcome::Skipped));
    let mut words = match (&climb.recovered_by, climb.used_up) {
        (Some(step), _) => format!(
            "{} brought it back: height {}, {} after the ladder began",
            show(step, 60),
            climb
                .back_at
                .map_or_else(String::new, |height| count(height.0)),
            climb.after.map_or_else(String::new, |after| human(after.0)),
        ),
        (None, true) => "nothing brought it back".to_owned(),
        (None, false) => "the run ended before anything brought it back".to_owned(),
    };
    if !tried.is_empty() {
        words.push_str(&format!("; no help: {tried}"));
    }
    if !skipped.is_empty() {
        words.push_str(&format!("; skipped: {skipped}"));
    }
    format!(
        "shard {}: {words} ({})",
        climb.shard,
        show(&climb.finding, 40)
    )
}

/// All lines; empty where no ladder was set off.
pub(super) fn lines(input: &ReportInput, show: fn(&str, usize) -> String) -> Vec<String> {
    let climbs = input.judgement.climbs.iter();
    climbs.map(|climb| line(climb, show)).collect()
}

/// A row for each step.
pub(super) fn rows(input: &ReportInput, show: fn(&str, usize) -> String) -> Vec<Vec<String>> {
    let climbs = input.judgement.climbs.iter();
    let rows = climbs.flat_map(|climb| {
        climb.steps.iter().map(move |step| {
            let dash = || "-".to_owned();
            let nodes = if step.nodes.is_empty() {
                dash()
            } else {
                show(&step.nodes.join(" "), 100)
            };
            vec![
                climb.shard.to_string(),
                clock(input.wall(step.begins)),
                show(&step.step, 60),
                nodes,
                step.outcome.word().to_owned(),
                step.took.map_or_else(dash, |took| span(took.0)),
                if step.why.is_empty() {
                    dash()
                } else {
                    show(&step.why, 160)
                },
            ]
        })
    });
    rows.collect()
}
