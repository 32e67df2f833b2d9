//! A profile as typed: what a network is made of. Pure data: a chain that this program has never heard of is
//! supported by writing a profile. What is absent is decided once, in [`crate::plan::resolve`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{
    DiskKind, LogRule,
    manifest::Restart,
    values::{Blocks, Size, Span},
};

/// A profile: nodes, limits, disks, clocks, probes and log rules of one kind of network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// A shipped profile's name or a path (relative to this file); its values hold where this file has none.
    pub extends: Option<String>,
    /// The profile's name. Default: the file's name.
    pub name: Option<String>,
    /// Number of shards, 1 to 64. Required.
    pub shards: Option<u64>,
    /// Nodes of each shard. Required.
    pub nodes: Option<Nodes>,
    /// A local executable for the engine's platform (relative to this file); packed with the libraries it needs.
    pub binary: Option<String>,
    /// An image that the engine has.
    pub image: Option<String>,
    /// The nodes are this program's own reference node.
    pub itself: Option<bool>,
    /// Limits of each node's container.
    pub limits: Option<Limits>,
    /// Data disk of each node.
    pub disk: Option<Disk>,
    /// `uid:gid` of the node's process. Default `10001:10001`.
    pub user: Option<String>,
    /// Whether the root file system is read-only. Default true.
    pub read_only_root: Option<bool>,
    /// Capabilities of the node's process, added to the empty set. Default none.
    pub capabilities: Option<Vec<String>>,
    /// Small writable paths that are lost with the container: path to size. Default none.
    pub scratch: Option<BTreeMap<String, Size>>,
    /// Arguments of the program (for an image: the whole command), each a template. Required for `binary` and `itself`.
    pub command: Option<Vec<String>>,
    /// Environment of the node's process; values are templates.
    pub environment: Option<BTreeMap<String, String>>,
    /// How long a node may take to stop before it is killed. Default `10s`.
    pub stop_timeout: Option<Span>,
    /// Facts about mainnet. `block_interval` is required.
    pub mainnet: Option<Mainnet>,
    /// Every clock of the protocol, its mainnet value and what sets it. `block_interval` and `view_change` are required;
    /// `view_change_max` and `view_change_slot` are known too, all other names are free.
    pub accelerate: Option<BTreeMap<String, Clock>>,
    /// How the nodes are asked.
    pub probe: Option<Probe>,
    /// Log files inside the node that are read beside standard output.
    pub log_files: Option<Vec<String>>,
    /// Rules that classify log lines, tried in order, before those of the profile that this one extends.
    pub log: Option<Vec<LogRule>>,
    /// Restart policy; a plan may set its own.
    pub restart: Option<Restart>,
}

/// Nodes of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Nodes that vote, at least one.
    pub validator: Option<u32>,
    /// Nodes that follow and never sign. Default 0.
    pub explorer: Option<u32>,
}

/// Limits of each node's container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory, without a tmpfs disk's size, which is added. Default `512 MiB`.
    pub memory: Option<Size>,
    /// Processors; 0.25 is a quarter of one. Default 1.
    pub cpus: Option<f64>,
    /// Processes and threads. Default 256.
    pub pids: Option<u64>,
    /// Open files. Default 1024.
    pub open_files: Option<u64>,
}

/// Data disk of each node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Where it is mounted. Default `/data`.
    pub path: Option<String>,
    /// `auto` (default: the best that is allowed), `tmpfs` or `ext4`.
    pub kind: Option<DiskKind>,
    /// Usable bytes. Required.
    pub size: Option<Size>,
    /// Inodes. Default: what the file system chooses.
    pub inodes: Option<u64>,
    /// Write operations per second, ext4 only. Default: no limit.
    pub write_iops: Option<u64>,
    /// Bytes written per second, ext4 only. Default: no limit.
    pub write_bytes_per_second: Option<Size>,
    /// What one block adds before pruning, as measured; lets `plan check` say when the disk fills.
    pub bytes_per_block: Option<Size>,
    /// What a node without blocks uses.
    pub bytes_at_rest: Option<Size>,
    /// Blocks that are kept, after which the size is flat. Default: all are kept.
    pub retention: Option<Blocks>,
}

/// Facts about mainnet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mainnet {
    /// Its block interval.
    pub block_interval: Option<Span>,
    /// Disk of one of its nodes.
    pub disk: Option<Size>,
}

/// One clock of the protocol.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Its value on mainnet. Required.
    pub mainnet: Option<Span>,
    /// Shortest value that works; it does not scale below.
    pub floor: Option<Span>,
    /// What sets it, for people: `flag --block-interval`, `config.toml:consensus.timeout_commit`. The template of the
    /// command or environment puts it there. Either this or `lever = "none"` is required.
    pub set: Option<String>,
    /// `none`: nothing sets it, it stays at its mainnet value.
    pub lever: Option<NoLever>,
    /// The classes of bug that its not scaling hides or fakes.
    pub hides: Option<String>,
}

/// The only value of `lever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoLever {
    /// Nothing sets this clock.
    None,
}

/// How the nodes are asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Remote procedure calls over HTTP.
    pub rpc: Option<Rpc>,
}

/// The RPC probe.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rpc {
    /// The family of calls, a shipped dialect. Required.
    pub dialect: Option<String>,
    /// Port. Required.
    pub port: Option<u16>,
    /// Port of the metrics page, if there is one.
    pub metrics_port: Option<u16>,
    /// How often heads are asked for. Default: a quarter of the block interval, between `100ms` and `5s`.
    pub interval: Option<Span>,
    /// Deadline of one request. Default `1s`.
    pub deadline: Option<Span>,
}
