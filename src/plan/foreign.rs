//! What a network of a program that we did not write needs beside its nodes, as data: further programs, files from
//! templates, steps before the nodes, services beside them, load, and how nodes are asked without a dialect.
//!
//! The same types are typed in profiles and stand in plans: nothing here has a default that depends on anything else.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, values::Span};
use crate::{journal::event::Mode, time::micros};

/// Where the files of a network are in all its containers: the folder of each node, and what init steps leave.
pub const SHARED: &str = "/shared";

/// Most services: their fixed addresses are between the engine's own and those of the nodes.
pub const MOST_SERVICES: usize = 5;

/// Last octet of the first service's address in the data network; the generators of load follow behind the nodes' range.
pub const FIRST_SERVICE: u8 = 9;

/// Memory of a container that makes load, with all its commands.
pub const LOAD_MEMORY: u64 = 512 << 20;

/// What a network has beside its nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Foreign {
    /// Further executables in the nodes' image, in `/bin`.
    pub programs: Vec<PathBuf>,
    /// Named texts for templates.
    pub values: BTreeMap<String, String>,
    /// Files of each node.
    pub files: Vec<FileTemplate>,
    /// Steps before the nodes, in order.
    pub init: Vec<InitStep>,
    /// Containers beside the nodes.
    pub services: Vec<Service>,
    /// Roles in the order in which their nodes are started; those not named are started last, together.
    pub start_order: Vec<Role>,
    /// What makes load, where the nodes do not.
    pub load: Option<LoadCommand>,
    /// Faults over which a node ends by itself, as its makers want it.
    pub ends_on: Vec<EndsOn>,
    /// Kinds of faults that its nodes cannot take, with the reason.
    pub refuses: BTreeMap<String, String>,
    /// How many must agree.
    pub quorum: Quorum,
    /// How leaders follow each other.
    pub leaders: Leaders,
}

impl Foreign {
    /// Whether there is a volume that all containers share.
    #[must_use]
    pub fn shares(&self) -> bool {
        !self.files.is_empty() || !self.init.is_empty()
    }
}

/// A file that a node finds in its own folder, read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileTemplate {
    /// Its path within the node's folder (`{{ node.folder }}` in templates): `config/node.toml`.
    pub path: String,
    /// Its text, a template.
    pub text: String,
}

/// A container that runs to its end before the nodes: it makes keys, a genesis, a network definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitStep {
    /// What it is called in messages. Default: its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The program: a name in the pack, or a path in the image. Default: the nodes' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its arguments, each a template; those of `each = "network"` see the first node as theirs. The folder of all nodes
    /// (`{{ shared }}`) can be written, and is the working directory of nobody.
    pub command: Vec<String>,
    /// Whether it runs once for the network (default) or once for each node.
    #[serde(default)]
    pub each: Each,
    /// How long it may take. Default `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// How often an init step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Once.
    #[default]
    Network,
    /// Once for each node.
    Node,
}

/// A container beside the nodes that is no node: a boot node, a beacon. It is started before them and not watched; its
/// address is `{{ services.NAME.ip }}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name: small letters, digits and `-`; in templates with `_` for `-`.
    pub name: String,
    /// The program: a name in the pack, or a path in the image. Default: the nodes' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its arguments, each a template, which sees the first node as its own.
    pub command: Vec<String>,
    /// Its environment; values are templates.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What makes load on a shard: a command that is run once for each transaction, in a container of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadCommand {
    /// The program: a name in the pack, or a path in the image. Default: the nodes' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its arguments, each a template, which sees the first node of the shard as its own. `%n` is the number of the
    /// transaction.
    pub command: Vec<String>,
    /// Its environment; values are templates.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// After this long it is ended and counts as failed. Default `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Commands that may run at the same time. Default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// How much of the voting power must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// More than two thirds: who tolerates lies.
    #[default]
    TwoThirds,
    /// More than half: who tolerates only absence, as Raft does.
    Majority,
}

impl Quorum {
    /// Whether those who are left make one: the voting power of each, and whether it is left.
    #[must_use]
    pub fn is_left(self, powers: impl IntoIterator<Item = (u64, bool)>) -> bool {
        let (mut total, mut present) = (0_u64, 0_u64);
        for (power, left) in powers {
            total = total.saturating_add(power);
            present = present.saturating_add(if left { power } else { 0 });
        }
        self.is_met(total, present)
    }

    /// Whether so much of all is one.
    #[must_use]
    pub fn is_met(self, total: u64, present: u64) -> bool {
        let (total, present) = (u128::from(total), u128::from(present));
        match self {
            Self::TwoThirds => present * 3 > total * 2,
            Self::Majority => present * 2 > total,
        }
    }
}

/// How leaders follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Leaders {
    /// In turn, or by election: who follows a dead leader is another one.
    #[default]
    InTurn,
    /// Drawn anew for each view: a dead one may be drawn several times in a row.
    Drawn,
}

/// A fault over which a node ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndsOn {
    /// A write that fails for want of room.
    DiskFull,
    /// A write or read that the disk refuses.
    DiskError,
}

/// One place that tells a fact: an answer's value by a JSON pointer, or a sample of a metrics page.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Path that is asked for: `/status`. Default for metrics: `/metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<String>,
    /// Path that `body` is posted to, instead of `get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<String>,
    /// What is posted, JSON. Default `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// JSON pointer to the value: `/result/height`. A number may be a text, also a hexadecimal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of a metric, with or without labels; without them all its series are added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What the metric is worth while the page does not have it: a label set is absent before its first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<u64>,
    /// A value below this one is none: what a node that starts says before it has looked. Who tells only such heights
    /// answers, and shows no block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<u64>,
    /// Port. Default: that of the RPC; for metrics that of the metrics page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Deadline of the request. Default: that of the RPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// The places that tell a fact; where the first does not, the next one does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Sources {
    /// One.
    One(Source),
    /// Several.
    Several(Vec<Source>),
}

impl Sources {
    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Source] {
        match self {
            Self::One(source) => std::slice::from_ref(source),
            Self::Several(sources) => sources,
        }
    }
}

/// What a value tells.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// Height of the newest block.
    Height,
    /// Its hash.
    Hash,
    /// The height under agreement.
    Agreeing,
    /// The view.
    View,
    /// Who leads, by the name that nodes have for each other.
    Leader,
    /// The node's own name of that kind.
    Own,
    /// Whether it leads itself.
    Leads,
    /// Its mode.
    Mode,
    /// Its peers.
    Peers,
}

impl Fact {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Height,
        Self::Hash,
        Self::Agreeing,
        Self::View,
        Self::Leader,
        Self::Own,
        Self::Leads,
        Self::Mode,
        Self::Peers,
    ];

    /// The key in `[probe.rpc]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Height => "height",
            Self::Hash => "hash",
            Self::Agreeing => "agreeing",
            Self::View => "view",
            Self::Leader => "leader",
            Self::Own => "own",
            Self::Leads => "leads",
            Self::Mode => "mode",
            Self::Peers => "peers",
        }
    }
}

/// How views count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// One more with each change of the leader or of the term, and the same from block to block otherwise.
    #[default]
    PerChange,
    /// One more with every block, and with every change; read while the next block is on its way, so that only what
    /// stays is told.
    PerBlock,
    /// From 0 at every height, and one more with every change: rounds. What is told is their sum.
    PerHeight,
}

/// One request that is made of every node, over and over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPlan {
    /// Port.
    pub port: u16,
    /// Path.
    pub path: String,
    /// What is posted; `None` to get.
    pub body: Option<String>,
    /// Deadline.
    #[serde(with = "micros")]
    pub deadline: Duration,
    /// What its answer tells.
    pub values: Vec<ValuePlan>,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValuePlan {
    /// What it tells.
    pub fact: Fact,
    /// 0 for the first place that tells it, 1 for the one that does where the first does not, ...
    pub rank: u32,
    /// Values below are none.
    #[serde(default)]
    pub least: Option<u64>,
    /// Where it is.
    pub place: ValuePlace,
}

/// Where a value is in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuePlace {
    /// By a JSON pointer.
    Pointer(String),
    /// A metric.
    Metric {
        /// Its name.
        name: String,
        /// Its worth while it is absent.
        absent: Option<u64>,
    },
}

/// Everything that is asked of nodes without a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reads {
    /// The requests.
    pub requests: Vec<ReadPlan>,
    /// How views count.
    pub views: Views,
    /// Modes by the values that tell them.
    pub modes: BTreeMap<String, Mode>,
}
