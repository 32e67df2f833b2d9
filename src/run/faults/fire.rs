//! A fault fires: whom it is done to, whether it can be done now, its heal armed, its operations begun.

use super::{
    Active, BREAK_DEADLINE, Done, Faults, Standing, Step, arm, carry_out::perform_all, hold,
    recover, skipped,
};
use crate::{
    fault::{
        kinds::{self, Cast, Claim, KindInfo},
        operation::Operation,
        target::{self, Seen},
    },
    ids::{NodeName, ShardId},
    journal::event::FaultStep,
    plan::faults::{PlannedDrill, PlannedFault, Target, Trigger, Who},
    run::{arm::Armed, capability},
    time::RunClock,
};

/// A fault that can be begun.
pub(super) struct Ready {
    active: Active,
    breaks: Vec<Operation>,
}

impl Faults {
    pub(super) fn fire_drill(&mut self, drill: &PlannedDrill, seen: &Seen) -> Vec<Step> {
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

    pub(super) fn fire(
        &mut self,
        planned: PlannedFault,
        seen: &Seen,
        drill: Option<ShardId>,
    ) -> Vec<Step> {
        let ready = kinds::kind(&planned.kind)
            .ok_or_else(|| "this version has no such kind".to_owned())
            .and_then(|info| self.ready(&planned, info, seen, drill));
        match ready {
            Ok(ready) => self.begin(ready),
            Err(why) => vec![skipped(&planned, &why)],
        }
    }

    /// Decides all that there is to decide about it, or why it cannot fire.
    pub(super) fn ready(
        &self,
        planned: &PlannedFault,
        info: &KindInfo,
        seen: &Seen,
        drill: Option<ShardId>,
    ) -> Result<Ready, String> {
        if let Some(why) = capability::missing(info, &self.capabilities) {
            return Err(why);
        }
        let fault = (info.parse)(&planned.parameters).map_err(|error| error.to_string())?;
        let network = &self.plan.network;
        let targets = target::resolve(&planned.target, network, seen, planned.seed)?;
        if !recover::is_recovery(&planned.id)
            && let Some(shard) = self.reserved(&targets)
        {
            return Err(format!("the recovery ladder is at work on shard {shard}"));
        }
        let claim = Claim::of(info, fault.as_ref());
        if let Some(other) = self.conflict(claim, &targets) {
            return Err(format!("{other} is in force on the same node"));
        }
        let cast = cast(planned, &targets, network);
        let takes = fault.takes(&cast);
        if planned.drawn {
            self.leaves_quorum(&takes)?;
        }
        Ok(Ready {
            breaks: fault.breaks(&cast),
            active: Active {
                heals: fault.heals(&cast),
                planned: planned.clone(),
                takes,
                claim,
                fault,
                targets,
                standing: Standing::breaking(),
                drill,
            },
        })
    }

    /// Arms the heal, and then breaks.
    pub(super) fn begin(&mut self, ready: Ready) -> Vec<Step> {
        let Ready { active, breaks } = ready;
        let planned = &active.planned;
        let id = planned.id.clone();
        let Some(scene) = self.scene.clone() else {
            return vec![skipped(planned, "the network does not run")];
        };
        // What is healed as soon as it is done may take its time until then.
        let (within, by) = if recover::is_recovery(&id) {
            (recover::DEADLINE, planned.lasts + recover::DEADLINE)
        } else {
            (BREAK_DEADLINE, planned.lasts)
        };
        let armed = Armed {
            id: id.clone(),
            kind: planned.kind.clone(),
            heals: active.heals.clone(),
            by: RunClock::wall().plus(by),
            breaking: true,
            run: scene.labels.run().clone(),
            engine: self.engine.clone(),
            helper: scene.helper.clone(),
            user: scene.user.clone(),
            disk_path: scene.disk_path.clone(),
        };
        // Nothing is broken whose heal is not written down and guarded.
        if let Err(error) = armed.arm(&self.directory).and_then(|()| self.guard()) {
            arm::disarm(&self.directory, &id);
            return vec![skipped(
                planned,
                &format!("its heal cannot be armed: {error}"),
            )];
        }
        let sender = self.done.0.clone();
        let broken = id.clone();
        tokio::spawn(async move {
            let outcome = perform_all(&scene, &breaks, within).await;
            // The receiver is gone when the run has ended, and then all was healed.
            let _ = sender
                .send(Done::Broke {
                    id: broken,
                    outcome,
                })
                .await;
        });
        let requested = Step {
            id: id.clone(),
            kind: planned.kind.clone(),
            step: FaultStep::Requested {
                targets: active.targets.clone(),
                takes: active.takes.clone(),
                effects: active.fault.effects().to_vec(),
                lasts: planned.lasts,
            },
        };
        self.active.insert(id, active);
        vec![requested]
    }

    /// A fault in force beside which this one cannot begin.
    fn conflict(&self, claim: Claim, targets: &[NodeName]) -> Option<String> {
        self.active
            .iter()
            .find(|(_, active)| {
                active.claim.forbids(claim)
                    && active.targets.iter().any(|node| targets.contains(node))
            })
            .map(|(id, _)| id.clone())
    }

    /// What is drawn never takes a quorum away, also not together with what else is in force: a fault by hand, one that
    /// waited for a height or a line.
    fn leaves_quorum(&self, takes: &[NodeName]) -> Result<(), String> {
        let in_force = self.active.values().flat_map(|active| &active.takes);
        let taken: Vec<NodeName> = in_force.chain(takes).cloned().collect();
        if target::leave_quorum(&taken, &self.plan.network) {
            return Ok(());
        }
        let others: Vec<&str> = self.active.keys().map(String::as_str).collect();
        Err(format!(
            "with {} in force it would take the quorum away",
            others.join(", ")
        ))
    }

    /// Sees to it that a guard lives. Asking also takes note of one that has ended.
    fn guard(&mut self) -> Result<(), std::io::Error> {
        let guard = self.guard.as_mut().map(std::process::Child::try_wait);
        if !matches!(guard, Some(Ok(None))) {
            self.guard = Some(arm::start_guard(&self.directory)?);
        }
        Ok(())
    }

    /// Whether a fault in force decides if this node runs: restarts are the schedule's then.
    pub(in crate::run) fn holds_down(&self, node: &NodeName) -> bool {
        // A standstill decides nothing: who ends in it is started again when it is over.
        self.active.values().any(|active| {
            active.claim.decides_running()
                && !hold::is_hold(&active.planned.id)
                && active.targets.contains(node)
        })
    }
}

/// What a kind may know of one fault.
pub(super) fn cast<'a>(
    planned: &'a PlannedFault,
    targets: &'a [NodeName],
    network: &'a crate::plan::NetworkPlan,
) -> Cast<'a> {
    Cast {
        fault: &planned.id,
        targets,
        nodes: &network.nodes,
        quorum: network.foreign.quorum,
        duration: planned.lasts,
        seed: planned.seed,
    }
}
