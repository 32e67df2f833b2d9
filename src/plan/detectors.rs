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
    /// The window over which rates are taken (`slow-blocks`, `view-change-storm`, `low-signers`).
    pub rates: Option<Rates>,
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

/// The window of rates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Its length.
    pub window: Option<Window>,
}
