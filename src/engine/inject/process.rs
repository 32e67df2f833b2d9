//! Carries out [`ProcessOp`].

use std::time::Duration;

use super::Scene;
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
    let container = scene.handle(node)?.container_id.as_str();
    let docker = &scene.docker;
    let mark = |operation| {
        if let Some(requested) = &scene.requested {
            requested.mark(node, operation);
        }
    };
    match what {
        ProcessOp::Kill => {
            mark(Operation::Stop);
            docker.kill(container, "KILL").await?;
            look(scene, container, |facts| !facts.running).await
        }
        ProcessOp::Stop { grace } => {
            mark(Operation::Stop);
            docker.stop(container, *grace).await?;
            look(scene, container, |facts| !facts.running).await
        }
        ProcessOp::Start => {
            let facts = docker.inspect(container).await?;
            if facts.paused {
                mark(Operation::Unpause);
                docker.unpause(container).await?;
            }
            if !facts.running {
                mark(Operation::Start);
                docker.start(container).await?;
            }
            look(scene, container, |facts| facts.running && !facts.paused).await
        }
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
