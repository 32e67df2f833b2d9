//! The faults of a run: who is due, what is broken now, what must be healed. Decisions are made here from what the
//! conductor tells; the operations run beside the loop, so that no fault can hold it up.

mod adopt;
mod again;
pub(super) mod carry_out;
mod fire;
mod hold;
mod recover;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Child,
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use self::{
    carry_out::{Broken, heal_all},
    standing::Standing,
};
pub(super) use self::{hold::is_hold, recover::is_recovery};
use super::arm;
use crate::{
    engine::inject::Scene,
    fault::{
        kinds::{Claim, Fault},
        operation::Operation,
        target::Seen,
    },
    ids::{Height, NodeName, ShardId},
    journal::{Capability, event::FaultStep, text::clean},
    plan::{
        Plan,
        faults::{PlannedDrill, PlannedFault, Trigger},
    },
    time::{Elapsed, RunClock},
};

/// Longest text about one fault.
const LONGEST: usize = 300;
/// Breaking one node that takes longer than this has failed.
pub(super) const BREAK_DEADLINE: Duration = Duration::from_secs(90);
/// Healing that takes longer than this has failed; the guard goes on trying.
const HEAL_DEADLINE: Duration = Duration::from_secs(120);

/// What operations came to.
#[derive(Debug)]
pub(super) enum Done {
    /// All that breaks was tried.
    Broke {
        /// The fault.
        id: String,
        /// What was read back, and what failed.
        outcome: Broken,
    },
    /// A node of it started again, and what breaks there was done once more.
    BrokeAgain {
        /// The fault.
        id: String,
        /// What was read back, and what failed; `None` if the node ended again meanwhile.
        outcome: Option<Broken>,
    },
    /// All that heals was tried.
    Healed {
        /// The fault.
        id: String,
        /// What failed.
        outcome: Result<(), String>,
    },
}

/// What the conductor is to journal.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) step: FaultStep,
}

#[derive(Debug)]
struct Active {
    planned: PlannedFault,
    fault: Box<dyn Fault>,
    targets: Vec<NodeName>,
    /// Nodes that cannot be counted on meanwhile.
    takes: Vec<NodeName>,
    claim: Claim,
    heals: Vec<Operation>,
    standing: Standing,
    drill: Option<ShardId>,
}

/// The faults of a run.
#[derive(Debug)]
pub(super) struct Faults {
    plan: Arc<Plan>,
    directory: PathBuf,
    engine: Option<String>,
    scene: Option<Arc<Scene>>,
    waiting: Vec<PlannedFault>,
    drill: Option<PlannedDrill>,
    active: BTreeMap<String, Active>,
    /// The process that heals if this one cannot.
    guard: Option<Child>,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    /// What they need of the machine, as it was tried.
    capabilities: Vec<Capability>,
    /// Faults asked for by hand: id, and the name under which was asked.
    by_hand: BTreeMap<String, String>,
    /// Number of the last one that was asked for by hand, in this process or one before it.
    by_hand_last: u64,
    /// Number of the last standstill for a snapshot, in this process or one before it.
    holds: u64,
    /// Shards on which the recovery ladder is at work.
    reserved: BTreeSet<ShardId>,
}

impl Faults {
    pub(super) fn new(plan: &Plan, directory: PathBuf, engine: Option<String>) -> Self {
        Self {
            waiting: plan.schedule.clone(),
            drill: plan.drill.clone(),
            plan: Arc::new(plan.clone()),
            directory,
            engine,
            scene: None,
            active: BTreeMap::new(),
            guard: None,
            done: mpsc::channel(64),
            capabilities: Vec::new(),
            by_hand: BTreeMap::new(),
            by_hand_last: 0,
            holds: 0,
            reserved: BTreeSet::new(),
        }
    }

    /// The network runs.
    pub(super) fn set_scene(&mut self, scene: Scene) {
        self.scene = Some(Arc::new(scene));
    }

    /// What operations came to, for the loop to wait on.
    pub(super) async fn next(&mut self) -> Done {
        match self.done.1.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Whether any fault waits for a log line.
    pub(super) fn wait_for_lines(&self) -> bool {
        self.waiting
            .iter()
            .any(|planned| matches!(planned.trigger, Trigger::Log(_)))
    }

    /// Whether anything is broken or being healed.
    pub(super) fn busy(&self) -> bool {
        !self.active.is_empty()
    }

    /// Whether nothing is broken and nothing is to come.
    pub(super) fn idle(&self) -> bool {
        self.active.is_empty() && self.waiting.is_empty() && self.drill.is_none()
    }

    /// What was found of the machine.
    pub(super) fn capable(&mut self, found: Vec<Capability>) {
        self.capabilities.extend(found);
    }

    /// A fault asked for by hand: fires at once, in whatever stage, or is refused with the reason.
    pub(super) fn ask(
        &mut self,
        name: String,
        mut planned: PlannedFault,
        seen: &Seen,
        refused: Option<&str>,
    ) -> Vec<Step> {
        self.by_hand_last += 1;
        planned.id = format!("h{}-{}", self.by_hand_last, planned.kind);
        planned.trigger = Trigger::After(Duration::ZERO);
        self.by_hand.insert(planned.id.clone(), name);
        match refused {
            Some(why) => vec![skipped(&planned, why)],
            None => self.fire(planned, seen, None),
        }
    }

    /// The name under which a fault was asked for.
    pub(super) fn asked_as(&self, id: &str) -> Option<&str> {
        self.by_hand.get(id).map(String::as_str)
    }

    /// Fires what is due since the soak began so long ago, and heals what has lasted long enough.
    pub(super) fn due(
        &mut self,
        now: Elapsed,
        soaked: Option<Duration>,
        heights: &BTreeMap<ShardId, Height>,
        seen: &Seen,
    ) -> Vec<Step> {
        if self.idle() {
            return Vec::new();
        }
        let mut steps = Vec::new();
        let over: Vec<String> = self
            .active
            .iter()
            .filter(|(_, active)| active.standing.is_over(now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            steps.extend(self.heal(&id));
        }
        let Some(soaked) = soaked else { return steps };
        // What is due while the network is held comes right after.
        if self.holding() {
            return steps;
        }
        let (due, waiting) =
            std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|planned: &PlannedFault| match &planned.trigger {
                    Trigger::After(after) => soaked >= *after,
                    Trigger::Height(height) => match planned.target.shard {
                        Some(shard) => heights.get(&shard).is_some_and(|at| at.0 >= *height),
                        None => heights.values().any(|at| at.0 >= *height),
                    },
                    Trigger::Log(_) => false,
                });
        self.waiting = waiting;
        for planned in due {
            steps.extend(self.fire(planned, seen, None));
        }
        if self.drill.as_ref().is_some_and(|drill| soaked >= drill.at)
            && let Some(drill) = self.drill.take()
        {
            steps.extend(self.fire_drill(&drill, seen));
        }
        steps
    }

    /// A log line may be what a fault waits for.
    pub(super) fn said(&mut self, node: &NodeName, message: &str, seen: &Seen) -> Vec<Step> {
        let shard = self
            .plan
            .network
            .nodes
            .iter()
            .find(|planned| planned.name == *node)
            .map(|planned| planned.shard);
        let place = self.waiting.iter().position(|planned| {
            matches!(&planned.trigger, Trigger::Log(text) if message.contains(text.as_str()))
                && (planned.target.shard.is_none() || planned.target.shard == shard)
        });
        match place {
            Some(place) if self.holding() => {
                let planned = &mut self.waiting[place];
                planned.trigger = Trigger::After(Duration::ZERO);
                planned.target.shard = planned.target.shard.or(shard);
                Vec::new()
            }
            Some(place) => {
                let mut planned = self.waiting.remove(place);
                // "When the leader says so": the leader of the shard that spoke.
                planned.target.shard = planned.target.shard.or(shard);
                self.fire(planned, seen, None)
            }
            None => Vec::new(),
        }
    }

    /// What operations came to.
    pub(super) fn came(&mut self, done: Done, now: Elapsed) -> Vec<Step> {
        match done {
            Done::Broke { id, outcome } => {
                self.has_broken(&id);
                self.broke(&id, &outcome, now)
            }
            Done::BrokeAgain { id, outcome } => {
                self.has_broken(&id);
                outcome.map_or_else(Vec::new, |outcome| self.broke_again(&id, &outcome))
            }
            Done::Healed { id, outcome } => self.healed(&id, outcome),
        }
    }

    fn broke(&mut self, id: &str, outcome: &Broken, now: Elapsed) -> Vec<Step> {
        let Some(active) = self.active.get_mut(id) else {
            return Vec::new();
        };
        let kind = active.planned.kind.clone();
        let step = |step| Step {
            id: id.to_owned(),
            kind: kind.clone(),
            step,
        };
        let lasts = active.planned.lasts;
        if active.standing.lasts(now + lasts) {
            // Breaking took its time: the guard is to count from here, as this process does.
            arm::broken(&self.directory, id, RunClock::wall().plus(lasts));
        }
        if is_hold(id) {
            let nodes = hold::count(active);
            let held = outcome.everywhere();
            let proof = held.then(|| format!("{nodes} nodes stand still"));
            return self.held(id, &kind, proof);
        }
        let mut steps: Vec<Step> = outcome.steps().into_iter().map(step).collect();
        if outcome.failed {
            steps.extend(self.heal(id));
        }
        steps
    }

    /// A task that breaks has ended: what was to be healed meanwhile is healed now.
    fn has_broken(&mut self, id: &str) {
        let active = self.active.get_mut(id);
        if active.is_some_and(|active| active.standing.has_ended()) {
            self.begin_heal(id);
        }
    }

    fn heal(&mut self, id: &str) -> Vec<Step> {
        if self.scene.is_none() {
            return Vec::new();
        }
        let Some(active) = self.active.get_mut(id) else {
            return Vec::new();
        };
        let kind = active.planned.kind.clone();
        let Some(at_once) = active.standing.heal() else {
            return Vec::new();
        };
        if at_once {
            self.begin_heal(id);
        }
        vec![Step {
            id: id.to_owned(),
            kind,
            step: FaultStep::HealRequested,
        }]
    }

    fn begin_heal(&self, id: &str) {
        let (Some(active), Some(scene)) = (self.active.get(id), self.scene.clone()) else {
            return;
        };
        let heals = active.heals.clone();
        let sender = self.done.0.clone();
        let id = id.to_owned();
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(HEAL_DEADLINE, heal_all(&scene, &heals))
                .await
                .unwrap_or_else(|_| Err("healing took too long".to_owned()));
            let _ = sender.send(Done::Healed { id, outcome }).await;
        });
    }

    fn healed(&mut self, id: &str, outcome: Result<(), String>) -> Vec<Step> {
        let Some(active) = self.active.remove(id) else {
            return Vec::new();
        };
        let step = match outcome {
            Ok(()) => {
                arm::disarm(&self.directory, id);
                FaultStep::Healed
            }
            // Stays armed: the guard, or the next command, tries again.
            Err(why) => FaultStep::HealFailed {
                why: clean(&why, LONGEST),
            },
        };
        vec![Step {
            id: id.to_owned(),
            kind: active.planned.kind,
            step,
        }]
    }

    /// The shard of a drill in progress under this id.
    pub(super) fn drill_of(&self, id: &str) -> Option<(ShardId, Vec<NodeName>)> {
        let active = self.active.get(id)?;
        active.drill.map(|shard| (shard, active.targets.clone()))
    }

    /// Begins to heal all that is broken: the engine was away, and nobody knows what still holds.
    pub(super) fn heal_in_force(&mut self) -> Vec<Step> {
        let ids: Vec<String> = self.active.keys().cloned().collect();
        ids.iter().flat_map(|id| self.heal(id)).collect()
    }

    /// Begins to heal all that is broken, and fires nothing more.
    pub(super) fn heal_everything(&mut self) -> Vec<Step> {
        self.waiting.clear();
        self.drill = None;
        let ids: Vec<String> = self.active.keys().cloned().collect();
        ids.iter().flat_map(|id| self.heal(id)).collect()
    }
}

fn skipped(planned: &PlannedFault, why: &str) -> Step {
    Step {
        id: planned.id.clone(),
        kind: planned.kind.clone(),
        step: FaultStep::Skipped {
            why: clean(why, LONGEST),
        },
    }
}
