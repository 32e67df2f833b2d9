//! The tables of `history`, `compare` and `baseline`: what many runs say together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    look::{self, Look, Tone},
    summary::Summary,
    table::{Cell, Table},
    text::{count, plain},
};
use crate::{compare::Row, detect::Severity, time::WallTime, verdict::Outcome};

/// One fingerprint over many runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryRow {
    /// `stall shard 1`.
    pub fingerprint: String,
    /// The worst severity.
    pub severity: Severity,
    /// Start of the first run that had it.
    pub first: WallTime,
    /// Start of the last one.
    pub last: WallTime,
    /// Runs that had it, and all runs, by what the nodes ran.
    pub by_program: BTreeMap<String, (u64, u64)>,
}

/// The findings of many runs, the latest seen first.
#[must_use]
pub fn history(runs: &[Summary]) -> Vec<HistoryRow> {
    let mut rows: BTreeMap<&str, HistoryRow> = BTreeMap::new();
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for run in runs {
        *all.entry(&run.program).or_default() += 1;
        for line in &run.findings {
            let row = rows.entry(&line.fingerprint).or_insert_with(|| HistoryRow {
                fingerprint: line.fingerprint.clone(),
                severity: line.severity,
                first: run.started,
                last: run.started,
                by_program: BTreeMap::new(),
            });
            row.severity = row.severity.max(line.severity);
            row.first = row.first.min(run.started);
            row.last = row.last.max(run.started);
            row.by_program.entry(run.program.clone()).or_default().0 += 1;
        }
    }
    let mut rows: Vec<HistoryRow> = rows.into_values().collect();
    for row in &mut rows {
        for (program, count) in &all {
            row.by_program.entry((*program).to_owned()).or_default().1 = *count;
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.last));
    rows
}

/// The same as lines. Of a build that never showed a finding the bound is told: 0 of n runs means a rate below 3/n.
#[must_use]
pub fn history_lines(rows: &[HistoryRow], look: Look) -> Vec<String> {
    let mut table = Table::new(&["finding", "severity", "first seen", "last seen", "runs"]);
    for row in rows {
        let runs: Vec<String> = row
            .by_program
            .iter()
            .map(|(program, (had, all))| {
                let bound = match (had, all) {
                    (0, all) if *all > 3 => format!(" (below {:.0} %)", 300.0 / *all as f64),
                    _ => String::new(),
                };
                format!("{}: {had} of {all}{bound}", plain(program, 40))
            })
            .collect();
        table.row(vec![
            plain(&row.fingerprint, 60).into(),
            Cell::toned(look::tone(row.severity), look::severity(row.severity)),
            row.first.to_string().into(),
            row.last.to_string().into(),
            runs.join(", ").into(),
        ]);
    }
    table.lines(look)
}

/// A comparison as lines.
#[must_use]
pub fn comparison_lines(rows: &[Row], look: Look) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), significant);
    let change = |value: f64| format!("{:+.1} %", value * 100.0);
    let mut table = Table::new(&[
        "metric",
        ">baseline",
        ">now",
        ">change",
        "95 % interval",
        ">allowed",
        "outcome",
    ]);
    for row in rows {
        let interval = match row.interval {
            Some((low, high)) => format!("{} to {}", change(low), change(high)),
            None if row.change.is_some() => "one run each".to_owned(),
            None => "missing".to_owned(),
        };
        let outcome = match (row.allowed, row.outcome) {
            (None, _) => Cell::from(""),
            (_, Outcome::Pass) => Cell::toned(Tone::Good, "pass"),
            (_, Outcome::Fail) => Cell::toned(Tone::Bad, "fail"),
            _ => Cell::toned(Tone::Warning, "not proven"),
        };
        table.row(vec![
            row.metric.as_str().into(),
            number(row.baseline).into(),
            number(row.now).into(),
            row.change.map(change).unwrap_or_default().into(),
            interval.into(),
            row.allowed.map(change).unwrap_or_default().into(),
            outcome,
        ]);
    }
    table.lines(look)
}

/// Four significant digits; whole numbers above.
fn significant(value: f64) -> String {
    if value.abs() >= 10_000.0 {
        count(value.round().max(0.0) as u64)
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    }
}
