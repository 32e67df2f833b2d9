//! The plan: all that a run will do, with no default left hidden.
//!
//! A manifest (the TOML as typed) and a profile are resolved into a [`Plan`] once; after that nobody reads the
//! manifest, flags or environment again. The plan is the journal's first entry, so a run can be judged and repeated
//! from the journal alone.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{NodeName, ShardId},
    time::{Clocks, micros},
};

pub mod acceleration;
pub mod against;
pub mod alerts;
pub mod check;
mod check_text;
pub mod detectors;
mod disk;
pub mod error;
pub mod faults;
pub mod findings;
pub mod foreign;
mod gate;
pub mod image;
pub mod journal_size;
mod judging;
pub mod later;
mod layers;
pub mod limits;
pub mod load;
pub mod log_rule;
pub mod manifest;
mod network;
pub mod observer;
pub mod other;
pub mod reach;
pub mod recorded;
pub mod recovery;
pub mod reserve;
pub mod resolve;
pub mod schema;
pub mod secrets;
pub mod snapshots;
pub mod source;
pub mod thresholds;
pub mod told;
pub mod until;
pub mod values;
pub mod variables;
pub mod versions;
pub mod whole;

pub use against::{Against, Side, Tolerance};
pub use disk::{AGE_FILE, AgePlan, DiskKind, DiskPlan};
pub use error::PlanError;
pub use faults::ClockLever;
pub use gate::{Coverage, Gate, Limit, NewDetectors, Waiver};
pub use load::{PlanRequest, load, resolved};
pub use log_rule::{LogRule, Texts};
pub use recorded::Recorded;
pub use snapshots::{Begun, Ladder, ShardHeight, Start};
pub use thresholds::TrendThresholds;
pub use told::{Exercised, LogBaseline, LogPosition, MetricNames, ToldThresholds};
pub use versions::VersionPlan;

/// Version of the plan's format.
pub const FORMAT: u32 = 1;

/// Everything a run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// The soak plan's name (its file stem): names the run directory.
    pub name: String,
    /// The profile's name.
    pub profile: String,
    /// Seed of the network's keys and of everything drawn.
    pub seed: String,
    /// Asked-for acceleration.
    pub speedup: f64,
    /// The clocks as in force.
    pub clocks: Clocks,
    /// Every clock of the protocol with its mainnet value, canary value and lever: the acceleration audit.
    pub levers: Vec<Lever>,
    /// The network.
    pub network: NetworkPlan,
    /// Blocks that every shard makes before the soak begins.
    pub warm_up_blocks: u64,
    /// Longest wait for the first block and the warm-up.
    #[serde(with = "micros")]
    pub start_deadline: Duration,
    /// Length of the soak; `None` if only `until_height` ends it.
    pub soak: Option<SoakTime>,
    /// The soak ends when every shard reached this height.
    pub until_height: Option<u64>,
    /// Verdict and teardown begin at this age of the run at the latest.
    pub deadline: Option<SoakTime>,
    /// Time after the load has ended.
    #[serde(with = "micros")]
    pub settle: Duration,
    /// Before it settles, watching is switched off and on in turns.
    #[serde(default)]
    pub observer_ab: bool,
    /// Load on the network, for the profile's load lever.
    pub load: LoadPlan,
    /// What is kept in the engine after the end.
    pub keep: Keep,
    /// End the run at the first finding over the gate.
    pub stop_on_failure: bool,
    /// Privileged helper containers are allowed.
    pub allow_helper: bool,
    /// Restart policy for nodes that ended by themselves.
    pub restart: RestartPlan,
    /// Windows and thresholds of all detectors, resolved.
    pub thresholds: Thresholds,
    /// The gate.
    pub gate: Gate,
    /// Budgets of the canary itself.
    pub budget: Budget,
    /// What the run reserves of the engine's machine, where that is not estimated.
    #[serde(default, skip_serializing_if = "reserve::ReservePlan::is_default")]
    pub reserve: reserve::ReservePlan,
    /// Where the chain begins.
    #[serde(default)]
    pub start: Start,
    /// The snapshots that the run makes by itself.
    #[serde(default)]
    pub ladder: Option<Ladder>,
    /// What is tried on a shard that stands still; `None` unless the plan asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<recovery::RecoveryPlan>,
    /// All faults, computed before the start ([`crate::fault::schedule`]).
    #[serde(default)]
    pub schedule: Vec<faults::PlannedFault>,
    /// The canary's test of itself.
    #[serde(default)]
    pub drill: Option<faults::PlannedDrill>,
    /// What becomes of faults that need what the machine does not have.
    #[serde(default)]
    pub on_missing: faults::OnMissing,
    /// Log forms of an earlier good run; `None` without one.
    #[serde(default)]
    pub log_baseline: Option<LogBaseline>,
    /// Who is told of findings while the run goes on.
    #[serde(default)]
    pub alerts: alerts::Alerts,
    /// Where each value came from that was not the built-in default: key to origin (`profile reference`,
    /// `soak/default.toml`, `--set`, `environment`).
    pub origins: BTreeMap<String, String>,
}

/// A length of wall time; a type of its own so that `Option` of it serialises as microseconds or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SoakTime(#[serde(with = "micros")] pub Duration);

/// One clock of the protocol under acceleration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lever {
    /// The clock: `block_interval`, `view_change`, ...
    pub clock: String,
    /// Its value on mainnet.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Its value in the canary.
    #[serde(with = "micros")]
    pub canary: Duration,
    /// What sets it (`flag --block-interval`), or `none`.
    pub lever: String,
    /// Whether a floor kept it from scaling fully.
    pub at_floor: bool,
    /// The classes of bug that its not scaling hides or fakes.
    pub hides: Option<String>,
}

/// The network as it will be launched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Number of shards.
    pub shards: u64,
    /// All nodes, ordered by shard and index.
    pub nodes: Vec<NodePlan>,
    /// The program the nodes run.
    pub program: Program,
    /// Other versions of the program, and who runs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionPlan>,
    /// How images come to the engine.
    #[serde(default, skip_serializing_if = "image::ImagePolicy::is_default")]
    pub images: image::ImagePolicy,
    /// What nodes find as files, never what is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<secrets::SecretPlan>,
    /// Command with its arguments, still templates: rendered per node when addresses are known
    /// (see [`crate::profile::render`]).
    pub command: Vec<String>,
    /// Environment, values are templates.
    pub environment: BTreeMap<String, String>,
    /// Bugs of the nodes' program that are switched on. Nothing that judges reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<DefectPlan>,
    /// `uid:gid` of the node's process; never 0 unless the profile says so.
    pub user: String,
    /// Root file system read-only.
    pub read_only_root: bool,
    /// Capabilities added to the empty set, e.g. none.
    pub capabilities: Vec<String>,
    /// Small tmpfs paths: path to bytes.
    pub scratch: BTreeMap<String, u64>,
    /// Limits of each node's container.
    pub limits: Limits,
    /// The data disk of each node.
    pub disk: DiskPlan,
    /// Where and how the watcher asks.
    pub probe: ProbePlan,
    /// Log files inside the node that are read beside stdout.
    pub log_files: Vec<String>,
    /// Rules that classify log lines, tried in order before the built-in ones.
    pub log_rules: Vec<LogRule>,
    /// How a node's clock is set wrong; `None` where that cannot be done honestly.
    #[serde(default)]
    pub clock_skew: Option<ClockLever>,
    /// Mainnet facts.
    pub mainnet: MainnetPlan,
    /// Longest time a node is given to stop before it is killed.
    #[serde(with = "micros")]
    pub stop_timeout: Duration,
    /// What there is beside the nodes.
    #[serde(default)]
    pub foreign: foreign::Foreign,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name.
    pub name: NodeName,
    /// Its shard.
    pub shard: ShardId,
    /// Its index within the shard, validators first.
    pub index: u32,
    /// Its index over the whole network: decides its fixed addresses.
    pub position: u32,
    /// Its role.
    pub role: Role,
    /// Its voting power; zero for all but validators.
    pub voting_power: u64,
}

/// A bug of the nodes' program that is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectPlan {
    /// Its id, as the program knows it.
    pub id: String,
    /// On which nodes.
    pub nodes: Vec<NodeName>,
}

/// What a node is there for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Votes.
    Validator,
    /// Follows and never signs.
    Explorer,
}

/// What is put into the node's container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// This program itself (the reference node).
    Itself,
    /// A local executable, packed with the libraries it needs.
    Binary(PathBuf),
    /// An image that the engine has.
    Image(String),
}

/// Limits of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes, without the size of a tmpfs disk (which is added).
    pub memory: u64,
    /// Processors, 0.25 is a quarter of one.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: u64,
    /// Open files.
    pub open_files: u64,
}

/// How the watcher asks the nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// The RPC family, one of [`crate::profile::dialect`]; empty where `reads` tells.
    pub dialect: String,
    /// What is asked without a dialect.
    #[serde(default)]
    pub reads: foreign::Reads,
    /// RPC port.
    pub rpc_port: u16,
    /// Metrics port, if there is one.
    pub metrics_port: Option<u16>,
    /// How often heads are asked for.
    #[serde(with = "micros")]
    pub interval: Duration,
    /// Deadline of one request.
    #[serde(with = "micros")]
    pub deadline: Duration,
    /// What of the metrics page tells what.
    #[serde(default)]
    pub metrics: MetricNames,
    /// The log line that tells where a node stands.
    #[serde(default)]
    pub log: Option<LogPosition>,
}

/// Facts about mainnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainnetPlan {
    /// Disk of a mainnet node in bytes.
    pub disk: Option<u64>,
}

/// Load for the profile's lever.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Transfers per second and shard.
    pub rate: f64,
    /// Share of them that cross shards, 0 to 1.
    pub cross_shard: f64,
}

/// What stays in the engine after a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Nothing.
    Never,
    /// All of it if the verdict is not pass.
    OnFail,
    /// All of it.
    Always,
}

/// Restart policy of the canary (never of the engine).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPlan {
    /// Wait before the first restart, doubling; `None` never restarts.
    pub after: Option<SoakTime>,
    /// At most this many within `window`.
    pub most: u32,
    /// Counted over this much wall time (100 mainnet minutes by default).
    #[serde(with = "micros")]
    pub window: Duration,
}

/// Windows and thresholds of the detectors, all in wall time of the canary.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// `stall` opens as suspected (minor): max(5 B, 1.5 V + S).
    #[serde(with = "micros")]
    pub stall_suspected: Duration,
    /// `stall` becomes critical: max(20 B, 2 V + S).
    #[serde(with = "micros")]
    pub stall: Duration,
    /// The page goes out: max(1m mainnet, 1.5 V + S).
    #[serde(with = "micros")]
    pub page: Duration,
    /// Recovery budget to the first block after a heal: max(10 B, 2 V_max + S).
    #[serde(with = "micros")]
    pub recovery: Duration,
    /// `never-started`: no first block this long after the last container started.
    #[serde(with = "micros")]
    pub never_started: Duration,
    /// `view-change-loop` at this many view changes at one height.
    pub view_change_loop: u64,
    /// `view-change-storm` above this share of blocks with a view change, over `rate_window`.
    pub view_change_storm_share: f64,
    /// ... and at least this many view changes within it.
    pub view_change_storm_least: u64,
    /// Window of rates (storm, slow-blocks, low-signers).
    #[serde(with = "micros")]
    pub rate_window: Duration,
    /// `slow-blocks` when the mean interval over `rate_window` exceeds this many block intervals.
    pub slow_blocks_factor: f64,
    /// `no-leader`: no node of the shard takes itself for the leader for this long while no block comes.
    #[serde(with = "micros")]
    pub no_leader: Duration,
    /// `low-signers` when the mean share of signers over `rate_window` falls below this.
    pub low_signers_share: f64,
    /// `node-lagging` beyond max(this many blocks, ...
    pub lag_blocks: u64,
    /// ... the blocks of this time) behind its shard ...
    #[serde(with = "micros")]
    pub lag_time: Duration,
    /// ... and major when it lasts longer than this without catching up.
    #[serde(with = "micros")]
    pub lag_budget: Duration,
    /// `stuck-syncing` after this long in Syncing.
    #[serde(with = "micros")]
    pub syncing: Duration,
    /// `disk-full` is a finding at the first failed write; this share of the disk used is only its warning sign.
    pub disk_used_share: f64,
    /// `crash-loop` at this many exits of one node ...
    pub crash_loop_exits: u32,
    /// ... within this time.
    #[serde(with = "micros")]
    pub crash_loop_window: Duration,
    /// `hung`: runs, and answers nothing for this long.
    #[serde(with = "micros")]
    pub hung: Duration,
    /// `blind`: the canary sees nothing of a node or shard for this long while nothing says it is down.
    #[serde(with = "micros")]
    pub blind: Duration,
    /// Trends. Journals that are older than these have the defaults.
    #[serde(default)]
    pub trends: TrendThresholds,
    /// Those of findings that rest on what nodes tell of themselves; `None` in plans that are older than these.
    #[serde(default)]
    pub told: Option<ToldThresholds>,
}

/// What the canary itself may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// Share of one core, canary and its containers together.
    pub cpu_share: f64,
    /// Memory in bytes, canary and its containers together.
    pub memory: u64,
    /// Bytes of the journal.
    pub journal: u64,
    /// Bytes of kept raw logs, over all nodes.
    pub logs: u64,
}

/// Fixed addresses of a node in the run's two networks; known once subnets are chosen at launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// In the data network.
    pub data: Ipv4Addr,
    /// In the management network.
    pub management: Ipv4Addr,
}
