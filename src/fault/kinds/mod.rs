//! Fault kinds, one a file and one line in [`KINDS`].

use std::{fmt, time::Duration};

use serde_json::Value;

use super::{effect::Effect, operation::Operation};
use crate::{ids::NodeName, plan::NodePlan};

/// What a kind may know when its operations are made: all of it is decided when the fault fires, and journalled.
#[derive(Debug)]
pub struct Cast<'a> {
    /// The fault's id, unique in its run: marks what must be found again to be healed.
    pub fault: &'a str,
    /// The targets as resolved.
    pub targets: &'a [NodeName],
    /// All nodes of the network.
    pub nodes: &'a [NodePlan],
    /// How long it lasts at most: whatever can end itself after this time, does.
    pub duration: Duration,
    /// A number of its own, drawn from the seed of the plan.
    pub seed: u64,
}

/// One fault with its parameters.
pub trait Fault: fmt::Debug + Send + Sync {
    /// What breaks, in order.
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation>;

    /// What heals, in order; each is done even if one before it failed.
    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation>;

    /// Nodes that cannot be counted on while it is in force. Default: all targets.
    fn takes(&self, cast: &Cast<'_>) -> Vec<NodeName> {
        cast.targets.to_vec()
    }

    /// What it does to those nodes.
    fn effects(&self) -> &'static [Effect];

    /// Whether a node that starts again while it is in force must be broken again (rules in its network namespace are
    /// gone with it). Default: no.
    fn breaks_again(&self) -> bool {
        false
    }
}

/// What a fault needs from the machine; probed before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// The privileged helper (`--allow-helper`).
    Helper,
    /// A disk on a block device.
    BlockDisk,
    /// The FUSE disk.
    FaultyDisk,
    /// Packet filters in a node's network.
    PacketFilter,
    /// Rate limits in a node's network.
    Queues,
    /// Packets through a program in a node's network.
    Tunnel,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct KindInfo {
    /// Stable id.
    pub kind: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What it needs of the machine.
    pub needs: &'static [Need],
    /// Reads the parameters, with their defaults; an unknown one is an error.
    pub parse: fn(&Value) -> Result<Box<dyn Fault>, serde_json::Error>,
}

impl fmt::Debug for KindInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind)
    }
}

/// All kinds, in the order of the documentation.
pub const KINDS: &[KindInfo] = &[];

/// The kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == name)
}
