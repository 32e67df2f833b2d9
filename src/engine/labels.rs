//! Labels and names of everything that a run creates in the engine.
//!
//! Invariant: an object without [`RUN`] is never changed or removed by this program.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    engine::owner::Owner,
    ids::{NodeName, RunId},
};

/// The run that an object belongs to.
pub const RUN: &str = "canarynet.run";
/// What the object is for, a [`Role`].
pub const ROLE: &str = "canarynet.role";
/// Process id of the owner when the object was created.
pub const OWNER_PID: &str = "canarynet.owner-pid";
/// Boot id of the owner's machine.
pub const BOOT_ID: &str = "canarynet.boot-id";
/// Creation in seconds since 1970.
pub const CREATED: &str = "canarynet.created";
/// Seconds after which an ownerless object may be cleaned without asking.
pub const TIME_TO_LIVE: &str = "canarynet.ttl";
/// The node that the object belongs to.
pub const NODE: &str = "canarynet.node";
/// The run directory on the owner's machine.
pub const STATE: &str = "canarynet.state";
/// Kind of the node's disk as launched: `tmpfs`, `ext4`, `xfs` or `faulty`.
pub const DISK_KIND: &str = "canarynet.disk-kind";
/// Usable bytes of the node's disk as launched.
pub const DISK_BYTES: &str = "canarynet.disk-bytes";
/// Block device of the node's disk as launched, where it has one; where the engine has a FUSE disk mounted.
pub const DISK_DEVICE: &str = "canarynet.disk-device";
/// The watcher's: file name of the loader in the toolbox; absent if this program is static.
pub const TOOLBOX_LOADER: &str = "canarynet.toolbox-loader";
/// The disks volume's: the image that can detach its loop devices.
pub const HELPER_IMAGE: &str = "canarynet.helper-image";
/// What a node ran before it was replaced, as JSON: what a heal puts back.
pub const BEFORE: &str = "canarynet.before";
/// The version of the plan that a node runs, where it has several; else what it was upgraded to.
pub const VERSION: &str = "canarynet.version";
/// What a node runs as the plan's version `base`, as JSON; where the plan has several versions.
pub const BASE: &str = "canarynet.base";
/// The reservation's: thousandths of a processor core.
pub const RESERVE_MILLICORES: &str = "canarynet.reserve-millicores";
/// ... bytes of memory.
pub const RESERVE_MEMORY: &str = "canarynet.reserve-memory";
/// ... bytes where the engine keeps its data.
pub const RESERVE_DISK: &str = "canarynet.reserve-disk";
/// ... of these those that are not yet taken when the nodes run.
pub const RESERVE_DISK_LATER: &str = "canarynet.reserve-disk-later";
/// ... when it was made, in milliseconds since 1970 by the engine's clock.
pub const RESERVED_AT: &str = "canarynet.reserved-at";
/// Name of a packed image, without tag.
pub const IMAGE_NAME: &str = "canarynet.image";

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A node's container or its disk's volume owner.
    Node,
    /// The container that watches and holds tmpfs volumes.
    Watcher,
    /// A one-shot container of the canary.
    Helper,
    /// The network that nodes talk over.
    DataNetwork,
    /// The network that the watcher asks over.
    ManagementNetwork,
    /// A disk's volume.
    Disk,
    /// The container that serves a node's FUSE disk.
    FaultyDisk,
    /// The volume with this program for use inside nodes.
    Toolbox,
    /// The volume that nodes find their files in.
    Shared,
    /// A container that runs to its end before the nodes.
    Init,
    /// A container beside the nodes that is none.
    Service,
    /// A container that makes load.
    Load,
    /// The volume with the image files of disks; also the label of packed images.
    Images,
    /// The empty volume whose labels say what the run reserves: made before all else, removed after all else.
    Reservation,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Node,
        Self::Watcher,
        Self::Helper,
        Self::DataNetwork,
        Self::ManagementNetwork,
        Self::Disk,
        Self::FaultyDisk,
        Self::Toolbox,
        Self::Shared,
        Self::Init,
        Self::Service,
        Self::Load,
        Self::Images,
        Self::Reservation,
    ];

    /// As written in the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Watcher => "watcher",
            Self::Helper => "helper",
            Self::DataNetwork => "data-network",
            Self::ManagementNetwork => "management-network",
            Self::Disk => "disk",
            Self::FaultyDisk => "faulty-disk",
            Self::Toolbox => "toolbox",
            Self::Shared => "shared",
            Self::Init => "init",
            Self::Service => "service",
            Self::Load => "load",
            Self::Images => "images",
            Self::Reservation => "reservation",
        }
    }

    /// Reads the label.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Labels as the engine stores them.
pub type Labels = HashMap<String, String>;

/// What all labels of one run have in common.
#[derive(Debug, Clone)]
pub struct RunLabels {
    run: RunId,
    base: Labels,
}

impl RunLabels {
    /// Labels of a run that is created now.
    #[must_use]
    pub fn new(run: &RunId, owner: &Owner, state: &str, time_to_live: Duration) -> Self {
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let base = [
            (RUN, run.to_string()),
            (OWNER_PID, owner.pid.to_string()),
            (BOOT_ID, owner.boot_id.clone()),
            (CREATED, created.to_string()),
            (TIME_TO_LIVE, time_to_live.as_secs().to_string()),
            (STATE, state.to_owned()),
        ];
        Self {
            run: run.clone(),
            base: base
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }
    }

    /// Labels for a helper of a run that exists: those that its object carries.
    #[must_use]
    pub fn of_existing(run: &RunId, object: &Labels) -> Self {
        let keys = [OWNER_PID, BOOT_ID, CREATED, TIME_TO_LIVE, STATE];
        let mut base: Labels = keys
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), object.get(key)?.clone())))
            .collect();
        base.insert(RUN.to_owned(), run.to_string());
        Self {
            run: run.clone(),
            base,
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Labels of an object of this role.
    #[must_use]
    pub fn of(&self, role: Role) -> Labels {
        let mut labels = self.base.clone();
        labels.insert(ROLE.to_owned(), role.to_string());
        labels
    }

    /// Labels of an object of this role that belongs to a node.
    #[must_use]
    pub fn of_node(&self, role: Role, node: &NodeName) -> Labels {
        let mut labels = self.of(role);
        labels.insert(NODE.to_owned(), node.to_string());
        labels
    }
}

/// Name of a node's container and of its disk's volume.
#[must_use]
pub fn node_name(run: &RunId, node: &NodeName) -> String {
    format!("{run}-{node}")
}

/// Ending of the name of a container that is to take a node's place.
pub const NEXT: &str = "-next";

/// Name of the container that serves a node's FUSE disk.
#[must_use]
pub fn faulty_name(run: &RunId, node: &NodeName) -> String {
    format!("{run}-{node}-disk")
}

/// Name of the watcher's container.
#[must_use]
pub fn watcher_name(run: &RunId) -> String {
    format!("{run}-watcher")
}

/// Name of the volume with this program.
#[must_use]
pub fn toolbox_volume(run: &RunId) -> String {
    format!("{run}-toolbox")
}

/// Name of the volume that nodes find their files in.
#[must_use]
pub fn shared_volume(run: &RunId) -> String {
    format!("{run}-shared")
}

/// Name of the volume that nodes find their secrets in.
#[must_use]
pub fn secrets_volume(run: &RunId) -> String {
    format!("{run}-secrets")
}

/// Name of the container that makes load on this shard.
#[must_use]
pub fn load_name(run: &RunId, shard: u64) -> String {
    format!("{run}-load-{shard}")
}

/// Name of the volume with the image files of disks.
#[must_use]
pub fn disks_volume(run: &RunId) -> String {
    format!("{run}-disks")
}

/// Name of the volume whose labels say what the run reserves.
#[must_use]
pub fn reservation_volume(run: &RunId) -> String {
    format!("{run}-reservation")
}

/// Name of the network that nodes talk over.
#[must_use]
pub fn data_network(run: &RunId) -> String {
    format!("{run}-data")
}

/// Name of the network that the watcher asks over.
#[must_use]
pub fn management_network(run: &RunId) -> String {
    format!("{run}-management")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_round_trip() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("nodes"), None);
    }
}
