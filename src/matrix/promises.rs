//! What the judge promises, held against a matrix.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fold::{CaseRow, Delay, Innocence, first},
    record::{Found, Record},
};
use crate::{report::Standing, time::human, verdict::Outcome};

/// Findings about liveness whose window is one of time: due within it and one block interval more.
const LIVENESS: &[&str] = &[
    "stall",
    "no-recovery",
    "never-started",
    "view-change-loop",
    "cross-shard-stall",
];
/// Findings about storage: due within two seconds.
const STORAGE: &[&str] = &[
    "disk-full",
    "inodes-full",
    "disk-error",
    "disk-read-only",
    "db-corruption",
];
const STORAGE_WITHIN: Duration = Duration::from_secs(2);
/// Findings about safety: due within two blocks, after the window of those that have one.
const SAFETY: &[&str] = &[
    "fork",
    "height-regression",
    "double-proposal",
    "height-mismatch",
    "state-mismatch",
];
const SAFETY_BLOCKS: u32 = 2;
/// Healthy time may be short by the tick at which a soak ends, and by what was blind on purpose.
const ENOUGH: f64 = 0.9;

/// One promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// What is promised.
    pub promise: String,
    /// What was measured, for people.
    pub measured: String,
    /// Pass, fail, or inconclusive with too little evidence.
    pub outcome: Outcome,
}

/// Upper bound at 95 % of a count of rare events: 3 for none, more for some (two-sided errors would be 3.7; this is the
/// one-sided bound of a Poisson count, which the rule of three rounds).
#[must_use]
pub fn upper_bound(count: u64) -> f64 {
    /// One-sided 95 % bounds of 0 to 5 events, from the usual tables.
    const TABLE: [f64; 6] = [3.0, 4.744, 6.296, 7.754, 9.154, 10.513];
    let place = usize::try_from(count).unwrap_or(usize::MAX);
    // Wilson and Hilferty's approximation, good to a hundredth from six on.
    TABLE.get(place).copied().unwrap_or_else(|| {
        let events = count as f64 + 1.0;
        events * (1.0 - 1.0 / (9.0 * events) + 1.645 / (3.0 * events.sqrt())).powi(3)
    })
}

/// Holds all promises.
#[must_use]
pub fn hold(
    cases: &[CaseRow],
    sick: &[&Record],
    healthy: &Innocence,
    healthy_for: Duration,
) -> Vec<Promise> {
    let mut promises = Vec::new();
    if !cases.is_empty() {
        promises.push(detection(cases));
        promises.extend(delays(sick));
    }
    if !healthy_for.is_zero() {
        promises.push(innocence(healthy, healthy_for));
    }
    promises
}

fn detection(cases: &[CaseRow]) -> Promise {
    let runs: u64 = cases.iter().map(|case| case.runs).sum();
    let detected: u64 = cases.iter().map(|case| case.detected).sum();
    let missed: Vec<String> = cases
        .iter()
        .filter(|case| case.detected < case.runs)
        .map(|case| format!("{} in {} of {}", case.case, case.detected, case.runs))
        .collect();
    let unseen = cases.iter().any(|case| case.runs == 0);
    let mut measured = format!("{detected} of {runs} soaks of {} cases", cases.len());
    if missed.is_empty() && runs > 0 {
        let bound = upper_bound(0) / runs as f64;
        let words = crate::report::text::percent(bound.min(1.0));
        measured.push_str(&format!(", 0 of {runs} missed: below 3/{runs} = {words}"));
    } else if !missed.is_empty() {
        measured.push_str(&format!(": {}", missed.join(", ")));
    }
    Promise {
        promise: "every defect is found by an expected finding with every seed".to_owned(),
        measured,
        outcome: if !missed.is_empty() {
            Outcome::Fail
        } else if unseen {
            Outcome::Inconclusive
        } else {
            Outcome::Pass
        },
    }
}

/// What counts for delays: excused findings were detected too, suspicions were not yet.
fn noticed(found: &Found) -> bool {
    found.standing != Standing::Tolerated
}

/// The medians of delays, one promise a family; the third value is whether they are counted from the cause. A finding counts where it was first noticed in each soak.
fn delays(records: &[&Record]) -> Vec<Promise> {
    let families: [(&str, &[&str], bool, Due); 3] = [
        (
            "median delay of liveness findings, from their start: within the window and one interval",
            LIVENESS,
            false,
            |found, record| found.window.map(|window| window.0 + record.block_interval),
        ),
        (
            "median delay of storage findings, from their cause: within 2 s",
            STORAGE,
            true,
            |_, _| Some(STORAGE_WITHIN),
        ),
        (
            "median delay of safety findings, from their start: within 2 blocks, after their window if they have one",
            SAFETY,
            false,
            |found, record| {
                let window = found.window.map(|window| window.0).unwrap_or_default();
                Some(window + record.block_interval * SAFETY_BLOCKS)
            },
        ),
    ];
    families
        .into_iter()
        .filter_map(|(promise, kinds, from_cause, due)| {
            family(promise, kinds, due, from_cause, records)
        })
        .collect()
}

/// By when a finding is due, from where its delay is counted.
type Due = fn(&Found, &Record) -> Option<Duration>;

fn family(
    promise: &str,
    kinds: &[&str],
    due: Due,
    from_cause: bool,
    records: &[&Record],
) -> Option<Promise> {
    let mut measured = Vec::new();
    let mut outcome = Outcome::Pass;
    for kind in kinds {
        let mut delays = Vec::new();
        let mut limits: BTreeMap<Duration, usize> = BTreeMap::new();
        for record in records {
            let Some(found) = first(record, kind, noticed) else {
                continue;
            };
            let Some(limit) = due(found, record) else {
                continue;
            };
            let wall = if from_cause {
                found.from_cause
            } else {
                found.from_condition
            };
            delays.push(Delay::of(wall, record));
            *limits.entry(limit).or_default() += 1;
        }
        // All cells have the same clocks; where they do not, the strictest limit holds.
        let Some((&limit, _)) = limits.first_key_value() else {
            continue;
        };
        let count = delays.len();
        let median = Delay::median(delays);
        let kept = median.wall <= limit;
        if !kept {
            outcome = Outcome::Fail;
        }
        measured.push(format!(
            "{kind} {} = {:.1} blocks (of {}, {count} soaks{})",
            human(median.wall),
            median.blocks,
            human(limit),
            if kept { "" } else { ", TOO LATE" }
        ));
    }
    // Nothing was found of this family: whether that is right, the promise of detection says.
    if measured.is_empty() {
        return None;
    }
    Some(Promise {
        promise: promise.to_owned(),
        measured: measured.join(", "),
        outcome,
    })
}

fn innocence(healthy: &Innocence, asked: Duration) -> Promise {
    let enough = healthy.watched.as_secs_f64() >= asked.as_secs_f64() * ENOUGH;
    let bound = healthy.below_per_hour.map_or_else(String::new, |bound| {
        format!(", below {bound:.2} an hour at 95 %")
    });
    Promise {
        promise: format!(
            "no unexcused finding above minor in {} of healthy soak, faults included",
            human(asked)
        ),
        measured: format!(
            "{} in {} ({} of mainnet, {} soaks, {} faults in effect){bound}",
            healthy.alarm_count,
            human(healthy.watched),
            human(healthy.mainnet),
            healthy.runs,
            healthy.faults.values().sum::<u64>()
        ),
        outcome: match (healthy.alarm_count, enough) {
            (0, true) => Outcome::Pass,
            (0, false) => Outcome::Inconclusive,
            _ => Outcome::Fail,
        },
    }
}
