//! Asking this program inside a container: by exec where one runs, else by a container for just that.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    docker::{ContainerSpec, Docker},
    error::EngineError,
};

/// Bytes of an answer that are read; the largest one is about a network of 239 nodes.
const MOST: usize = 1 << 20;
/// How often a container that stays is looked at until it has answered.
const ANSWER_LOOK: Duration = Duration::from_millis(20);

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

/// Starts a container that prints one line and stays, and answers that line. It is removed unless it does.
///
/// # Errors
/// What the engine said; what the container printed if it ended with another code than 0 first.
pub(crate) async fn ask_and_leave(
    docker: &Docker,
    spec: ContainerSpec,
    deadline: Duration,
) -> Result<Vec<u8>, EngineError> {
    let name = spec.name.clone();
    let id = docker.create(spec).await?;
    let asked = async {
        docker.start(&id).await?;
        loop {
            // Asked for first: what ended after it had said nothing will not say more.
            let running = docker.inspect(&id).await?.running;
            let mut output = docker.output(&id, "all", MOST).await?;
            if let Some(end) = output.iter().position(|byte| *byte == b'\n') {
                output.truncate(end);
                let facts = docker.inspect(&id).await?;
                if facts.running || facts.exit_code == 0 {
                    return Ok(output);
                }
            }
            if !running {
                let text = String::from_utf8_lossy(&output);
                return Err(EngineError::inside(name.as_str(), &text));
            }
            tokio::time::sleep(ANSWER_LOOK).await;
        }
    };
    let answer = tokio::time::timeout(deadline, asked)
        .await
        .unwrap_or_else(|_| {
            Err(EngineError::Deadline {
                operation: "wait for the answer of",
                subject: name.clone(),
                deadline,
            })
        });
    if answer.is_err() {
        docker.remove(&id).await?;
    }
    answer
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
