//! Asking this program inside a container: by exec where one runs, else by a container for just that.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    docker::{ContainerSpec, Docker},
    error::EngineError,
};

/// Bytes of an answer that are read; the largest one is about a network of 239 nodes.
const MOST: usize = 1 << 20;

/// Runs a toolbox operation inside a running container as its own user, and reads its answer. `toolbox` is
/// [`super::Launched::toolbox`], `arguments` are those of `canarynet toolbox`.
///
/// # Errors
/// What the engine said; what the operation said if it failed.
pub async fn ask_toolbox<Answer: DeserializeOwned>(
    docker: &Docker,
    container: &str,
    toolbox: &[String],
    arguments: &[&str],
    deadline: Duration,
) -> Result<Answer, EngineError> {
    let operation = || format!("toolbox {}", arguments.first().unwrap_or(&""));
    let mut command = toolbox.to_vec();
    command.push("toolbox".to_owned());
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let output = docker
        .exec_to_end(container, &command, None, b"", deadline, MOST)
        .await?;
    if output.exit_code != 0 {
        let text = [output.stdout, output.stderr].concat();
        return Err(EngineError::inside(
            operation(),
            &String::from_utf8_lossy(&text),
        ));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| EngineError::inside(operation(), &error.to_string()))
}

/// Runs a container to its end, removes it and answers what it has printed (at most 1 MiB).
///
/// # Errors
/// What the engine said; what the container printed if it did not end with 0.
pub(crate) async fn one_shot(
    docker: &Docker,
    spec: ContainerSpec,
    deadline: Duration,
) -> Result<Vec<u8>, EngineError> {
    let name = spec.name.clone();
    let id = docker.create(spec).await?;
    let result = async {
        docker.start(&id).await?;
        let exit_code = docker.wait(&id, deadline).await?;
        let output = docker.output(&id, "all", MOST).await?;
        if exit_code == 0 {
            Ok(output)
        } else {
            let text = String::from_utf8_lossy(&output);
            Err(EngineError::inside(
                name,
                &format!("exit code {exit_code}: {text}"),
            ))
        }
    }
    .await;
    let removed = docker.remove(&id).await;
    let output = result?;
    removed?;
    Ok(output)
}
