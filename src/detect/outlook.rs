//! What a report says of each node's growth: the slope with its interval, and when it leads where it must not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    statistics::{Confidence, Line},
    world::{Series, World},
};
use crate::{
    plan::values::human_size,
    time::{MAINNET_DAY, human},
};

/// The outlook of a node: `None` where too little was seen to say anything.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeOutlook {
    /// Resident memory, in bytes.
    pub memory: Option<Outlook>,
    /// The data disk, in bytes.
    pub disk: Option<Outlook>,
    /// Open files.
    pub open_files: Option<Outlook>,
}

/// Where a quantity goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// In one word.
    pub course: Course,
    /// Growth for each block.
    pub per_block: f64,
    /// Its interval, 95 %.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Growth for each day on mainnet.
    pub per_mainnet_day: f64,
    /// Blocks that were judged.
    pub blocks: u64,
    /// Mainnet days until its limit at the earliest: by the upper bound. `None` if it does not grow even then.
    pub earliest_days: Option<f64>,
    /// ... and by the slope itself.
    pub likely_days: Option<f64>,
    /// The chain still fills what it keeps: growth is expected to end.
    pub filling: bool,
}

/// Where a quantity goes, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// Neither bound of the interval leads anywhere within the plan's horizon.
    Flat,
    /// It grows beyond doubt.
    Rises,
    /// It shrinks beyond doubt.
    Falls,
    /// The interval leaves room for growth that would matter, and for none.
    Unclear,
}

impl NodeOutlook {
    /// The outlook of the node at this place.
    #[must_use]
    pub fn of(world: &World, place: usize) -> Self {
        let capacity = world.trends.capacity;
        let disk = capacity
            .mainnet_disk
            .unwrap_or(world.nodes[place].disk.size());
        Self {
            memory: outlook(world, place, Series::Memory, 4096.0, capacity.memory),
            disk: outlook(world, place, Series::Disk, 4096.0, disk),
            open_files: outlook(world, place, Series::OpenFiles, 1.0, capacity.open_files),
        }
    }
}

fn outlook(
    world: &World,
    place: usize,
    series: Series,
    quantum: f64,
    limit: u64,
) -> Option<Outlook> {
    let points = world.trends.points(series, place).points;
    let line = Line::of(&points, quantum)?;
    let (low, high) = line.interval(Confidence::Report);
    let day = world.clocks.mainnet_blocks(MAINNET_DAY);
    let horizon = world.clocks.mainnet_blocks(world.thresholds.trends.horizon);
    let room = (limit as f64 - line.end).max(0.0);
    let days = |slope: f64| (slope > 0.0).then(|| room / slope / day);
    let matters = |slope: f64| slope * horizon >= room;
    // What grows beyond doubt, and visibly.
    let visible =
        line.rise().abs() >= world.thresholds.trends.rise * (line.end - line.rise()).abs();
    let course = match (low > 0.0, high < 0.0) {
        (true, _) if visible || matters(high) => Course::Rises,
        (_, true) if visible => Course::Falls,
        _ if matters(high) => Course::Unclear,
        _ => Course::Flat,
    };
    let height = world.shards[world.nodes[place].shard].best.as_ref();
    let filling = height.and_then(|best| world.trends.filling(place, best.height.0));
    Some(Outlook {
        course,
        per_block: line.slope,
        low,
        high,
        per_mainnet_day: line.slope * day,
        blocks: (line.to - line.from) as u64,
        earliest_days: days(high),
        likely_days: days(line.slope),
        filling: filling.is_some() && series != Series::OpenFiles,
    })
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// Microseconds.
    Micros,
}

impl Unit {
    /// A value for people.
    #[must_use]
    pub fn human(self, value: f64) -> String {
        let sign = if value < 0.0 { "-" } else { "" };
        let size = value.abs();
        let text = match self {
            Self::Bytes if size < 10.0 => format!("{} B", small(size)),
            Self::Bytes => human_size(size as u64),
            Self::Count if size < 10.0 => small(size),
            Self::Count => format!("{size:.1}"),
            Self::Micros if size < 10.0 => format!("{} us", small(size)),
            Self::Micros => human(Duration::try_from_secs_f64(size / 1e6).unwrap_or(Duration::MAX)),
        };
        format!("{sign}{text}")
    }
}

/// A number below ten to two digits that count.
fn small(number: f64) -> String {
    let decimals = match number {
        n if n < 0.000_1 => return "0".to_owned(),
        n => (1.0 - n.log10()).floor().max(0.0) as usize,
    };
    format!("{number:.decimals$}")
}
