//! The faults of a run: who is due, what is broken now, what must be healed. Decisions are made here from what the
//! conductor tells; the operations run beside the loop, so that no fault can hold it up.

mod adopt;
pub(super) mod carry_out;
mod fire;
mod hold;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

pub(super) use self::hold::is_hold;
use self::{
    carry_out::{heal_all, perform_all},
    fire::cast,
};
use super::arm;
use crate::{
    engine::inject::Scene,
    fault::{
        kinds::{self, Claim, Fault},
        operation::{Operation, Outcome},
        target::Seen,
    },
    ids::{Height, NodeName, ShardId},
    journal::{Capability, event::FaultStep, text::clean},
    plan::{
        Plan,
        faults::{PlannedDrill, PlannedFault, Trigger},
    },
    time::Elapsed,
};

/// Longest text about one fault.
const LONGEST: usize = 300;
/// How often, and how long apart, it is asked whether a node ended while it was to be broken again.
const ENDED_LOOKS: u32 = 10;
const ENDED_EVERY: Duration = Duration::from_millis(200);
/// Breaking that takes longer than this has failed.
const BREAK_DEADLINE: Duration = Duration::from_secs(90);
/// Healing that takes longer than this has failed; the guard goes on trying.
const HEAL_DEADLINE: Duration = Duration::from_secs(120);

/// What operations came to.
#[derive(Debug)]
pub(super) enum Done {
    /// All that breaks was tried.
    Broke {
        /// The fault.
        id: String,
        /// What was read back, or the first failure.
        outcome: Result<Outcome, String>,
    },
    /// A node of it started again, and what breaks there was done once more.
    BrokeAgain {
        /// The fault.
        id: String,
        /// What was read back, or the first failure.
        outcome: Result<Outcome, String>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Breaking,
    InForce { until: Elapsed },
    Healing,
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
    state: State,
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
    guarded: bool,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    /// What they need of the machine, as it was tried.
    capabilities: Vec<Capability>,
    /// Faults asked for by hand: id, and the name under which was asked.
    by_hand: BTreeMap<String, String>,
    /// Number of the last one that was asked for by hand, in this process or one before it.
    by_hand_last: u64,
    /// Number of the last standstill for a snapshot, in this process or one before it.
    holds: u64,
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
            guarded: false,
            done: mpsc::channel(64),
            capabilities: Vec::new(),
            by_hand: BTreeMap::new(),
            by_hand_last: 0,
            holds: 0,
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
            .filter(|(_, active)| matches!(active.state, State::InForce { until } if now >= until))
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
            Done::Broke { id, outcome } => self.broke(&id, outcome, now),
            Done::BrokeAgain { id, outcome } => self.broke_again(&id, outcome),
            Done::Healed { id, outcome } => self.healed(&id, outcome),
        }
    }

    fn broke(&mut self, id: &str, outcome: Result<Outcome, String>, now: Elapsed) -> Vec<Step> {
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
        if active.state == State::Breaking {
            active.state = State::InForce { until: now + lasts };
        }
        if is_hold(id) {
            let nodes = hold::count(active);
            let held = outcome.is_ok_and(|outcome| outcome.effective);
            let proof = held.then(|| format!("{nodes} nodes stand still"));
            return self.held(id, &kind, proof);
        }
        match outcome {
            Ok(outcome) => {
                let proof = clean(&outcome.proof, LONGEST);
                let read = if outcome.effective {
                    FaultStep::Effective { proof }
                } else {
                    FaultStep::Ineffective { why: proof }
                };
                vec![step(FaultStep::Acknowledged), step(read)]
            }
            Err(why) => {
                let why = clean(&why, LONGEST);
                let mut steps = vec![step(FaultStep::Ineffective { why })];
                steps.extend(self.heal(id));
                steps
            }
        }
    }

    fn broke_again(&mut self, id: &str, outcome: Result<Outcome, String>) -> Vec<Step> {
        // One that is being healed meanwhile is not to work any more.
        let Some(active) = self
            .active
            .get(id)
            .filter(|active| matches!(active.state, State::InForce { .. }))
        else {
            return Vec::new();
        };
        let again = |text: &str| clean(&format!("after a start: {text}"), LONGEST);
        let step = match outcome {
            Ok(outcome) if outcome.effective => FaultStep::Effective {
                proof: again(&outcome.proof),
            },
            Ok(outcome) => FaultStep::Ineffective {
                why: again(&outcome.proof),
            },
            Err(why) => FaultStep::Ineffective { why: again(&why) },
        };
        vec![Step {
            id: id.to_owned(),
            kind: active.planned.kind.clone(),
            step,
        }]
    }

    fn heal(&mut self, id: &str) -> Vec<Step> {
        let (Some(active), Some(scene)) = (self.active.get_mut(id), self.scene.clone()) else {
            return Vec::new();
        };
        if active.state == State::Healing {
            return Vec::new();
        }
        active.state = State::Healing;
        let heals = active.heals.clone();
        let sender = self.done.0.clone();
        let healed = id.to_owned();
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(HEAL_DEADLINE, heal_all(&scene, &heals))
                .await
                .unwrap_or_else(|_| Err("healing took too long".to_owned()));
            let _ = sender
                .send(Done::Healed {
                    id: healed,
                    outcome,
                })
                .await;
        });
        vec![Step {
            id: id.to_owned(),
            kind: active.planned.kind.clone(),
            step: FaultStep::HealRequested,
        }]
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

    /// A node started (again): what went with its namespaces is broken once more.
    pub(super) fn started(&mut self, node: &NodeName) {
        let Some(scene) = self.scene.clone() else {
            return;
        };
        for (id, active) in &self.active {
            if !matches!(active.state, State::InForce { .. })
                || !active.fault.breaks_again()
                || !active.targets.contains(node)
            {
                continue;
            }
            let nodes = &self.plan.network.nodes;
            let cast = cast(&active.planned, &active.targets, nodes);
            let mut again = active.fault.breaks(&cast);
            again.retain(|operation| operation.node() == node);
            let scene = Arc::clone(&scene);
            let sender = self.done.0.clone();
            let id = id.clone();
            let node = node.clone();
            tokio::spawn(async move {
                let outcome = tokio::time::timeout(BREAK_DEADLINE, perform_all(&scene, &again))
                    .await
                    .unwrap_or_else(|_| Err("breaking took too long".to_owned()));
                // One that ended again meanwhile, over this very fault, is broken with its next start.
                if outcome.is_err() && has_ended(&scene, &node).await {
                    return;
                }
                let _ = sender.send(Done::BrokeAgain { id, outcome }).await;
            });
        }
    }

    /// Begins to heal all that is broken: the engine was away, and nobody knows what still holds. The guard may have given
    /// up meanwhile, so that the next fault gets another.
    pub(super) fn heal_in_force(&mut self) -> Vec<Step> {
        self.guarded = false;
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

/// Whether a node's container does not run, for sure. The engine takes a moment to notice an end that what runs
/// containers has met already.
async fn has_ended(scene: &Scene, node: &NodeName) -> bool {
    let Some(handle) = scene.launched.nodes.get(node) else {
        return false;
    };
    for _ in 0..ENDED_LOOKS {
        let facts = scene.docker.inspect(&handle.container).await;
        if facts.is_ok_and(|facts| !facts.running) {
            return true;
        }
        tokio::time::sleep(ENDED_EVERY).await;
    }
    false
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

/// Kinds that decide whether a node's process runs: two of them on one node undo each other.
fn decides_running(kind: &str) -> bool {
    kinds::kind(kind).is_some_and(|info| info.decides_running)
}
