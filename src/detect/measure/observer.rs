//! Whether watching slows the network: its block interval with watching on and with watching off, in turns.
//!
//! ```text
//! watched .. | off | watched | off | watched | .. | off (the settle stage's own, to the end)
//!            a1    b1       a2    b2       a3
//! ```
//! `a` is the last block before watching was switched off, `b` the second one after it was switched on again: the first
//! may have come long before it was seen. A turn is a pair, `(a1, b1)` against `(b1, a2)`; the machine's slow changes are
//! in both of a pair. All shards of a turn are one sample, since they share the machine.

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        judgement::ObserverView,
        statistics::student,
        world::{Shard, World},
    },
    journal::Event,
    time::Elapsed,
};

/// Turns that are kept; more make the interval no narrower than anybody needs.
const MOST_TURNS: usize = 64;
/// A stretch of fewer blocks says more about the moments of two blocks than about the interval.
const LEAST_BLOCKS: u64 = 5;
/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.96;

/// A block's height, and when it was seen.
type Mark = (u64, Elapsed);

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Place {
    /// The last block before watching was switched off.
    off: Option<Mark>,
    /// Blocks seen since it was switched on again, up to two.
    seen: u32,
    /// The second of them.
    on: Option<Mark>,
    /// Mean interval of the last stretch without watching, in seconds.
    unwatched: Option<f64>,
}

/// The turns so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ObserverMeasure {
    places: Vec<Place>,
    /// Mean intervals with and without watching, in seconds, of each turn.
    turns: Vec<(f64, f64)>,
}

impl ObserverMeasure {
    pub fn step(&mut self, event: &Event, world: &World) {
        match event {
            Event::WatchPaused => self.off(world),
            // A turn that was cut off by a takeover is none.
            Event::Attached { .. } => self.places.clear(),
            Event::WatchResumed => {
                for place in &mut self.places {
                    (place.seen, place.on) = (0, None);
                }
            }
            Event::Block { .. } | Event::Heads { .. } | Event::Head { .. } => {
                let Some(at) = world.touched_shard else {
                    return;
                };
                let shard = &world.shards[at];
                if shard.new_block.is_some()
                    && let Some(place) = self.places.get_mut(at)
                {
                    place.block(shard);
                }
            }
            _ => {}
        }
    }

    /// Watching is switched off: the watched half of a turn is over, and the next turn begins.
    fn off(&mut self, world: &World) {
        self.places.resize(world.shards.len(), Place::default());
        let mut pairs = Vec::new();
        for (place, shard) in self.places.iter_mut().zip(&world.shards) {
            let last = mark(shard);
            if let (Some(on), Some(last), Some(unwatched)) = (place.on, last, place.unwatched)
                && let Some(watched) = mean(on, last)
            {
                pairs.push((watched, unwatched));
            }
            *place = Place {
                off: last,
                ..Place::default()
            };
        }
        if !pairs.is_empty() && self.turns.len() < MOST_TURNS {
            let count = pairs.len() as f64;
            let sum = pairs
                .iter()
                .fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
            self.turns.push((sum.0 / count, sum.1 / count));
        }
    }

    /// What it came to; `None` with fewer than two turns, which have no interval.
    pub fn view(&self) -> Option<ObserverView> {
        let count = self.turns.len();
        if count < 2 {
            return None;
        }
        let number = count as f64;
        let mean =
            |of: &dyn Fn(&(f64, f64)) -> f64| self.turns.iter().map(of).sum::<f64>() / number;
        let (watched, unwatched) = (mean(&|turn| turn.0), mean(&|turn| turn.1));
        // Relative to the turn's own interval without watching.
        let relative = |turn: &(f64, f64)| turn.0 / turn.1 - 1.0;
        let difference = mean(&relative);
        let variance = self
            .turns
            .iter()
            .map(|turn| (relative(turn) - difference).powi(2))
            .sum::<f64>()
            / (number - 1.0);
        let margin = student(Z, number - 1.0) * (variance / number).sqrt();
        Some(ObserverView {
            turns: count as u64,
            watched_interval: watched * 1e3,
            unwatched_interval: unwatched * 1e3,
            difference,
            interval: (difference - margin, difference + margin),
        })
    }
}

impl Place {
    fn block(&mut self, shard: &Shard) {
        if self.off.is_none() || self.on.is_some() {
            return;
        }
        self.seen += 1;
        if self.seen == 2 {
            self.on = mark(shard);
            self.unwatched = self.off.zip(self.on).and_then(|(off, on)| mean(off, on));
        }
    }
}

fn mark(shard: &Shard) -> Option<Mark> {
    let best = shard.best.as_ref()?;
    Some((best.height.0, best.at))
}

/// Mean block interval between two blocks in seconds; `None` where there are too few.
fn mean(from: Mark, to: Mark) -> Option<f64> {
    let blocks = to.0.saturating_sub(from.0);
    let passed = to.1.since(from.1).as_secs_f64();
    (blocks >= LEAST_BLOCKS && passed > 0.0).then(|| passed / blocks as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(turns: &[(f64, f64)]) -> Option<ObserverView> {
        let measure = ObserverMeasure {
            places: Vec::new(),
            turns: turns.to_vec(),
        };
        measure.view()
    }

    #[test]
    fn a_difference_comes_with_its_interval() {
        assert_eq!(view(&[(0.2, 0.2)]), None, "one turn has no interval");
        let slow = view(&[(0.202, 0.2), (0.204, 0.2), (0.206, 0.2), (0.204, 0.2)]).unwrap();
        assert!((slow.difference - 0.02).abs() < 1e-9, "{slow:?}");
        assert!(slow.interval.0 > 0.0 && slow.interval.1 < 0.04, "{slow:?}");
        assert!((slow.unwatched_interval - 200.0).abs() < 1e-6);
        let noise = view(&[(0.21, 0.2), (0.19, 0.2), (0.205, 0.2), (0.195, 0.2)]).unwrap();
        assert!(
            noise.interval.0 < 0.0 && noise.interval.1 > 0.0,
            "{noise:?}"
        );
    }

    #[test]
    fn stretches_of_few_blocks_say_nothing() {
        let at = Elapsed::from_millis;
        assert_eq!(mean((10, at(1_000)), (20, at(3_000))), Some(0.2));
        assert_eq!(mean((10, at(1_000)), (14, at(1_800))), None);
        assert_eq!(mean((20, at(1_000)), (10, at(1_800))), None);
    }
}
