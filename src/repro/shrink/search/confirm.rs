//! The smallest accepted shape that is confirmed: the last one if it is, else by halving what is between.

use super::{Accepted, End};

/// Which accepted shape is being confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confirming {
    /// The largest place that was confirmed.
    holds: Option<usize>,
    /// The smallest place that was not.
    fails: Option<usize>,
    last: usize,
    why: End,
}

impl Confirming {
    /// From the last accepted one on.
    pub(super) fn of(last: usize, why: End) -> Self {
        Self {
            holds: None,
            fails: None,
            last,
            why,
        }
    }

    /// Why the search for smaller ones ended.
    pub(super) fn why(&self) -> End {
        self.why
    }

    /// The place to be confirmed now; `None` when nothing between yes and no is left.
    pub(super) fn at(&self) -> Option<usize> {
        let first = self.holds.map_or(0, |holds| holds + 1);
        match self.fails {
            None if self.holds.is_some() => None,
            None => Some(self.last),
            Some(fails) if first >= fails => None,
            Some(fails) => Some(first + (fails - first) / 2),
        }
    }

    /// Whether that place holds.
    pub(super) fn told(&mut self, holds: bool) {
        let Some(at) = self.at() else { return };
        if holds {
            self.holds = Some(at);
        } else {
            self.fails = Some(at);
        }
    }

    /// The smallest that was confirmed; where none was, the one that showed it in the largest share of its tries, of
    /// equal ones the smallest.
    pub(super) fn chosen(&self, accepted: &[Accepted]) -> usize {
        if let Some(holds) = self.holds {
            return holds;
        }
        let share = |one: &Accepted| match one.confirmed {
            (_, 0) => None,
            (shown, counted) => Some(f64::from(shown) / f64::from(counted)),
        };
        let tried = accepted
            .iter()
            .enumerate()
            .filter_map(|(place, one)| Some((place, share(one)?)));
        tried
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map_or(self.last, |(place, _)| place)
    }
}
