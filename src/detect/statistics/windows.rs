//! A long series in bounded memory: one point for each window of positions, windows doubling as the series grows.
//!
//! The position is a height, so that growth is growth per block. A window holds what merging keeps exact however long
//! it gets: least values (a sawtooth's teeth vanish) or sums (rates). Adding is O(1) amortised.

use serde::{Deserialize, Serialize};

use crate::{ids::Seq, time::Elapsed};

/// Windows kept at most; beyond it neighbours are merged in pairs. A slope gains little from more points, and a node's
/// series stay within a few kilobytes.
pub const POINTS: usize = 128;

/// What a window holds.
pub trait Merge {
    /// Takes what came later into this one.
    fn merge(&mut self, later: &Self);
}

/// Least values of some quantities, and the first observation in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "[u64; N]: Serialize",
    deserialize = "[u64; N]: Deserialize<'de>"
))]
pub struct Least<const N: usize> {
    /// The least value of each.
    pub least: [u64; N],
    /// When the window's first observation was made.
    pub at: Elapsed,
    /// ... and its entry.
    pub seq: Seq,
}

impl<const N: usize> Merge for Least<N> {
    fn merge(&mut self, later: &Self) {
        for (least, value) in self.least.iter_mut().zip(&later.least) {
            *least = (*least).min(*value);
        }
    }
}

/// An amount and the blocks that it was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Of what.
    pub amount: u64,
    /// Blocks.
    pub blocks: u64,
    /// When the window's first observation was made.
    pub at: Elapsed,
    /// ... and its entry.
    pub seq: Seq,
}

impl Merge for Rate {
    fn merge(&mut self, later: &Self) {
        self.amount = self.amount.saturating_add(later.amount);
        self.blocks = self.blocks.saturating_add(later.blocks);
    }
}

/// Windows over positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Windows<P> {
    first_length: u64,
    length: u64,
    points: Vec<(u64, P)>,
}

impl<P: Merge> Windows<P> {
    /// Empty; the first windows are this long.
    #[must_use]
    pub fn new(length: u64) -> Self {
        Self {
            first_length: length.max(1),
            length: length.max(1),
            points: Vec::new(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.length = self.first_length;
        self.points.clear();
    }

    /// Adds an observation; answers whether it is the first of a new window, so that the one before is complete.
    /// A position behind the last window is nobody's history any more and is left out.
    pub fn add(&mut self, position: u64, point: P) -> bool {
        if let Some((index, held)) = self.points.last_mut() {
            // The common case needs no division.
            let start = *index * self.length;
            if position >= start && position - start < self.length {
                held.merge(&point);
                return false;
            }
            if position < start {
                return false;
            }
        }
        self.points.push((position / self.length, point));
        let completed = self.points.len() > 1;
        while self.points.len() > POINTS {
            self.double();
        }
        completed
    }

    fn double(&mut self) {
        let Some(length) = self.length.checked_mul(2) else {
            self.clear();
            return;
        };
        self.length = length;
        let mut kept = 0;
        for place in 0..self.points.len() {
            let index = self.points[place].0 / 2;
            if kept > 0 && self.points[kept - 1].0 == index {
                let (before, after) = self.points.split_at_mut(place);
                before[kept - 1].1.merge(&after[0].1);
            } else {
                self.points.swap(kept, place);
                self.points[kept].0 = index;
                kept += 1;
            }
        }
        self.points.truncate(kept);
    }

    /// Positions of a window.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The complete windows: each with its number, which counts windows from position 0. The last is still open.
    #[must_use]
    pub fn complete(&self) -> &[(u64, P)] {
        &self.points[..self.points.len().saturating_sub(1)]
    }

    /// All windows, the open one too.
    #[must_use]
    pub fn all(&self) -> &[(u64, P)] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn least(value: u64) -> Least<1> {
        Least {
            least: [value],
            at: Elapsed::default(),
            seq: Seq(0),
        }
    }

    #[test]
    fn memory_is_bounded_and_the_least_values_are_exact() {
        let mut windows = Windows::new(5);
        for position in 0..1_000_000_u64 {
            windows.add(position, least(position));
        }
        assert!(windows.all().len() <= POINTS && windows.all().len() > POINTS / 2);
        for (index, point) in windows.all() {
            assert_eq!(point.least, [index * windows.length()]);
        }
    }

    proptest! {
        #[test]
        fn as_if_all_had_been_sorted_into_windows_of_the_last_length(
            steps in proptest::collection::vec((0_u64..90, 0_u64..100), 1..2000),
            first in 1_u64..40,
        ) {
            let mut windows = Windows::new(first);
            let (mut position, mut all) = (0, std::collections::BTreeMap::<u64, u64>::new());
            for (step, value) in steps {
                position += step;
                windows.add(position, least(value));
                let known = all.entry(position).or_insert(value);
                *known = value.min(*known);
            }
            let mut expected = std::collections::BTreeMap::<u64, u64>::new();
            for (position, value) in all {
                let known = expected.entry(position / windows.length()).or_insert(value);
                *known = value.min(*known);
            }
            let held: Vec<(u64, u64)> = windows.all().iter().map(|(index, point)| (*index, point.least[0])).collect();
            prop_assert!(held.len() <= POINTS);
            prop_assert_eq!(held, expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_positions_are_taken(positions in proptest::collection::vec(any::<u64>(), 0..400)) {
            let mut windows = Windows::new(3);
            for position in positions {
                windows.add(position, least(position));
            }
            prop_assert!(windows.all().len() <= POINTS);
            prop_assert!(windows.all().is_sorted_by_key(|(index, _)| *index));
        }
    }
}
