//! What blocks held, how epochs began, and what the load generators did.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::shard::Times;
use crate::{
    detect::{
        judgement::{Latencies, LoadView, Traffic},
        world::Shard,
    },
    ids::Epoch,
    journal::event::{BlockContent, Figures},
};

/// Steps of the time until inclusion that are kept; a node tells far fewer.
const MOST_STEPS: usize = 256;

/// What is measured of one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TrafficMeasure {
    told: Traffic,
    epoch: Option<Epoch>,
    boundaries: Times,
    inclusion: BTreeMap<u64, u64>,
}

/// A generator's counts by its last figures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Generator {
    made: u64,
    held_back: u64,
    missed: u64,
    included: u64,
    inclusion: BTreeMap<u64, u64>,
}

impl TrafficMeasure {
    pub fn new() -> Self {
        Self {
            told: Traffic::default(),
            epoch: None,
            boundaries: Times::new(),
            inclusion: BTreeMap::new(),
        }
    }

    /// The soak begins.
    pub fn clear(&mut self) {
        *self = Self {
            epoch: self.epoch,
            ..Self::new()
        };
    }

    /// A block came.
    pub fn block(&mut self, shard: &Shard, content: Option<&BlockContent>) {
        let (Some(new), Some(best)) = (shard.new_block, &shard.best) else {
            return;
        };
        let before = std::mem::replace(&mut self.epoch, best.epoch);
        if before.is_some()
            && best.epoch > before
            && new.blocks == 1
            && let Some(interval) = new.interval
        {
            self.boundaries.add(interval, 1);
        }
        let Some(content) = content else { return };
        if let Some(transactions) = content.transactions {
            self.told.told += 1;
            self.told.transactions += u64::from(transactions);
            self.told.empty += u64::from(transactions == 0);
        }
        self.told.receipts += u64::from(content.receipts.unwrap_or(0));
    }

    /// Figures of one of its nodes; `counts` unless a fault was in the way of its generator.
    pub fn figures(&mut self, before: &mut Generator, figures: &Figures, counts: bool) {
        let count = |value: Option<u64>| value.unwrap_or(0);
        let now = Generator {
            made: count(figures.made),
            held_back: count(figures.held_back),
            missed: count(figures.missed),
            included: count(figures.included),
            inclusion: figures.inclusion.iter().take(MOST_STEPS).copied().collect(),
        };
        // Counts that went back are another process's, which began at zero.
        let same = now.made >= before.made && now.included >= before.included;
        let last = std::mem::replace(before, now.clone());
        let last = if same { last } else { Generator::default() };
        let load = &mut self.told.load;
        load.made += now.made.saturating_sub(last.made);
        load.held_back += now.held_back.saturating_sub(last.held_back);
        load.included += now.included.saturating_sub(last.included);
        if counts {
            load.missed += now.missed.saturating_sub(last.missed);
        }
        for (bound, count) in &now.inclusion {
            let more = count.saturating_sub(last.inclusion.get(bound).copied().unwrap_or(0));
            if more > 0 && (self.inclusion.len() < MOST_STEPS || self.inclusion.contains_key(bound))
            {
                *self.inclusion.entry(*bound).or_default() += more;
            }
        }
    }

    pub fn view(&self) -> Traffic {
        Traffic {
            boundaries: self.boundaries.intervals(),
            load: LoadView {
                inclusion: latencies(&self.inclusion),
                ..self.told.load
            },
            ..self.told
        }
    }

    /// Adds a shard's steps to those of others.
    pub fn add_to(&self, all: &mut BTreeMap<u64, u64>) {
        for (bound, count) in &self.inclusion {
            *all.entry(*bound).or_default() += count;
        }
    }
}

/// Quantiles of counted steps: each the upper bound of the step that it lies in.
pub(super) fn latencies(steps: &BTreeMap<u64, u64>) -> Latencies {
    let count: u64 = steps
        .values()
        .fold(0, |sum, more| sum.saturating_add(*more));
    let quantile = |share: f64| {
        let rank = (count as f64 * share).ceil() as u64;
        let mut below = 0_u64;
        let step = steps.iter().find(|(_, more)| {
            below = below.saturating_add(**more);
            below >= rank.max(1)
        });
        step.map_or(Duration::ZERO, |(bound, _)| Duration::from_micros(*bound))
    };
    Latencies {
        count,
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(made: u64, missed: u64, steps: &[(u64, u64)]) -> Figures {
        Figures {
            made: Some(made),
            held_back: Some(0),
            missed: Some(missed),
            included: Some(made),
            inclusion: steps.to_vec(),
            ..Figures::default()
        }
    }

    #[test]
    fn generators_are_counted_over_restarts_of_their_nodes() {
        let mut measure = TrafficMeasure::new();
        let mut node = Generator::default();
        measure.figures(
            &mut node,
            &figures(100, 0, &[(50_000, 95), (200_000, 5)]),
            true,
        );
        measure.figures(
            &mut node,
            &figures(150, 10, &[(50_000, 140), (200_000, 10)]),
            true,
        );
        measure.figures(&mut node, &figures(20, 5, &[(50_000, 20)]), false);
        let load = measure.view().load;
        assert_eq!((load.made, load.included, load.missed), (170, 170, 10));
        assert_eq!(load.inclusion.count, 170);
        assert_eq!(load.inclusion.p50, Duration::from_millis(50));
        assert_eq!(load.inclusion.p95, Duration::from_millis(200));
        let share = load.offered_share().unwrap();
        assert!((share - 170.0 / 180.0).abs() < 1e-9);
        assert_eq!(LoadView::default().offered_share(), None);
    }

    #[test]
    fn quantiles_are_upper_bounds_of_steps() {
        let steps = BTreeMap::from([(10, 95), (20, 4), (u64::MAX, 1)]);
        let told = latencies(&steps);
        let micros = |count| Duration::from_micros(count);
        assert_eq!(
            (told.p50, told.p95, told.p99),
            (micros(10), micros(10), micros(20))
        );
        assert_eq!(latencies(&BTreeMap::new()), Latencies::default());
    }
}
