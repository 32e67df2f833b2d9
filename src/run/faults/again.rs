//! Nodes that start again while a fault lasts: what went with their namespaces is broken once more.

use std::{sync::Arc, time::Duration};

use super::{
    BREAK_DEADLINE, Done, Faults, Step,
    carry_out::{Broken, perform_all},
    fire::cast,
};
use crate::{engine::inject::Scene, ids::NodeName};

/// How often, and how long apart, it is asked whether a node ended while it was to be broken again.
const ENDED_LOOKS: u32 = 10;
const ENDED_EVERY: Duration = Duration::from_millis(200);

impl Faults {
    /// A node started (again): what went with its namespaces is broken once more.
    pub(in crate::run) fn started(&mut self, node: &NodeName) {
        let Some(scene) = self.scene.clone() else {
            return;
        };
        for (id, active) in &mut self.active {
            if !active.standing.is_in_force()
                || !active.fault.breaks_again()
                || !active.targets.contains(node)
            {
                continue;
            }
            let cast = cast(&active.planned, &active.targets, &self.plan.network);
            let mut again = active.fault.breaks(&cast);
            again.retain(|operation| operation.node() == node);
            active.standing.breaks_more();
            let scene = Arc::clone(&scene);
            let sender = self.done.0.clone();
            let id = id.clone();
            let node = node.clone();
            tokio::spawn(async move {
                let outcome = perform_all(&scene, &again, BREAK_DEADLINE).await;
                // One that ended again meanwhile, over this very fault, is broken with its next start.
                let ended = outcome.failed && has_ended(&scene, &node).await;
                let outcome = (!ended).then_some(outcome);
                let _ = sender.send(Done::BrokeAgain { id, outcome }).await;
            });
        }
    }

    pub(super) fn broke_again(&self, id: &str, outcome: &Broken) -> Vec<Step> {
        // What came too late is healed with the rest, and nothing is told of it.
        let active = self.active.get(id);
        let Some(active) = active.filter(|active| active.standing.is_in_force()) else {
            return Vec::new();
        };
        let step = |step| Step {
            id: id.to_owned(),
            kind: active.planned.kind.clone(),
            step,
        };
        outcome.again().into_iter().map(step).collect()
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
