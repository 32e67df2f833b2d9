//! The disks of a launch: which kind, and how each node mounts its own.

use std::collections::BTreeMap;

use super::{Context, DiskInfo, faulty};
use crate::{
    disk::{ext4, file_system::FileSystem, tmpfs},
    engine::{
        docker::{Mount, Throttle},
        error::EngineError,
        labels::{self, Role},
    },
    ids::NodeName,
    plan::DiskKind,
};

/// What a FUSE disk keeps for itself of the disk behind it: two folders, which may grow.
const FAULTY_OWN: u64 = 64 << 10;

/// The disks as made.
pub(crate) struct Disks {
    /// Never [`DiskKind::Auto`].
    pub(crate) kind: DiskKind,
    /// Why that kind.
    pub(crate) reason: String,
    /// Usable bytes of a tmpfs disk.
    tmpfs_bytes: u64,
    /// Devices and usable bytes of disks on block devices, also of those behind FUSE disks.
    block: BTreeMap<NodeName, ext4::MadeDisk>,
    /// Where the engine has FUSE disks.
    mounts: BTreeMap<NodeName, String>,
    /// Where the disks volume is on the engine's machine; empty without one.
    mountpoint: String,
    /// Options of each disk's volume.
    options: BTreeMap<NodeName, BTreeMap<String, String>>,
}

/// Decides the kind and makes what must exist before containers do. `auto` is decided by really making ext4 disks:
/// no smaller probe proves that it works.
pub(super) async fn create(context: &Context<'_>) -> Result<Disks, EngineError> {
    let disk = &context.network.disk;
    match disk.kind {
        DiskKind::Tmpfs => tmpfs_disks(context, "asked for".to_owned()),
        DiskKind::Ext4 => block_disks(context, FileSystem::Ext4, "asked for".to_owned()).await,
        DiskKind::Xfs => block_disks(context, FileSystem::Xfs, "asked for".to_owned()).await,
        DiskKind::Faulty => faulty_disks(context).await,
        DiskKind::Auto if !context.allow_helper => tmpfs_disks(
            context,
            "auto: ext4 needs the helper, which is not allowed (--allow-helper)".to_owned(),
        ),
        DiskKind::Auto => {
            if let Some(why) = &context.images.helper_missing {
                return tmpfs_disks(context, format!("auto: no ext4, {why}"));
            }
            let reason = "auto: the helper is allowed and made ext4 disks".to_owned();
            match block_disks(context, FileSystem::Ext4, reason).await {
                Ok(disks) => Ok(disks),
                Err(error) => {
                    ext4::remove_disks(context.docker, context.run()).await?;
                    tmpfs_disks(context, format!("auto: no ext4, {error}"))
                }
            }
        }
    }
}

fn tmpfs_disks(context: &Context<'_>, reason: String) -> Result<Disks, EngineError> {
    let network = context.network;
    let options = tmpfs::options(&network.disk, &network.user)?;
    Ok(Disks {
        kind: DiskKind::Tmpfs,
        reason,
        tmpfs_bytes: tmpfs::usable_bytes(network.disk.size),
        block: BTreeMap::new(),
        mounts: BTreeMap::new(),
        mountpoint: String::new(),
        options: network
            .nodes
            .iter()
            .map(|node| (node.name.clone(), options.clone()))
            .collect(),
    })
}

async fn block_disks(
    context: &Context<'_>,
    file_system: FileSystem,
    reason: String,
) -> Result<Disks, EngineError> {
    make_block(context, file_system, reason, false).await
}

/// FUSE disks over ext4 ones; a little larger than those, for the folders that they need.
async fn faulty_disks(context: &Context<'_>) -> Result<Disks, EngineError> {
    let disks = make_block(context, FileSystem::Ext4, "asked for".to_owned(), true).await?;
    let mounts = faulty::serve(context, &disks.mountpoint, &disks.options).await?;
    Ok(Disks {
        kind: DiskKind::Faulty,
        mounts,
        ..disks
    })
}

/// Makes disks on block devices.
async fn make_block(
    context: &Context<'_>,
    file_system: FileSystem,
    reason: String,
    faulty: bool,
) -> Result<Disks, EngineError> {
    let helper = context
        .images
        .helper
        .as_ref()
        .ok_or(EngineError::HelperNotAllowed {
            what: "a disk on a block device",
        })?;
    let network = context.network;
    let names: Vec<NodeName> = network.nodes.iter().map(|node| node.name.clone()).collect();
    let made = ext4::make_disks(
        context.docker,
        helper,
        &context.labels,
        &ext4::DiskOrder {
            nodes: names,
            file_system,
            thin: network.disk.thin,
            bytes: network.disk.size + if faulty { FAULTY_OWN } else { 0 },
            inodes: network.disk.inodes,
            user: network.user.clone(),
            faulty,
        },
    )
    .await?;
    Ok(Disks {
        kind: match file_system {
            FileSystem::Ext4 => DiskKind::Ext4,
            FileSystem::Xfs => DiskKind::Xfs,
        },
        reason,
        tmpfs_bytes: 0,
        options: made
            .disks
            .keys()
            .map(|node| {
                let options = ext4::volume_options(&made.mountpoint, node, file_system);
                (node.clone(), options)
            })
            .collect(),
        block: made.disks,
        mounts: BTreeMap::new(),
        mountpoint: made.mountpoint,
    })
}

impl Disks {
    /// What is known of a node's disk.
    pub(crate) fn info(&self, node: &NodeName) -> DiskInfo {
        let made = self.block.get(node);
        let mount = self.mounts.get(node);
        let own = if mount.is_some() { FAULTY_OWN } else { 0 };
        DiskInfo {
            kind: self.kind,
            usable_bytes: made.map_or(self.tmpfs_bytes, |disk| disk.usable_bytes - own),
            device: mount.or(made.map(|disk| &disk.device)).cloned(),
        }
    }

    /// A node's disk at this path.
    pub(super) fn mount(
        &self,
        context: &Context<'_>,
        node: &NodeName,
        target: String,
        read_only: bool,
    ) -> Mount {
        if let Some(source) = self.mounts.get(node) {
            return Mount::Folder {
                source: source.clone(),
                target,
                read_only,
            };
        }
        Mount::Volume {
            name: labels::node_name(context.run(), node),
            target,
            read_only,
            // What the image has there is never copied in: the disk's room belongs to the node.
            fill: false,
            options: self.options.get(node).cloned().unwrap_or_default(),
            labels: context.labels.of_node(Role::Disk, node),
        }
    }

    /// The throttle of a node's disk, if the plan has one and the node itself writes to a block device.
    pub(crate) fn throttle(&self, context: &Context<'_>, node: &NodeName) -> Option<Throttle> {
        let disk = &context.network.disk;
        self.block.get(node).filter(|_| self.mounts.is_empty())?;
        let wanted = disk.write_iops.is_some() || disk.write_bytes_per_second.is_some();
        wanted.then_some(Throttle {
            // By its link: the engine looks up the device at every start.
            device: ext4::device_link(&self.mountpoint, node),
            write_iops: disk.write_iops,
            write_bytes_per_second: disk.write_bytes_per_second,
        })
    }
}
