//! The engine goes away in mid-run: it is waited for, what had ended with it is started again, and the run goes on.
//!
//! ```text
//!  events end, or tell of a node's end --> does it answer? --yes, and the watcher runs--> nothing happened
//!        \--no--> `EngineAway`, clock stops --> answers again --> start what had ended --> `EngineReturned`, clock goes on
//!                      \-- not within its time, or data is gone --> infra
//! ```
//! Invariant: nothing is judged of the time in between: the clock stands still, and what probes say is thrown away.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    conductor::{Conductor, chain},
    error::RunError,
    live::STOP_REQUEST,
    secrets::Secrets,
};
use crate::{
    detect::world::{Container, Down, Hand},
    engine::{
        Launched,
        revive::{Revival, left, revive},
    },
    ids::NodeName,
    journal::{
        Event,
        event::{ContainerChange, FinishReason, Stage},
        text::clean,
    },
    plan::Plan,
    probe::events::Operation,
    time::{RunClock, human},
};

/// Longest wait for an engine that went away: an upgrade of its package takes a minute or two.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(250);
/// An engine that answers is asked so often what is left, before that is taken for its answer.
const TRIES: u32 = 5;
/// Ends and starts that are kept of the time of its absence.
const MOST_KEPT: usize = 1_000;
/// An engine that goes takes its containers along within this.
const ENDING: Duration = Duration::from_secs(10);
/// An engine that does not answer within this is away, or somebody keeps its socket open while it is restarted.
const QUICK: Duration = Duration::from_secs(2);

/// Whether a fact may be a sign of an engine that goes: it stops its containers before its stream of events ends, and
/// answers nobody from before that.
fn may_be_engine(event: &Event) -> bool {
    match event {
        Event::Infra { what, .. } => what == "engine",
        Event::Container {
            change, requested, ..
        } => {
            let ends = matches!(
                change,
                ContainerChange::Killed { .. } | ContainerChange::Died { .. }
            );
            ends && !requested
        }
        _ => false,
    }
}

/// Throws away what probes say of the time in which nothing could be seen. What the engine says of its containers is
/// kept: where they outlived it, a node that ended meanwhile has ended by itself. So is the last word of whether the
/// canary sees: it is told once, perhaps before the nodes have all been started.
fn keep(kept: &mut Vec<Event>, event: Event) {
    let is_sight = |event: &Event| matches!(event, Event::Sight { .. });
    if is_sight(&event) {
        kept.retain(|event| !is_sight(event));
        kept.push(event);
    } else if matches!(event, Event::Container { .. } | Event::Version { .. })
        && kept.len() < MOST_KEPT
    {
        kept.push(event);
    }
}

impl Conductor {
    /// Takes a fact, unless it is the engine that went: then what it tells of the nodes that it took along is of its own
    /// making. The reason, if the run is not to go on.
    pub(super) async fn with_engine(
        &mut self,
        event: Event,
    ) -> Result<Option<FinishReason>, RunError> {
        let watched = matches!(self.stage, Stage::WarmUp | Stage::Soak | Stage::Settle);
        if watched
            && may_be_engine(&event)
            && let Some(launched) = self.launched.clone()
        {
            return self.asked(event, &launched).await;
        }
        self.observed(event)?;
        Ok(None)
    }

    async fn asked(
        &mut self,
        event: Event,
        launched: &Launched,
    ) -> Result<Option<FinishReason>, RunError> {
        let elapsed = self.clock.elapsed();
        // One that was quick is known by what it took along. A node that ended alone did that by itself.
        if self.docker.answers(QUICK).await
            && let Ok(left) = left(&self.docker, &self.record.run).await
            && left.anything_runs()
        {
            self.observed(event)?;
            return Ok(None);
        }
        let begun = Instant::now();
        self.record(Event::EngineAway {
            wall: RunClock::wall(),
        })?;
        self.observers.all_ended(launched.nodes.keys());
        self.note(&format!(
            "the container engine does not answer; it is waited for, at most {}",
            human(LONGEST)
        ));
        let mut kept = vec![event];
        if let Some(reason) = self.wait_for_engine(begun, &mut kept).await? {
            return Ok(Some(reason));
        }
        let outcome = self.bring_back(launched, &mut kept).await;
        self.clock = RunClock::resume(elapsed.as_duration());
        self.returned(outcome, begun.elapsed(), kept)
    }

    /// A run is taken over whose engine, or machine, was restarted meanwhile: what had ended is started again. The
    /// reason, if the run is not to go on.
    pub(super) async fn engine_was_gone(
        &mut self,
        launched: &Launched,
    ) -> Result<Option<FinishReason>, RunError> {
        match left(&self.docker, &self.record.run).await {
            Ok(left) if left.is_whole() => return Ok(None),
            _ => {}
        }
        let elapsed = self.clock.elapsed();
        self.record(Event::EngineAway {
            wall: RunClock::wall(),
        })?;
        self.note("the containers have ended with their engine; they are started again");
        let begun = Instant::now();
        let mut kept = Vec::new();
        let outcome = self.bring_back(launched, &mut kept).await;
        self.clock = RunClock::resume(elapsed.as_duration());
        self.returned(outcome, begun.elapsed(), kept)
    }

    async fn wait_for_engine(
        &mut self,
        begun: Instant,
        kept: &mut Vec<Event>,
    ) -> Result<Option<FinishReason>, RunError> {
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let name = signal.name().to_owned();
                    self.record(Event::Signal { name })?;
                    return Ok(Some(FinishReason::Interrupted));
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            self.keep_ends(kept);
            if self.directory.path().join(STOP_REQUEST).is_file() {
                return Ok(Some(FinishReason::Interrupted));
            }
            if self.docker.answers(QUICK).await {
                return Ok(None);
            }
            if begun.elapsed() >= LONGEST {
                let detail = format!("it went away and has not answered for {}", human(LONGEST));
                self.fatal(detail)?;
                return Ok(Some(FinishReason::Infra));
            }
        }
    }

    /// Nothing is to wait for room in the queue meanwhile.
    fn keep_ends(&mut self, kept: &mut Vec<Event>) {
        while let Ok(observed) = self.observations.try_recv() {
            keep(kept, observed.event);
        }
    }

    /// Starts again what had ended; answers the nodes, or why it cannot be.
    async fn bring_back(
        &mut self,
        launched: &Launched,
        kept: &mut Vec<Event>,
    ) -> Result<Vec<NodeName>, String> {
        let mut tries = 0;
        let left = loop {
            tries += 1;
            match left(&self.docker, &self.record.run).await {
                Ok(left) => break left,
                Err(error) if tries >= TRIES => return Err(chain(&error)),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        if left.is_whole() {
            return Ok(Vec::new());
        }
        if let Some(why) = left.lost(launched.disk_kind) {
            return Err(why);
        }
        let ended = left.ended(&self.ran());
        let secrets = Secrets::read(&self.plan).map_err(|error| chain(&error))?;
        self.keep_ends(kept);
        self.note(&format!("{} nodes are started again", ended.len()));
        let requested = self.observers.requested().clone();
        let revival = Revival {
            run: &self.record.run,
            launched,
            left: &left,
            turns: turns(&self.plan, &ended),
            secrets: secrets.values(),
            starting: &|node| requested.mark(node, Operation::Start),
        };
        revive(&self.docker, revival)
            .await
            .map_err(|error| chain(&error))?;
        Ok(ended)
    }

    /// Nodes that ran when the engine was last heard of, frozen ones too, and those that it may have ended as it went.
    fn ran(&self) -> BTreeSet<NodeName> {
        let world = self.judge.world();
        let with_engine = |down: &Down| {
            !matches!(down.hand, Hand::Itself | Hand::Canary)
                && world.now.since(down.since) <= ENDING
        };
        let ran = world.nodes.iter().filter(|node| {
            node.container != Container::Ended || node.down.as_ref().is_some_and(with_engine)
        });
        ran.map(|node| node.name.clone()).collect()
    }

    fn returned(
        &mut self,
        outcome: Result<Vec<NodeName>, String>,
        away: Duration,
        mut kept: Vec<Event>,
    ) -> Result<Option<FinishReason>, RunError> {
        let (ended, why) = match outcome {
            Ok(ended) => (ended, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        self.keep_ends(&mut kept);
        self.record(Event::EngineReturned {
            wall: RunClock::wall(),
            away,
            ended: ended.clone(),
        })?;
        if let Some(why) = why {
            self.fatal(why)?;
            return Ok(Some(FinishReason::Infra));
        }
        self.observers.all_started();
        // An engine tells of the ends as it goes, and one that was killed when it comes back: that is said already.
        let said = |event: &Event| {
            matches!(event, Event::Container { node, change, .. }
                if !matches!(change, ContainerChange::Started) && ended.contains(node))
        };
        for event in kept.into_iter().filter(|event| !said(event)) {
            self.observed(event)?;
        }
        self.note(&format!("the engine answers again after {}", human(away)));
        // What was broken in a node's namespaces went with them: healed, so that it is known what holds.
        let steps = self.faults.heal_in_force();
        self.journal_steps(steps)?;
        Ok(None)
    }

    fn fatal(&mut self, detail: String) -> Result<(), RunError> {
        self.record(Event::Infra {
            what: "engine".to_owned(),
            detail: clean(&detail, 600),
            fatal: true,
        })
    }
}

/// Nodes in the order in which they were started first: by role, those without an order last and together.
fn turns(plan: &Plan, nodes: &[NodeName]) -> Vec<Vec<NodeName>> {
    let order = &plan.network.foreign.start_order;
    let mut turns = vec![Vec::new(); order.len() + 1];
    for planned in &plan.network.nodes {
        if nodes.contains(&planned.name) {
            let place = order.iter().position(|role| *role == planned.role);
            turns[place.unwrap_or(order.len())].push(planned.name.clone());
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ShardId, journal::generate::Shape, plan::Role};

    #[test]
    fn of_the_time_without_an_engine_ends_and_the_last_word_of_sight_are_kept() {
        let sight = |seeing| Event::Sight {
            seeing,
            detail: String::new(),
        };
        let died = Event::Container {
            node: NodeName::of(ShardId(0), 1),
            change: ContainerChange::Died { exit_code: 1 },
            requested: false,
        };
        let mut kept = vec![died.clone()];
        for event in [sight(false), Event::WatchPaused, sight(true), died.clone()] {
            keep(&mut kept, event);
        }
        assert_eq!(kept, [died.clone(), sight(true), died.clone()]);
        for _ in 0..2 * MOST_KEPT {
            keep(&mut kept, died.clone());
        }
        assert_eq!(kept.len(), MOST_KEPT);
        keep(&mut kept, sight(false));
        assert_eq!(kept.last(), Some(&sight(false)));
    }

    #[test]
    fn nodes_are_started_again_in_their_order() {
        let mut plan = Shape::default().plan();
        let all: Vec<NodeName> = plan.network.nodes[..3]
            .iter()
            .map(|node| node.name.clone())
            .collect();
        assert_eq!(turns(&plan, &all), std::slice::from_ref(&all));
        plan.network.nodes[1].role = Role::Explorer;
        plan.network.foreign.start_order = vec![Role::Explorer];
        let first = vec![all[1].clone()];
        let rest = vec![all[0].clone(), all[2].clone()];
        assert_eq!(turns(&plan, &all), [first, rest]);
        assert!(turns(&plan, &[]).iter().all(Vec::is_empty));
    }
}
