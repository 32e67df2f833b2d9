//! The search for the smallest shape: what to try next, given what all tries so far came to. A pure state machine.
//!
//! ```text
//!  start -> soak -> shards -> episodes -> nodes -> load -> earlier -> soak -> confirm -> done
//!     \________\_______\__________\_________\_______\_________\________\-- the budget --^
//! ```
//! What makes tries cheap comes first: a short soak, few containers. Each step changes one thing of the smallest shape
//! so far, and keeps the change if the finding is still shown. A step that was kept by luck shows when the smallest is
//! confirmed: then the search goes back to the smallest accepted shape that is confirmed, by halving.

mod confirm;
mod steps;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use serde::Serialize;

use self::{
    confirm::Confirming,
    steps::{Phase, soak_of},
};
use super::{Limits, Problem, Shape};

/// So many tries that do not count, one after the other, end the search: the machine is at fault.
const VOID_IN_A_ROW: u32 = 3;

/// What one try is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Whether the recorded plan shows it again at all.
    Start,
    /// Fewer shards.
    Shards,
    /// Fewer faults.
    Episodes,
    /// Fewer nodes.
    Nodes,
    /// Less load.
    Load,
    /// Faults sooner.
    Earlier,
    /// A shorter soak.
    Soak,
    /// How surely the smallest shows it.
    Confirm,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Make a try of this shape, and tell what it came to.
    Try {
        /// The shape.
        shape: Shape,
        /// What for.
        step: Step,
    },
    /// Nothing more.
    Done(End),
}

/// Why the search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// No step makes it smaller.
    Smallest,
    /// The budget is spent: a longer search might find a smaller one.
    Budget,
    /// The recorded plan did not show it again.
    NeverShown,
    /// Tries did not count, one after the other.
    Void,
}

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The finding was there.
    Shown {
        /// So long after the soak began; zero if before.
        soaked: Duration,
    },
    /// It was not.
    Clean,
    /// Nothing can be said: host, engine or canary failed.
    Void,
    /// There is no such plan; nothing was tried.
    Impossible,
}

/// A shape that showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Accepted {
    shape: Shape,
    /// Latest moment of the soak at which it was shown.
    soaked: Duration,
    /// Tries for its confirmation: shown, counted.
    confirmed: (u32, u32),
}

/// A shape under trial.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    shape: Shape,
    step: Step,
    tries: u32,
}

/// The search.
#[derive(Debug, Clone)]
pub struct Search {
    problem: Problem,
    limits: Limits,
    phase: Phase,
    pending: Option<Pending>,
    /// Each smaller than the one before.
    accepted: Vec<Accepted>,
    rejected: BTreeSet<Shape>,
    confirming: Option<Confirming>,
    void_in_a_row: u32,
    /// What the dearest try cost, and the dearest that showed it.
    dearest: (Duration, Duration),
    end: Option<End>,
}

impl Search {
    /// A search that has tried nothing yet.
    #[must_use]
    pub fn new(problem: Problem, limits: Limits) -> Self {
        let mut starts = VecDeque::from([problem.until_noticed.clone()]);
        if problem.whole != problem.until_noticed {
            starts.push_back(problem.whole.clone());
        }
        Self {
            problem,
            limits,
            phase: Phase::Start(starts),
            pending: None,
            accepted: Vec::new(),
            rejected: BTreeSet::new(),
            confirming: None,
            void_in_a_row: 0,
            dearest: (Duration::ZERO, Duration::ZERO),
            end: None,
        }
    }

    /// What to do next, after so much of the budget is spent. Asked again without an answer, it says the same.
    pub fn next(&mut self, spent: Duration) -> Next {
        loop {
            if let Some(end) = self.end {
                return Next::Done(end);
            }
            if self.confirming.is_some() {
                return self.confirm(spent);
            }
            if self.is_spent(spent) {
                self.phase = Phase::Over;
                self.pending = None;
                self.after_the_last(End::Budget);
                continue;
            }
            match self.pending.take().or_else(|| self.propose()) {
                Some(pending) => {
                    let (shape, step) = (pending.shape.clone(), pending.step);
                    self.pending = Some(pending);
                    return Next::Try { shape, step };
                }
                None => self.after_the_last(End::Smallest),
            }
        }
    }

    /// What the try came to, and what it cost.
    pub fn told(&mut self, told: Told, cost: Duration) {
        if told != Told::Impossible {
            self.dearest.0 = self.dearest.0.max(cost);
        }
        match told {
            Told::Void => {
                self.void_in_a_row += 1;
                if self.void_in_a_row >= VOID_IN_A_ROW {
                    self.end = Some(End::Void);
                }
                return;
            }
            Told::Shown { .. } => self.dearest.1 = self.dearest.1.max(cost),
            Told::Clean | Told::Impossible => {}
        }
        self.void_in_a_row = 0;
        if self.confirming.is_some() {
            self.confirmed(told);
            return;
        }
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        pending.tries += 1;
        match told {
            Told::Shown { soaked } => {
                self.accepted.push(Accepted {
                    shape: pending.shape,
                    soaked,
                    confirmed: (0, 0),
                });
                self.phase.told(true);
            }
            Told::Clean if pending.tries < self.tries_of(pending.step) => {
                self.pending = Some(pending);
            }
            _ => {
                self.rejected.insert(pending.shape);
                self.phase.told(false);
            }
        }
    }

    /// The smallest shape that showed it, so far; once the search is over, the smallest that was confirmed.
    #[must_use]
    pub fn best(&self) -> Option<&Shape> {
        Some(&self.accepted.get(self.chosen()?)?.shape)
    }

    /// In how many tries of how many the best showed it when it was confirmed.
    #[must_use]
    pub fn confirmation(&self) -> (u32, u32) {
        let best = self.chosen().and_then(|place| self.accepted.get(place));
        best.map_or((0, 0), |best| best.confirmed)
    }

    /// Whether the best showed it as often as was asked for.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmation().0 >= self.limits.least
    }

    fn chosen(&self) -> Option<usize> {
        let last = self.accepted.len().checked_sub(1)?;
        Some(
            self.confirming
                .as_ref()
                .map_or(last, |confirming| confirming.chosen(&self.accepted)),
        )
    }

    /// Tries without the finding after which a shape is too small. What makes a plan little simpler is given up at the
    /// first: less load or an earlier fault often shows the finding still, and less surely.
    fn tries_of(&self, step: Step) -> u32 {
        match step {
            Step::Start | Step::Shards | Step::Episodes => self.limits.tries,
            Step::Nodes | Step::Load | Step::Earlier | Step::Soak | Step::Confirm => 1,
        }
    }

    /// Whether the budget is to be kept for what confirms, or is over.
    fn is_spent(&self, spent: Duration) -> bool {
        let (dearest, shown) = self.dearest;
        let kept = if self.accepted.is_empty() {
            Duration::ZERO
        } else {
            dearest + shown * self.limits.of
        };
        spent >= self.limits.budget || spent.saturating_add(kept) > self.limits.budget
    }

    /// The next shape that was not rejected before, of this phase or one after it.
    fn propose(&mut self) -> Option<Pending> {
        loop {
            let best = self.accepted.last();
            let Some((shape, step)) = self.phase.propose(best.map(|best| &best.shape)) else {
                self.next_phase()?;
                continue;
            };
            if !self.rejected.contains(&shape) {
                return Some(Pending {
                    shape,
                    step,
                    tries: 0,
                });
            }
            self.phase.told(false);
        }
    }

    /// `None` after the last phase, or when the start did not show it.
    fn next_phase(&mut self) -> Option<()> {
        let best = self.accepted.last()?;
        let soak = soak_of(&self.problem, &best.shape, best.soaked);
        self.phase = self.phase.after(&self.problem, &best.shape, soak)?;
        Some(())
    }

    /// All steps are done, or the budget is: what is left is confirmed.
    fn after_the_last(&mut self, why: End) {
        match self.accepted.len().checked_sub(1) {
            Some(last) => self.confirming = Some(Confirming::of(last, why)),
            None => {
                self.end = Some(match why {
                    End::Smallest => End::NeverShown,
                    other => other,
                });
            }
        }
    }

    fn confirm(&mut self, spent: Duration) -> Next {
        let Some(confirming) = &self.confirming else {
            return Next::Done(End::Smallest);
        };
        let end = match confirming.at() {
            None => confirming.why(),
            Some(_) if spent >= self.limits.budget => End::Budget,
            Some(at) => {
                if let Some(accepted) = self.accepted.get(at) {
                    return Next::Try {
                        shape: accepted.shape.clone(),
                        step: Step::Confirm,
                    };
                }
                confirming.why()
            }
        };
        self.end = Some(end);
        Next::Done(end)
    }

    fn confirmed(&mut self, told: Told) {
        let Some(confirming) = &mut self.confirming else {
            return;
        };
        let Some(accepted) = confirming.at().and_then(|at| self.accepted.get_mut(at)) else {
            return;
        };
        let (shown, counted) = &mut accepted.confirmed;
        *counted += 1;
        if let Told::Shown { soaked } = told {
            *shown += 1;
            accepted.soaked = accepted.soaked.max(soaked);
        }
        if *shown >= self.limits.least {
            confirming.told(true);
        } else if *counted - *shown > self.limits.of - self.limits.least {
            confirming.told(false);
        }
    }
}

#[cfg(test)]
mod tests;
