//! Disks that are filled before their nodes start, so that these meet an old one.

use std::{collections::BTreeMap, time::Duration};

use super::{Context, disks::Disks};
use crate::{
    engine::{
        age::Order,
        docker::{ContainerSpec, Mount},
        error::EngineError,
        inside::one_shot,
        labels::{self, Role},
        pack::TOOLBOX,
    },
    journal::told::DiskLevel,
    plan::{AgePlan, DiskKind, NodePlan},
};

/// Deadline of one disk: nothing but names of blocks is written.
const AGES: Duration = Duration::from_secs(120);

/// Ages a node's disk; its container was made and not started.
pub(super) async fn node(
    context: &Context<'_>,
    disks: &Disks,
    node: &NodePlan,
    age: AgePlan,
) -> Result<DiskLevel, EngineError> {
    let path = context.network.disk.path.clone();
    // A disk in memory has no pieces: only where the profile leaves its kind open does it come to that.
    let piece = match disks.info(&node.name).kind {
        DiskKind::Tmpfs => 0,
        _ => age.fragments.unwrap_or(0),
    };
    let order = Order {
        per_million: u64::from(age.fill),
        piece,
    };
    let mut command = context.images.toolbox_command(&[
        "toolbox",
        "age",
        &path,
        &order.per_million.to_string(),
        &order.piece.to_string(),
    ]);
    let entrypoint = vec![command.remove(0)];
    let spec = ContainerSpec {
        name: format!("{}-{}-age", context.run(), node.name),
        image: context.images.program.reference.clone(),
        entrypoint: Some(entrypoint),
        command,
        user: context.network.user.clone(),
        labels: context.labels.of(Role::Helper),
        mounts: vec![
            disks.mount(context, &node.name, path.clone(), false),
            Mount::Volume {
                name: labels::toolbox_volume(context.run()),
                target: TOOLBOX.to_owned(),
                read_only: true,
                fill: false,
                options: BTreeMap::new(),
                labels: context.labels.of(Role::Toolbox),
            },
        ],
        // What a disk in memory holds is charged to who writes it.
        memory: (64 << 20) + context.network.disk.size,
        pids: 16,
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let output = one_shot(context.docker, spec, AGES).await?;
    let level: DiskLevel = serde_json::from_slice(&output)
        .map_err(|error| EngineError::inside("aging a disk", &error.to_string()))?;
    Ok(DiskLevel {
        node: Some(node.name.clone()),
        ..level
    })
}
