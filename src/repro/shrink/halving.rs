//! The smallest number that still shows it: the least first, then by halving what is left between no and yes. Pure.

/// The search over one number, to be told of each proposal whether it still shows what is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halving {
    least: u64,
    /// The largest that did not show it.
    failing: Option<u64>,
    /// The smallest that did.
    showing: u64,
    /// Two numbers that are this close are not worth a try between them.
    step: u64,
}

impl Halving {
    /// From a number that shows it down to `least`.
    #[must_use]
    pub fn new(showing: u64, least: u64, step: u64) -> Self {
        Self {
            least,
            failing: None,
            showing,
            step: step.max(1),
        }
    }

    /// What is to be tried next; `None` when it is found.
    #[must_use]
    pub fn propose(&self) -> Option<u64> {
        match self.failing {
            _ if self.showing <= self.least => None,
            None => Some(self.least),
            Some(failing) if self.showing.saturating_sub(failing) <= self.step => None,
            Some(failing) => Some(failing + (self.showing - failing) / 2),
        }
    }

    /// Whether the last proposal shows it.
    pub fn told(&mut self, shows: bool) {
        let Some(proposed) = self.propose() else {
            return;
        };
        if shows {
            self.showing = proposed;
        } else {
            self.failing = Some(proposed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_smallest_is_found_within_a_step(showing in 0_u64..10_000, least in 0_u64..10_000, needed in 0_u64..10_000, step in 1_u64..100) {
            let needed = needed.clamp(least.min(showing), showing);
            let mut halving = Halving::new(showing, least, step);
            let mut tries = 0;
            while let Some(proposed) = halving.propose() {
                prop_assert!((least..showing).contains(&proposed));
                halving.told(proposed >= needed);
                tries += 1;
                prop_assert!(tries <= 16);
            }
            prop_assert!(halving.showing >= needed);
            prop_assert!(halving.showing <= needed.max(least) + step || halving.showing == showing && showing <= least);
        }
    }
}
