//! The closed set of operations that faults are made of, as data: written to the journal and to the list of armed
//! heals, carried out by `engine::inject`.

pub mod disk;
pub mod faulty;
pub mod inside;
pub mod link;
pub mod process;

use serde::{Deserialize, Serialize};

use crate::ids::NodeName;

pub use self::{
    disk::DiskOp,
    faulty::FaultyOp,
    inside::InsideOp,
    link::LinkOp,
    process::{Build, ProcessOp},
};

/// One operation on one node. What heals is idempotent and succeeds where nothing is to be healed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// On the node's container, by the engine.
    Process {
        /// Which node.
        node: NodeName,
        /// What.
        what: ProcessOp,
    },
    /// By the toolbox, inside the node's own limits.
    Inside {
        /// Which node.
        node: NodeName,
        /// What.
        what: InsideOp,
    },
    /// On the node's disk, by the helper.
    Disk {
        /// Which node.
        node: NodeName,
        /// What.
        what: DiskOp,
    },
    /// On the node's FUSE disk.
    Faulty {
        /// Which node.
        node: NodeName,
        /// What.
        what: FaultyOp,
    },
    /// In the node's network, by the helper.
    Link {
        /// Which node.
        node: NodeName,
        /// What.
        what: LinkOp,
    },
}

impl Operation {
    /// The node that it is done to.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Process { node, .. }
            | Self::Inside { node, .. }
            | Self::Disk { node, .. }
            | Self::Faulty { node, .. }
            | Self::Link { node, .. } => node,
        }
    }
}

/// What an operation came to, read back from the place that it acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether its effect was seen.
    pub effective: bool,
    /// What was read back, or why nothing could be, for people; at most 300 bytes.
    pub proof: String,
}
