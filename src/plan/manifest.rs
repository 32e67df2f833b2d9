//! A soak plan as typed. Nothing here has a default: what is absent is decided once, in [`super::resolve`].
//!
//! The doc comments are the reference: the published JSON Schema is made from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Keep,
    alerts::AlertManifest,
    detectors::Detectors,
    faults::{ChaosManifest, DrillManifest, FaultManifest, OnMissing, SweepManifest},
    recovery::RecoveryManifest,
    reserve::ReserveManifest,
    snapshots::{SnapshotManifest, StartManifest},
    until::Until,
    values::{Blocks, Rate, Seed, Share, Size, Span},
    versions::VersionManifest,
};
use crate::{detect::finding::Severity, time::Window};

/// A soak plan: what is done to a network, for how long, and what decides the verdict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Versions of canarynet that may run this plan, like `>=0.1, <0.3`; another one refuses instead of judging differently.
    pub requires: Option<String>,
    /// The network: a shipped profile's name, or the path of a profile (relative to this file).
    pub profile: Option<String>,
    /// Other versions of the nodes' program: which nodes run them, and what `upgrade` faults roll to.
    pub versions: Option<Vec<VersionManifest>>,
    /// What keys, genesis and load follow from; a text or a whole number. Default `canarynet`.
    pub seed: Option<Seed>,
    /// How much faster than mainnet, 1 or more. Default 1. Excludes `block_interval`.
    pub speedup: Option<f64>,
    /// The block interval asked for, from which the speedup follows. Excludes `speedup`.
    pub block_interval: Option<Span>,
    /// Blocks that every shard makes before the soak begins. Default `20 blocks`.
    pub warm_up: Option<Blocks>,
    /// Longest wait for the first block and the warm-up. Default: the window of `never-started` and three times the
    /// warm-up's length, at least a minute.
    pub start_deadline: Option<Span>,
    /// When the soak ends: `8h`, `height 300000`, or `{ any = ["8h", "height 300000"] }`. Default `5m`, or as long as
    /// `[sweep]` takes.
    pub until: Option<Until>,
    /// Age of the run at which verdict and teardown begin at the latest. Default: what the stages may take in all.
    pub deadline: Option<Span>,
    /// Time after the load has ended, for what is in flight. Default `20 blocks`.
    pub settle: Option<Window>,
    /// Before it settles, watching is switched off and on in turns (a minute or two more): the report says whether it
    /// slows the network. Default `false`.
    pub observer_ab: Option<bool>,
    /// Load on the network.
    pub load: Option<Load>,
    /// What stays in the engine after the run: `never` (default), `on-fail`, `always`.
    pub keep: Option<Keep>,
    /// Where the chain begins. Default: at genesis.
    pub start: Option<StartManifest>,
    /// Snapshots that the run makes by itself. Default: none.
    pub snapshot: Option<SnapshotManifest>,
    /// What a failure does to the run.
    pub on_failure: Option<OnFailure>,
    /// What is tried on a shard that stands still, to tell what would bring it back. Default: nothing.
    pub recovery: Option<RecoveryManifest>,
    /// Whether helper containers with single capabilities may be used (ext4 disks). Default false.
    pub allow_helper: Option<bool>,
    /// Restart policy, instead of the profile's.
    pub restart: Option<Restart>,
    /// What decides the verdict.
    pub gate: Option<Gate>,
    /// Findings that do not count.
    pub waive: Option<Vec<Waive>>,
    /// Windows and thresholds of detectors, by finding id.
    pub detectors: Option<Detectors>,
    /// What the canary itself may use.
    pub budget: Option<Budget>,
    /// What the run reserves of the engine's machine, so that another does not start beside it for which there is no room.
    pub reserve: Option<ReserveManifest>,
    /// Faults, each with its kind, its time and its target.
    pub fault: Option<Vec<FaultManifest>>,
    /// Every kind of fault once.
    pub sweep: Option<SweepManifest>,
    /// Faults drawn from the seed.
    pub chaos: Option<ChaosManifest>,
    /// A fake stall that the canary must report, or it has failed itself.
    pub drill: Option<DrillManifest>,
    /// What becomes of faults that need what the machine does not have: `refuse` (default) or `skip`.
    pub on_missing: Option<OnMissing>,
    /// `templates.json` of an earlier good run (relative to this file): log lines of other forms are findings.
    pub log_baseline: Option<String>,
    /// Who is told of findings while the run goes on.
    pub alert: Option<Vec<AlertManifest>>,
    /// Names of the receivers that are told of drills; no other is.
    pub drill_to: Option<Vec<String>>,
    /// Names of the receivers that get a sign of life at the end of every run, so that one that never ran is noticed.
    pub heartbeat_to: Option<Vec<String>>,
}

/// Load for the profile's load lever.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Transfers. Default `50 tx/s per shard`.
    pub rate: Option<Rate>,
    /// Share of them that goes to another shard. Default `10 %`.
    pub cross_shard: Option<Share>,
}

/// What a failure does to the run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnFailure {
    /// End the run at the first finding over the gate. Default false: go on watching.
    pub stop: Option<bool>,
}

/// Restart policy of the canary (never the engine's) for nodes that ended by themselves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// `never` (default) or `after`.
    pub policy: Option<RestartPolicy>,
    /// Wait before the first restart, doubling with each. Default `1s`.
    pub after: Option<Window>,
    /// At most this many restarts of one node within `window`. Default 5.
    pub most: Option<u32>,
    /// Default `100m mainnet`.
    pub window: Option<Window>,
}

/// Whether nodes are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// A node that ended stays down.
    Never,
    /// A node that ended by itself is started again.
    After,
}

/// What decides the verdict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Findings fail the run from this severity: `info`, `minor`, `major` (default), `critical`.
    pub fail_on: Option<Severity>,
    /// Severity by finding id, instead of the default one. What is critical by default cannot be lowered.
    pub severity: Option<BTreeMap<String, Severity>>,
    /// Limits on measured values: `{ "block-interval.p99" = "< 400ms" }`.
    pub limits: Option<BTreeMap<String, String>>,
    /// What the run must have exercised to be conclusive.
    pub coverage: Option<Coverage>,
    /// A baseline and how much worse each metric may be: `{ baseline = "release/v3", "memory.max" = "+10 %" }`; `-10 %`
    /// where less is worse. Missing data fails.
    pub against: Option<BTreeMap<String, String>>,
    /// What findings of detectors mean that are younger than the lowest version that `requires` admits: `warn` (default)
    /// or `fail`. A finding that `severity` names always counts.
    pub new_detectors: Option<super::NewDetectors>,
}

/// What the run must have exercised; less makes it inconclusive.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Blocks of the soak, over all shards. Default: half of what the soak's length allows.
    pub blocks: Option<u64>,
    /// Epochs completed, over all shards. Default 0.
    pub epochs: Option<u64>,
    /// Largest share of the watched time that a node's probe may be blind. Default `1 %`.
    pub blind: Option<Share>,
    /// Largest share of log lines that may be lost. Default `0.1 %`.
    pub lines_lost: Option<Share>,
    /// Share of the plan's faults that must have been effective; what was skipped or never fired was not. Default
    /// `100 %`.
    pub faults: Option<Share>,
    /// Changes of leader, over all shards. Default 0, as for all that follow.
    pub leader_turns: Option<u64>,
    /// Leaders that a fault ended.
    pub leader_kills: Option<u64>,
    /// View changes, over all shards.
    pub view_changes: Option<u64>,
    /// Starts of nodes beyond the first.
    pub restarts: Option<u64>,
    /// Disks that were full.
    pub full_disks: Option<u64>,
    /// ... and had room again.
    pub full_disks_recovered: Option<u64>,
    /// Receipts of one shard that another executed.
    pub receipts: Option<u64>,
    /// Least share of the load asked for that the generators offered; below it the canary failed. Default `90 %` where
    /// the profile's metrics tell.
    pub load: Option<Share>,
}

/// A finding that stays in the report and does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waive {
    /// The finding's id.
    pub finding: String,
    /// Where it is waived; everywhere if absent.
    #[serde(rename = "where")]
    pub place: Option<Place>,
    /// Last day it holds: `2026-12-31`.
    pub until: String,
    /// Why.
    pub because: String,
}

/// Where a waiver holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Only on this node.
    pub node: Option<String>,
    /// Only on this shard.
    pub shard: Option<u64>,
}

/// What the canary and its containers may use, together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Share of one core. Default `10 %`.
    pub cpu: Option<Share>,
    /// Memory. Default `80 MiB`.
    pub memory: Option<Size>,
    /// The journal on disk. Default `1 GiB`.
    pub journal: Option<Size>,
    /// Kept raw logs, over all nodes. Default `512 MiB`.
    pub logs: Option<Size>,
}
