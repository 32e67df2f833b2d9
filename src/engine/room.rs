//! Room where the engine keeps its data. The host running dry is the canary's trouble, never a finding against a node.
//!
//! Asked from inside a container, because the engine may be on another machine and its folder is closed to ordinary
//! users: `/etc/hostname` of every container is a file of the engine's data root.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    docker::{ContainerSpec, Docker},
    error::EngineError,
    inside::{ask_toolbox, one_shot},
    labels::{self, RunLabels},
    owner::Owner,
    pack::PackedImage,
};
use crate::ids::RunId;

/// A file that the engine mounts into every container from where it keeps its data.
const ENGINE_FILE: &str = "/etc/hostname";
/// Deadline of asking.
const DEADLINE: Duration = Duration::from_secs(30);

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Files that may still be created.
    pub inodes_free: u64,
}

/// Room on the engine's file system, asked in a running container that has the toolbox (the watcher). `toolbox` is
/// [`super::Launched::toolbox`].
///
/// # Errors
/// What the engine or the toolbox said.
pub async fn engine_room(
    docker: &Docker,
    container: &str,
    toolbox: &[String],
) -> Result<Room, EngineError> {
    ask_toolbox(
        docker,
        container,
        toolbox,
        &["statfs", ENGINE_FILE],
        DEADLINE,
    )
    .await
}

/// The same before there is a run, by a container that is gone afterwards.
///
/// # Errors
/// What the engine or the toolbox said.
pub async fn by_container(
    docker: &Docker,
    program: &PackedImage,
    run: &RunId,
) -> Result<Room, EngineError> {
    let labels = RunLabels::new(run, &Owner::this_process(), "", DEADLINE);
    let spec = ContainerSpec {
        name: format!("{run}-room"),
        image: program.reference.clone(),
        command: ["toolbox", "statfs", ENGINE_FILE].map(str::to_owned).into(),
        user: "65534:65534".to_owned(),
        labels: labels.of(labels::Role::Helper),
        memory: 64 << 20,
        pids: 16,
        read_only_root: true,
        environment: BTreeMap::new(),
        ..ContainerSpec::default()
    };
    let output = one_shot(docker, spec, DEADLINE).await?;
    serde_json::from_slice(&output)
        .map_err(|error| EngineError::inside("asking for room", &error.to_string()))
}
