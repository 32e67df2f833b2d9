//! The steps that make a shape smaller, one phase after the other.

use std::{collections::VecDeque, time::Duration};

use super::{
    super::{Problem, Shape, Soak, ddmin::Ddmin, halving::Halving},
    Step,
};

/// A soak lasts half as long again as the finding took, and this much longer: the next run may be slower.
const SPARE: Duration = Duration::from_secs(5);

/// A network is given this long before its first fault: its leader is known by then.
const LEAD: Duration = Duration::from_secs(2);

/// Load is lowered in steps of this many percent.
const LOAD_STEP: u64 = 25;

/// What the search is at. Steps that change a number work on it in the unit that the phase says.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Start(VecDeque<Shape>),
    /// The soak up to the finding; and whether episodes are still to come.
    Soak(Option<Soak>, bool),
    Shards(Halving, Vec<u64>),
    Episodes(Episodes),
    Explorers(Halving),
    Validators(Halving),
    /// In percent.
    Load(Halving),
    /// Milliseconds from the soak's begin to the first fault, and when that was recorded.
    Earlier(Halving, Duration),
    Over,
}

/// Guesses first, then delta debugging of what is left.
#[derive(Debug, Clone)]
pub(super) struct Episodes {
    guesses: VecDeque<Vec<usize>>,
    ddmin: Ddmin,
    guessed: bool,
}

impl Phase {
    /// The next smaller shape of this phase.
    pub(super) fn propose(&mut self, best: Option<&Shape>) -> Option<(Shape, Step)> {
        if let Self::Start(starts) = self {
            return starts.front().cloned().map(|shape| (shape, Step::Start));
        }
        let mut shape = best?.clone();
        let step = match self {
            Self::Start(_) | Self::Over => return None,
            Self::Soak(soak, _) => {
                shape.soak = Some((*soak)?);
                Step::Soak
            }
            Self::Shards(halving, needs) => {
                let shards = halving.propose()?;
                shape.shards = shards;
                // What is done to shards that are not there is not done.
                shape
                    .episodes
                    .retain(|place| needs.get(*place).is_none_or(|needed| *needed <= shards));
                Step::Shards
            }
            Self::Episodes(episodes) => {
                shape.episodes = episodes.propose()?;
                Step::Episodes
            }
            Self::Explorers(halving) => {
                shape.explorers = small(halving.propose()?);
                Step::Nodes
            }
            Self::Validators(halving) => {
                shape.validators = small(halving.propose()?);
                Step::Nodes
            }
            Self::Load(halving) => {
                shape.load = small(halving.propose()?);
                Step::Load
            }
            Self::Earlier(halving, recorded) => {
                let first = Duration::from_millis(halving.propose()?);
                shape.earlier = recorded.saturating_sub(first);
                Step::Earlier
            }
        };
        Some((shape, step))
    }

    /// Whether the last proposal still shows it.
    pub(super) fn told(&mut self, shows: bool) {
        match self {
            Self::Start(starts) if shows => starts.clear(),
            Self::Start(starts) => {
                starts.pop_front();
            }
            Self::Soak(soak, _) => *soak = None,
            Self::Episodes(episodes) => episodes.told(shows),
            Self::Shards(halving, _)
            | Self::Explorers(halving)
            | Self::Validators(halving)
            | Self::Load(halving)
            | Self::Earlier(halving, _) => halving.told(shows),
            Self::Over => {}
        }
    }

    /// The phase after this one; `None` after the last. `soak` is what the best needs of it.
    pub(super) fn after(&self, problem: &Problem, best: &Shape, soak: Duration) -> Option<Self> {
        let number = |number: u32| u64::from(number);
        Some(match self {
            Self::Start(_) => Self::Soak(shorter(best, soak), true),
            Self::Soak(_, true) => {
                let needs = problem.episodes.iter().map(|one| one.shards).collect();
                let halving = Halving::new(best.shards, problem.least_shards.max(1), 1);
                Self::Shards(halving, needs)
            }
            Self::Shards(..) => Self::Episodes(Episodes::of(problem, best)),
            Self::Episodes(_) => {
                let least = nodes(problem, best).saturating_sub(number(best.validators));
                Self::Explorers(Halving::new(number(best.explorers), least, 1))
            }
            Self::Explorers(_) => {
                let needed = nodes(problem, best).saturating_sub(number(best.explorers));
                let least = needed.max(number(problem.least_validators)).max(1);
                Self::Validators(Halving::new(number(best.validators), least, 1))
            }
            Self::Validators(_) => {
                let least = number(problem.least_load);
                Self::Load(Halving::new(number(best.load), least, LOAD_STEP))
            }
            Self::Load(_) => {
                let times = best
                    .episodes
                    .iter()
                    .filter_map(|place| problem.episodes.get(*place)?.time);
                let first = times.map(|(begin, _)| begin).min().unwrap_or_default();
                let now = millis(first.saturating_sub(best.earlier));
                let step = (now / 4).max(1_000);
                Self::Earlier(Halving::new(now, millis(LEAD), step), first)
            }
            Self::Earlier(..) => Self::Soak(shorter(best, soak), false),
            Self::Soak(_, false) | Self::Over => return None,
        })
    }
}

impl Episodes {
    /// None at all, those in the chain of causes, the last one that began; then by parts.
    fn of(problem: &Problem, best: &Shape) -> Self {
        let among = |places: &[usize]| -> Vec<usize> {
            let left = best.episodes.iter().copied();
            left.filter(|place| places.contains(place)).collect()
        };
        let last = best.episodes.last().copied();
        let mut guesses: Vec<Vec<usize>> = vec![
            Vec::new(),
            among(&problem.suspects),
            last.into_iter().collect(),
        ];
        guesses.dedup();
        guesses.retain(|guess| guess.len() < best.episodes.len());
        Self {
            guesses: guesses.into(),
            ddmin: Ddmin::new(best.episodes.clone()),
            guessed: false,
        }
    }

    fn propose(&mut self) -> Option<Vec<usize>> {
        self.guessed = !self.guesses.is_empty();
        match self.guesses.front() {
            Some(guess) => Some(guess.clone()),
            None => self.ddmin.propose(),
        }
    }

    fn told(&mut self, shows: bool) {
        if !self.guessed {
            self.ddmin.told(shows);
            return;
        }
        let guess = self.guesses.pop_front().unwrap_or_default();
        if shows {
            self.guesses.retain(|other| other.len() < guess.len());
            self.ddmin = Ddmin::new(guess);
        }
    }
}

/// The soak that a shape needs: past the finding, and past the heal of its last fault.
pub(super) fn soak_of(problem: &Problem, shape: &Shape, soaked: Duration) -> Duration {
    let times = shape
        .episodes
        .iter()
        .filter_map(|place| problem.episodes.get(*place)?.time);
    let healed = times
        .map(|(_, end)| end.saturating_sub(shape.earlier))
        .max();
    let found = soaked + soaked / 2 + SPARE;
    let soak = found.max(healed.unwrap_or_default());
    // Whole seconds read better in a plan.
    Duration::from_secs(soak.as_secs() + u64::from(soak.subsec_nanos() > 0))
}

/// That soak, where it is worth a try: shorter by a tenth.
fn shorter(best: &Shape, soak: Duration) -> Option<Soak> {
    match best.soak {
        Some(now) if soak * 10 > now.0 * 9 => None,
        _ => Some(Soak(soak)),
    }
}

/// The fewest nodes of a shard that has all targets.
fn nodes(problem: &Problem, best: &Shape) -> u64 {
    let left = best
        .episodes
        .iter()
        .filter_map(|place| problem.episodes.get(*place));
    left.map(|one| u64::from(one.nodes))
        .max()
        .unwrap_or_default()
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
