//! The watcher's container: it watches, holds the tmpfs disks and the secrets, fills the toolbox and sees the kernel's limits.

use std::collections::BTreeMap;

use super::{Context, disks::Disks, subnets::Subnets};
use crate::{
    engine::{
        docker::{ContainerSpec, Mount},
        error::EngineError,
        labels::{self, Role},
        pack::TOOLBOX,
        secrets,
    },
    plan::DiskKind,
};

/// Last octet of the watcher's address on the management network.
pub const WATCHER_LAST: u8 = 8;
/// Where the engine machine's cgroup tree is mounted, read-only: so that limits can be read back as the kernel has
/// them, all at once, without a privilege.
pub const CGROUP_MOUNT: &str = "/cgroup";
/// Where a watcher without an owner keeps what it sees.
pub const SPOOL: &str = "/spool";
/// The spool with room for what its pages waste and for the watcher that takes over; it counts against the memory limit.
const SPOOL_BYTES: u64 = 6 << 20;
/// Where its disk volumes are mounted, by node name.
const DISKS: &str = "/disks";

/// The watcher's memory limit: the process itself and a little for each node's connection and history.
pub(super) fn memory(nodes: usize) -> u64 {
    (64 << 20) + (nodes as u64) * (256 << 10)
}

/// Creates and starts the watcher's container. Its main process only sleeps: watching is an exec in it, so that a
/// watcher that ends takes no disk with it.
pub(super) async fn start(
    context: &Context<'_>,
    subnets: &Subnets,
    disks: &Disks,
) -> Result<String, EngineError> {
    let (_, management) = context.networks();
    let mut watcher_labels = context.labels.of(Role::Watcher);
    if let Some(loader) = &context.images.program.linkage.loader {
        watcher_labels.insert(labels::TOOLBOX_LOADER.to_owned(), loader.clone());
    }
    let spec = ContainerSpec {
        name: labels::watcher_name(context.run()),
        image: context.images.program.reference.clone(),
        command: vec!["keeper".to_owned()],
        // The nodes' own user: it may read what nodes write, and no more.
        user: context.network.user.clone(),
        hostname: "watcher".to_owned(),
        labels: watcher_labels,
        mounts: mounts(context, disks)?,
        scratch: BTreeMap::from([(SPOOL.to_owned(), SPOOL_BYTES)]),
        memory: memory(context.network.nodes.len()),
        cpus: 0.5,
        pids: 64,
        open_files: 4096,
        read_only_root: true,
        network: Some((management, subnets.watcher())),
        ..ContainerSpec::default()
    };
    let id = context.docker.create(spec).await?;
    context.docker.start(&id).await?;
    Ok(id)
}

fn mounts(context: &Context<'_>, disks: &Disks) -> Result<Vec<Mount>, EngineError> {
    let mut mounts = vec![
        Mount::Volume {
            name: labels::toolbox_volume(context.run()),
            target: TOOLBOX.to_owned(),
            read_only: true,
            fill: true,
            options: BTreeMap::new(),
            labels: context.labels.of(Role::Toolbox),
        },
        Mount::Folder {
            source: "/sys/fs/cgroup".to_owned(),
            target: CGROUP_MOUNT.to_owned(),
            read_only: true,
        },
    ];
    // A tmpfs volume loses its data when its last user stops; a block volume is held by its node alone, because a
    // second mount would keep a dead file system alive.
    if disks.kind == DiskKind::Tmpfs {
        for node in &context.network.nodes {
            mounts.push(disks.mount(context, &node.name, format!("{DISKS}/{}", node.name), true));
        }
    }
    if context.secrets.is_some() {
        mounts.push(secrets::in_watcher(&context.labels, &context.network.user)?);
    }
    Ok(mounts)
}
