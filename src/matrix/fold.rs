//! All records of a matrix together: what was found how often and how soon, and what was found where nothing is wrong.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, NotDone},
    promises::{self, Promise},
    record::{Found, Record},
};
use crate::{detect::Severity, report::Standing, time::micros, verdict::Outcome};

/// Version of the matrix's JSON; a field is only ever added under the same number.
pub const FORMAT: u32 = 1;
/// False alarms that are told one by one.
const MOST_ALARMS: usize = 200;

/// A cell and its record.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// What it came to.
    pub record: &'a Record,
}

/// The matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of canarynet.
    pub canarynet: String,
    /// Cells that were asked for.
    pub asked: usize,
    /// Cells that were done.
    pub done: usize,
    /// Per case with defects, in the order of the table.
    pub cases: Vec<CaseRow>,
    /// All healthy networks together.
    pub healthy: Innocence,
    /// What is promised, and whether it is kept.
    pub promises: Vec<Promise>,
    /// What was not done, with the reason.
    pub not_done: Vec<NotDone>,
}

/// A case over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRow {
    /// The case.
    pub case: String,
    /// Findings that must be there; `a|b` is either.
    pub expected: Vec<String>,
    /// Soaks done.
    pub runs: u64,
    /// ... in which an expected finding failed the gate.
    pub detected: u64,
    /// ... in which one of each group did.
    pub complete: u64,
    /// What was found, expected ones first, then the most frequent.
    pub findings: Vec<FindingRow>,
}

/// One kind of finding of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingRow {
    /// The kind.
    pub kind: String,
    /// Whether it is among those expected.
    pub expected: bool,
    /// Soaks in which it failed the gate.
    pub found: u64,
    /// ... as a share of all soaks of the case.
    pub recall: f64,
    /// Median delay from its cause.
    pub from_cause: Delay,
    /// What that is counted from, in most soaks.
    pub cause: String,
    /// Median delay from its own start.
    pub from_condition: Delay,
}

/// A delay in three clocks.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Delay {
    /// In block intervals of the canary.
    pub blocks: f64,
    /// In wall time.
    #[serde(with = "micros")]
    pub wall: Duration,
    /// In mainnet time.
    #[serde(with = "micros")]
    pub mainnet: Duration,
}

/// What was found in networks without a defect.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Innocence {
    /// Soaks.
    pub runs: u64,
    /// Watched time of all of them.
    #[serde(with = "micros")]
    pub watched: Duration,
    /// The same in mainnet time.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Kinds of faults: how often each took effect.
    pub faults: BTreeMap<String, u64>,
    /// Unexcused findings above `minor`; the first ones.
    pub alarms: Vec<Alarm>,
    /// How many there are.
    pub alarm_count: u64,
    /// With 95 % confidence there are fewer alarms than this in an hour; `None` without any watched time.
    pub below_per_hour: Option<f64>,
}

/// A false alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The cell.
    pub cell: String,
    /// The run.
    pub run: String,
    /// The finding's id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its severity.
    pub severity: Severity,
    /// Its own words.
    pub summary: String,
}

/// Folds all records. `healthy_for` is the healthy soak that was asked for.
#[must_use]
pub fn fold(
    cells: &[Cell],
    done: &[Done<'_>],
    not_done: Vec<NotDone>,
    healthy_for: Duration,
) -> Matrix {
    let mut order: Vec<&Cell> = Vec::new();
    for cell in cells.iter().filter(|cell| !cell.healthy) {
        if !order.iter().any(|known| known.case == cell.case) {
            order.push(cell);
        }
    }
    let of = |case: &str| -> Vec<&Record> {
        done.iter()
            .filter(|done| done.cell.case == case)
            .map(|done| done.record)
            .collect()
    };
    let cases: Vec<CaseRow> = order
        .iter()
        .map(|cell| case_row(&cell.case, &cell.expected, &of(&cell.case)))
        .collect();
    let healthy: Vec<Done<'_>> = done
        .iter()
        .filter(|done| done.cell.healthy)
        .copied()
        .collect();
    let healthy = innocence(&healthy);
    let sick: Vec<&Record> = done
        .iter()
        .filter(|done| !done.cell.healthy)
        .map(|done| done.record)
        .collect();
    let promises = promises::hold(&cases, &sick, &healthy, healthy_for);
    Matrix {
        format: FORMAT,
        canarynet: env!("CARGO_PKG_VERSION").to_owned(),
        asked: cells.len(),
        done: done.len(),
        cases,
        healthy,
        promises,
        not_done,
    }
}

fn case_row(case: &str, expected: &[String], records: &[&Record]) -> CaseRow {
    let has = |record: &Record, group: &str| {
        group
            .split('|')
            .any(|kind| first(record, kind, fails).is_some())
    };
    let count = |test: &dyn Fn(&Record) -> bool| {
        records.iter().filter(|record| test(record)).count() as u64
    };
    let is_expected = |kind: &str| {
        let mut kinds = expected.iter().flat_map(|group| group.split('|'));
        kinds.any(|of| of == kind)
    };
    let mut kinds: Vec<&str> = expected.iter().flat_map(|group| group.split('|')).collect();
    for record in records {
        for found in record.findings.iter().filter(|found| fails(found)) {
            if !kinds.contains(&found.kind.as_str()) {
                kinds.push(&found.kind);
            }
        }
    }
    let mut findings: Vec<FindingRow> = kinds
        .iter()
        .map(|kind| finding_row(kind, is_expected(kind), records))
        .collect();
    // Stable: within equals the order of expectation, then of first sight.
    findings.sort_by_key(|row| (!row.expected, std::cmp::Reverse(row.found)));
    CaseRow {
        case: case.to_owned(),
        expected: expected.to_vec(),
        runs: records.len() as u64,
        detected: count(&|record| expected.iter().any(|group| has(record, group))),
        complete: count(&|record| expected.iter().all(|group| has(record, group))),
        findings,
    }
}

fn finding_row(kind: &str, expected: bool, records: &[&Record]) -> FindingRow {
    let found: Vec<(&Record, &Found)> = records
        .iter()
        .filter_map(|record| Some((*record, first(record, kind, fails)?)))
        .collect();
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, found) in &found {
        *causes.entry(&found.cause).or_default() += 1;
    }
    let most = causes.iter().max_by_key(|(_, count)| **count);
    let median = |of: fn(&Found) -> Duration| {
        let delays = found
            .iter()
            .map(|(record, found)| Delay::of(of(found), record));
        Delay::median(delays.collect())
    };
    FindingRow {
        kind: kind.to_owned(),
        expected,
        found: found.len() as u64,
        recall: share(found.len(), records.len()),
        from_cause: median(|found| found.from_cause),
        cause: most
            .map(|(words, _)| (*words).to_owned())
            .unwrap_or_default(),
        from_condition: median(|found| found.from_condition),
    }
}

/// Whether it fails a gate from `major` on.
pub(super) fn fails(found: &Found) -> bool {
    found.standing == Standing::Fails
}

/// The first finding of a kind in a soak.
pub(super) fn first<'a>(
    record: &'a Record,
    kind: &str,
    counts: fn(&Found) -> bool,
) -> Option<&'a Found> {
    let of_kind = record.findings.iter().filter(|found| found.kind == kind);
    of_kind
        .filter(|found| counts(found))
        .min_by_key(|found| found.at)
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

impl Delay {
    pub(super) fn of(wall: Duration, record: &Record) -> Self {
        let blocks = wall.as_secs_f64() / record.block_interval.as_secs_f64().max(1e-9);
        let mainnet = blocks * record.mainnet_block_interval.as_secs_f64();
        Self {
            blocks,
            wall,
            mainnet: Duration::try_from_secs_f64(mainnet).unwrap_or(Duration::MAX),
        }
    }

    /// The middle one; of an even number the lower of the two. Nothing where there are none.
    pub(super) fn median(mut delays: Vec<Self>) -> Self {
        delays.sort_by_key(|delay| delay.wall);
        let middle = delays.len().saturating_sub(1) / 2;
        delays.get(middle).copied().unwrap_or_default()
    }
}

fn innocence(done: &[Done<'_>]) -> Innocence {
    let mut innocence = Innocence {
        runs: done.len() as u64,
        ..Innocence::default()
    };
    for Done { cell, record } in done {
        // What the canary itself could not do says nothing about its judgement.
        if record.outcome == Outcome::Infra {
            innocence.runs -= 1;
            continue;
        }
        innocence.watched += record.watched;
        innocence.mainnet += Delay::of(record.watched, record).mainnet;
        for (kind, count) in &record.faults {
            *innocence.faults.entry(kind.clone()).or_default() += count;
        }
        for found in &record.findings {
            let excused = matches!(found.standing, Standing::Excused | Standing::Waived);
            if excused || found.severity <= Severity::Minor {
                continue;
            }
            innocence.alarm_count += 1;
            if innocence.alarms.len() < MOST_ALARMS {
                innocence.alarms.push(Alarm {
                    cell: cell.id.clone(),
                    run: record.run.clone(),
                    id: found.id.clone(),
                    kind: found.kind.clone(),
                    severity: found.severity,
                    summary: found.summary.clone(),
                });
            }
        }
    }
    let hours = innocence.watched.as_secs_f64() / 3600.0;
    innocence.below_per_hour =
        (hours > 0.0).then(|| promises::upper_bound(innocence.alarm_count) / hours);
    innocence
}

#[cfg(test)]
mod tests;
