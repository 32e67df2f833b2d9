//! What of nodes' own telling is read, and the windows of the findings that rest on it.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Plan,
    detectors::{After, Detectors},
    error::PlanError,
    foreign::{Leaders, Quorum},
    resolve::{Sources, window},
    thresholds::{Basis, WindowRule},
    values::Span,
};
use crate::time::{Clocks, micros};

/// Names of metrics by what they tell: `name`, or `name{label="value"}` with exactly these labels. Samples of one name
/// with several labels are added up. The unit of times is the name's ending: `_seconds`, `_milliseconds` or
/// `_microseconds`, with or without `_total`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricNames {
    /// Height of the newest block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<String>,
    /// Height under agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreeing: Option<String>,
    /// View under agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Transactions that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// Those of them that the next block could have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Transactions that the load generator made, since the node started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// ... that it held back because the chain took none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<String>,
    /// ... that it was too late for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
    /// ... that a block has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included: Option<String>,
    /// Age of the oldest one that no block has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// A histogram of the time until a block has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion: Option<String>,
    /// Calls that make writes durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syncs: Option<String>,
    /// Time spent in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_time: Option<String>,
}

/// The log line by which a node says that it has a new block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// Texts, one of which the message contains.
    #[serde(default)]
    pub messages: Vec<String>,
    /// The field that holds the block's height.
    #[serde(default)]
    pub height: String,
    /// The field that holds its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Instead of these, for lines of any form: a regular expression with the named groups `height`, `view` and `hash`,
    /// at least one of the first two: `committed block (?P<height>\d+) in view (?P<view>\d+)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A node that runs and says no such line for this long is told of, as one that does not answer; `10s` to `1h`.
    /// Default: lines may come when they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// Windows and thresholds of the findings that rest on what nodes tell of themselves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToldThresholds {
    /// `cross-shard-stall`: receipts or links of one shard do not move at another for this long.
    #[serde(with = "micros")]
    pub cross_shard_stall: Duration,
    /// `height-mismatch`: sources disagree for this long.
    #[serde(with = "micros")]
    pub height_mismatch: Duration,
    /// `tx-not-included`: a transaction waits for this long while blocks come.
    #[serde(with = "micros")]
    pub tx_not_included: Duration,
    /// `empty-blocks` at this many in a row while transactions wait.
    pub empty_blocks: u64,
    /// `idle-validator` (minor) below this share of the blocks of the window of rates.
    pub idle_below: f64,
    /// ... and major below this one.
    pub idle_major_below: f64,
    /// `slow-fsync` when the mean of the last syncs takes longer.
    #[serde(with = "micros")]
    pub slow_fsync: Duration,
    /// `disk-hang` when one wait for the disk lasts this long.
    #[serde(with = "micros")]
    pub disk_hang: Duration,
    /// An epoch's first block may take this long; more, three times in a row, is `slow-blocks`.
    #[serde(with = "micros")]
    pub epoch_boundary: Duration,
    /// `log-template-vanished`: lines of a form that came all the time do not come for this long.
    #[serde(with = "micros")]
    pub template_vanished: Duration,
    /// `log-template-storm`: so many times as often as before.
    pub template_storm_factor: f64,
    /// ... and at least so many lines a second.
    pub template_storm_rate: f64,
}

/// Below two thirds a validator of a chain like Harmony's earns nothing; a tenth of that is the margin.
pub const IDLE_BELOW: f64 = 0.73;

/// Who signs less than a third of the blocks does not take part in any useful way.
pub const IDLE_MAJOR_BELOW: f64 = 1.0 / 3.0;

/// A block without transactions is chance at a low load; twenty in a row with some waiting are none.
pub const EMPTY_BLOCKS: u64 = 20;

/// Ten times as often: the seed's own stuck node wrote the same line again and again.
pub const STORM_FACTOR: f64 = 10.0;

/// More lines a second of one form than blocks at the fastest interval there is: not one of each block.
pub const STORM_RATE: f64 = 25.0;

impl Basis {
    /// Windows of [`ToldThresholds`], in the order in which they are shown.
    #[must_use]
    pub fn told_windows(&self) -> Vec<WindowRule> {
        let rule = |key, terms| WindowRule { key, terms };
        vec![
            // A batch that was lost is pushed again after some blocks by one validator after the other; a node that
            // was away has as long to come back.
            rule(
                "cross-shard-stall.after",
                vec![self.blocks(60), self.recovered_rate()],
            ),
            // Sources are read one after the other, a log later than the rest.
            rule(
                "height-mismatch.after",
                vec![self.blocks(20), self.one_view(), self.wall("5 s", 5)],
            ),
            // Transfers that were not heard are sent again after some blocks; two dead leaders cost two turns.
            rule(
                "tx-not-included.after",
                vec![self.blocks(50), self.recovered_rate()],
            ),
            // A commit is some syncs: at a quarter each the disk sets the pace of the chain.
            rule(
                "slow-fsync.above",
                vec![
                    self.term("B / 4", self.clocks.block_interval / 4),
                    self.term("25 ms", Duration::from_millis(25)),
                ],
            ),
            // Longer than any write of a disk that is merely slow, and no longer than storage may go unnoticed.
            rule("disk-hang.after", vec![self.wall("2 s", 2)]),
            // An epoch's first leader may be dead like any other.
            rule(
                "epoch-boundary.budget",
                vec![self.blocks(5), self.one_view()],
            ),
            // Forms are counted every ten seconds: three periods without one.
            rule(
                "log-template-vanished.after",
                vec![self.wall("30 s", 30), self.blocks(100)],
            ),
        ]
    }

    /// The defaults.
    #[must_use]
    pub fn told(&self) -> ToldThresholds {
        let windows = self.told_windows();
        let wall = |key: &str| {
            let rule = windows.iter().find(|rule| rule.key == key);
            rule.map_or(Duration::ZERO, WindowRule::wall)
        };
        ToldThresholds {
            cross_shard_stall: wall("cross-shard-stall.after"),
            height_mismatch: wall("height-mismatch.after"),
            tx_not_included: wall("tx-not-included.after"),
            empty_blocks: EMPTY_BLOCKS,
            idle_below: IDLE_BELOW,
            idle_major_below: IDLE_MAJOR_BELOW,
            slow_fsync: wall("slow-fsync.above"),
            disk_hang: wall("disk-hang.after"),
            epoch_boundary: wall("epoch-boundary.budget"),
            template_vanished: wall("log-template-vanished.after"),
            template_storm_factor: STORM_FACTOR,
            template_storm_rate: STORM_RATE,
        }
    }
}

impl ToldThresholds {
    /// The defaults for these clocks, for plans that are older than these findings.
    #[must_use]
    pub fn of_clocks(clocks: &Clocks) -> Self {
        Basis {
            clocks: *clocks,
            validators: 4,
            leaders: Leaders::InTurn,
            quorum: Quorum::TwoThirds,
            probe: Duration::from_secs(1),
        }
        .told()
    }

    /// A plan's own, or the defaults where it is older than these.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let told = plan.thresholds.told.clone();
        told.unwrap_or_else(|| Self::of_clocks(&plan.clocks))
    }

    /// The windows by the keys of [`Basis::told_windows`].
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<Duration> {
        self.clone().window(key).map(|window| *window)
    }

    /// A window to be set, by its key.
    pub fn window(&mut self, key: &str) -> Option<&mut Duration> {
        Some(match key {
            "cross-shard-stall.after" => &mut self.cross_shard_stall,
            "height-mismatch.after" => &mut self.height_mismatch,
            "tx-not-included.after" => &mut self.tx_not_included,
            "slow-fsync.above" => &mut self.slow_fsync,
            "disk-hang.after" => &mut self.disk_hang,
            "epoch-boundary.budget" => &mut self.epoch_boundary,
            "log-template-vanished.after" => &mut self.template_vanished,
            _ => return None,
        })
    }
}

/// Puts what a plan says in the place of the defaults.
///
/// # Errors
/// A value out of its range.
pub(super) fn set(
    sources: &Sources,
    clocks: &Clocks,
    detectors: &Detectors,
    told: &mut ToldThresholds,
) -> Result<(), PlanError> {
    let after = |detector: &Option<After>| detector.as_ref().and_then(|detector| detector.after);
    let slow_fsync = detectors.slow_fsync.as_ref();
    let boundary = detectors.epoch_boundary.as_ref();
    let typed = [
        (
            "cross-shard-stall.after",
            after(&detectors.cross_shard_stall),
        ),
        ("height-mismatch.after", after(&detectors.height_mismatch)),
        ("tx-not-included.after", after(&detectors.tx_not_included)),
        (
            "slow-fsync.above",
            slow_fsync.and_then(|detector| detector.above),
        ),
        ("disk-hang.after", after(&detectors.disk_hang)),
        (
            "epoch-boundary.budget",
            boundary.and_then(|boundary| boundary.budget),
        ),
        (
            "log-template-vanished.after",
            after(&detectors.log_template_vanished),
        ),
    ];
    for (key, typed) in typed {
        let wall = window(sources, &format!("detectors.{key}"), typed, clocks)?;
        if let (Some(wall), Some(threshold)) = (wall, told.window(key)) {
            *threshold = wall;
        }
    }
    if let Some(blocks) = detectors
        .empty_blocks
        .as_ref()
        .and_then(|typed| typed.blocks)
    {
        if blocks == 0 {
            return Err(sources.bad("detectors.empty-blocks.blocks", "at least 1"));
        }
        told.empty_blocks = blocks;
    }
    if let Some(idle) = &detectors.idle_validator {
        told.idle_below = idle.below.map_or(told.idle_below, |share| share.0);
        told.idle_major_below = idle
            .major_below
            .map_or(told.idle_major_below, |share| share.0);
        if told.idle_major_below > told.idle_below {
            return Err(sources.bad("detectors.idle-validator", "`major_below` is above `below`"));
        }
    }
    let storm = detectors.log_template_storm.clone().unwrap_or_default();
    for (key, typed, least, threshold) in [
        ("factor", storm.factor, 1.0, &mut told.template_storm_factor),
        (
            "per_second",
            storm.per_second,
            0.0,
            &mut told.template_storm_rate,
        ),
    ] {
        if let Some(value) = typed {
            if !(value > least && value <= 1e6) {
                return Err(sources.bad(
                    &format!("detectors.log-template-storm.{key}"),
                    &format!("above {least} and at most a million"),
                ));
            }
            *threshold = value;
        }
    }
    Ok(())
}

/// Further coverage minima.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exercised {
    /// Changes of leader.
    pub leader_turns: u64,
    /// Leaders that a fault ended.
    pub leader_kills: u64,
    /// View changes.
    pub view_changes: u64,
    /// Node starts beyond the first.
    pub restarts: u64,
    /// Disks that were full.
    pub full_disks: u64,
    /// ... and had room again.
    pub full_disks_recovered: u64,
    /// Receipts of one shard that another executed.
    pub receipts: u64,
    /// Least share of the load asked for that the generators offered; 0 where nothing is asked.
    pub load_share: f64,
}

/// Log forms of an earlier good run: what is none of them is new. Form to whether it came all the time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogBaseline(pub BTreeMap<String, bool>);

/// `templates.json` of a run, as far as a baseline needs it.
#[derive(Deserialize)]
struct TemplatesFile {
    templates: Vec<TemplateRow>,
}

#[derive(Deserialize)]
struct TemplateRow {
    text: String,
    regular: bool,
}

impl LogBaseline {
    /// Reads a run's `templates.json`.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let file: TemplatesFile = serde_json::from_str(text)?;
        let rows = file.templates.into_iter();
        Ok(Self(rows.map(|row| (row.text, row.regular)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_a_threshold() {
        let clocks = Clocks {
            block_interval: Duration::from_millis(200),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_millis(2_700),
        };
        let basis = Basis {
            clocks,
            validators: 4,
            leaders: Leaders::InTurn,
            quorum: Quorum::TwoThirds,
            probe: Duration::from_millis(600),
        };
        let told = basis.told();
        for rule in basis.told_windows() {
            assert_eq!(told.by_key(rule.key), Some(rule.wall()), "{}", rule.key);
        }
        assert_eq!(told, ToldThresholds::of_clocks(&clocks));
        assert_eq!(told.cross_shard_stall, Duration::from_millis(16_200));
        assert_eq!(told.slow_fsync, Duration::from_millis(50));
        assert_eq!(told.epoch_boundary, Duration::from_micros(1_012_500));
    }
}
