//! Shrinking: from the plan of a run to the smallest that still shows one of its findings.
//!
//! ```text
//!  recorded run --recipe--> Problem --> Search: which shape next? --Shape--> recipe: plan --> a try (repro/tries)
//!                                         ^                                                       |
//!                                         +---------- shown, not shown, does not count ----------+
//! ```
//! [`ddmin`], [`halving`] and [`search`] are pure state machines over shapes: no clock, no file; what a try came to and
//! cost is told to them. [`recipe`] makes plans of shapes. The oracle is flaky: one that shows a finding nine times of ten
//! says no once, so that a shape is given several tries before it is taken for too small, and what is left at the end is
//! tried again, so many times of so many.

pub mod ddmin;
pub mod halving;
pub mod recipe;
pub mod search;

use std::time::Duration;

use serde::Serialize;

use crate::time::micros;

/// What of the recorded plan is left: all that shrinking changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shape {
    /// Fault episodes, by their place in the recorded schedule, ascending: a fault goes together with its heal. The
    /// drill, if there is one, comes after the last fault.
    pub episodes: Vec<usize>,
    /// Number of shards.
    pub shards: u64,
    /// Validators of each shard.
    pub validators: u32,
    /// Explorers of each shard.
    pub explorers: u32,
    /// Load, in percent of the recorded one.
    pub load: u32,
    /// All timed faults come so much earlier.
    #[serde(with = "micros")]
    pub earlier: Duration,
    /// Length of the soak; `None` ends it as the recorded plan does.
    pub soak: Option<Soak>,
}

/// Length of a soak, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Soak(#[serde(with = "micros")] pub Duration);

/// One fault with its heal, as far as the search must know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Episode {
    /// When it begins and when it is healed, after the soak began; `None` if it waits for a height or a line.
    pub time: Option<(Duration, Duration)>,
    /// The fewest shards of a network that has its targets.
    pub shards: u64,
    /// The fewest nodes of a shard that has its targets.
    pub nodes: u32,
}

/// What is to be shrunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The recorded schedule.
    pub episodes: Vec<Episode>,
    /// Everything as it was recorded.
    pub whole: Shape,
    /// What had begun before the finding was noticed, and a soak that is little longer: nothing later can be its cause.
    pub until_noticed: Shape,
    /// Episodes in the finding's chain of causes, the likeliest to be all that it takes.
    pub suspects: Vec<usize>,
    /// The fewest shards: those up to the finding's.
    pub least_shards: u64,
    /// The fewest validators of a shard, so that the finding's nodes are there and one of them may fail.
    pub least_validators: u32,
    /// The least load in percent: all of it where blocks come of the load, and a shard without it stops by itself.
    pub least_load: u32,
}

/// How sure, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A shape with fewer faults or shards that does not show the finding in so many tries is too small.
    pub tries: u32,
    /// The smallest plan is confirmed by at least so many ...
    pub least: u32,
    /// ... of so many tries.
    pub of: u32,
    /// No try begins after so long.
    pub budget: Duration,
}

/// Confirmed so often: `3/3`.
///
/// # Errors
/// What is allowed.
pub fn parse_confirmation(text: &str) -> Result<(u32, u32), String> {
    let allowed =
        || format!("{text:?} is not K/N, like 3/3 or 4/5, with K of 1 to N and N up to 100");
    let (least, of) = text.split_once('/').ok_or_else(allowed)?;
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| allowed());
    let (least, of) = (number(least)?, number(of)?);
    if (1..=of).contains(&least) && of <= 100 {
        Ok((least, of))
    } else {
        Err(allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_are_k_of_n() {
        assert_eq!(parse_confirmation("3/3"), Ok((3, 3)));
        assert_eq!(parse_confirmation(" 4 / 5"), Ok((4, 5)));
        for bad in ["", "3", "0/3", "4/3", "1/101", "a/b", "3/"] {
            assert!(parse_confirmation(bad).is_err(), "{bad:?}");
        }
    }
}
