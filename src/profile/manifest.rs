//! A profile as typed: what a network is made of. Pure data: a chain that this program has never heard of is
//! supported by writing a profile. What is absent is decided once, in [`crate::plan::resolve`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    journal::event::Mode,
    plan::{
        DiskKind, LogPosition, LogRule, MetricNames, Role,
        foreign::{
            EndsOn, FileTemplate, InitStep, Leaders, LoadCommand, Quorum, Service, Sources, Views,
        },
        image::ImageManifest,
        manifest::Restart,
        secrets::SecretManifest,
        values::{Blocks, Share, Size, Span},
    },
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
    /// A local executable for the engine's platform (relative to this file; a bare name is looked for on the `PATH` too);
    /// packed with the libraries it needs.
    pub binary: Option<String>,
    /// Further executables that are packed with it, found in the same way, for `[[init]]`, `[[service]]` and `[load]`.
    pub programs: Option<Vec<String>>,
    /// An image, pulled where the engine does not have it; `{ ref = "host/name:tag", pull = "always" }` says more.
    pub image: Option<ImageManifest>,
    /// The nodes are this program's own reference node.
    pub itself: Option<bool>,
    /// What nodes find as files below `/run/secrets` (templates: `secrets.NAME` is its path), in memory, for their own user
    /// alone: `{ TOKEN = { env = "CI_TOKEN" } }`, or `{ file = "path" }`. Masked in all that is kept.
    pub secrets: Option<BTreeMap<String, SecretManifest>>,
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
    /// Options of the program that differ from `command`, each with its value, a template: one that the command has gets
    /// this value instead, another one is added.
    pub arguments: Option<BTreeMap<String, String>>,
    /// Bugs of the nodes that are switched on, by the ids that their program knows: on all nodes, or
    /// `{ id = "equivocate", nodes = ["s0-n00"] }`. Templates read them as `node.defects`. Default none.
    pub defects: Option<Vec<Defect>>,
    /// Environment of the node's process; values are templates.
    pub environment: Option<BTreeMap<String, String>>,
    /// Named texts, which templates read as `values.NAME`: what a profile or `--set profile.values.NAME=...` changes
    /// without writing a command again.
    pub values: Option<BTreeMap<String, String>>,
    /// Files that every node finds in its own folder, read-only; their texts are templates.
    pub file: Option<Vec<FileTemplate>>,
    /// Containers that run to their end before the nodes, in order: they make keys, a genesis, a network definition in
    /// the folder that all nodes see.
    pub init: Option<Vec<InitStep>>,
    /// Containers beside the nodes that are none: boot nodes, beacons.
    pub service: Option<Vec<Service>>,
    /// Roles in the order in which their nodes are started. Default: all together.
    pub start_order: Option<Vec<Role>>,
    /// What makes load, where the nodes do not do it themselves; the plan's `load.rate` says how much.
    pub load: Option<LoadCommand>,
    /// Faults over which a node ends by itself, as its makers want it: `["disk-full"]`. Such an end is excused by the
    /// fault, as everything else that it does. Default: none.
    pub ends_on: Option<Vec<EndsOn>>,
    /// How much of the voting power must agree: `two-thirds` (more than that; default) or `majority`.
    pub quorum: Option<Quorum>,
    /// How leaders follow each other: `in-turn` (default), or `drawn` anew for each view, so that a dead one may be drawn
    /// several times in a row. `stall` and `view-change-loop` wait for that.
    pub leaders: Option<Leaders>,
    /// Kinds of faults that these nodes cannot take, each with the reason: a plan with one is refused with it.
    pub refuses: Option<BTreeMap<String, String>>,
    /// How long a node may take to stop before it is killed. Default `10s`.
    pub stop_timeout: Option<Span>,
    /// Facts about mainnet. `block_interval` is required.
    pub mainnet: Option<Mainnet>,
    /// Every clock of the protocol, its mainnet value and what sets it. `block_interval` and `view_change` are required;
    /// `view_change_max` and `view_change_slot` are known too, all other names are free.
    pub accelerate: Option<BTreeMap<String, Clock>>,
    /// How a node's clock is set wrong, for the fault `clock-skew`; without it that fault is refused.
    pub clock_skew: Option<ClockSkew>,
    /// How the nodes are asked.
    pub probe: Option<Probe>,
    /// Log files inside the node that are read beside standard output.
    pub log_files: Option<Vec<String>>,
    /// Rules that classify log lines, tried in order, before those of the profile that this one extends.
    pub log: Option<Vec<LogRule>>,
    /// Restart policy; a plan may set its own.
    pub restart: Option<Restart>,
}

/// How a node's clock is set wrong: it follows a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockSkew {
    /// Name of a file on the data disk: the node adds the seconds that it holds (`+1.5`) to its wall clock within a
    /// second, and is right again when the file is gone.
    pub file: Option<String>,
    /// Metric that shows the node's wall clock in milliseconds since 1970; by it the effect is read back.
    pub metric: Option<String>,
}

/// A bug that is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Defect {
    /// On all nodes.
    Everywhere(String),
    /// On some.
    On(DefectOn),
}

/// A bug that is switched on on some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefectOn {
    /// Its id.
    pub id: String,
    /// The nodes.
    pub nodes: Vec<String>,
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
    /// `auto` (default: the best that is allowed), `tmpfs`, `ext4` or `xfs`.
    pub kind: Option<DiskKind>,
    /// Usable bytes. Required.
    pub size: Option<Size>,
    /// Inodes, not on xfs, which makes them as it needs them. Default: what the file system chooses.
    pub inodes: Option<u64>,
    /// Write operations per second, ext4 and xfs only. Default: no limit.
    pub write_iops: Option<u64>,
    /// Bytes written per second, ext4 and xfs only. Default: no limit.
    pub write_bytes_per_second: Option<Size>,
    /// The disk's blocks are taken from a backing of its own when they are first written, so that the device can run
    /// dry; ext4 and xfs only. Default: where the plan has a `device-dry` fault.
    pub thin: Option<bool>,
    /// How old it is when its node meets it first. Default: new.
    pub age: Option<DiskAge>,
    /// What one block adds before pruning, as measured; lets `plan check` say when the disk fills.
    pub bytes_per_block: Option<Size>,
    /// What a node without blocks uses.
    pub bytes_at_rest: Option<Size>,
    /// Blocks that are kept, after which the size is flat. Default: all are kept.
    pub retention: Option<Blocks>,
}

/// A disk that is filled before its node starts, by a file beside the node's data, `.canarynet-age`, which stays: at the top
/// of the disk, so that a program that wants an empty folder needs one below it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskAge {
    /// Share of the file system that is used then: `70 %`, at most 95 %. Required.
    pub fill: Option<Share>,
    /// What is free is in pieces of about this size, whole blocks of 4 KiB; not in memory (tmpfs). Default: in one piece
    /// as far as it goes.
    pub fragments: Option<Size>,
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
    /// What of the metrics page tells what. Default: nothing is read of it.
    pub metrics: Option<MetricNames>,
    /// The log line by which a node says that it has a new block. Default: none is read.
    pub log: Option<LogPosition>,
}

/// The RPC probe.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rpc {
    /// The family of calls, a shipped dialect. Either this or `height` is required.
    pub dialect: Option<String>,
    /// Port. Required, unless every place below has its own.
    pub port: Option<u16>,
    /// Where the height of the newest block is told, without a dialect: `{ get = "/status", pointer = "/height" }`,
    /// `{ post = "/", body = "...", pointer = "/result" }` or `{ metric = "chain_height" }`; of several, the first one
    /// that tells it.
    pub height: Option<Sources>,
    /// ... its hash.
    pub hash: Option<Sources>,
    /// ... the height under agreement. Default: the one after the newest block.
    pub agreeing: Option<Sources>,
    /// ... the view (round, term).
    pub view: Option<Sources>,
    /// ... who leads, by the name that nodes have for each other.
    pub leader: Option<Sources>,
    /// ... the node's own name of that kind: whose equals `leader` leads.
    pub own: Option<Sources>,
    /// ... whether the node leads, where it says so itself: true, or a number above 0.
    pub leads: Option<Sources>,
    /// ... the node's mode, by `modes`.
    pub mode: Option<Sources>,
    /// ... how many peers it has.
    pub peers: Option<Sources>,
    /// How views count: `per-change` (default), `per-block` or `per-height`.
    pub views: Option<Views>,
    /// Modes by the texts that tell them: `{ "true" = "syncing", "false" = "normal" }`; `"*"` is any other, also a table.
    pub modes: Option<BTreeMap<String, Mode>>,
    /// Port of the metrics page, if there is one.
    pub metrics_port: Option<u16>,
    /// How often heads are asked for. Default: a quarter of the block interval, between `100ms` and `5s`.
    pub interval: Option<Span>,
    /// Deadline of one request. Default `1s`.
    pub deadline: Option<Span>,
}
