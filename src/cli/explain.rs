//! `explain`: what a finding means, its thresholds for a plan, and where to look first.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{Common, ExplainArguments},
    plan, print, print_json,
};
use crate::{
    detect::{DETECTORS, explain},
    plan::{check, error::did_you_mean},
    time::human,
};

pub(super) fn explain(common: &Common, verb: &ExplainArguments) -> Result<ExitCode, Failure> {
    // The id of a finding in a report (`st-1f3a`) says less than its kind; both are found in `findings.json`.
    let Some(explanation) = explain::explain(&verb.finding) else {
        let ids = DETECTORS.iter().map(|info| info.id);
        return Err(Failure::usage(format!(
            "no finding is called {:?}{}; there are {}",
            verb.finding,
            did_you_mean(&verb.finding, ids.clone()),
            ids.collect::<Vec<_>>().join(", ")
        )));
    };
    let plan = plan::load(common, &verb.plan, &verb.options, None)?;
    let windows: Vec<_> = check::check(&plan)
        .windows
        .into_iter()
        .filter(|window| {
            window.key == explanation.id || window.key.starts_with(&format!("{}.", explanation.id))
        })
        .collect();
    if common.json {
        return print_json(&serde_json::json!({ "finding": explanation, "windows": windows }));
    }
    let mut text = format!("{}: {}\n", explanation.id, explanation.summary);
    for (heading, body) in &explanation.sections {
        text.push_str(&format!("\n{heading}\n{}\n", wrapped(body)));
    }
    if !windows.is_empty() {
        text.push_str(&format!("\nWindows under {}\n", plan.name));
        for window in windows {
            text.push_str(&format!(
                "  {:<24} {} = {:.1} blocks = {} of mainnet ({})\n",
                window.key,
                human(window.wall),
                window.blocks,
                human(window.mainnet),
                window.decided_by
            ));
        }
    }
    if !explanation.families.is_empty() {
        text.push_str("\nWhat it may be\n");
        for family in &explanation.families {
            let words = format!(
                "{}: {}. Look at {}. Met before: {}.",
                family.id, family.title, family.look, family.met
            );
            text.push_str(&format!("{}\n", wrapped(&words)));
        }
    }
    text.push_str("\nWhere to look first\n");
    for command in explanation.look {
        text.push_str(&format!("  {command}\n"));
    }
    print(text.as_bytes())
}

/// Lines of at most 96 columns, indented.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.len() + word.len() + 1 > WIDTH);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
