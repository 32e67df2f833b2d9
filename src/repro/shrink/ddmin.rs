//! Delta debugging over a set: parts of it, then what is left without each part, in ever finer parts. Pure.
//!
//! After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002). What is left at the end is
//! one-minimal: without any single one of it the oracle said no.

/// The search, to be told of each proposal whether it still shows what is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddmin {
    current: Vec<usize>,
    /// Into how many parts the current set is divided.
    parts: usize,
    /// Which proposal of this division is next: first the parts alone, then the set without each.
    next: usize,
}

impl Ddmin {
    /// Of a set that shows it, in the order in which its members matter less and less: the last part is tried first,
    /// because what happened last before a finding is most likely its cause.
    #[must_use]
    pub fn new(current: Vec<usize>) -> Self {
        Self {
            parts: current.len().min(2),
            current,
            next: 0,
        }
    }

    /// What is to be tried next; `None` when nothing smaller is left to try.
    pub fn propose(&mut self) -> Option<Vec<usize>> {
        let length = self.current.len();
        loop {
            if length == 0 {
                return None;
            }
            while self.next < 2 * self.parts {
                // One part alone is the whole set; of two, what is left without one is the other.
                let skip = match self.parts {
                    1 => self.next == 0,
                    2 => self.next >= 2,
                    _ => false,
                };
                if !skip {
                    return Some(self.candidate());
                }
                self.next += 1;
            }
            if self.parts >= length {
                return None;
            }
            self.parts = (self.parts * 2).min(length);
            self.next = 0;
        }
    }

    /// Whether the last proposal shows it.
    pub fn told(&mut self, shows: bool) {
        if !shows {
            self.next += 1;
            return;
        }
        let alone = self.next < self.parts;
        self.current = self.candidate();
        let parts = if alone { 2 } else { (self.parts - 1).max(2) };
        self.parts = parts.min(self.current.len());
        self.next = 0;
    }

    fn candidate(&self) -> Vec<usize> {
        let length = self.current.len();
        let bounds = |part: usize| (length * part / self.parts)..(length * (part + 1) / self.parts);
        if self.next < self.parts {
            self.current[bounds(self.parts - 1 - self.next)].to_vec()
        } else {
            let without = bounds(self.next - self.parts);
            let members = self.current.iter().enumerate();
            members
                .filter(|(place, _)| !without.contains(place))
                .map(|(_, member)| *member)
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reduces with an oracle that is never wrong; answers what is left and what was tried.
    fn reduce(all: usize, shows: impl Fn(&[usize]) -> bool) -> (Vec<usize>, Vec<Vec<usize>>) {
        let mut ddmin = Ddmin::new((0..all).collect());
        let mut tried = Vec::new();
        while let Some(candidate) = ddmin.propose() {
            ddmin.told(shows(&candidate));
            tried.push(candidate);
        }
        (ddmin.current, tried)
    }

    #[test]
    fn the_last_of_eight_is_found_by_halving() {
        let (left, tried) = reduce(8, |set| set.contains(&7));
        assert_eq!(left, [7]);
        assert_eq!(tried.len(), 4, "{tried:?}");
    }

    #[test]
    fn none_at_all_may_be_enough() {
        assert_eq!(reduce(5, |_| true).0, [] as [usize; 0]);
        assert_eq!(reduce(0, |_| true).1.len(), 0);
        assert_eq!(reduce(1, |set| !set.is_empty()).0, [0]);
    }

    proptest! {
        #[test]
        fn just_what_is_needed_is_left(all in 1_usize..20, needed in prop::collection::btree_set(0_usize..20, 0..5)) {
            let needed: Vec<usize> = needed.into_iter().filter(|one| *one < all).collect();
            let (left, tried) = reduce(all, |set| needed.iter().all(|one| set.contains(one)));
            prop_assert_eq!(left, needed);
            prop_assert!(tried.len() <= all * all + 3 * all, "{} tries", tried.len());
        }

        #[test]
        fn what_is_left_is_one_minimal_whatever_the_oracle(all in 1_usize..10, salt in any::<u64>()) {
            // Any function of the set, with nothing monotone about it; the whole shows it.
            let shows = |set: &[usize]| {
                let mixed = set.iter().fold(salt, |mixed, one| (mixed ^ *one as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                set.len() == all || mixed >> 62 == 0
            };
            let (left, _) = reduce(all, shows);
            prop_assert!(shows(&left));
            for place in 0..left.len() {
                let mut fewer = left.clone();
                fewer.remove(place);
                prop_assert!(!shows(&fewer), "{left:?} without its {place}");
            }
        }
    }
}
