//! The matrix for people: Markdown for a file or a step summary, and a short table for a terminal.

use std::time::Duration;

use super::{
    cell::Cell,
    fold::{CaseRow, Delay, FindingRow, Matrix},
    record::Record,
};
use crate::{
    detect::Severity,
    report::{
        Look,
        look::{self, Tone},
        table::{self, Table},
        text::{markdown, plain, plural},
    },
    time::human,
    verdict::Outcome,
};

/// Longest text that a cell of a table shows.
const WORDS: usize = 300;
/// False alarms shown on a terminal.
const ALARMS_SHOWN: usize = 20;

/// The matrix as Markdown.
#[must_use]
pub fn to_markdown(matrix: &Matrix) -> String {
    let mut text = format!(
        "# Matrix of defects and findings\n\ncanarynet {}, {} of {} cells.\n\n## Promises\n\n",
        markdown(&matrix.canarynet, WORDS),
        matrix.done,
        matrix.asked
    );
    row(&mut text, &["promise", "measured", "outcome"]);
    rule(&mut text, 3);
    for promise in &matrix.promises {
        let cells = [
            markdown(&promise.promise, WORDS),
            markdown(&promise.measured, 4 * WORDS),
            word(promise.outcome).to_owned(),
        ];
        row(&mut text, &cells);
    }
    if !matrix.cases.is_empty() {
        text.push_str("\n## Defects\n\n");
        text.push_str(
            "`found` is in how many soaks the finding failed the gate. Delays are medians, in block intervals of the canary, \
             from the cause (the newest moment of a fault before it, else the end of the warm-up, else its own start) and \
             from the finding's own start, since when what it says held.\n\n",
        );
        row(
            &mut text,
            &[
                "defect",
                "finding",
                "found",
                "from its cause",
                "wall",
                "mainnet",
                "the cause",
                "from its start",
            ],
        );
        rule(&mut text, 8);
        for case in &matrix.cases {
            case_rows(&mut text, case);
        }
    }
    innocence(&mut text, matrix);
    if !matrix.not_done.is_empty() {
        text.push_str("\n## Not done\n\n");
        for not_done in &matrix.not_done {
            text.push_str(&format!(
                "- {}: {}\n",
                markdown(&not_done.what, WORDS),
                markdown(&not_done.why, WORDS)
            ));
        }
    }
    text
}

fn case_rows(text: &mut String, case: &CaseRow) {
    let mut name = format!(
        "**{}** {}/{}",
        markdown(&case.case, WORDS),
        case.detected,
        case.runs
    );
    for found in &case.findings {
        let kind = markdown(&found.kind, WORDS);
        let cells = [
            std::mem::take(&mut name),
            if found.expected {
                format!("**{kind}**")
            } else {
                kind
            },
            format!("{}/{}", found.found, case.runs),
            blocks(found, found.from_cause),
            wall(found, found.from_cause.wall),
            wall(found, found.from_cause.mainnet),
            markdown(&found.cause, WORDS),
            blocks(found, found.from_condition),
        ];
        row(text, &cells);
    }
}

fn innocence(text: &mut String, matrix: &Matrix) {
    let healthy = &matrix.healthy;
    if healthy.runs == 0 {
        return;
    }
    text.push_str("\n## Healthy networks\n\n");
    text.push_str(&format!(
        "{} in {} of healthy soak ({} of mainnet, {}).",
        plural(healthy.alarm_count, "false alarm"),
        human(healthy.watched),
        human(healthy.mainnet),
        plural(healthy.runs, "soak"),
    ));
    if let Some(bound) = healthy.below_per_hour {
        text.push_str(&format!(
            " With 95 % confidence there are fewer than {bound:.2} in an hour{}.",
            if healthy.alarm_count == 0 {
                " (0 of n means below 3/n)"
            } else {
                ""
            }
        ));
    }
    text.push_str("\n\n");
    if !healthy.faults.is_empty() {
        row(text, &["fault", "times in effect"]);
        rule(text, 2);
        for (kind, count) in &healthy.faults {
            row(text, &[markdown(kind, WORDS), count.to_string()]);
        }
        text.push('\n');
    }
    if !healthy.alarms.is_empty() {
        row(text, &["cell", "finding", "severity", "says", "run"]);
        rule(text, 5);
        for alarm in &healthy.alarms {
            let cells = [
                markdown(&alarm.cell, WORDS),
                markdown(&format!("{} {}", alarm.kind, alarm.id), WORDS),
                look::severity(alarm.severity).to_owned(),
                markdown(&alarm.summary, WORDS),
                markdown(&alarm.run, WORDS),
            ];
            row(text, &cells);
        }
        if healthy.alarm_count > healthy.alarms.len() as u64 {
            let more = healthy.alarm_count - healthy.alarms.len() as u64;
            text.push_str(&format!("\nand {more} more.\n"));
        }
    }
}

fn row<S: AsRef<str>>(text: &mut String, cells: &[S]) {
    text.push('|');
    for cell in cells {
        text.push_str(&format!(" {} |", cell.as_ref()));
    }
    text.push('\n');
}

fn rule(text: &mut String, columns: usize) {
    text.push('|');
    text.push_str(&" --- |".repeat(columns));
    text.push('\n');
}

fn blocks(found: &FindingRow, delay: Delay) -> String {
    if found.found == 0 {
        return "-".to_owned();
    }
    format!("{:.1} blocks", delay.blocks)
}

fn wall(found: &FindingRow, span: Duration) -> String {
    if found.found == 0 {
        return "-".to_owned();
    }
    human(span)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "kept",
        Outcome::Inconclusive => "too little evidence",
        Outcome::Infra => "not done",
        Outcome::Fail => "**NOT KEPT**",
    }
}

/// The matrix for a terminal.
#[must_use]
pub fn to_terminal(matrix: &Matrix, look: Look) -> String {
    let mut lines = Vec::new();
    if !matrix.cases.is_empty() {
        lines.extend(case_table(matrix).lines(look));
        lines.push(String::new());
    }
    for alarm in matrix.healthy.alarms.iter().take(ALARMS_SHOWN) {
        let line = format!(
            "false alarm in {}: {} {}: {} ({})",
            alarm.cell,
            look::severity(alarm.severity),
            alarm.kind,
            plain(&alarm.summary, WORDS),
            alarm.run
        );
        lines.push(look.paint(Tone::Bad, &plain(&line, 2 * WORDS)));
    }
    for not_done in &matrix.not_done {
        let line = format!("not done: {}: {}", not_done.what, not_done.why);
        lines.push(look.paint(Tone::Warning, &plain(&line, WORDS)));
    }
    for promise in &matrix.promises {
        let (tone, word) = match promise.outcome {
            Outcome::Pass => (Tone::Good, "kept      "),
            Outcome::Inconclusive => (Tone::Warning, "unproven  "),
            Outcome::Infra => (Tone::Warning, "not done  "),
            Outcome::Fail => (Tone::Bad, "NOT KEPT  "),
        };
        lines.push(format!(
            "{}{}: {}",
            look.paint(tone, word),
            promise.promise,
            plain(&promise.measured, 4 * WORDS)
        ));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn case_table(matrix: &Matrix) -> Table {
    let mut table = Table::new(&[
        "defect",
        "finding",
        ">found",
        ">from its cause",
        ">wall",
        ">mainnet",
        ">from its start",
        "the cause",
    ]);
    for case in &matrix.cases {
        let all = case.detected == case.runs && case.runs > 0;
        let tone = if all { Tone::Good } else { Tone::Bad };
        let mut name = plain(&case.case, WORDS);
        // A row each for what was expected, and for what else every soak shows.
        let told = |found: &&FindingRow| found.expected || found.found == case.runs;
        for found in case.findings.iter().filter(told) {
            let kind = plain(&found.kind, WORDS);
            table.row(vec![
                std::mem::take(&mut name).into(),
                if found.expected {
                    table::Cell::toned(tone, kind)
                } else {
                    kind.into()
                },
                format!("{}/{}", found.found, case.runs).into(),
                blocks(found, found.from_cause).into(),
                wall(found, found.from_cause.wall).into(),
                wall(found, found.from_cause.mainnet).into(),
                blocks(found, found.from_condition).into(),
                plain(&found.cause, WORDS).into(),
            ]);
        }
    }
    table
}

/// One line about a cell that was done: `12/150 fd-leak.1  fail  fd-growth`.
#[must_use]
pub fn progress(cell: &Cell, record: &Record, place: usize, of: usize) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for found in &record.findings {
        let counts = if cell.healthy {
            found.severity > Severity::Minor
        } else {
            true
        };
        if super::fold::fails(found) && counts && !kinds.contains(&found.kind.as_str()) {
            kinds.push(&found.kind);
        }
    }
    let expected = |group: &String| group.split('|').any(|kind| kinds.contains(&kind));
    let well = match cell.healthy {
        true => kinds.is_empty(),
        false => cell.expected.iter().any(expected),
    };
    let told = if kinds.is_empty() {
        "nothing found".to_owned()
    } else {
        kinds.join(" ")
    };
    let outcome = format!("{:?}", record.outcome).to_lowercase();
    plain(
        &format!(
            "{place:>4}/{of} {:<44} {} {outcome:<12} {told}",
            cell.id,
            if well { "ok " } else { "NOT" }
        ),
        2 * WORDS,
    )
}
