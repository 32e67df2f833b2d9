//! Disks that are filled from a snapshot before their nodes start.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Context, beside};
use crate::{
    disk::tmpfs::user_ids,
    engine::{
        docker::ContainerSpec,
        error::EngineError,
        labels::{self, Role},
        snapshots::{self, Tree},
    },
    ids::NodeName,
    plan::{NodePlan, foreign::SHARED},
    snapshot::Part,
};

/// Deadline of filling one disk: a second for each megabyte, and this.
const FILL: Duration = Duration::from_secs(60);

/// What the disks are filled with.
#[derive(Debug, Clone)]
pub struct Fill {
    /// Folder of the archives.
    pub folder: PathBuf,
    /// The archive of each node's disk.
    pub nodes: BTreeMap<NodeName, Part>,
    /// The archive of the folder that all nodes share.
    pub shared: Option<Part>,
    /// Third octets of the networks that the data was made in.
    pub subnets: [u8; 2],
    /// Only with the same addresses does the data go on.
    pub bound: bool,
}

fn deadline(part: &Part) -> Duration {
    FILL + Duration::from_secs(part.bytes >> 20)
}

/// Fills a node's disk; its container was made and not started.
pub(super) async fn node(
    context: &Context<'_>,
    fill: &Fill,
    node: &NodePlan,
) -> Result<(), EngineError> {
    let part = fill
        .nodes
        .get(&node.name)
        .ok_or_else(|| EngineError::Incomplete {
            subject: node.name.to_string(),
            what: "a disk in the snapshot",
        })?;
    let tree = Tree {
        container: labels::node_name(context.run(), &node.name),
        folder: context.network.disk.path.clone(),
    };
    let owner = user_ids(&context.network.user)?;
    let folder = &fill.folder;
    snapshots::fill(
        context.docker,
        &tree,
        folder,
        part,
        Some(owner),
        deadline(part),
    )
    .await
}

/// Fills the folder that all nodes share, where there is one: by a container that is never started.
pub(super) async fn shared(context: &Context<'_>, fill: &Fill) -> Result<(), EngineError> {
    let Some(part) = &fill.shared else {
        return Ok(());
    };
    let name = format!("{}-shared", context.run());
    let spec = ContainerSpec {
        name: name.clone(),
        image: context.images.program.reference.clone(),
        user: context.network.user.clone(),
        labels: context.labels.of(Role::Helper),
        mounts: vec![beside::shared(context, false)],
        memory: 64 << 20,
        pids: 16,
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let id = context.docker.create(spec).await?;
    let tree = Tree {
        container: name,
        folder: SHARED.to_owned(),
    };
    let owner = user_ids(&context.network.user)?;
    let folder = &fill.folder;
    let filled = snapshots::fill(
        context.docker,
        &tree,
        folder,
        part,
        Some(owner),
        deadline(part),
    )
    .await;
    let removed = context.docker.remove(&id).await;
    filled.and(removed)
}
