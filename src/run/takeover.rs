//! What a run that lost its owner is found as, and how it goes on from there. Deciding is pure.

use std::path::Path;

use super::{
    capability,
    conclude::Conclusion,
    conductor::{Conductor, chain},
    error::RunError,
    past::Past,
    prepare::end,
    secrets::Secrets,
    signal::Interrupt,
    start,
};
use crate::{
    detect::Judge,
    disk::ext4,
    engine::{self, EngineError, Launched},
    journal::{
        Capability, Event, JOURNAL_FOLDER, Reader,
        event::{FinishReason, Stage},
        text::clean,
    },
    plan::Plan,
    report::progress::stage_note,
    time::Elapsed,
};

/// What is left of a run.
#[derive(Debug)]
pub(super) enum Found {
    /// It was over, and its end was cut short: reports and removal are still to come.
    Over {
        /// Why it ended.
        reason: FinishReason,
        /// What is still there of its network.
        launched: Option<Box<Launched>>,
    },
    /// Its network was being launched: half of one is removed, and it is launched again.
    Half,
    /// Its network.
    Network(Box<Launched>),
    /// Not all of its network is there, though it was.
    Gone {
        /// What is missing.
        why: String,
    },
}

/// Decides what a run is found as, from its journal and what the engine has of it.
pub(super) fn found(
    plan: &Plan,
    judge: &Judge,
    stages: &[(Stage, Elapsed)],
    launched: Result<Launched, EngineError>,
) -> Found {
    if let Some(finish) = judge.judgement().finished {
        return Found::Over {
            reason: finish.reason,
            launched: launched.ok().map(Box::new),
        };
    }
    if stages.iter().all(|(stage, _)| *stage < Stage::WarmUp) {
        return Found::Half;
    }
    let launched = match launched {
        Ok(launched) => launched,
        Err(error) => {
            let why = clean(&chain(&error), 400);
            return Found::Gone { why };
        }
    };
    let nodes = plan.network.nodes.iter();
    let missing = nodes.filter(|node| !launched.nodes.contains_key(&node.name));
    let missing: Vec<&str> = missing.map(|node| node.name.as_str()).collect();
    match missing.is_empty() {
        true => Found::Network(Box::new(launched)),
        false => Found::Gone {
            why: format!("the containers of {} are gone", missing.join(", ")),
        },
    }
}

/// The signal that ended a run, by the last entries of its journal.
fn signal(folder: &Path) -> Option<Interrupt> {
    let entries = Reader::open_last(folder).ok()?;
    let signals = entries.flatten().filter_map(|entry| match entry.event {
        Event::Signal { name } => Interrupt::named(&name),
        _ => None,
    });
    signals.last()
}

impl Conductor {
    /// Goes on with a network.
    pub(super) fn resume_network(&mut self, launched: Launched) -> Result<(), RunError> {
        let Past {
            stages,
            blocks,
            fired,
            recovery,
            capabilities,
            ..
        } = self.checkpoints.past.clone();
        let known = blocks.into_values().collect();
        let begun = (Stage::WarmUp, self.clock.elapsed());
        let (reached, at) = stages.last().copied().unwrap_or(begun);
        let soak = stages.iter().find(|(stage, _)| *stage == Stage::Soak);
        self.soak_started = soak.map(|(_, at)| *at);
        self.started_at = self.clock.elapsed();
        self.observers.network_runs(&launched, &self.plan, known);
        self.set_scene(&launched);
        self.launched = Some(launched);
        self.faults.capable(capabilities);
        self.adopt_faults(&fired)?;
        self.resume_recovery(&recovery);
        // A wait before a restart went with the owner who had begun it.
        self.restart_ended()?;
        if self.judge.world().watch_paused {
            self.record(Event::WatchResumed)?;
        }
        // The stage goes on, and with it what is measured of it: it is not entered once more. A settle that was interrupted
        // is begun again, as soon as the soak is seen to be over.
        (self.stage, self.stage_at) = (reached.clamp(Stage::WarmUp, Stage::Soak), at);
        self.note(&stage_note(self.stage));
        Ok(())
    }

    /// Launches the network once more: the owner before had not finished that.
    pub(super) async fn launch_again(
        mut self,
        secrets: Secrets,
        known: Vec<Capability>,
    ) -> Result<Conclusion, RunError> {
        self.note("the network was being launched: what there is of it is removed, and it is launched again");
        let (docker, run) = (self.docker.clone(), self.record.run.clone());
        engine::teardown(&docker, &run).await?;
        let network = &self.plan.network;
        let images =
            engine::launch::prepare(&docker, network, self.plan.allow_helper, None).await?;
        if known.is_empty() {
            let path = self.directory.path().display().to_string();
            let tried = capability::probe(&docker, &run, &path, &self.plan, &images).await?;
            self.capabilities(tried)?;
        } else {
            self.faults.capable(known);
        }
        let filling = start::open(&self.plan)?;
        self.launch(images, secrets, filling);
        end(self).await
    }

    /// The image in which helpers of this run work, as its network was launched with it: faults go on after a takeover.
    pub(super) async fn helper_as_launched(&self, launched: &Launched) -> Option<String> {
        if !self.plan.allow_helper {
            return None;
        }
        match ext4::disks_volume(&self.docker, &self.record.run).await {
            Ok(Some(volume)) => Some(volume.helper),
            _ => self.docker.image_of(&launched.watcher).await.ok(),
        }
    }

    /// Ends a run of which too little is left: the host's or an outside hand's doing, never a finding.
    pub(super) async fn end_without(mut self, why: &str) -> Result<Conclusion, RunError> {
        self.record(Event::Infra {
            what: "engine".to_owned(),
            detail: clean(&format!("the run cannot go on: {why}"), 600),
            fatal: true,
        })?;
        self.conclude(FinishReason::Infra).await
    }

    /// Writes the reports of a run that was over already, and removes it.
    pub(super) async fn conclude_again(
        mut self,
        reason: FinishReason,
        launched: Option<Box<Launched>>,
    ) -> Result<Conclusion, RunError> {
        self.note("the run was over; its reports are written, and what is left of it is removed");
        if reason == FinishReason::Interrupted
            && let Some(interrupt) = signal(&self.directory.path().join(JOURNAL_FOLDER))
        {
            self.signals.came_before(interrupt);
        }
        if let Some(launched) = launched {
            self.set_scene(&launched);
            self.launched = Some(*launched);
        }
        self.conclude(reason).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::generate::{Generator, Shape};

    /// What a run is found as whose owner was killed when its journal had come this far, and nothing is in the engine.
    fn found_after(until: impl Fn(&Event) -> bool) -> Found {
        let shape = Shape::default();
        let plan = shape.plan();
        let mut judge = Judge::new(&plan);
        let mut stages = Vec::new();
        for entry in Generator::new(&shape, 1, Vec::new()) {
            judge.step(&entry);
            if let Event::Stage { stage } = &entry.event {
                stages.push((*stage, entry.elapsed));
            }
            if until(&entry.event) {
                break;
            }
        }
        let nothing = EngineError::Incomplete {
            subject: "run r".to_owned(),
            what: "nodes",
        };
        found(&plan, &judge, &stages, Err(nothing))
    }

    #[test]
    fn what_a_run_is_found_as_is_told_by_its_journal() {
        let stage = |wanted: Stage| move |event: &Event| matches!(event, Event::Stage { stage } if *stage == wanted);
        let half = found_after(|event| matches!(event, Event::RunStarted { .. }));
        assert!(matches!(half, Found::Half), "{half:?}");
        for reached in [Stage::WarmUp, Stage::Soak] {
            let gone = found_after(stage(reached));
            assert!(
                matches!(&gone, Found::Gone { why } if why.contains("nodes")),
                "{gone:?}"
            );
        }
        let over = found_after(|event| matches!(event, Event::RunFinished { .. }));
        assert!(
            matches!(
                &over,
                Found::Over {
                    reason: FinishReason::Completed,
                    launched: None
                }
            ),
            "{over:?}"
        );
    }
}
