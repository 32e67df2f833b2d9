//! Carries out [`InsideOp`].

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt as _;

use super::Scene;
use crate::{
    engine::{
        docker::{ContainerSpec, Mount},
        error::EngineError,
        inside::{ask_toolbox, one_shot},
        labels::{self, Role},
        launch::DiskInfo,
        pack::TOOLBOX,
    },
    fault::operation::{InsideOp, Outcome},
    ids::NodeName,
    plan::DiskKind,
};

/// An antagonist says within this time what came of it.
const SAYS: Duration = Duration::from_secs(60);
/// Ending one takes moments, removing many small files some seconds.
const ENDS: Duration = Duration::from_secs(60);
/// The engine learns within this time that a node has ended.
const SETTLE: Duration = Duration::from_secs(1);
/// Tries to end one; the engine has a second each.
const TRIES: u32 = 5;
/// Longest answer.
const MOST: usize = 64 * 1024;

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    scene: &Scene,
    node: &NodeName,
    what: &InsideOp,
) -> Result<Outcome, EngineError> {
    let container = scene.container(node);
    let container = container.as_str();
    match what {
        InsideOp::Start {
            fault,
            lasts,
            antagonist,
        } => {
            let order = serde_json::to_string(antagonist)
                .map_err(|error| EngineError::inside("an antagonist", &error.to_string()))?;
            let lever = serde_json::to_string(&scene.clock_skew)
                .map_err(|error| EngineError::inside("an antagonist", &error.to_string()))?;
            let micros = lasts.as_micros().to_string();
            let mut command = scene.launched.toolbox.clone();
            command.extend(
                [
                    "toolbox",
                    "antagonist",
                    fault,
                    &micros,
                    &scene.disk_path,
                    &order,
                    &lever,
                ]
                .map(str::to_owned),
            );
            start(scene, container, &command).await
        }
        InsideOp::End { fault } => {
            let facts = scene.docker.inspect(container).await?;
            // While it stands still nothing can be run in it; the antagonist ends itself when it goes on.
            if facts.paused {
                return Ok(Outcome {
                    effective: true,
                    proof: "the node is paused; it ends when the node goes on".to_owned(),
                });
            }
            let arguments = ["end-antagonist", fault.as_str(), &scene.disk_path];
            let ended = if facts.running {
                end(scene, node, &arguments).await?
            } else {
                on_disk(scene, node, &arguments).await?
            };
            Ok(Outcome {
                effective: true,
                proof: format!("{ended} processes ended"),
            })
        }
    }
}

/// Ends an antagonist in a node that runs. Where one has taken all processes, the engine needs some luck to start the one
/// that ends it.
async fn end(scene: &Scene, node: &NodeName, arguments: &[&str]) -> Result<u64, EngineError> {
    let container = scene.container(node);
    let toolbox = &scene.launched.toolbox;
    let mut left = TRIES;
    loop {
        match ask_toolbox(&scene.docker, &container, toolbox, arguments, ENDS).await {
            Ok(ended) => return Ok(ended),
            Err(error) => {
                // It ended in the meantime, which the engine may not know yet.
                tokio::time::sleep(SETTLE).await;
                if !scene.docker.inspect(&container).await?.running {
                    return on_disk(scene, node, arguments).await;
                }
                left -= 1;
                if left == 0 {
                    return Err(error);
                }
            }
        }
    }
}

/// Starts an antagonist, reads its first line and leaves it alone: it outlives whoever started it.
async fn start(scene: &Scene, container: &str, command: &[String]) -> Result<Outcome, EngineError> {
    let future = async {
        let mut session = scene.docker.exec(container, command, None).await?;
        let mut line = Vec::new();
        while let Some(chunk) = session.output.next().await {
            line.extend_from_slice(&chunk?.bytes);
            if line.contains(&b'\n') || line.len() > MOST {
                break;
            }
        }
        let text = String::from_utf8_lossy(&line);
        let first = text.lines().next().unwrap_or_default();
        serde_json::from_str(first)
            .map_err(|error| EngineError::inside("an antagonist", &format!("{error}: {text}")))
    };
    tokio::time::timeout(SAYS, future)
        .await
        .unwrap_or_else(|_| {
            Err(EngineError::inside(
                "an antagonist",
                "it did not say what came of it",
            ))
        })
}

/// The same on the disk of a node that does not run, in a container of its own with nothing but that disk.
pub(super) async fn on_disk(
    scene: &Scene,
    node: &NodeName,
    arguments: &[&str],
) -> Result<u64, EngineError> {
    let run = scene.labels.run();
    let volume = |name: String, target: &str, read_only, role| Mount::Volume {
        name,
        target: target.to_owned(),
        read_only,
        fill: false,
        options: BTreeMap::new(),
        labels: scene.labels.of(role),
    };
    let disk = match &scene.handle(node)?.disk {
        DiskInfo {
            kind: DiskKind::Faulty,
            device: Some(place),
            ..
        } => Mount::Folder {
            source: place.clone(),
            target: scene.disk_path.clone(),
            read_only: false,
        },
        _ => volume(
            labels::node_name(run, node),
            &scene.disk_path,
            false,
            Role::Disk,
        ),
    };
    let mut command = scene.launched.toolbox.clone();
    command.push("toolbox".to_owned());
    command.extend(arguments.iter().map(|word| (*word).to_owned()));
    let entrypoint = vec![command.remove(0)];
    let spec = ContainerSpec {
        name: format!("{run}-{node}-cleaner-{}", std::process::id()),
        image: scene.docker.image_of(&scene.launched.watcher).await?,
        entrypoint: Some(entrypoint),
        command,
        user: scene.user.clone(),
        labels: scene.labels.of(Role::Helper),
        mounts: vec![
            disk,
            volume(labels::toolbox_volume(run), TOOLBOX, true, Role::Toolbox),
        ],
        memory: 64 << 20,
        pids: 16,
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let output = one_shot(&scene.docker, spec, ENDS).await?;
    serde_json::from_slice(&output)
        .map_err(|error| EngineError::inside("clearing a disk", &error.to_string()))
}
