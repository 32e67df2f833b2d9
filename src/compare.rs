//! Two releases held against each other: the measures of some runs against those of others.
//!
//! Pure. Runs of equal seeds are compared as pairs, so that what the seed decides (keys, load, faults) cancels out; the
//! interval of the change is that of the mean of the pairs' log ratios. Where no seeds are equal, the means are
//! compared (Welch). One pair has no interval, and says so. Source of the method: the usual t intervals on logarithms,
//! since costs and times vary by factors, not by sums.

use serde::{Deserialize, Serialize};

use crate::{
    plan::{Side, Tolerance},
    verdict::Outcome,
};

/// One metric's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The metric.
    pub metric: String,
    /// Mean over the runs, if any has it.
    pub now: Option<f64>,
    /// Mean over the baseline's runs, if any has it.
    pub baseline: Option<f64>,
    /// Relative change, 0.05 for 5 % more.
    pub change: Option<f64>,
    /// Its interval at 95 %; `None` with fewer than two pairs or runs.
    pub interval: Option<(f64, f64)>,
    /// Pairs of equal seeds that it rests on; 0 where means were compared.
    pub pairs: usize,
    /// What was allowed, if the metric is a gate.
    pub allowed: Option<f64>,
    /// Fail: worse than allowed. Inconclusive: worse, but the interval holds "no change" too. Missing data fails.
    pub outcome: Outcome,
}

/// Values below this are taken for this: a metric that is zero on one side has no ratio, and a change from nothing to
/// next to nothing is none.
const LEAST: f64 = 1e-9;

/// Compares all metrics that any side has; those with a tolerance are gates.
#[must_use]
pub fn compare(now: &[Side], baseline: &[Side], tolerances: &[Tolerance]) -> Vec<Row> {
    let mut metrics: Vec<&str> = tolerances
        .iter()
        .map(|tolerance| tolerance.metric.as_str())
        .collect();
    for side in now.iter().chain(baseline) {
        for metric in side.values.keys() {
            if !metrics.contains(&metric.as_str()) {
                metrics.push(metric);
            }
        }
    }
    metrics
        .into_iter()
        .map(|metric| {
            let allowed = tolerances
                .iter()
                .find(|tolerance| tolerance.metric == metric)
                .map(|tolerance| tolerance.change);
            row(metric, now, baseline, allowed)
        })
        .collect()
}

fn row(metric: &str, now: &[Side], baseline: &[Side], allowed: Option<f64>) -> Row {
    let of = |sides: &[Side]| -> Vec<f64> {
        sides
            .iter()
            .filter_map(|side| side.values.get(metric).copied())
            .filter(|value| value.is_finite())
            .collect()
    };
    let (ours, theirs) = (of(now), of(baseline));
    let pairs = paired(metric, now, baseline);
    let estimate = if ours.is_empty() || theirs.is_empty() {
        None
    } else if pairs.is_empty() {
        Some(welch(&logs(&ours), &logs(&theirs)))
    } else {
        Some(one_sample(&pairs))
    };
    let change = estimate.map(|(mean, _)| mean.exp_m1());
    let interval = estimate
        .and_then(|(mean, half)| half.map(|half| ((mean - half).exp_m1(), (mean + half).exp_m1())));
    Row {
        metric: metric.to_owned(),
        now: mean(&ours),
        baseline: mean(&theirs),
        change,
        interval,
        pairs: pairs.len(),
        allowed,
        outcome: outcome(change, interval, allowed),
    }
}

fn outcome(change: Option<f64>, interval: Option<(f64, f64)>, allowed: Option<f64>) -> Outcome {
    let Some(allowed) = allowed else {
        return Outcome::Pass;
    };
    let Some(change) = change else {
        return Outcome::Fail;
    };
    // Of a negative tolerance, less is worse.
    let (worse, proven) = if allowed < 0.0 {
        (
            change < allowed,
            interval.is_none_or(|(_, high)| high < 0.0),
        )
    } else {
        (change > allowed, interval.is_none_or(|(low, _)| low > 0.0))
    };
    match (worse, proven) {
        (false, _) => Outcome::Pass,
        (true, true) => Outcome::Fail,
        (true, false) => Outcome::Inconclusive,
    }
}

/// Log ratios of runs of equal seeds; each run is in one pair at most.
fn paired(metric: &str, now: &[Side], baseline: &[Side]) -> Vec<f64> {
    let mut left: Vec<&Side> = baseline.iter().collect();
    let mut ratios = Vec::new();
    for side in now {
        let Some(at) = left
            .iter()
            .position(|other| other.seed == side.seed && other.values.contains_key(metric))
        else {
            continue;
        };
        if let Some(value) = side.values.get(metric) {
            let other = left.swap_remove(at);
            ratios.push(log(*value) - log(other.values[metric]));
        }
    }
    ratios.retain(|ratio| ratio.is_finite());
    ratios
}

fn log(value: f64) -> f64 {
    value.max(LEAST).ln()
}

fn logs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| log(*value)).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean and variance of the mean.
fn moments(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = mean(values).unwrap_or_default();
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (
        mean,
        (values.len() > 1).then(|| squares / (count - 1.0) / count),
    )
}

/// Mean of log ratios with half the width of its interval.
fn one_sample(ratios: &[f64]) -> (f64, Option<f64>) {
    let (mean, variance) = moments(ratios);
    let half = variance.map(|variance| student(ratios.len() as f64 - 1.0) * variance.sqrt());
    (mean, half)
}

/// Difference of two means with half the width of its interval, variances being unequal.
fn welch(ours: &[f64], theirs: &[f64]) -> (f64, Option<f64>) {
    let ((one, first), (other, second)) = (moments(ours), moments(theirs));
    let half = first.zip(second).map(|(first, second)| {
        let sum = first + second;
        let freedom = sum.powi(2)
            / (first.powi(2) / (ours.len() as f64 - 1.0)
                + second.powi(2) / (theirs.len() as f64 - 1.0))
                .max(f64::MIN_POSITIVE);
        student(freedom) * sum.sqrt()
    });
    (one - other, half)
}

/// The two-sided 95 % quantile of Student's t: the table of every textbook, the next smaller degree of freedom for what
/// lies between, which makes intervals wider, never narrower.
fn student(freedom: f64) -> f64 {
    const TABLE: [(f64, f64); 16] = [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (9.0, 2.262),
        (10.0, 2.228),
        (12.0, 2.179),
        (15.0, 2.131),
        (20.0, 2.086),
        (30.0, 2.042),
        (60.0, 2.000),
        (120.0, 1.980),
    ];
    TABLE
        .iter()
        .rev()
        .find(|(least, _)| freedom >= *least)
        .map_or(TABLE[0].1, |(_, quantile)| *quantile)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn side(seed: &str, value: f64) -> Side {
        Side {
            seed: seed.to_owned(),
            values: BTreeMap::from([("memory.max".to_owned(), value)]),
        }
    }

    fn five_percent() -> Vec<Tolerance> {
        vec![Tolerance {
            metric: "memory.max".to_owned(),
            change: 0.05,
        }]
    }

    #[test]
    fn pairs_cancel_what_the_seed_decides() {
        let baseline = [side("a", 100.0), side("b", 200.0), side("c", 400.0)];
        let now = [side("c", 480.0), side("a", 121.0), side("b", 239.0)];
        let rows = compare(&now, &baseline, &five_percent());
        assert_eq!((rows[0].pairs, rows[0].outcome), (3, Outcome::Fail));
        let (low, high) = rows[0].interval.unwrap();
        assert!(low > 0.15 && high < 0.25, "{low} {high}");
        assert!((rows[0].change.unwrap() - 0.2).abs() < 0.01);
        // The same values under other seeds: the spread hides the change.
        let others = now.map(|side| Side {
            seed: format!("x{}", side.seed),
            ..side
        });
        let rows = compare(&others, &baseline, &five_percent());
        assert_eq!((rows[0].pairs, rows[0].outcome), (0, Outcome::Inconclusive));
    }

    #[test]
    fn missing_data_fails_and_one_pair_has_no_interval() {
        let rows = compare(&[side("a", 1.0)], &[], &five_percent());
        assert_eq!(
            (rows[0].change, rows[0].outcome),
            (None, Outcome::Fail),
            "{rows:?}"
        );
        let rows = compare(&[side("a", 106.0)], &[side("a", 100.0)], &five_percent());
        assert_eq!((rows[0].interval, rows[0].outcome), (None, Outcome::Fail));
        let rows = compare(&[side("a", 104.0)], &[side("a", 100.0)], &five_percent());
        assert_eq!(rows[0].outcome, Outcome::Pass);
        // What is no gate never fails.
        let rows = compare(&[side("a", 900.0)], &[side("a", 100.0)], &[]);
        assert_eq!(rows[0].outcome, Outcome::Pass);
    }

    #[test]
    fn less_is_worse_under_a_negative_tolerance() {
        let less = vec![Tolerance {
            metric: "memory.max".to_owned(),
            change: -0.05,
        }];
        let outcome = |value| compare(&[side("a", value)], &[side("a", 100.0)], &less)[0].outcome;
        assert_eq!(outcome(90.0), Outcome::Fail);
        assert_eq!(outcome(96.0), Outcome::Pass);
        assert_eq!(outcome(200.0), Outcome::Pass);
    }

    #[test]
    fn intervals_hold_no_change_nineteen_times_in_twenty() {
        // A seeded generator of sums of uniform numbers, near enough to a normal distribution.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut noisy = move || {
            let noise: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            100.0 * (0.1 * noise).exp()
        };
        let rounds = 4_000;
        let held = (0..rounds)
            .filter(|_| {
                let mut runs = || -> Vec<Side> {
                    (0..5)
                        .map(|seed| side(&seed.to_string(), noisy()))
                        .collect()
                };
                let rows = compare(&runs(), &runs(), &[]);
                let (low, high) = rows[0].interval.unwrap();
                low <= 0.0 && 0.0 <= high
            })
            .count();
        let share = held as f64 / f64::from(rounds);
        eprintln!("intervals that hold the truth: {:.1} %", share * 100.0);
        assert!((0.94..0.96).contains(&share), "{share}");
    }
}
