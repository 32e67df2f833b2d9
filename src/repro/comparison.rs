//! Two builds held against each other by how often each shows a finding. Pure.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use serde::Serialize;

use super::statistics::{fisher, interval};
use crate::{journal::text::clean, report::text::count};

/// A difference this improbable is taken for one.
const SIGNIFICANT: f64 = 0.05;

/// What one try came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Try {
    /// The finding came again.
    Shown {
        /// So long after the run's start, in microseconds.
        #[serde(with = "crate::time::micros")]
        after: Duration,
        /// So long after the soak began, in microseconds; zero if before.
        #[serde(with = "crate::time::micros")]
        soaked: Duration,
        /// The last height it concerns.
        height: Option<u64>,
    },
    /// It did not.
    Clean {
        /// Fingerprints of other findings that failed the gate.
        others: BTreeSet<String>,
    },
    /// Nothing can be said: host, engine or canary failed.
    Void {
        /// Why.
        why: String,
    },
}

/// All tries of one build.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// In order.
    pub tries: Vec<Try>,
}

impl Tally {
    /// Tries that showed it.
    #[must_use]
    pub fn shown(&self) -> u64 {
        let shown = self.tries.iter();
        shown.filter(|one| matches!(one, Try::Shown { .. })).count() as u64
    }

    /// Tries that count.
    #[must_use]
    pub fn counted(&self) -> u64 {
        let counted = self.tries.iter();
        counted
            .filter(|one| !matches!(one, Try::Void { .. }))
            .count() as u64
    }

    /// Tries that do not.
    #[must_use]
    pub fn void(&self) -> u64 {
        self.tries.len() as u64 - self.counted()
    }

    /// Middle of the times after which it was shown.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self
            .tries
            .iter()
            .filter_map(|one| match one {
                Try::Shown { after, .. } => Some(*after),
                _ => None,
            })
            .collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// The height at which it was shown, if it was the same each time.
    fn height(&self) -> Option<u64> {
        let mut heights = self.tries.iter().filter_map(|one| match one {
            Try::Shown { height, .. } => Some(*height),
            _ => None,
        });
        let first = heights.next()??;
        heights.all(|height| height == Some(first)).then_some(first)
    }

    /// Other findings that failed a try, with the number of tries.
    #[must_use]
    pub fn others(&self) -> Vec<(String, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        for one in &self.tries {
            if let Try::Clean { others } = one {
                for other in others {
                    *counts.entry(other.clone()).or_default() += 1;
                }
            }
        }
        counts.into_iter().collect()
    }

    /// `5 of 5 stall shard 0 at 65,535    median 9.2 s after start`.
    #[must_use]
    pub fn line(&self, finding: &str) -> String {
        let (shown, counted) = (self.shown(), self.counted());
        let mut text = format!("{shown:>3} of {counted}");
        if shown > 0 {
            let _ = write!(text, " {}", clean(finding, 80));
            if let Some(height) = self.height() {
                let _ = write!(text, " at {}", count(height));
            }
            if let Some(median) = self.median() {
                let _ = write!(text, "    median {:.1} s after start", median.as_secs_f64());
            }
        }
        let rate = interval(shown, counted);
        let percent = |rate: f64| format!("{:.0} %", rate * 100.0);
        let _ = match (shown, counted) {
            (_, 0) => Ok(()),
            (0, _) => write!(text, "    (rate below {} at 95 %)", percent(rate.high)),
            (shown, counted) if shown == counted => {
                write!(text, "    (rate above {} at 95 %)", percent(rate.low))
            }
            _ => write!(
                text,
                "    (rate {} to {} at 95 %)",
                percent(rate.low),
                percent(rate.high)
            ),
        };
        if self.void() > 0 {
            let _ = write!(text, "    {} did not count", self.void());
        }
        text
    }
}

/// What two builds say together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// The given build never showed it, and that is no chance.
    Fixed {
        /// Fisher's exact p.
        p: f64,
    },
    /// The given build showed it.
    NotFixed,
    /// The given build fails in ways that the recorded one did not: whether it is fixed cannot be told.
    FailsOtherwise,
    /// It might be chance, or the recorded build did not show it.
    NotEnoughTries {
        /// Fisher's exact p.
        p: f64,
    },
}

impl Decision {
    /// In words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Fixed { p } => format!("FIXED (p = {})", probability(*p)),
            Self::NotFixed => "NOT FIXED".to_owned(),
            Self::FailsOtherwise => {
                "FAILS OTHERWISE, so that nothing can be said of this finding".to_owned()
            }
            Self::NotEnoughTries { p } => format!("not enough tries (p = {})", probability(*p)),
        }
    }
}

fn probability(p: f64) -> String {
    if p < 0.000_01 {
        format!("{p:.0e}")
    } else if p < 0.001 {
        format!("{p:.5}")
    } else {
        format!("{p:.3}")
    }
}

/// Holds the given build against the recorded one.
#[must_use]
pub fn decide(recorded: &Tally, given: &Tally) -> Decision {
    if given.shown() > 0 {
        return Decision::NotFixed;
    }
    let known: Vec<String> = recorded
        .others()
        .into_iter()
        .map(|(other, _)| other)
        .collect();
    if given
        .others()
        .iter()
        .any(|(other, _)| !known.contains(other))
    {
        return Decision::FailsOtherwise;
    }
    let p = fisher((recorded.shown(), recorded.counted()), (0, given.counted()));
    if p <= SIGNIFICANT {
        Decision::Fixed { p }
    } else {
        Decision::NotEnoughTries { p }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seconds: u64) -> Try {
        Try::Shown {
            after: Duration::from_secs(seconds),
            soaked: Duration::ZERO,
            height: Some(270_109),
        }
    }

    fn quiet(others: &[&str]) -> Try {
        Try::Clean {
            others: others.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn tally(tries: Vec<Try>) -> Tally {
        Tally { tries }
    }

    #[test]
    fn ten_of_ten_against_none_is_fixed() {
        let recorded = tally(vec![shown(41); 10]);
        let given = tally(vec![quiet(&[]); 10]);
        let decision = decide(&recorded, &given);
        assert_eq!(decision.words(), "FIXED (p = 0.00001)");
        assert_eq!(
            recorded.line("no-recovery shard 1"),
            " 10 of 10 no-recovery shard 1 at 270,109    median 41.0 s after start    (rate above 74 % at 95 %)"
        );
        assert_eq!(given.line("x"), "  0 of 10    (rate below 26 % at 95 %)");
    }

    #[test]
    fn few_tries_or_a_bug_that_stays_are_not_fixed() {
        let two = decide(&tally(vec![shown(1); 2]), &tally(vec![quiet(&[]); 2]));
        assert!(matches!(two, Decision::NotEnoughTries { .. }));
        let never = decide(&tally(vec![quiet(&[]); 9]), &tally(vec![quiet(&[]); 9]));
        assert!(matches!(never, Decision::NotEnoughTries { .. }));
        let mut given = vec![quiet(&[]); 9];
        given.push(shown(3));
        assert_eq!(
            decide(&tally(vec![shown(1); 10]), &tally(given)),
            Decision::NotFixed
        );
        // A flaky bug needs more tries than a sure one.
        let flaky = [vec![shown(1); 2], vec![quiet(&[]); 3]].concat();
        let decision = decide(&tally(flaky), &tally(vec![quiet(&[]); 5]));
        assert!(matches!(decision, Decision::NotEnoughTries { .. }));
    }

    #[test]
    fn a_build_that_does_not_even_start_is_not_fixed() {
        let recorded = tally(vec![shown(1); 10]);
        let given = tally(vec![quiet(&["never-started shard 0"]); 10]);
        assert_eq!(decide(&recorded, &given), Decision::FailsOtherwise);
        // What the recorded build had too does not stand in the way.
        let mut tries = vec![shown(1); 10];
        tries.push(quiet(&["low-signers shard 0"]));
        let given = tally(vec![quiet(&["low-signers shard 0"]); 10]);
        assert!(matches!(
            decide(&tally(tries), &given),
            Decision::Fixed { .. }
        ));
    }

    #[test]
    fn what_does_not_count_is_not_counted() {
        let void = Try::Void {
            why: "no room".to_owned(),
        };
        let recorded = tally(vec![shown(1), void.clone(), shown(3)]);
        assert_eq!(
            (recorded.shown(), recorded.counted(), recorded.void()),
            (2, 2, 1)
        );
        assert!(recorded.line("x").ends_with("1 did not count"));
        assert_eq!(tally(vec![void]).line("x"), "  0 of 0    1 did not count");
    }
}
