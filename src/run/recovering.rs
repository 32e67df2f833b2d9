//! The recovery ladder in a run: what is seen of shards goes in, steps are carried out as faults are, and all is journalled.
//! Which step is next is decided in [`crate::fault::recovery`].

use std::collections::BTreeMap;

use super::{conductor::Conductor, error::RunError};
use crate::{
    fault::recovery::{Candidate, Climb, Look, Move, planned, rung, spare},
    ids::{NodeName, ShardId},
    journal::{Event, event::Stage, recovery::RecoveryStep, text::clean},
    plan::{Plan, recovery::Rung},
    report::text::count,
    time::{Elapsed, human},
};

/// Longest text about a step.
const LONGEST: usize = 300;

/// The ladders of all shards; none where the plan has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovering {
    climbs: BTreeMap<ShardId, Climb>,
}

impl Recovering {
    pub(super) fn of(plan: &Plan) -> Self {
        let nodes = plan.network.nodes.iter();
        let climbs = nodes.filter_map(|node| Some((node.shard, Climb::of(plan)?)));
        Self {
            climbs: climbs.collect(),
        }
    }

    /// Takes what was journalled, in this process or one before it.
    pub(super) fn fold(&mut self, at: Elapsed, event: &Event) {
        if let Event::Recovery { shard, what } = event
            && let Some(climb) = self.climbs.get_mut(shard)
        {
            climb.fold(at, what);
        }
    }

    /// Whether any is at work.
    pub(super) fn climbs(&self) -> bool {
        self.climbs.values().any(Climb::climbs)
    }
}

impl Conductor {
    /// Looks at all shards, and does what their ladders want.
    pub(super) fn recovery_due(&mut self) -> Result<(), RunError> {
        if self.recovering.climbs.is_empty() || self.stage != Stage::Soak {
            return Ok(());
        }
        let shards: Vec<ShardId> = self.recovering.climbs.keys().copied().collect();
        for shard in shards {
            // One move after the other: a step that cannot be tried is followed by the next one at once.
            while let Some(what) = self.next_move(shard) {
                let sets_off = matches!(what, Move::Tell(RecoveryStep::SetOff { .. }));
                let what = match what {
                    Move::Tell(what) => what,
                    Move::Begin(place) => self.begin_step(shard, place)?,
                };
                self.note(&told(&self.plan, shard, &what));
                let event = Event::Recovery { shard, what };
                self.record(event.clone())?;
                self.recovering.fold(self.appended, &event);
                self.reserve_shards();
                // The first step is no part of the moment at which the finding was there.
                if sets_off {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A run that is taken over: where the ladders stood.
    pub(super) fn resume_recovery(&mut self, steps: &[(Elapsed, Event)]) {
        for (at, event) in steps {
            self.recovering.fold(*at, event);
        }
        self.reserve_shards();
    }

    fn reserve_shards(&mut self) {
        let climbs = self.recovering.climbs.iter();
        let at_work = climbs.filter(|(_, climb)| climb.climbs());
        self.faults
            .reserve(at_work.map(|(shard, _)| *shard).collect());
    }

    fn next_move(&mut self, shard: ShardId) -> Option<Move> {
        let recovery = self.plan.recovery.as_ref()?;
        let now = self.clock.elapsed();
        let world = self.judge.world();
        let known = world.shards.iter().find(|known| known.id == shard)?;
        let best = known.best.as_ref().map(|best| (best.height, best.at));
        let sums = known.rates.sums();
        let blocks = u32::try_from(sums.timed_blocks).unwrap_or(u32::MAX);
        let usual = sums.block_time.checked_div(blocks).unwrap_or_default();
        let climb = self.recovering.climbs.get_mut(&shard)?;
        // Asked for only where it matters: there may be thousands.
        let stands = best.is_some_and(|(_, at)| {
            !climb.climbs() && now.since(at) >= self.plan.thresholds.stall_suspected
        });
        let finding = if stands {
            self.judge.failing(shard, &recovery.after)
        } else {
            None
        };
        climb.look(&Look {
            now,
            best,
            finding: finding.map(|finding| finding.id.as_str()),
            busy: self.faults.acts_on(shard),
            usual: usual.max(self.plan.clocks.block_interval),
        })
    }

    /// Carries a step out, or says why it cannot be tried.
    fn begin_step(&mut self, shard: ShardId, place: u32) -> Result<RecoveryStep, RunError> {
        let Some(step) = rung(&self.plan, place).cloned() else {
            return Ok(RecoveryStep::NothingHelped);
        };
        let number = self.recovering.climbs.get(&shard).map_or(0, Climb::begun) + 1;
        let seen = self.seen();
        let leader = seen.leaders.get(&shard);
        let candidates = self.candidates(shard, leader);
        let snapshot = (step == Rung::RestoreNode)
            .then(|| self.snapshots.newest(&self.record.name, &self.plan))
            .flatten();
        let folder = snapshot.as_ref().map(|stored| stored.path.as_path());
        let network = &self.plan.network;
        let begun =
            planned(&step, shard, number, network, spare(&candidates), folder).and_then(|fault| {
                match fault {
                    Some(fault) => {
                        let (nodes, steps) = self.faults.recover(&fault, &seen)?;
                        Ok((nodes, Some(fault.id), steps))
                    }
                    None => Ok((Vec::new(), None, Vec::new())),
                }
            });
        match begun {
            Ok((nodes, fault, steps)) => {
                self.journal_steps(steps)?;
                Ok(RecoveryStep::Begun {
                    place,
                    step: step.to_string(),
                    nodes,
                    fault,
                })
            }
            Err(why) => Ok(RecoveryStep::Skipped {
                place,
                step: step.to_string(),
                why: clean(&why, LONGEST),
            }),
        }
    }

    /// The nodes of a shard, for whose disk may be given up.
    fn candidates(&self, shard: ShardId, leader: Option<&NodeName>) -> Vec<Candidate> {
        let world = self.judge.world();
        let nodes = world.nodes.iter();
        let of_shard = nodes.filter(|node| world.shards[node.shard].id == shard);
        of_shard
            .map(|node| Candidate {
                name: node.name.clone(),
                votes: node.power > 0,
                leads: leader == Some(&node.name),
                runs: node.runs(),
                height: node.height,
            })
            .collect()
    }
}

/// What is told on the terminal.
fn told(plan: &Plan, shard: ShardId, what: &RecoveryStep) -> String {
    let name = |place: u32| rung(plan, place).map_or_else(String::new, ToString::to_string);
    let words = match what {
        RecoveryStep::SetOff {
            finding, height, ..
        } => format!(
            "{finding} sets the ladder off at height {}",
            count(height.0)
        ),
        RecoveryStep::Begun { step, nodes, .. } if nodes.is_empty() => step.clone(),
        RecoveryStep::Begun { step, nodes, .. } => {
            let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            format!("{step} on {}", names.join(", "))
        }
        RecoveryStep::Skipped { step, why, .. } => format!("{step} is skipped: {why}"),
        RecoveryStep::DidNotHelp { place, after } => {
            format!("{} did not help within {}", name(*place), human(*after))
        }
        RecoveryStep::BroughtBack {
            place,
            height,
            after,
        } => format!(
            "{} brought it back: height {} after {}",
            name(*place),
            count(height.0),
            human(*after)
        ),
        RecoveryStep::NothingHelped => "nothing brought it back".to_owned(),
    };
    format!("recovery of shard {shard}: {words}")
}
