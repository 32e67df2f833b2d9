//! When a run moves on from one stage to the next, and when it is over.

use super::{
    conductor::Conductor,
    error::RunError,
    observer_ab::{ObserverAb, Switch},
};
use crate::{
    ids::ShardId,
    journal::{
        Event,
        event::{FinishReason, Stage},
    },
    time::Elapsed,
};

impl Conductor {
    /// Moves on to the next stage when the present one is done.
    pub(super) async fn advance(&mut self) -> Result<Option<FinishReason>, RunError> {
        let now = self.clock.elapsed();
        self.alert_held();
        if self
            .plan
            .deadline
            .is_some_and(|deadline| self.snapshots.without(now.as_duration()) >= deadline.0)
        {
            return Ok(Some(FinishReason::Deadline));
        }
        if let Some(sought) = &self.sought
            && self.judge.finding(|finding| sought.is(finding)).is_some()
        {
            return Ok(Some(FinishReason::StoppedOnFailure));
        }
        match self.stage {
            Stage::WarmUp if self.warmed_up() => {
                self.soak_started = Some(now);
                self.cost_entry()?;
                self.enter(Stage::Soak)?;
            }
            Stage::WarmUp if now.since(self.started_at) >= self.plan.start_deadline => {
                // `never-started` has long been found by then, unless nobody saw anything; more waiting finds nothing else.
                let failed = self.judge.over_gate().is_some();
                return Ok(Some(if failed {
                    FinishReason::StoppedOnFailure
                } else {
                    FinishReason::Deadline
                }));
            }
            // A snapshot that is being made is finished: it is no longer than its own deadline.
            Stage::Soak if self.soaked(now) && self.snapshots.busy() => {}
            // What still lasts is healed first: the settle stage is to see the network whole.
            Stage::Soak if self.soaked(now) && self.faults.busy() => self.heal_everything()?,
            // ... and the way back from a heal is part of what is judged.
            Stage::Soak if self.soaked(now) && self.coming_back(now) => {}
            Stage::Soak if self.soaked(now) => {
                self.cost_entry()?;
                self.enter(Stage::Settle)?;
                if self.plan.observer_ab {
                    self.note("watching is switched off and on in turns, to see whether it slows the network");
                    self.turns = Some(ObserverAb::starting(&self.plan.clocks, now));
                } else {
                    self.settle(now)?;
                }
            }
            Stage::Settle if self.turns.is_some() => self.turn(now)?,
            Stage::Soak if self.plan.stop_on_failure && self.judge.over_gate().is_some() => {
                return Ok(Some(FinishReason::StoppedOnFailure));
            }
            Stage::Settle
                if self
                    .settle_started
                    .is_some_and(|at| now.since(at) >= self.plan.settle) =>
            {
                self.cost_entry()?;
                return Ok(Some(FinishReason::Completed));
            }
            _ => {}
        }
        Ok(None)
    }

    /// The last stretch of a run, with watching off.
    fn settle(&mut self, now: Elapsed) -> Result<(), RunError> {
        self.settle_started = Some(now);
        self.record(Event::WatchPaused)?;
        self.observers.pause();
        Ok(())
    }

    /// Switches watching off or on when it is time.
    fn turn(&mut self, now: Elapsed) -> Result<(), RunError> {
        match self.turns.as_mut().and_then(|turns| turns.due(now)) {
            Some(Switch::Off) => {
                self.record(Event::WatchPaused)?;
                self.observers.pause();
            }
            Some(Switch::On) => {
                self.record(Event::WatchResumed)?;
                self.observers.resume();
            }
            Some(Switch::Over) => {
                self.turns = None;
                self.settle(now)?;
            }
            None => {}
        }
        Ok(())
    }

    fn warmed_up(&self) -> bool {
        let wanted = self.plan.warm_up_blocks.max(1);
        let shards = self.judge.shards();
        let enough = |shard: &crate::detect::judgement::ShardView| match (
            shard.first_height,
            shard.height,
        ) {
            (Some(first), Some(height)) => height.0.saturating_sub(first.0) + 1 >= wanted,
            _ => false,
        };
        (0..self.plan.network.shards).all(|number| {
            shards
                .iter()
                .any(|view| view.shard == ShardId(number) && enough(view))
        })
    }

    /// Whether a shard is still on its way back from a heal, as long as it may be.
    fn coming_back(&self, now: Elapsed) -> bool {
        let budget = self.plan.thresholds.recovery * 3;
        self.judge.coming_back() && self.healed_at.is_some_and(|at| now.since(at) < budget)
    }

    fn soaked(&self, now: Elapsed) -> bool {
        if self.endless {
            return false;
        }
        let long_enough = match (self.plan.soak, self.soak_started) {
            (Some(soak), Some(started)) => self.snapshots.without(now.since(started)) >= soak.0,
            _ => false,
        };
        let high_enough = self.plan.until_height.is_some_and(|until| {
            let shards = self.judge.shards();
            !shards.is_empty()
                && shards
                    .iter()
                    .all(|shard| shard.height.is_some_and(|height| height.0 >= until))
        });
        long_enough || high_enough
    }
}
