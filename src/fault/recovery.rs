//! The recovery ladder of one shard: which step is next, and whether the last one brought it back. Pure: what is seen goes
//! in, what is to be journalled or done comes out, and only what was journalled changes where it stands.
//!
//! ```text
//!  idle --a finding that fails the gate--> set off --> step begun --> done, watched --steady blocks--> brought back
//!                                             ^                        |
//!                                             \---- did not help <-----/ ... no more steps: nothing helped
//! ```
//! Invariant: it is a fold over its own entries of the journal, so that a run that is taken over goes on where it was.

mod rungs;

use std::time::Duration;

pub use self::rungs::{Candidate, kind, planned, spare};
use crate::{
    ids::Height,
    journal::recovery::RecoveryStep,
    plan::{Plan, recovery::Rung},
    time::Elapsed,
};

/// Blocks in a row that make a steady stretch: the blocks of the recovery budget.
const STEADY: u64 = 10;
/// A shard is back at this share of its usual rate.
const RATE: f64 = 0.9;
/// One that makes blocks without a break for so many recovery budgets is back also where they come more slowly: nobody
/// would wipe a node of it.
const SETTLED: u32 = 3;

/// What is seen of a shard at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Now.
    pub now: Elapsed,
    /// Its newest block, and when that came.
    pub best: Option<(Height, Elapsed)>,
    /// The finding that sets the ladder off, if there is one now.
    pub finding: Option<&'a str>,
    /// Something is being done to its nodes: a fault, a snapshot, the step at hand.
    pub busy: bool,
    /// The usual time between two of its blocks.
    pub usual: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// This is to be journalled.
    Tell(RecoveryStep),
    /// The step of this place is to be begun, and that journalled.
    Begin(u32),
}

/// Blocks without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// The first of them.
    first: (Height, Elapsed),
    /// Where the stretch at hand begins.
    stretch: (Height, Elapsed),
    /// The last of them.
    last: (Height, Elapsed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A step is to be begun; behind the last one nothing helped.
    Due(u32),
    /// Its operations are carried out.
    Acting {
        place: u32,
        begun: Elapsed,
    },
    /// They are done.
    Watching {
        place: u32,
        begun: Elapsed,
        since: Elapsed,
    },
    /// All steps are used up: nothing more is done until the shard makes blocks by itself.
    GivenUp,
}

/// The ladder of one shard.
#[derive(Debug, Clone)]
pub struct Climb {
    steps: u32,
    patience: Duration,
    /// A wait for a block as long as this is a break.
    broken: Duration,
    settled: Duration,
    state: State,
    usual: Duration,
    row: Option<Row>,
    /// Steps begun so far, over the whole run.
    begun: u32,
}

impl Climb {
    /// Of a plan that has one.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let recovery = plan.recovery.as_ref()?;
        Some(Self {
            steps: u32::try_from(recovery.steps.len()).unwrap_or(u32::MAX),
            patience: recovery.patience,
            broken: plan.thresholds.stall_suspected,
            settled: plan.thresholds.recovery * SETTLED,
            state: State::Idle,
            usual: plan.clocks.block_interval,
            row: None,
            begun: 0,
        })
    }

    /// Whether the ladder is at work: nothing else is to be done to the shard meanwhile.
    #[must_use]
    pub fn climbs(&self) -> bool {
        !matches!(self.state, State::Idle | State::GivenUp)
    }

    /// Steps begun so far: the number of the next one, unique in the run.
    #[must_use]
    pub fn begun(&self) -> u32 {
        self.begun
    }

    /// Takes what was journalled.
    pub fn fold(&mut self, at: Elapsed, what: &RecoveryStep) {
        match what {
            RecoveryStep::SetOff { usual, .. } => {
                self.usual = *usual;
                self.state = State::Due(0);
            }
            RecoveryStep::Begun { place, .. } => {
                self.begun = self.begun.saturating_add(1);
                self.row = None;
                self.state = State::Acting {
                    place: *place,
                    begun: at,
                };
            }
            RecoveryStep::Skipped { place, .. } | RecoveryStep::DidNotHelp { place, .. } => {
                self.state = State::Due(place.saturating_add(1));
            }
            RecoveryStep::BroughtBack { .. } => self.state = State::Idle,
            RecoveryStep::NothingHelped => self.state = State::GivenUp,
        }
    }

    /// What is to be done now. It is asked again when that was journalled.
    pub fn look(&mut self, look: &Look<'_>) -> Option<Move> {
        match self.state {
            State::Idle => self.set_off(look).map(Move::Tell),
            State::Due(place) if place >= self.steps => {
                self.row = None;
                Some(Move::Tell(RecoveryStep::NothingHelped))
            }
            State::Due(place) => (!look.busy).then_some(Move::Begin(place)),
            State::Acting { place, begun } => {
                self.see(look, begun);
                if !look.busy {
                    let since = look.now;
                    self.state = State::Watching {
                        place,
                        begun,
                        since,
                    };
                }
                None
            }
            State::Watching {
                place,
                begun,
                since,
            } => {
                let back = self.see(look, begun);
                if let (true, Some(row)) = (back, self.row) {
                    return Some(Move::Tell(RecoveryStep::BroughtBack {
                        place,
                        height: row.first.0,
                        after: row.first.1.since(begun),
                    }));
                }
                let over = self.row.is_none() && look.now.since(since) >= self.patience;
                over.then(|| {
                    Move::Tell(RecoveryStep::DidNotHelp {
                        place,
                        after: look.now.since(begun),
                    })
                })
            }
            State::GivenUp => {
                if self.see(look, Elapsed::default()) {
                    self.row = None;
                    self.state = State::Idle;
                }
                None
            }
        }
    }

    fn set_off(&self, look: &Look<'_>) -> Option<RecoveryStep> {
        let (height, at) = look.best?;
        let stands = look.now.since(at) >= self.broken;
        let finding = look.finding.filter(|_| stands && !look.busy)?;
        Some(RecoveryStep::SetOff {
            finding: finding.to_owned(),
            height,
            usual: look.usual,
        })
    }

    /// Follows the blocks since a moment; whether there is a steady stretch.
    fn see(&mut self, look: &Look<'_>, from: Elapsed) -> bool {
        let Some(best) = look.best.filter(|(_, at)| *at > from) else {
            return false;
        };
        let anew = Row {
            first: best,
            stretch: best,
            last: best,
        };
        let mut row = match self.row {
            Some(row) if best.0 == row.last.0 => row,
            Some(row) if best.1.since(row.last.1) < self.broken => Row { last: best, ..row },
            _ => anew,
        };
        if look.now.since(row.last.1) >= self.broken {
            self.row = None;
            return false;
        }
        self.row = Some(row);
        let blocks = row.last.0.0.saturating_sub(row.stretch.0.0);
        if blocks < STEADY {
            return false;
        }
        let mean = row.last.1.since(row.stretch.1).as_secs_f64() / blocks as f64;
        row.stretch = row.last;
        self.row = Some(row);
        let usual = self.usual.as_secs_f64();
        mean * RATE <= usual || look.now.since(row.first.1) >= self.settled
    }
}

/// The step of a place.
#[must_use]
pub fn rung(plan: &Plan, place: u32) -> Option<&Rung> {
    let recovery = plan.recovery.as_ref()?;
    recovery.steps.get(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests;
