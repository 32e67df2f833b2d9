//! The faults of a run: who is due, what is broken now, what must be healed. Decisions are made here from what the
//! conductor tells; the operations run beside the loop, so that no fault can hold it up.

mod adopt;
mod carry_out;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use self::carry_out::{heal_all, perform_all};
use super::arm::{self, Armed};
use crate::{
    engine::inject::Scene,
    fault::{
        kinds::{self, Cast, Fault},
        operation::{Operation, Outcome},
        target::{self, Seen},
    },
    ids::{Height, NodeName, ShardId},
    journal::{event::FaultStep, text::clean},
    plan::{
        Plan,
        faults::{PlannedDrill, PlannedFault, Target, Trigger, Who},
    },
    time::{Elapsed, RunClock},
};

/// Longest text about one fault.
const LONGEST: usize = 300;
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
    /// Faults asked for by hand: id, and the name under which was asked.
    by_hand: BTreeMap<String, String>,
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
            by_hand: BTreeMap::new(),
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

    /// Whether a fault in force decides if this node runs: restarts are the schedule's then.
    pub(super) fn holds_down(&self, node: &NodeName) -> bool {
        self.active
            .values()
            .any(|active| decides_running(&active.planned.kind) && active.targets.contains(node))
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

    /// A fault asked for by hand: fires at once.
    pub(super) fn ask(&mut self, name: String, mut planned: PlannedFault) {
        planned.id = format!("h{}-{}", self.by_hand.len() + 1, planned.kind);
        planned.trigger = Trigger::After(Duration::ZERO);
        self.by_hand.insert(planned.id.clone(), name);
        self.waiting.push(planned);
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
            Some(place) => {
                let mut planned = self.waiting.remove(place);
                // "When the leader says so": the leader of the shard that spoke.
                planned.target.shard = planned.target.shard.or(shard);
                self.fire(planned, seen, None)
            }
            None => Vec::new(),
        }
    }

    fn fire_drill(&mut self, drill: &PlannedDrill, seen: &Seen) -> Vec<Step> {
        let planned = PlannedFault {
            id: "drill".to_owned(),
            kind: "pause".to_owned(),
            parameters: serde_json::Value::Object(serde_json::Map::new()),
            trigger: Trigger::After(drill.at),
            lasts: drill.lasts,
            target: Target {
                who: Who::All,
                shard: Some(drill.shard),
            },
            seed: 0,
            drawn: false,
        };
        self.fire(planned, seen, Some(drill.shard))
    }

    fn fire(&mut self, planned: PlannedFault, seen: &Seen, drill: Option<ShardId>) -> Vec<Step> {
        let id = planned.id.clone();
        let step = |planned: &PlannedFault, step| Step {
            id: planned.id.clone(),
            kind: planned.kind.clone(),
            step,
        };
        let skip = |planned: &PlannedFault, why: String| {
            let why = clean(&why, LONGEST);
            vec![step(planned, FaultStep::Skipped { why })]
        };
        let Some(scene) = self.scene.clone() else {
            return skip(&planned, "the network does not run".to_owned());
        };
        let nodes = &self.plan.network.nodes;
        let targets = match target::resolve(&planned.target, nodes, seen, planned.seed) {
            Ok(targets) => targets,
            Err(why) => return skip(&planned, why),
        };
        if let Some(other) = self.conflict(&planned, &targets) {
            return skip(&planned, format!("{other} is in force on the same node"));
        }
        let Some(info) = kinds::kind(&planned.kind) else {
            return skip(&planned, "this version has no such kind".to_owned());
        };
        let fault = match (info.parse)(&planned.parameters) {
            Ok(fault) => fault,
            Err(error) => return skip(&planned, error.to_string()),
        };
        let cast = Cast {
            fault: &id,
            targets: &targets,
            nodes,
            duration: planned.lasts,
            seed: planned.seed,
        };
        let (breaks, heals) = (fault.breaks(&cast), fault.heals(&cast));
        let requested = FaultStep::Requested {
            targets: targets.clone(),
            takes: fault.takes(&cast),
            effects: fault.effects().to_vec(),
            lasts: planned.lasts,
        };
        let armed = Armed {
            id: id.clone(),
            kind: planned.kind.clone(),
            heals: heals.clone(),
            by: RunClock::wall().plus(planned.lasts),
            run: scene.labels.run().clone(),
            engine: self.engine.clone(),
            helper: scene.helper.clone(),
            user: scene.user.clone(),
            disk_path: scene.disk_path.clone(),
        };
        // Nothing is broken whose heal is not written down and guarded.
        if let Err(error) = armed.arm(&self.directory).and_then(|()| self.guard()) {
            arm::disarm(&self.directory, &id);
            return skip(&planned, format!("its heal cannot be armed: {error}"));
        }
        let sender = self.done.0.clone();
        let broken = id.clone();
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(BREAK_DEADLINE, perform_all(&scene, &breaks))
                .await
                .unwrap_or_else(|_| Err("breaking took too long".to_owned()));
            // The receiver is gone when the run has ended, and then all was healed.
            let _ = sender
                .send(Done::Broke {
                    id: broken,
                    outcome,
                })
                .await;
        });
        let steps = vec![step(&planned, requested)];
        self.active.insert(
            id,
            Active {
                planned,
                fault,
                targets,
                heals,
                state: State::Breaking,
                drill,
            },
        );
        steps
    }

    /// A fault in force that this one would undo, or be undone by.
    fn conflict(&self, planned: &PlannedFault, targets: &[NodeName]) -> Option<String> {
        self.active
            .iter()
            .find(|(_, active)| {
                let same = active.planned.kind == planned.kind
                    || (decides_running(&active.planned.kind) && decides_running(&planned.kind));
                same && active.targets.iter().any(|node| targets.contains(node))
            })
            .map(|(id, _)| id.clone())
    }

    fn guard(&mut self) -> Result<(), std::io::Error> {
        if !self.guarded {
            arm::start_guard(&self.directory)?;
            self.guarded = true;
        }
        Ok(())
    }

    /// What operations came to.
    pub(super) fn came(&mut self, done: Done, now: Elapsed) -> Vec<Step> {
        match done {
            Done::Broke { id, outcome } => self.broke(&id, outcome, now),
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
            let cast = Cast {
                fault: id,
                targets: &active.targets,
                nodes: &self.plan.network.nodes,
                duration: active.planned.lasts,
                seed: active.planned.seed,
            };
            let mut again = active.fault.breaks(&cast);
            again.retain(|operation| operation.node() == node);
            let scene = Arc::clone(&scene);
            tokio::spawn(async move { perform_all(&scene, &again).await });
        }
    }

    /// Begins to heal all that is broken, and fires nothing more.
    pub(super) fn heal_everything(&mut self) -> Vec<Step> {
        self.waiting.clear();
        self.drill = None;
        let ids: Vec<String> = self.active.keys().cloned().collect();
        ids.iter().flat_map(|id| self.heal(id)).collect()
    }
}

/// Kinds that decide whether a node's process runs: two of them on one node undo each other.
fn decides_running(kind: &str) -> bool {
    kinds::kind(kind).is_some_and(|info| info.decides_running)
}
