//! What can be known before anything is created: a clear cause now instead of a half-started network later.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    engine::{
        docker::Docker,
        error::EngineError,
        labels::{self, Role},
        room::{self, Room},
    },
    ids::RunId,
    plan::{
        DiskKind, NetworkPlan,
        foreign::LOAD_MEMORY,
        reserve::{ROOM_RESERVE, bytes_on_disk},
    },
};

use super::{Images, WIDTH, faulty, subnets, watcher};

/// What the preflight has found.
#[derive(Debug, Clone, Copy)]
pub struct Preflight {
    /// Memory that all containers together may use.
    pub memory: u64,
    /// Bytes that the run may write where the engine keeps its data.
    pub bytes: u64,
    /// Room there.
    pub room: Room,
}

/// Checks the plan against the engine. Creates nothing that stays.
///
/// # Errors
/// The first cause found: names, subnets, memory, room, helper.
pub async fn preflight(
    docker: &Docker,
    run: &RunId,
    network: &NetworkPlan,
    allow_helper: bool,
    images: &Images,
) -> Result<Preflight, EngineError> {
    let nodes = network.nodes.len();
    if nodes > subnets::MOST_NODES {
        return Err(EngineError::TooManyNodes {
            nodes,
            most: subnets::MOST_NODES,
        });
    }
    let privileged = match network.disk.kind {
        DiskKind::Ext4 | DiskKind::Xfs => Some("a disk on a block device"),
        DiskKind::Faulty => Some("a FUSE disk"),
        DiskKind::Auto | DiskKind::Tmpfs => None,
    };
    if let Some(what) = privileged.filter(|_| !allow_helper) {
        return Err(EngineError::HelperNotAllowed { what });
    }
    names_are_free(docker, run, network).await?;
    subnets::check(docker).await?;
    let memory = memory_needed(network);
    let has = docker.info().memory;
    if memory > has {
        return Err(EngineError::NotEnoughMemory {
            asked: memory >> 20,
            has: has >> 20,
            nodes,
        });
    }
    let bytes = bytes_on_disk(network, allow_helper);
    let room = room::by_container(docker, &images.program, run).await?;
    if room.free < bytes.saturating_add(ROOM_RESERVE) {
        return Err(EngineError::NotEnoughRoom {
            asked: bytes.saturating_add(ROOM_RESERVE) >> 20,
            free: room.free >> 20,
            data_root: docker.info().data_root.clone(),
        });
    }
    Ok(Preflight {
        memory,
        bytes,
        room,
    })
}

/// Nothing of this run may exist but its reservation, and nobody else's container may have one of its names (the engine's own answer
/// would come half-way through the launch).
async fn names_are_free(
    docker: &Docker,
    run: &RunId,
    network: &NetworkPlan,
) -> Result<(), EngineError> {
    let taken = |name: &str| EngineError::NameTaken {
        name: name.to_owned(),
    };
    if let Some(container) = docker.containers_of(run).await?.first() {
        return Err(taken(&container.name));
    }
    if let Some(network) = docker.networks_of(run).await?.first() {
        return Err(taken(&network.name));
    }
    let volumes = docker.volumes_of(run).await?;
    let mut others = volumes.iter().filter(|volume| {
        volume.labels.get(labels::ROLE).map(String::as_str) != Some(Role::Reservation.as_str())
    });
    if let Some(volume) = others.next() {
        return Err(taken(&volume.name));
    }
    // What is not ours carries no label of ours: asked by name, one at a time, never by listing what others have.
    let nodes = network
        .nodes
        .iter()
        .map(|node| labels::node_name(run, &node.name));
    let faulty = network
        .nodes
        .iter()
        .map(|node| labels::faulty_name(run, &node.name));
    let containers = nodes
        .clone()
        .chain([labels::watcher_name(run)])
        .chain(faulty);
    let volumes = nodes.chain([
        labels::toolbox_volume(run),
        labels::disks_volume(run),
        labels::shared_volume(run),
        labels::secrets_volume(run),
    ]);
    let networks = [labels::data_network(run), labels::management_network(run)];
    let mut names: Vec<(&str, String)> = containers.map(|name| ("container", name)).collect();
    names.extend(volumes.map(|name| ("volume", name)));
    names.extend(networks.map(|name| ("network", name)));
    let found: Vec<Option<String>> = stream::iter(names)
        .map(|(kind, name)| async move {
            let exists = match kind {
                "container" => docker.container_exists(&name).await?,
                "volume" => docker.volume_exists(&name).await?,
                _ => docker.network_exists(&name).await?,
            };
            Ok::<_, EngineError>(exists.then_some(name))
        })
        .buffer_unordered(WIDTH)
        .try_collect()
        .await?;
    match found.into_iter().flatten().next() {
        Some(name) => Err(taken(&name)),
        None => Ok(()),
    }
}

/// The memory limit of a node's container: the plan's, its tmpfs disk and its scratch, because tmpfs is charged to
/// who writes it (measured: a disk larger than the limit ends in an OOM kill, never in ENOSPC).
pub(crate) fn node_memory(network: &NetworkPlan, kind: DiskKind) -> u64 {
    let disk = if kind == DiskKind::Tmpfs {
        network.disk.size
    } else {
        0
    };
    network.scratch.values().fold(
        network.limits.memory.saturating_add(disk),
        |sum, scratch| sum.saturating_add(*scratch),
    )
}

/// Memory that all containers together may use. `auto` may end as tmpfs, so it is counted as such.
fn memory_needed(network: &NetworkPlan) -> u64 {
    let (kind, beside) = match network.disk.kind {
        DiskKind::Auto | DiskKind::Tmpfs => (DiskKind::Tmpfs, 0),
        DiskKind::Faulty => (DiskKind::Faulty, faulty::MEMORY),
        block => (block, 0),
    };
    let nodes = network.nodes.len() as u64;
    node_memory(network, kind)
        .saturating_add(beside)
        .saturating_mul(nodes)
        .saturating_add(beside_nodes(network))
        .saturating_add(watcher::memory(network.nodes.len()))
}

/// ... of what is beside the nodes.
fn beside_nodes(network: &NetworkPlan) -> u64 {
    let load = network.foreign.load.as_ref().map_or(0, |_| LOAD_MEMORY);
    let services = network.foreign.services.len() as u64;
    network
        .shards
        .saturating_mul(load)
        .saturating_add(services.saturating_mul(network.limits.memory))
}
