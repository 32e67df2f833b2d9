//! `[detectors.<finding>]`: windows and thresholds that a plan sets instead of the defaults of
//! [`super::thresholds`]. Windows are durations, blocks or mainnet time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Share;
use crate::time::Window;

/// Overrides by finding id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Detectors {
    /// `stall`.
    pub stall: Option<Stall>,
    /// `no-recovery`.
    pub no_recovery: Option<After>,
    /// `never-started`.
    pub never_started: Option<After>,
    /// `no-leader`.
    pub no_leader: Option<After>,
    /// `stuck-syncing`.
    pub stuck_syncing: Option<After>,
    /// `hung`.
    pub hung: Option<After>,
    /// `blind`.
    pub blind: Option<After>,
    /// `view-change-loop`.
    pub view_change_loop: Option<ViewChangeLoop>,
    /// `view-change-storm`.
    pub view_change_storm: Option<ViewChangeStorm>,
    /// `slow-blocks`.
    pub slow_blocks: Option<SlowBlocks>,
    /// `low-signers`.
    pub low_signers: Option<LowSigners>,
    /// `node-lagging`.
    pub node_lagging: Option<NodeLagging>,
    /// `disk-full`.
    pub disk_full: Option<DiskFull>,
    /// `crash-loop`.
    pub crash_loop: Option<CrashLoop>,
    /// `cross-shard-stall`.
    pub cross_shard_stall: Option<After>,
    /// `height-mismatch`.
    pub height_mismatch: Option<After>,
    /// `tx-not-included`.
    pub tx_not_included: Option<After>,
    /// `empty-blocks`.
    pub empty_blocks: Option<EmptyBlocks>,
    /// `idle-validator`.
    pub idle_validator: Option<IdleValidator>,
    /// `slow-fsync`.
    pub slow_fsync: Option<SlowFsync>,
    /// `disk-hang`.
    pub disk_hang: Option<After>,
    /// The first block of an epoch (`slow-blocks`).
    pub epoch_boundary: Option<EpochBoundary>,
    /// `log-template-vanished`.
    pub log_template_vanished: Option<After>,
    /// `log-template-storm`.
    pub log_template_storm: Option<TemplateStorm>,
    /// The window over which rates are taken (`slow-blocks`, `view-change-storm`, `low-signers`).
    pub rates: Option<Rates>,
    /// All findings about growth: `memory-growth`, `fd-growth`, `disk-growth`, `disk-exhaustion-forecast`,
    /// `ghost-bytes`, `cpu-creep`, `log-flood`, `block-time-creep`.
    pub trends: Option<Trends>,
}

/// A detector that fires when a condition has held for a time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// How long the condition holds before the finding opens.
    pub after: Option<Window>,
}

/// Windows of `stall`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// No block for this long: suspected, minor.
    pub suspected: Option<Window>,
    /// No block for this long: critical.
    pub after: Option<Window>,
    /// No block for this long: the page goes out.
    pub page: Option<Window>,
}

/// Threshold of `view-change-loop`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewChangeLoop {
    /// View changes at one height.
    pub views: Option<u64>,
}

/// Thresholds of `view-change-storm`; both must be exceeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewChangeStorm {
    /// Share of blocks that needed a view change.
    pub share: Option<Share>,
    /// View changes within the window of rates.
    pub least: Option<u64>,
}

/// Threshold of `slow-blocks`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowBlocks {
    /// Mean interval in block intervals, above 1.
    pub factor: Option<f64>,
}

/// Threshold of `low-signers`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LowSigners {
    /// Mean share of the committee that signs.
    pub below: Option<Share>,
}

/// Thresholds of `node-lagging`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeLagging {
    /// Behind its shard by more blocks than this and than the blocks of `time`.
    pub blocks: Option<u64>,
    /// See `blocks`.
    pub time: Option<Window>,
    /// Major when it lasts longer.
    pub budget: Option<Window>,
}

/// Warning sign of `disk-full`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskFull {
    /// Share of the disk in use.
    pub used: Option<Share>,
}

/// Thresholds of `crash-loop`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrashLoop {
    /// Exits of one node.
    pub exits: Option<u32>,
    /// Within this time.
    pub window: Option<Window>,
}

/// Thresholds of growth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trends {
    /// Left out at the soak's beginning and after each start of a node.
    pub warm_up: Option<Window>,
    /// A shorter stretch is not judged.
    pub least: Option<Window>,
    /// Growth is a finding when what it eats up is gone within this time; all of it is reckoned in mainnet time.
    pub horizon: Option<Window>,
    /// Growth below this share of where it began is none.
    pub rise: Option<Share>,
    /// The multiple of the beginning's CPU time or log volume for a block that must not be reached within the horizon.
    pub creep_factor: Option<f64>,
    /// The multiple of a node's usual log volume that is a flood.
    pub flood_factor: Option<f64>,
}

/// The window of rates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Its length.
    pub window: Option<Window>,
}

/// Threshold of `empty-blocks`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyBlocks {
    /// Blocks without a transaction in a row, while transactions wait.
    pub blocks: Option<u64>,
}

/// Thresholds of `idle-validator`, shares of the blocks of the window of rates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdleValidator {
    /// Signs less: minor.
    pub below: Option<Share>,
    /// Signs less: major.
    pub major_below: Option<Share>,
}

/// Threshold of `slow-fsync`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowFsync {
    /// Mean time of a sync.
    pub above: Option<Window>,
}

/// Budget of an epoch's first block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochBoundary {
    /// Time from the last block of the epoch before it.
    pub budget: Option<Window>,
}

/// Thresholds of `log-template-storm`; both must be exceeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateStorm {
    /// So many times as often as before, above 1.
    pub factor: Option<f64>,
    /// Lines a second.
    pub per_second: Option<f64>,
}
