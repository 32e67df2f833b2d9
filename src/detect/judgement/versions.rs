//! What is told of each version of the nodes' program, where a network had several.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{NodeName, ShardId},
    time::micros,
};

/// One version of the nodes' program. What a node did counts for the version that it ran at that moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VersionView {
    /// Its name: the plan's, `base` for the profile's own; else the image or executable that a fault put there.
    pub version: String,
    /// The nodes that run it now.
    pub nodes: Vec<NodeName>,
    /// Nodes that ever ran it.
    pub ever: u64,
    /// Shards in which it alone ran all through the soak: their blocks are its own work.
    pub shards: Vec<ShardId>,
    /// Time of nodes that ran it, added up over the nodes, in which they were watched and ran.
    #[serde(with = "micros")]
    pub ran: Duration,
    /// Starts beyond a node's first, and beyond those that made it this version.
    pub restarts: u64,
    /// Ends that the canary did not ask for.
    pub exits: u64,
    /// Mean memory in use of a node, in bytes.
    pub memory: u64,
    /// Most memory in use on any node, in bytes.
    pub memory_peak: u64,
    /// Mean share of one core of a node.
    pub cpu_share: f64,
    /// Blocks that its nodes were behind the best of their shard, on the mean over the soak while they ran.
    pub behind: f64,
    /// ... at most.
    pub behind_most: u64,
    /// Blocks that its nodes led.
    pub led: u64,
    /// Ids of the findings about its nodes, or about shards that it had alone when they were noticed; the first ones.
    pub findings: Vec<String>,
}
