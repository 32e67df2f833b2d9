//! Carries out [`ProcessOp`].

use std::time::Duration;

use super::{Scene, content, upgrade};
use crate::{
    engine::{docker::ContainerFacts, error::EngineError, inside::ask_toolbox},
    fault::operation::{Outcome, ProcessOp},
    ids::NodeName,
    probe::events::Operation,
};

/// One look inside; an exec takes 70 ms on an idle machine.
const LOOK: Duration = Duration::from_secs(10);
/// Looks at a container that has just been told to change.
const LOOKS: u32 = 40;
/// Wait between them.
const BETWEEN: Duration = Duration::from_millis(50);

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    scene: &Scene,
    node: &NodeName,
    what: &ProcessOp,
) -> Result<Outcome, EngineError> {
    let container = scene.container(node);
    let container = container.as_str();
    let docker = &scene.docker;
    let mark = |operation| scene.mark(node, operation);
    match what {
        ProcessOp::Kill => {
            if docker.inspect(container).await?.running {
                kill(scene, node).await?;
            }
            look(scene, container, |facts| !facts.running).await
        }
        ProcessOp::Stop { grace } => {
            mark(Operation::Stop);
            docker.stop(container, *grace).await?;
            look(scene, container, |facts| !facts.running).await
        }
        ProcessOp::Start => start(scene, node).await,
        ProcessOp::Pause => {
            mark(Operation::Pause);
            docker.pause(container).await?;
            look(scene, container, |facts| facts.paused).await
        }
        ProcessOp::Unpause => {
            if docker.inspect(container).await?.paused {
                mark(Operation::Unpause);
                docker.unpause(container).await?;
            }
            look(scene, container, |facts| !facts.paused).await
        }
        ProcessOp::FreezeMain => {
            docker.kill(container, "STOP").await?;
            main_state(scene, container, "T").await
        }
        ProcessOp::ThawMain => {
            if !docker.inspect(container).await?.running {
                return Ok(told(true, "the node does not run"));
            }
            docker.kill(container, "CONT").await?;
            Ok(told(true, "told to go on"))
        }
        ProcessOp::Replace {
            build,
            options,
            version,
        } => upgrade::replace(scene, node, build, options, version.as_deref()).await,
        ProcessOp::Empty => content::empty(scene, node).await,
        ProcessOp::Refill { snapshot } => content::refill(scene, node, snapshot).await,
        ProcessOp::Restore { back } => upgrade::restore(scene, node, *back).await,
    }
}

/// Sees to it that a node runs, whatever it did before.
pub(super) async fn start(scene: &Scene, node: &NodeName) -> Result<Outcome, EngineError> {
    let (docker, container) = (&scene.docker, scene.container(node));
    let facts = docker.inspect(&container).await?;
    if facts.paused {
        scene.mark(node, Operation::Unpause);
        docker.unpause(&container).await?;
    }
    if !facts.running {
        scene.mark(node, Operation::Start);
        docker.start(&container).await?;
    }
    look(scene, &container, |facts| facts.running && !facts.paused).await
}

/// Kills a node's main process, and does not wait for its end.
pub(super) async fn kill(scene: &Scene, node: &NodeName) -> Result<(), EngineError> {
    scene.mark(node, Operation::Stop);
    match scene.docker.kill(&scene.container(node), "KILL").await {
        Err(error) if error.is_ending() => Ok(()),
        other => other,
    }
}

fn told(effective: bool, proof: impl Into<String>) -> Outcome {
    Outcome {
        effective,
        proof: proof.into(),
    }
}

/// Looks until the container is as it should be, or for two seconds.
async fn look(
    scene: &Scene,
    container: &str,
    is: impl Fn(&ContainerFacts) -> bool,
) -> Result<Outcome, EngineError> {
    let mut facts = scene.docker.inspect(container).await?;
    for _ in 0..LOOKS {
        if is(&facts) {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
        facts = scene.docker.inspect(container).await?;
    }
    let state = match (facts.running, facts.paused) {
        (true, true) => "paused".to_owned(),
        (true, false) => "runs".to_owned(),
        (false, _) => format!("ended, exit {}", facts.exit_code),
    };
    Ok(told(is(&facts), state))
}

/// The state of process 1 as the kernel says it.
async fn main_state(scene: &Scene, container: &str, wanted: &str) -> Result<Outcome, EngineError> {
    let toolbox = &scene.launched.toolbox;
    let mut state = String::new();
    for _ in 0..LOOKS {
        state = ask_toolbox(&scene.docker, container, toolbox, &["state", "1"], LOOK).await?;
        if state == wanted {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(told(
        state == wanted,
        format!("process 1 is in state {state}"),
    ))
}
