//! How fast the machine is, told by work that is always the same.
//!
//! A block costs a node more processor time on a machine whose caches, clock rates and sibling threads are shared with
//! neighbours: by a third and for hours, as measured beside compilers. The watcher asks as many questions in each second
//! of a run as in any other, so that what a second of watching costs says what the machine makes of the same work; by
//! that nodes' processor time is held against that of other hours.

use serde::{Deserialize, Serialize};

use crate::{
    detect::statistics::{Rate, Windows, median},
    ids::Seq,
    journal::event::Cost,
    time::Elapsed,
};

/// The first windows, in seconds: some looks at the cost of watching each.
const SECONDS: u64 = 20;
/// Windows without which nobody knows what is usual.
const LEAST: usize = 4;
/// Windows on either side of one that say with it what watching cost then: a second of trouble is no measure.
const NEIGHBOURS: usize = 2;

/// What watching costs over time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Yardstick {
    windows: Windows<Rate>,
    /// When the cost was seen before, and the watcher's processor time then, both in microseconds.
    before: Option<(u64, u64)>,
}

impl Yardstick {
    pub(super) fn new() -> Self {
        Self {
            windows: Windows::new(SECONDS),
            before: None,
        }
    }

    /// What was before is another stage's.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) fn fold(&mut self, cost: &Cost, now: Elapsed, seq: Seq) {
        let at = now.0;
        let Some((since, known)) = self.before.replace((at, cost.watcher_cpu)) else {
            return;
        };
        // A counter that goes back is another watcher's.
        let Some(amount) = cost.watcher_cpu.checked_sub(known) else {
            return;
        };
        let rate = Rate {
            amount,
            blocks: at.saturating_sub(since),
            at: now,
            seq,
        };
        self.windows.add(at / 1_000_000, rate);
    }

    /// Divides each of the values, which are processor time, by how much dearer than usual the machine was between its
    /// moment and the next.
    pub(super) fn correct(&self, points: &mut [(f64, f64)], marks: &[(Elapsed, Seq)]) {
        let raw: Vec<(u64, f64)> = self
            .windows
            .complete()
            .iter()
            .filter(|(_, rate)| rate.amount > 0 && rate.blocks > 0)
            .map(|(window, rate)| {
                let second = window.saturating_mul(self.windows.length());
                (second, rate.amount as f64 / rate.blocks as f64)
            })
            .collect();
        if raw.len() < LEAST {
            return;
        }
        let costs: Vec<(u64, f64)> = raw
            .iter()
            .enumerate()
            .filter_map(|(place, (second, _))| {
                let around =
                    place.saturating_sub(NEIGHBOURS)..raw.len().min(place + NEIGHBOURS + 1);
                let mut around: Vec<f64> = raw[around].iter().map(|(_, cost)| *cost).collect();
                median(&mut around).map(|cost| (*second, cost))
            })
            .collect();
        let mut sorted: Vec<f64> = costs.iter().map(|(_, cost)| *cost).collect();
        let Some(usual) = median(&mut sorted) else {
            return;
        };
        for (place, (_, value)) in points.iter_mut().enumerate() {
            let second =
                |mark: Option<&(Elapsed, Seq)>| mark.map_or(u64::MAX, |(at, _)| at.0 / 1_000_000);
            let (from, to) = (second(marks.get(place)), second(marks.get(place + 1)));
            let first = costs
                .partition_point(|(at, _)| *at <= from)
                .saturating_sub(1);
            let last = costs.partition_point(|(at, _)| *at < to).max(first + 1);
            let among = &costs[first..last];
            let cost = among.iter().map(|(_, cost)| cost).sum::<f64>() / among.len() as f64;
            *value *= usual / cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::statistics::Line;

    fn seconds(seconds: u64) -> Elapsed {
        Elapsed::from_secs(seconds)
    }

    /// Ten minutes in which all work comes to cost half as much again; `own` is what the node's own work grows to.
    fn line(own: f64, watched: bool) -> Line {
        let dearer = |second: u64| 1.0 + 0.5 * second as f64 / 600.0;
        // For twenty seconds the watcher has trouble of its own.
        let trouble = |second: u64| {
            if (300..320).contains(&second) {
                4.0
            } else {
                1.0
            }
        };
        let mut yardstick = Yardstick::new();
        let mut spent = 0.0;
        for second in (0..600).step_by(5) {
            spent += 5.0 * 25_000.0 * dearer(second) * trouble(second);
            let cost = Cost {
                watcher_cpu: if watched { spent as u64 } else { 0 },
                ..Cost::default()
            };
            yardstick.fold(&cost, seconds(second), Seq(second));
        }
        let grows = |second: u64| 1.0 + (own - 1.0) * second as f64 / 600.0;
        let (mut points, marks): (Vec<_>, Vec<_>) = (0..600)
            .step_by(10)
            .map(|second| {
                let value = 14_000.0 * dearer(second) * grows(second);
                ((second as f64 * 5.0, value), (seconds(second), Seq(second)))
            })
            .unzip();
        yardstick.correct(&mut points, &marks);
        let values = points.iter().map(|(_, value)| *value);
        let least = values.min_by(f64::total_cmp).unwrap_or(0.0);
        assert!(least > 9_000.0, "no value is far from the others: {least}");
        Line::of(&points, 1.0).expect("points enough")
    }

    #[test]
    fn a_slower_machine_is_no_creep_and_a_creep_is_one_on_a_slower_machine() {
        let (slower, both) = (line(1.0, true), line(1.5, true));
        assert!(slower.rise().abs() < 0.02 * slower.end, "{slower:?}");
        let start = both.end - both.rise();
        assert!((1.4..1.6).contains(&(both.end / start)), "{both:?}");
    }

    #[test]
    fn without_a_yardstick_values_stay_as_they_are() {
        let line = line(1.0, false);
        let start = line.end - line.rise();
        assert!((1.4..1.6).contains(&(line.end / start)), "{line:?}");
    }
}
