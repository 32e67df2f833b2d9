//! Carries out [`LinkOp`]: by the helper, in the node's own network namespace.

use std::{net::Ipv4Addr, time::Duration};

use super::Scene;
use crate::{
    disk::helper::{HelperOp, answer, helper_spec},
    engine::{
        docker::ContainerSpec,
        error::EngineError,
        inside::{ask_and_leave, one_shot},
    },
    fault::operation::{LinkOp, Outcome, link::Fate},
    ids::NodeName,
    link::{Break, LinkOrder},
};

/// Rules are set and hit, or found not to be hit, within seconds; the rest is for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    scene: &Scene,
    node: &NodeName,
    what: &LinkOp,
) -> Result<Outcome, EngineError> {
    let handle = scene.handle(node)?;
    match what {
        LinkOp::Break {
            fault,
            peers,
            direction,
            fate,
        } => {
            let order = LinkOrder::Break(Break {
                fault: fault.clone(),
                address: handle.addresses.data,
                peers: addresses(scene, node, peers)?,
                direction: *direction,
                fate: fate.clone(),
            });
            match fate {
                Fate::Late { .. } => hold(scene, node, fault, order).await,
                _ => ask(scene, node, order).await,
            }
        }
        LinkOp::Heal { fault } => heal(scene, node, fault).await,
    }
}

/// Data addresses of these nodes.
fn addresses(
    scene: &Scene,
    node: &NodeName,
    peers: &[NodeName],
) -> Result<Vec<Ipv4Addr>, EngineError> {
    if peers.is_empty() {
        return Err(EngineError::inside(
            format!("a fault on the network of {node}"),
            "there is no peer that it is about",
        ));
    }
    let address = |peer| Ok(scene.handle(peer)?.addresses.data);
    peers.iter().map(address).collect()
}

/// Runs the helper in the node's network to its end.
async fn ask<Answer: serde::de::DeserializeOwned>(
    scene: &Scene,
    node: &NodeName,
    order: LinkOrder,
) -> Result<Answer, EngineError> {
    let operation = HelperOp::Link(order);
    let spec = spec(scene, node, &operation)?;
    let output = one_shot(&scene.docker, spec, DEADLINE).await?;
    answer(&operation, &output)
}

/// A helper in the node's network.
fn spec(
    scene: &Scene,
    node: &NodeName,
    operation: &HelperOp,
) -> Result<ContainerSpec, EngineError> {
    let image = scene.helper("a fault on the network")?;
    let mut spec = helper_spec(image, &scene.labels, operation)?;
    spec.network_of = Some(scene.container(node));
    Ok(spec)
}

/// The name of the container that holds packets back: healing finds it by the fault alone.
fn holder_name(scene: &Scene, node: &NodeName, fault: &str) -> String {
    format!("{}-{node}-{fault}", scene.labels.run())
}

/// Starts what holds packets back and reads its first line; it stays if it has to hold them itself.
async fn hold(
    scene: &Scene,
    node: &NodeName,
    fault: &str,
    order: LinkOrder,
) -> Result<Outcome, EngineError> {
    let docker = &scene.docker;
    let operation = HelperOp::Link(order);
    let mut spec = spec(scene, node, &operation)?;
    let name = holder_name(scene, node, fault);
    spec.name.clone_from(&name);
    // One of an earlier life of the node holds nothing any more.
    docker.remove(&name).await?;
    let outcome = answer(&operation, &ask_and_leave(docker, spec, DEADLINE).await?)?;
    if !docker.inspect(&name).await?.running {
        // The kernel holds them, or nothing does.
        docker.remove(&name).await?;
    }
    Ok(outcome)
}

/// Rules and queues go with the node's network namespace: where that is gone, nothing is left to do but to remove what
/// held packets back.
async fn heal(scene: &Scene, node: &NodeName, fault: &str) -> Result<Outcome, EngineError> {
    let docker = &scene.docker;
    let handle = scene.handle(node)?;
    let container = scene.container(node);
    let runs = || async {
        match docker.inspect(&container).await {
            Ok(facts) => Ok(facts.running),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    };
    let order = LinkOrder::Heal {
        fault: fault.to_owned(),
        address: handle.addresses.data,
    };
    let healed = if runs().await? {
        ask(scene, node, order).await
    } else {
        Ok(gone())
    };
    let healed = match healed {
        // It ended in the meantime.
        Err(_) if !runs().await? => Ok(gone()),
        other => other,
    };
    docker.remove(&holder_name(scene, node, fault)).await?;
    healed
}

fn gone() -> Outcome {
    Outcome {
        effective: true,
        proof: "the node does not run, and its network is gone with it".to_owned(),
    }
}

/// See [`super::network_remains`].
pub(super) async fn remains(scene: &Scene, node: &NodeName) -> Result<Vec<String>, EngineError> {
    ask(scene, node, LinkOrder::Remains).await
}
