//! The conductor's part in faults: what is seen goes in, steps are journalled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    arm, by_hand,
    conductor::Conductor,
    error::RunError,
    faults::{Done, Step, is_hold},
};
use crate::{
    detect::world::{Down, Hand},
    engine::{Launched, inject::Scene, labels::RunLabels, owner::Owner},
    fault::target::Seen,
    ids::{Height, NodeName, ShardId},
    journal::{
        Event,
        event::{FaultStep, Stage},
        text::clean,
    },
    time::Elapsed,
};

/// Longest wait for heals when a run ends: the network is removed afterwards whatever they come to.
const LAST_HEALS: Duration = Duration::from_secs(20);
/// Time to live on the labels of helpers that faults need.
const LIFE: Duration = Duration::from_secs(3_600);

impl Conductor {
    /// The network that operations are done to.
    pub(super) fn set_scene(&mut self, launched: &Launched) {
        let directory = self.directory.path().display().to_string();
        let labels = RunLabels::new(&self.record.run, &Owner::this_process(), &directory, LIFE);
        let images = self.images.as_ref();
        let helper = images.and_then(|images| images.helper_of_faults(self.plan.allow_helper));
        let helper = helper.or_else(|| self.helper.clone());
        self.faults.set_scene(Scene {
            docker: self.docker.clone(),
            launched: Arc::new(launched.clone()),
            labels,
            helper,
            user: self.plan.network.user.clone(),
            disk_path: self.plan.network.disk.path.clone(),
            clock_skew: self.plan.network.clock_skew.clone(),
            requested: Some(self.observers.requested().clone()),
        });
    }

    /// What a run that lost its owner had broken is healed when its time is over.
    pub(super) fn adopt_faults(&mut self, fired: &BTreeSet<String>) -> Result<(), RunError> {
        let mut steps = self.faults.adopt(fired, self.clock.elapsed());
        // A drill is no fault to the journal, also where the guard ended it.
        let before = steps.len();
        steps.retain(|step| step.id != "drill");
        if steps.len() < before
            && let Some(drill) = self.plan.drill.clone()
        {
            self.record(Event::Drill {
                shard: drill.shard,
                nodes: Vec::new(),
                begins: false,
            })?;
        }
        self.journal_steps(steps)
    }

    pub(super) fn faults_due(&mut self) -> Result<(), RunError> {
        let now = self.clock.elapsed();
        let soaked = match self.stage {
            Stage::Soak => self
                .soak_started
                .map(|started| self.snapshots.without(now.since(started))),
            _ => None,
        };
        if self.faults.idle() || (soaked.is_none() && !self.faults.busy()) {
            return Ok(());
        }
        let heights: BTreeMap<ShardId, Height> = self
            .judge
            .world()
            .shards
            .iter()
            .filter_map(|shard| Some((shard.id, shard.best.as_ref()?.height)))
            .collect();
        let seen = self.seen();
        let steps = self.faults.due(now, soaked, &heights, &seen);
        self.journal_steps(steps)
    }

    /// Faults that were asked for by hand.
    pub(super) fn faults_asked(&mut self) -> Result<(), RunError> {
        for (name, planned) in by_hand::take(self.directory.path()) {
            let refused = match self.stage {
                Stage::Prepare | Stage::Start => {
                    Some("the network does not run yet; `canarynet status` tells when it does")
                }
                Stage::WarmUp | Stage::Soak => None,
                Stage::Settle | Stage::Collect | Stage::TearDown => {
                    Some("the run is about to end, and nothing is watched any more")
                }
            };
            let seen = self.seen();
            let steps = self.faults.ask(name, planned, &seen, refused);
            self.journal_steps(steps)?;
        }
        Ok(())
    }

    pub(super) fn line_said(&mut self, node: &NodeName, message: &str) -> Result<(), RunError> {
        if self.stage != Stage::Soak {
            return Ok(());
        }
        let seen = self.seen();
        let steps = self.faults.said(node, message, &seen);
        self.faults_wait_for_lines = self.faults.wait_for_lines();
        self.journal_steps(steps)
    }

    pub(super) fn fault_came(&mut self, done: Done) -> Result<(), RunError> {
        let held = match &done {
            Done::Broke { id, outcome } if is_hold(id) => {
                let held = outcome.as_ref().is_ok_and(|outcome| outcome.effective);
                Some((id.clone(), Some(held)))
            }
            Done::Healed { id, .. } if is_hold(id) => Some((id.clone(), None)),
            _ => None,
        };
        let steps = self.came(done, self.clock.elapsed());
        self.journal_steps(steps)?;
        match held {
            Some((id, Some(held))) => self.snapshot_held(&id, held),
            Some((id, None)) => self.snapshot_released(&id)?,
            None => {}
        }
        Ok(())
    }

    fn came(&mut self, done: Done, now: Elapsed) -> Vec<Step> {
        // A drill is no fault to the journal: asked for now, because what heals it forgets it.
        if let Done::Healed { id, .. } = &done
            && let Some((shard, nodes)) = self.faults.drill_of(id)
        {
            let _ = self.record(Event::Drill {
                shard,
                nodes,
                begins: false,
            });
            let failed = self.faults.came(done, now);
            return failed
                .into_iter()
                .filter(|step| matches!(step.step, FaultStep::HealFailed { .. }))
                .collect();
        }
        self.faults.came(done, now)
    }

    pub(super) fn heal_everything(&mut self) -> Result<(), RunError> {
        let steps = self.faults.heal_everything();
        self.journal_steps(steps)
    }

    /// Everything that is still broken is healed before the network is removed: a frozen disk would hold it. Answers
    /// what could not be healed: the journal is closed by now.
    pub(super) async fn heal_before_teardown(&mut self) -> Vec<String> {
        let _ = self.faults.heal_everything();
        let all = async {
            while self.faults.busy() {
                let done = self.faults.next().await;
                let _ = self.faults.came(done, self.clock.elapsed());
            }
        };
        let _ = tokio::time::timeout(LAST_HEALS, all).await;
        // What failed now or earlier in the run is still armed: once more, and that is the last word.
        let failed = arm::heal_left(self.directory.path(), arm::Left::All).await;
        for line in &failed {
            self.note(&clean(&format!("fault not healed: {line}"), 400));
        }
        failed
    }

    pub(super) fn journal_steps(&mut self, steps: Vec<Step>) -> Result<(), RunError> {
        for Step { id, kind, step } in steps {
            if let Some((shard, nodes)) = self.faults.drill_of(&id) {
                if matches!(step, FaultStep::Requested { .. }) {
                    self.record(Event::Drill {
                        shard,
                        nodes,
                        begins: true,
                    })?;
                }
                continue;
            }
            let kind = Self::kind_of(&id, kind);
            let begins = matches!(step, FaultStep::Requested { .. });
            let healed = matches!(step, FaultStep::Healed);
            // What kept a node down is not gone because the others stood still for a moment.
            let restarts = healed && !is_hold(&id);
            if healed {
                self.healed_at = Some(self.clock.elapsed());
            }
            let line = match &step {
                // What is told of a snapshot is told where it is made.
                FaultStep::Requested { .. } | FaultStep::Effective { .. } | FaultStep::Healed
                    if is_hold(&id) =>
                {
                    None
                }
                FaultStep::Requested { targets, .. } => {
                    let names: Vec<&str> = targets.iter().map(NodeName::as_str).collect();
                    Some(format!("fault {id} on {}", names.join(", ")))
                }
                FaultStep::Effective { proof } => Some(format!("fault {id} is effective: {proof}")),
                FaultStep::Ineffective { why } => Some(format!("fault {id} had no effect: {why}")),
                FaultStep::Skipped { why } => Some(format!("fault {id} skipped: {why}")),
                FaultStep::Healed => Some(format!("fault {id} healed")),
                FaultStep::HealFailed { why } => Some(format!("fault {id} not healed: {why}")),
                FaultStep::Acknowledged | FaultStep::HealRequested => None,
            };
            if let Some(line) = line {
                let line = clean(&self.masks.text(&line), 400);
                if let Some(name) = self.faults.asked_as(&id) {
                    by_hand::tell(self.directory.path(), name, &line);
                }
                self.note(&line);
            }
            self.record(Event::Fault {
                id: id.into(),
                kind: kind.into(),
                step,
            })?;
            // Its operations begin when the loop goes on: whoever takes the run over is to know that they may have.
            if begins && let Some(journal) = &mut self.journal {
                journal.flush()?;
            }
            if restarts {
                self.restart_ended()?;
            }
        }
        Ok(())
    }

    /// Nodes that ended by themselves are started at once when a fault is healed, where nodes are started again at all:
    /// what may have kept them down is gone.
    pub(super) fn restart_ended(&mut self) -> Result<(), RunError> {
        if self.plan.restart.after.is_none() {
            return Ok(());
        }
        let ended = self.judge.world().nodes.iter().filter(|node| {
            let itself = |down: &Down| matches!(down.hand, Hand::Itself | Hand::Undecided);
            node.down.as_ref().is_some_and(itself) && !self.faults.holds_down(&node.name)
        });
        let ended: Vec<NodeName> = ended.map(|node| node.name.clone()).collect();
        for node in ended {
            self.record(Event::Restart {
                node: node.clone(),
                attempt: 1,
                delay: Duration::ZERO,
            })?;
            // Full only if as many nodes wait already.
            let _ = self.restarts_due.0.try_send(node);
        }
        Ok(())
    }

    /// What targets are resolved by.
    fn seen(&self) -> Seen {
        let world = self.judge.world();
        let mut seen = Seen::default();
        for shard in &world.shards {
            // Who says that it leads; else who made the last block.
            let leads = shard
                .nodes
                .iter()
                .map(|&node| &world.nodes[node])
                .find(|node| node.runs() && node.leads == Some(true));
            let last = shard.best.as_ref().and_then(|best| best.leader.as_deref());
            let leader = leads.map(|node| node.name.clone()).or_else(|| {
                world
                    .nodes
                    .iter()
                    .find(|node| Some(node.name.as_str()) == last)
                    .map(|node| node.name.clone())
            });
            if let Some(leader) = leader {
                seen.leaders.insert(shard.id, leader);
            }
        }
        for node in &world.nodes {
            if node.disk.used + node.disk.free > 0 {
                seen.disk_free.insert(node.name.clone(), node.disk.free);
            }
        }
        seen
    }
}
