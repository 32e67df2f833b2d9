//! The disks of a launch: which kind, and how each node mounts its own.

use std::collections::BTreeMap;

use super::{Context, DiskInfo};
use crate::{
    disk::{ext4, tmpfs},
    engine::{
        docker::{Mount, Throttle},
        error::EngineError,
        labels::{self, Role},
    },
    ids::NodeName,
    plan::DiskKind,
};

/// The disks as made.
pub(crate) struct Disks {
    /// Never [`DiskKind::Auto`].
    pub(crate) kind: DiskKind,
    /// Why that kind.
    pub(crate) reason: String,
    /// Usable bytes of a tmpfs disk.
    tmpfs_bytes: u64,
    /// Devices and usable bytes of ext4 disks.
    ext4: BTreeMap<NodeName, ext4::MadeDisk>,
    /// Options of each disk's volume.
    options: BTreeMap<NodeName, BTreeMap<String, String>>,
}

/// Decides the kind and makes what must exist before containers do. `auto` is decided by really making ext4 disks:
/// no smaller probe proves that it works.
pub(super) async fn create(context: &Context<'_>) -> Result<Disks, EngineError> {
    let disk = &context.network.disk;
    match disk.kind {
        DiskKind::Tmpfs => tmpfs_disks(context, "asked for".to_owned()),
        DiskKind::Ext4 => ext4_disks(context, "asked for".to_owned()).await,
        DiskKind::Auto if !context.allow_helper => tmpfs_disks(
            context,
            "auto: ext4 needs the helper, which is not allowed (--allow-helper)".to_owned(),
        ),
        DiskKind::Auto => {
            if let Some(why) = &context.images.helper_missing {
                return tmpfs_disks(context, format!("auto: no ext4, {why}"));
            }
            let reason = "auto: the helper is allowed and made ext4 disks".to_owned();
            match ext4_disks(context, reason).await {
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
        ext4: BTreeMap::new(),
        options: network
            .nodes
            .iter()
            .map(|node| (node.name.clone(), options.clone()))
            .collect(),
    })
}

async fn ext4_disks(context: &Context<'_>, reason: String) -> Result<Disks, EngineError> {
    let helper = context
        .images
        .helper
        .as_ref()
        .ok_or(EngineError::HelperNotAllowed {
            what: "an ext4 disk",
        })?;
    let network = context.network;
    let names: Vec<NodeName> = network.nodes.iter().map(|node| node.name.clone()).collect();
    let made = ext4::make_disks(
        context.docker,
        helper,
        &context.labels,
        &ext4::DiskOrder {
            nodes: names,
            bytes: network.disk.size,
            inodes: network.disk.inodes,
            user: network.user.clone(),
        },
    )
    .await?;
    Ok(Disks {
        kind: DiskKind::Ext4,
        reason,
        tmpfs_bytes: 0,
        options: made
            .disks
            .keys()
            .map(|node| (node.clone(), ext4::volume_options(&made.mountpoint, node)))
            .collect(),
        ext4: made.disks,
    })
}

impl Disks {
    /// What is known of a node's disk.
    pub(crate) fn info(&self, node: &NodeName) -> DiskInfo {
        let made = self.ext4.get(node);
        DiskInfo {
            kind: self.kind,
            usable_bytes: made.map_or(self.tmpfs_bytes, |disk| disk.usable_bytes),
            device: made.map(|disk| disk.device.clone()),
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

    /// The throttle of a node's disk, if the plan has one and the disk is a block device.
    pub(crate) fn throttle(&self, context: &Context<'_>, node: &NodeName) -> Option<Throttle> {
        let disk = &context.network.disk;
        let device = self.ext4.get(node)?.device.clone();
        let wanted = disk.write_iops.is_some() || disk.write_bytes_per_second.is_some();
        wanted.then_some(Throttle {
            device,
            write_iops: disk.write_iops,
            write_bytes_per_second: disk.write_bytes_per_second,
        })
    }
}
