//! What the judge knows: the live view of shards and nodes, and the whole of it at the end.
//!
//! Plain data, the same for the live display, `canarynet judge` and every report. Times are wall time of the canary
//! unless a name says `mainnet`; shares are 0 to 1.

mod climbs;
mod cost;
mod faults;
mod told;
mod versions;

use std::{collections::BTreeMap, time::Duration};

pub use versions::VersionView;

pub use told::{DetectorView, Latencies, LoadView, Participation, Source, TemplateView, Traffic};

use serde::{Deserialize, Serialize};

pub use climbs::{ClimbStep, ClimbView, StepOutcome};
pub use cost::{CostView, MemorySlope, ObserverView};
pub use faults::{DrillView, FaultView, KindView, Spread};

use crate::{
    detect::{finding::Finding, outlook::NodeOutlook},
    ids::{Epoch, Height, NodeName, RunId, Seq, ShardId, ViewId},
    journal::{
        Capability,
        event::{FinishReason, Mode, Stage},
    },
    plan::Role,
    time::{Elapsed, WallTime, micros},
};

/// Everything that was concluded from a journal, before the plan's gate is held against it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// The run, if the journal said which.
    pub run: Option<RunId>,
    /// Version of the program that wrote the journal.
    pub canarynet: String,
    /// Wall time at elapsed zero.
    pub started: WallTime,
    /// Wall time and reason of the end; `None` if the journal was cut short or the run goes on.
    pub finished: Option<Finish>,
    /// Age of the run at the last entry.
    pub last: Elapsed,
    /// Entries judged.
    pub entries: u64,
    /// Each stage with the moment it began, in order.
    pub stages: Vec<StageStart>,
    /// All findings, in the order in which they were noticed.
    pub findings: Vec<Finding>,
    /// Findings beyond the bound of one kind, counted only: kind to number. None of them fails the gate.
    pub suppressed: BTreeMap<String, u64>,
    /// Findings that came when even more of their kind could not be held, and that may fail the gate: kind to number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beyond: BTreeMap<String, u64>,
    /// Pages that went out: the finding's id and when.
    pub pages: Vec<Page>,
    /// Per shard, ordered by number.
    pub shards: Vec<ShardView>,
    /// Per node, in the plan's order.
    pub nodes: Vec<NodeView>,
    /// Per version of the nodes' program, the profile's own first; empty where there was one only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionView>,
    /// What the run really exercised.
    pub coverage: Measured,
    /// Values that limits may be set on, by metric name (`block-interval.p99`).
    pub measures: BTreeMap<String, Measure>,
    /// What watching cost.
    pub cost: CostView,
    /// Measured against asked-for acceleration.
    pub acceleration: AccelerationView,
    /// What broke on our side, oldest first; bounded.
    pub infra: Vec<InfraView>,
    /// Injected faults, in the order in which they fired; bounded.
    #[serde(default)]
    pub faults: Vec<FaultView>,
    /// What became of all faults of each kind, in the order in which the kinds first fired.
    #[serde(default)]
    pub kinds: Vec<KindView>,
    /// Fake stalls by which the canary tested itself.
    #[serde(default)]
    pub drills: Vec<DrillView>,
    /// Standstills of the whole network while its disks were copied.
    #[serde(default)]
    pub standstills: Vec<Standstill>,
    /// What the recovery ladder tried on shards that stood still, and which step brought them back; bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub climbs: Vec<ClimbView>,
    /// What the plan's faults need of the machine, as it was tried.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// What could not be judged, per detector, scope and stretch of time; bounded.
    pub doubts: Vec<Doubt>,
    /// What each detector could judge.
    #[serde(default)]
    pub detectors: Vec<DetectorView>,
    /// Forms of log lines, in the order in which they came first; bounded.
    #[serde(default)]
    pub templates: Vec<TemplateView>,
}

/// The end of a run that ended in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// When.
    pub wall: WallTime,
}

/// All nodes stood still while a snapshot was made of their disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standstill {
    /// Its id.
    pub id: String,
    /// From when.
    pub begins: Elapsed,
    /// Until when.
    pub ends: Option<Elapsed>,
    /// What came of it.
    pub told: String,
}

/// A stage and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStart {
    /// The stage.
    pub stage: Stage,
    /// Its first moment.
    pub at: Elapsed,
}

/// A page: somebody is to be woken up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Id of the finding.
    pub finding: String,
    /// When it went out.
    pub at: Elapsed,
    /// How long the condition had held by then.
    #[serde(with = "micros")]
    pub after: Duration,
}

/// What can be said of a shard's progress right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// No block yet.
    #[default]
    Waiting,
    /// Blocks come.
    Progressing,
    /// It is seen that no block comes.
    Stalled,
    /// The canary does not see: nothing is said about the shard.
    Blind,
}

/// One shard, live or at the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShardView {
    /// The shard.
    pub shard: ShardId,
    /// Its state now.
    pub sight: Sight,
    /// First height seen.
    pub first_height: Option<Height>,
    /// Best height seen.
    pub height: Option<Height>,
    /// Age of the run at the first block.
    pub first_block: Option<Elapsed>,
    /// Age of the run at the last block.
    pub last_block: Option<Elapsed>,
    /// Epoch of the last block.
    pub epoch: Option<Epoch>,
    /// View of the last block, or a newer one that a node wants.
    pub view: Option<ViewId>,
    /// Leader of the last block: a node's name or the chain's own address.
    pub leader: Option<String>,
    /// Signers of the last block that tells and how many could have signed.
    pub signers: Option<(u32, u32)>,
    /// Block intervals over the last window of rates.
    pub recent: Intervals,
    /// Block intervals over the soak (over the whole run before the soak begins).
    pub whole: Intervals,
    /// Mean number of signers over the soak.
    pub signers_mean: Option<f64>,
    /// Mean share of the committee that signed, over the soak.
    pub signers_share: Option<f64>,
    /// View changes seen.
    pub view_changes: u64,
    /// View changes per 1000 blocks.
    pub view_changes_per_1000: f64,
    /// Times the leader changed from one block to the next.
    pub leader_turns: u64,
    /// Validators that run, and all of them.
    pub validators: (u32, u32),
    /// Largest share of a data disk in use now, over the shard's nodes.
    pub disk_share: Option<f64>,
    /// Ends of stalls: how often, how long.
    pub recovery: Recovery,
    /// What its blocks held.
    #[serde(default)]
    pub traffic: Traffic,
    /// Open findings, by severity from info to critical.
    pub open: [u32; 4],
}

/// Quantiles of block intervals; all zero when there is no sample.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Intervals {
    /// Blocks measured.
    pub count: u64,
    /// Mean.
    #[serde(with = "micros")]
    pub mean: Duration,
    /// Median.
    #[serde(with = "micros")]
    pub p50: Duration,
    /// 99 of 100 are at most this.
    #[serde(with = "micros")]
    pub p99: Duration,
    /// Longest.
    #[serde(with = "micros")]
    pub longest: Duration,
}

/// How a shard came back from stalls. Measured from the moment a quorum runs again (from the last block, where it
/// never was gone) to the next block.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// Stalls that began.
    pub stalls: u64,
    /// Stalls that ended.
    pub recovered: u64,
    /// Median time.
    #[serde(with = "micros")]
    pub p50: Duration,
    /// 99 of 100 took at most this.
    #[serde(with = "micros")]
    pub p99: Duration,
    /// Longest.
    #[serde(with = "micros")]
    pub longest: Duration,
}

/// Whether a node runs, and who ended it if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Its container was never started.
    #[default]
    Absent,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended by itself.
    EndedByItself,
    /// An outside hand ended it.
    EndedByOutsideHand,
    /// The canary ended it.
    EndedByCanary,
    /// The engine failed and took it along.
    EndedByEngine,
}

/// One node, live or at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// The node.
    pub node: NodeName,
    /// Its shard.
    pub shard: ShardId,
    /// Its role.
    pub role: Role,
    /// Its state.
    pub state: NodeState,
    /// Height of its head, when last seen.
    pub height: Option<Height>,
    /// Its mode, when last seen.
    pub mode: Option<Mode>,
    /// Starts beyond the first.
    pub restarts: u64,
    /// Ends that the canary did not ask for.
    pub exits: u64,
    /// Share of the watched time in which its probes were blind.
    pub blind_share: f64,
    /// Log lines read, and lines known to be lost.
    pub lines: (u64, u64),
    /// Log lines whose form was not looked at, to keep the budget.
    #[serde(default)]
    pub lines_passed_over: u64,
    /// Its part as a validator.
    #[serde(default)]
    pub participation: Participation,
    /// Memory in use at the last sample, in bytes.
    pub memory: u64,
    /// Most memory in use, in bytes.
    pub memory_peak: u64,
    /// Mean share of one core over the samples.
    pub cpu_share: f64,
    /// Bytes used on the data disk at the last sample, and its size.
    pub disk: (u64, u64),
    /// Most bytes used there.
    pub disk_peak: u64,
    /// Growth of the data disk after the warm-up; `None` with too few samples.
    pub disk_slope: Option<Slope>,
    /// Where its memory, disk and open files go.
    #[serde(default)]
    pub outlook: NodeOutlook,
}

/// Growth of the data disk in wall time; [`NodeOutlook`] tells more.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Slope {
    /// Bytes per hour of wall time.
    pub bytes_per_hour: f64,
    /// Whether that is flat: not even the upper bound of the slope fills the disk within the plan's horizon.
    pub flat: bool,
}

/// What the run really exercised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Blocks over all shards.
    pub blocks: u64,
    /// Fewest blocks of a shard.
    pub blocks_least: u64,
    /// Epochs completed over all shards.
    pub epochs: u64,
    /// Changes of leader.
    pub leader_turns: u64,
    /// View changes.
    pub view_changes: u64,
    /// Node starts beyond the first.
    pub restarts: u64,
    /// Disks that were full.
    pub full_disks: u64,
    /// ... and had room again.
    pub full_disks_recovered: u64,
    /// Leaders that a fault ended.
    #[serde(default)]
    pub leader_kills: u64,
    /// Receipts of one shard that another executed.
    #[serde(default)]
    pub receipts: u64,
    /// Share of the load asked for that the generators offered; `None` where nobody tells.
    #[serde(default)]
    pub load_share: Option<f64>,
    /// Time in the soak that was watched (pauses on purpose left out).
    #[serde(with = "micros")]
    pub watched: Duration,
    /// Length of the soak so far.
    #[serde(with = "micros")]
    pub soak: Duration,
    /// Largest share of the watched time in which a node's probe was blind.
    pub blind_share: f64,
    /// ... which node.
    pub blind_node: Option<NodeName>,
    /// Log lines read.
    pub lines: u64,
    /// Log lines lost.
    pub lines_lost: u64,
    /// Lost share of all lines.
    pub lines_lost_share: f64,
    /// Jumps and gaps of the canary's own clock, after which windows restarted.
    pub gaps: u64,
}

/// A measured value that a limit may be set on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// In the unit.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
}

/// Base units of measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Milliseconds of wall time.
    Milliseconds,
    /// A plain number.
    Count,
    /// 0 to 1.
    Share,
    /// Bytes.
    Bytes,
    /// Blocks per second.
    PerSecond,
}

/// Acceleration as asked for and as measured over the soak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AccelerationView {
    /// As asked for.
    pub asked: f64,
    /// Mainnet interval over the measured mean interval, mean of all shards; 0 if nothing was measured.
    pub measured: f64,
    /// ... of the slowest shard.
    pub slowest: f64,
    /// Mainnet time of the soak: blocks of the slowest shard in the soak x mainnet interval.
    #[serde(with = "micros")]
    pub mainnet: Duration,
}

/// Something of the host, the engine or the canary that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraView {
    /// When.
    pub at: Elapsed,
    /// What.
    pub what: String,
    /// What it said.
    pub detail: String,
    /// Whether the run could not go on.
    pub fatal: bool,
    /// The entry.
    pub seq: Seq,
}

/// A stretch that a detector could not judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The detector's id, or `all`.
    pub detector: String,
    /// The shard, if only one.
    pub shard: Option<ShardId>,
    /// The node, if only one.
    pub node: Option<NodeName>,
    /// From when.
    pub from: Elapsed,
    /// Until when; `None` until the end.
    pub until: Option<Elapsed>,
    /// Why.
    pub why: String,
    /// Whether it alone makes the run inconclusive (a detector's panic).
    pub decisive: bool,
}
