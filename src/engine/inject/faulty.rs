//! Carries out [`FaultyOp`].

use std::time::Duration;

use super::Scene;
use crate::{
    disk::faulty::control::Order,
    engine::{error::EngineError, inside::ask_toolbox, labels},
    fault::operation::{FaultyOp, Outcome, ProcessOp},
    ids::NodeName,
};

/// An order waits for what it is to hit, at most so long on the disk's side, and then undoes what was not synced.
const ANSWERS: Duration = Duration::from_secs(60);

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    scene: &Scene,
    node: &NodeName,
    what: &FaultyOp,
) -> Result<Outcome, EngineError> {
    let done = order(scene, node, &Order::Do(what.clone())).await?;
    let FaultyOp::PowerCut { .. } = what else {
        return Ok(done);
    };
    // The node loses its power with its disk. It is killed while what it asks of the disk is held, so that it sees no
    // error; a process that waits for a disk dies when it is answered, so the answer comes after the signal.
    let killed = super::process::kill(scene, node).await;
    let refused = order(scene, node, &Order::Refuse).await;
    killed?;
    refused?;
    let down = super::process::perform(scene, node, &ProcessOp::Kill).await?;
    Ok(Outcome {
        effective: done.effective && down.effective,
        proof: format!("{}; {}", done.proof, down.proof),
    })
}

/// Gives an order to the process that serves a node's disk.
async fn order(scene: &Scene, node: &NodeName, order: &Order) -> Result<Outcome, EngineError> {
    let text = serde_json::to_string(order)
        .map_err(|error| EngineError::inside("an order to a FUSE disk", &error.to_string()))?;
    let container = labels::faulty_name(scene.labels.run(), node);
    let program = ["/bin/canarynet".to_owned()];
    let arguments = ["disk-order", text.as_str()];
    ask_toolbox(&scene.docker, &container, &program, &arguments, ANSWERS).await
}
