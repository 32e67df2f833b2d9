//! How sure k of n makes one: exact tests for small numbers. Pure.

/// Error that a one-sided bound and a two-sided interval may have together.
const ALPHA: f64 = 0.05;

/// Most tries that make sense; keeps the sums short.
pub const MOST: u64 = 10_000;

/// A rate that was seen, with what the true one may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

/// Logarithms of the factorials up to n.
fn ln_factorials(n: u64) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for number in 1..=n.min(4 * MOST) {
        sum += (number as f64).ln();
        sums.push(sum);
    }
    sums
}

fn ln_choose(factorials: &[f64], n: u64, k: u64) -> f64 {
    let at = |number: u64| factorials.get(number as usize).copied().unwrap_or(f64::NAN);
    at(n) - at(k) - at(n - k)
}

/// Probability of at most k of n at this rate.
fn at_most(k: u64, n: u64, rate: f64) -> f64 {
    if rate <= 0.0 {
        return 1.0;
    }
    if rate >= 1.0 {
        return if k >= n { 1.0 } else { 0.0 };
    }
    let factorials = ln_factorials(n);
    let (yes, no) = (rate.ln(), (-rate).ln_1p());
    let term = |i: u64| (ln_choose(&factorials, n, i) + i as f64 * yes + (n - i) as f64 * no).exp();
    (0..=k.min(n)).map(term).sum::<f64>().min(1.0)
}

/// The rate at which `of_rate`, which falls with it, is `wanted`.
fn solve(wanted: f64, of_rate: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Sixty halvings are exact to the last bit of what is printed.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if of_rate(middle) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The exact (Clopper-Pearson) interval of a rate, at 95 %. Where all or none were seen only one side is open, and the
/// whole error is spent on it: 0 of 10 says "below 26 %".
#[must_use]
pub fn interval(seen: u64, of: u64) -> Interval {
    if of == 0 || seen > of || of > MOST {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    }
    let error = if seen == 0 || seen == of {
        ALPHA
    } else {
        ALPHA / 2.0
    };
    let low = match seen {
        0 => 0.0,
        _ => solve(1.0 - error, |rate| at_most(seen - 1, of, rate)),
    };
    let high = if seen == of {
        1.0
    } else {
        solve(error, |rate| at_most(seen, of, rate))
    };
    Interval { low, high }
}

/// Fisher's exact test, two-sided: how probable it is to see what differs at least as much, if both had one rate.
#[must_use]
pub fn fisher(one: (u64, u64), other: (u64, u64)) -> f64 {
    let ((seen, of), (other_seen, other_of)) = (one, other);
    if seen > of || other_seen > other_of || of > MOST || other_of > MOST {
        return 1.0;
    }
    let all_seen = seen + other_seen;
    let factorials = ln_factorials(of + other_of);
    let whole = ln_choose(&factorials, of + other_of, all_seen);
    let chance = |k: u64| {
        let both =
            ln_choose(&factorials, of, k) + ln_choose(&factorials, other_of, all_seen - k) - whole;
        both.exp()
    };
    let observed = chance(seen);
    let least = all_seen.saturating_sub(other_of);
    // Equal chances differ in their last bits.
    (least..=all_seen.min(of))
        .map(chance)
        .filter(|chance| *chance <= observed * (1.0 + 1e-7))
        .sum::<f64>()
        .min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: f64, right: f64) {
        assert!((left - right).abs() < 5e-5, "{left} is not {right}");
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Published values of the exact interval.
        let five = interval(5, 10);
        near(five.low, 0.18709);
        near(five.high, 0.81291);
        let one = interval(1, 20);
        near(one.low, 0.00127);
        near(one.high, 0.24873);
        // None of ten: the one-sided bound, 1 - 0.05^(1/10).
        let none = interval(0, 10);
        near(none.high, 1.0 - 0.05_f64.powf(0.1));
        assert_eq!(none.low, 0.0);
        let all = interval(10, 10);
        near(all.low, 0.05_f64.powf(0.1));
        assert_eq!(all.high, 1.0);
        assert_eq!(
            interval(0, 0),
            Interval {
                low: 0.0,
                high: 1.0
            }
        );
    }

    #[test]
    fn fisher_is_exact() {
        // Ten of ten against none: two tables of that kind in 20 over 10.
        assert!((fisher((10, 10), (0, 10)) - 2.0 / 184_756.0).abs() < 1e-9);
        // The lady tasting tea: 3 of 4 against 1 of 4.
        near(fisher((3, 4), (1, 4)), 34.0 / 70.0);
        // A published 2 x 2 table: 1 of 10 against 11 of 14.
        near(fisher((1, 10), (11, 14)), 0.00276);
        near(fisher((3, 7), (3, 7)), 1.0);
        near(fisher((0, 5), (0, 5)), 1.0);
    }

    #[test]
    fn more_tries_never_widen_what_is_known() {
        for tries in 2..60 {
            assert!(interval(0, tries).high < interval(0, tries - 1).high);
            assert!(
                fisher((tries, tries), (0, tries)) < fisher((tries - 1, tries - 1), (0, tries - 1))
            );
        }
    }
}
