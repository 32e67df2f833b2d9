//! One node's container.

use super::{Context, NodeHandle, age, beside, disks::Disks, fill, preflight::node_memory};
use crate::{
    engine::{
        docker::{ContainerSpec, Mount, Runs},
        error::EngineError,
        labels::{self, Role},
        pack::TOOLBOX,
    },
    plan::{DiskKind, NodePlan, versions},
    profile::arguments,
};

/// Creates, connects and starts one node.
pub(super) async fn start(
    context: &Context<'_>,
    disks: &Disks,
    node: &NodePlan,
) -> Result<NodeHandle, EngineError> {
    let addresses = *context
        .addresses
        .get(&node.name)
        .ok_or_else(|| EngineError::Incomplete {
            subject: node.name.to_string(),
            what: "an address",
        })?;
    let (_, management) = context.networks();
    let id = context.docker.create(spec(context, disks, node)?).await?;
    // Between create and start: API 1.41 refuses two networks at create.
    context
        .docker
        .connect_network(&management, &id, addresses.management, node.name.as_str())
        .await?;
    if let Some(filling) = context.fill {
        fill::node(context, filling, node).await?;
    }
    // Behind what was filled in: the level is that of both.
    let aged = match context.network.disk.age {
        Some(plan) => Some(age::node(context, disks, node, plan).await?),
        None => None,
    };
    context.docker.start(&id).await?;
    Ok(NodeHandle {
        container: labels::node_name(context.run(), &node.name),
        container_id: id,
        addresses,
        disk: disks.info(&node.name),
        aged,
    })
}

/// The container of a node.
pub(super) fn spec(
    context: &Context<'_>,
    disks: &Disks,
    node: &NodePlan,
) -> Result<ContainerSpec, EngineError> {
    let network = context.network;
    let mut rendered =
        (context.render)(node, &context.addresses).map_err(|message| EngineError::Render {
            node: node.name.clone(),
            message,
        })?;
    // A first word that names the image's program is the program itself: its entry point runs it already.
    let program = &context.images.node.program;
    if !program.is_empty() && rendered.command.first() == Some(program) {
        rendered.command.remove(0);
    }
    let mut runs = Runs {
        image: context.images.node.reference.clone(),
        command: rendered.command,
    };
    let info = disks.info(&node.name);
    let mut node_labels = context.labels.of_node(Role::Node, &node.name);
    let kind = match info.kind {
        DiskKind::Ext4 => "ext4",
        DiskKind::Xfs => "xfs",
        DiskKind::Faulty => "faulty",
        DiskKind::Tmpfs | DiskKind::Auto => "tmpfs",
    };
    node_labels.insert(labels::DISK_KIND.to_owned(), kind.to_owned());
    node_labels.insert(labels::DISK_BYTES.to_owned(), info.usable_bytes.to_string());
    if let Some(device) = &info.device {
        node_labels.insert(labels::DISK_DEVICE.to_owned(), device.clone());
    }
    if !network.versions.is_empty() {
        runs = versioned(context, node, runs, &mut node_labels)?;
    }
    let mut mounts = vec![
        disks.mount(context, &node.name, network.disk.path.clone(), false),
        Mount::Volume {
            name: labels::toolbox_volume(context.run()),
            target: TOOLBOX.to_owned(),
            read_only: true,
            fill: false,
            options: std::collections::BTreeMap::new(),
            labels: context.labels.of(Role::Toolbox),
        },
    ];
    if network.foreign.shares() {
        mounts.push(beside::shared(context, true));
    }
    mounts.extend(beside::secrets(context)?);
    let addresses = context.addresses.get(&node.name).copied();
    let (data, _) = context.networks();
    Ok(ContainerSpec {
        name: labels::node_name(context.run(), &node.name),
        image: runs.image,
        command: runs.command,
        environment: rendered.environment,
        user: network.user.clone(),
        hostname: node.name.to_string(),
        labels: node_labels,
        mounts,
        scratch: network.scratch.clone(),
        memory: node_memory(context.network, info.kind),
        cpus: network.limits.cpus,
        pids: network.limits.pids,
        open_files: network.limits.open_files,
        capabilities: network.capabilities.clone(),
        read_only_root: network.read_only_root,
        network: addresses.map(|addresses| (data, addresses.data)),
        throttle: disks.throttle(context, &node.name),
        stop_timeout: Some(network.stop_timeout),
        ..ContainerSpec::default()
    })
}

/// What a node runs where there are several versions, and labels by which an upgrade finds its way, forth and back.
fn versioned(
    context: &Context<'_>,
    node: &NodePlan,
    base: Runs,
    node_labels: &mut labels::Labels,
) -> Result<Runs, EngineError> {
    let note = serde_json::to_string(&base)
        .map_err(|error| EngineError::inside("a version", &error.to_string()))?;
    node_labels.insert(labels::BASE.to_owned(), note);
    let version = context.network.version_of(&node.name);
    let name = version.map_or(versions::BASE, |version| version.name.as_str());
    node_labels.insert(labels::VERSION.to_owned(), name.to_owned());
    let Some(version) = version else {
        return Ok(base);
    };
    let image = context.images.versions.get(&version.name);
    Ok(Runs {
        image: image.map_or(base.image, |image| image.reference.clone()),
        command: arguments::with(&base.command, &version.options),
    })
}
