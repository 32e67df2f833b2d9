//! Where a series changed its level: E-divisive with means, significance by Student's test (as Hunter and Otava have
//! it), so that the same series always gives the same answer.

use super::slope::{mean, student};

/// Points on each side of a change at least.
const LEAST_SIDE: usize = 5;
/// Normal deviations of the tests: 0.1 % at the end, ten times that while splitting, since a split that looks weak may
/// be strong once its neighbours are found.
const STRONG: f64 = 3.290_527;
const WEAK: f64 = 2.575_829;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Place of the first value of the new level.
    pub index: usize,
    /// Mean from the change before to this one.
    pub before: f64,
    /// Mean from this one to the next.
    pub after: f64,
}

/// The changes of level, in order. Ones smaller than `least` (a share of the level before) are none.
#[must_use]
pub fn change_points(values: &[f64], least: f64) -> Vec<ChangePoint> {
    let mut splits = vec![0, values.len()];
    let mut place = 0;
    while place + 1 < splits.len() {
        let (from, to) = (splits[place], splits[place + 1]);
        match best_split(&values[from..to]) {
            Some(split) if strength(&values[from..to], split, WEAK) >= 1.0 => {
                splits.insert(place + 1, from + split);
            }
            _ => place += 1,
        }
    }
    merge(values, &mut splits, least);
    splits
        .windows(3)
        .map(|split| ChangePoint {
            index: split[1],
            before: mean(&values[split[0]..split[1]]),
            after: mean(&values[split[1]..split[2]]),
        })
        .collect()
}

/// Takes out the weakest change until all that are left are strong.
fn merge(values: &[f64], splits: &mut Vec<usize>, least: f64) {
    loop {
        let weakest = (1..splits.len().saturating_sub(1))
            .map(|place| {
                let part = &values[splits[place - 1]..splits[place + 1]];
                let split = splits[place] - splits[place - 1];
                let (before, after) = (mean(&part[..split]), mean(&part[split..]));
                let large = (after - before).abs() > least * before.abs();
                let held = if large {
                    strength(part, split, STRONG)
                } else {
                    0.0
                };
                (place, held)
            })
            .min_by(|a, b| a.1.total_cmp(&b.1));
        match weakest {
            Some((place, held)) if held < 1.0 => splits.remove(place),
            _ => return,
        };
    }
}

/// The split with the largest energy distance between its sides: how much farther values are from the other side's than
/// from their own.
fn best_split(values: &[f64]) -> Option<usize> {
    let count = values.len();
    if count < 2 * LEAST_SIDE {
        return None;
    }
    let distance = |a: usize, b: usize| (values[a] - values[b]).abs();
    // Sums over pairs: within the left side, across, within the right side; a value changes sides at each step.
    let (mut left, mut across) = (0.0, 0.0);
    let mut right: f64 = (0..count)
        .map(|a| (a + 1..count).map(|b| distance(a, b)).sum::<f64>())
        .sum();
    let mut best: Option<(usize, f64)> = None;
    for split in 1..=count - LEAST_SIDE {
        let moved = split - 1;
        let to_left: f64 = (0..moved).map(|other| distance(moved, other)).sum();
        let to_right: f64 = (split..count).map(|other| distance(moved, other)).sum();
        left += to_left;
        across += to_right - to_left;
        right -= to_right;
        if split < LEAST_SIDE {
            continue;
        }
        let (n, m) = (split as f64, (count - split) as f64);
        let within = |sum: f64, size: f64| 2.0 * sum / (size * (size - 1.0));
        let energy = 2.0 * across / (n * m) - within(left, n) - within(right, m);
        let weighted = energy * n * m / (n + m);
        if best.is_none_or(|(_, known)| weighted > known) {
            best = Some((split, weighted));
        }
    }
    best.map(|(split, _)| split)
}

/// How far the means of the two sides are apart, by Student's test: 1 is just far enough for these normal deviations.
fn strength(values: &[f64], split: usize, deviations: f64) -> f64 {
    let (left, right) = values.split_at(split);
    let (before, after) = (mean(left), mean(right));
    let squares =
        |side: &[f64], mean: f64| -> f64 { side.iter().map(|value| (value - mean).powi(2)).sum() };
    let freedom = values.len() as f64 - 2.0;
    let pooled = (squares(left, before) + squares(right, after)) / freedom.max(1.0);
    let error = (pooled * (1.0 / left.len() as f64 + 1.0 / right.len() as f64)).sqrt();
    let apart = (after - before).abs();
    if apart == 0.0 {
        return 0.0;
    }
    apart / (error * student(deviations, freedom))
}
