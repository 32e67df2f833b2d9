//! What the detectors of trends share: when a growth is a finding, and what the finding says.
//!
//! Two things together make one. The growth is beyond doubt and goes on ([`established`]), in several looks in a row;
//! and what it eats up would be gone within the plan's horizon, reckoned with the upper bound of the slope: a level and
//! a forecast, since a slope alone cries wolf over kilobytes. While the chain still fills what it keeps, growth is
//! expected to end there, and the forecast reaches only so far; nor does it ever reach far beyond what was seen.

use serde::{Deserialize, Serialize};

use super::{
    detector::Slots,
    finding::Severity,
    findings::{Findings, Opening},
    outlook::Unit,
    statistics::{Confidence, LEAST_POINTS, Line, change_points, established, median},
    world::{Points, Series, World},
};
use crate::{
    ids::Seq,
    time::{Elapsed, MAINNET_DAY, human},
};

/// Looks in a row that must agree before a finding opens, and before it closes: one look may fall on a tooth's tip.
const LOOKS: u8 = 3;
/// A forecast reaches so many times as far as what it rests on: who looks at a tooth of a compaction must not tell of the
/// month. Rules in use elsewhere take four (disks: a day from six hours) to seven (two weeks from two days).
const FORESIGHT: f64 = 7.0;
/// Entries cited from along the line.
const CITED: usize = 6;

/// One kind of growth.
pub(super) struct Kind {
    /// Id of its findings.
    pub id: &'static str,
    /// What grows.
    pub series: Series,
    /// What it is called: `memory`.
    pub name: &'static str,
    /// Steps that its values come in.
    pub quantum: f64,
    /// Growth over the judged stretch below this multiple of the plan's least rise is none.
    pub noise: f64,
    /// How much of a slope is expected, in the series' unit per block.
    pub expected: fn(&World) -> f64,
    /// Where it must not come to, given where the line began; `None` if nobody knows.
    pub limit: fn(&World, usize, f64) -> Option<Limit>,
    /// The series' unit for people.
    pub unit: Unit,
}

/// Where a growth ends.
pub(super) struct Limit {
    /// The value.
    pub value: f64,
    /// What it is, for people: `the limit of 48 MiB`.
    pub what: String,
}

/// Watches one kind of growth on every node (or shard).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Growth {
    open: Slots,
    held: Vec<Held>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Held {
    /// Looks in a row that speak against what is held now.
    against: u8,
    /// The slope with which the open finding opened.
    slope: f64,
}

impl Growth {
    pub fn step(&mut self, kind: &Kind, world: &World, findings: &mut Findings) {
        if !world.trends.changed(kind.series) {
            return;
        }
        let of_shard = kind.series == Series::BlockTime;
        let place = if of_shard {
            world.touched_shard
        } else {
            world.touched_node
        };
        let Some(place) = place else { return };
        if self.held.len() <= place {
            self.held.resize(place + 1, Held::default());
        }
        let held = &mut self.held[place];
        let points = world.trends.points(kind.series, place);
        let Some(handle) = self.open.get(place) else {
            let Some(growth) = grows(kind, world, place, &points) else {
                held.against = 0;
                return;
            };
            held.against += 1;
            if held.against >= LOOKS {
                *held = Held {
                    against: 0,
                    slope: growth.line.slope,
                };
                let opening = growth.opening(kind, world, place, &points);
                self.open.put(place, findings.open(opening));
            }
            return;
        };
        let begun_anew = points.points.is_empty();
        if !begun_anew && !has_ended(&points, held.slope) {
            held.against = 0;
            return;
        }
        held.against += 1;
        if begun_anew || held.against >= LOOKS {
            held.against = 0;
            self.open.take(place);
            findings.close(handle, world.now);
        }
    }
}

/// Whether a growth that began with this slope is over: lately less than a third of it is left.
fn has_ended(points: &Points, slope: f64) -> bool {
    let points = &points.points;
    let later = points.len() / 2;
    let lately = &points[points.len() - later.max(LEAST_POINTS).min(points.len())..];
    Line::of(lately, 0.0).is_some_and(|line| line.slope < slope / 3.0)
}

/// A growth that is a finding.
struct Grows {
    line: Line,
    limit: Limit,
    /// Blocks until the limit is reached, at the earliest.
    blocks: f64,
}

fn grows(kind: &Kind, world: &World, place: usize, points: &Points) -> Option<Grows> {
    let thresholds = &world.thresholds.trends;
    let span = points.points.last()?.0 - points.points.first()?.0;
    // Whatever part of them is judged is no longer than all of them.
    if points.points.len() < LEAST_POINTS || span < thresholds.least as f64 {
        return None;
    }
    let expected = (kind.expected)(world);
    let least = kind.noise * thresholds.rise;
    // The middle of all: one low value, of a window that a start or a gap cut short, is no level.
    let mut values: Vec<f64> = points.points.iter().map(|(_, value)| *value).collect();
    let least = least * median(&mut values)?.max(kind.quantum);
    let beyond: Vec<(f64, f64)> = points
        .points
        .iter()
        .map(|(x, y)| (*x, y - expected * x))
        .collect();
    let mut line = established(&beyond, kind.quantum, least)?;
    line.slope += expected;
    line.end += expected * line.to;
    let start = line.end - line.rise();
    if line.to - line.from < thresholds.least as f64 {
        return None;
    }
    let limit = (kind.limit)(world, place, start)?;
    let (_, fastest) = line.interval(Confidence::Report);
    let blocks = ((limit.value - line.end) / fastest).max(0.0);
    let horizon = match (kind.series, world.trends.filling(place, line.to as u64)) {
        (Series::Memory | Series::Disk | Series::Inodes, Some(filling)) => filling as f64,
        _ => world.clocks.mainnet_blocks(thresholds.horizon),
    };
    let horizon = horizon.min(FORESIGHT * (line.to - line.from));
    (blocks < horizon).then_some(Grows {
        line,
        limit,
        blocks,
    })
}

impl Grows {
    fn opening(self, kind: &Kind, world: &World, place: usize, points: &Points) -> Opening {
        let Self {
            line,
            limit,
            blocks,
        } = self;
        let subject = match kind.series {
            Series::BlockTime => format!("shard {}", world.shards[place].id),
            _ => world.nodes[place].name.to_string(),
        };
        let (low, high) = line.interval(Confidence::Report);
        let day = world.clocks.mainnet_blocks(MAINNET_DAY);
        let summary = format!(
            "{} of {subject} grows by {} a block (95 %: {} to {}), {} a mainnet day, over {} blocks; {} {}",
            kind.name,
            kind.unit.human(line.slope),
            kind.unit.human(low),
            kind.unit.human(high),
            kind.unit.human(line.slope * day),
            (line.to - line.from).round(),
            limit.what,
            after(blocks / day),
        );
        let first = points.points.partition_point(|(x, _)| *x < line.from);
        let marks = &points.marks[first.min(points.marks.len().saturating_sub(1))..];
        let start = marks.first().map_or(world.now, |(at, _)| *at);
        let opening = Opening::new(kind.id, Severity::Major, start, summary)
            .resting_on(spread(marks))
            .after(changed(kind, world, points));
        match kind.series {
            Series::BlockTime => opening.shard(world.shards[place].id),
            _ => opening
                .shard(world.shards[world.nodes[place].shard].id)
                .node(&world.nodes[place].name),
        }
    }
}

/// When something will be reached.
fn after(days: f64) -> String {
    if days <= 0.0 {
        "is reached".to_owned()
    } else if days < 1.0 {
        format!(
            "is reached in {:.1} mainnet hours at the earliest",
            days * 24.0
        )
    } else {
        format!("is reached in {days:.1} mainnet days at the earliest")
    }
}

/// Some entries from along the line, the first and the last among them.
fn spread(marks: &[(Elapsed, Seq)]) -> Vec<Seq> {
    let last = marks.len().saturating_sub(1);
    (0..CITED)
        .filter_map(|step| marks.get(last * step / (CITED - 1)))
        .map(|(_, seq)| *seq)
        .collect()
}

/// The last change of what grows, for people: of a rate its level, of a level its pace.
fn changed(kind: &Kind, world: &World, points: &Points) -> Option<String> {
    let is_rate = matches!(kind.series, Series::Cpu | Series::Log | Series::BlockTime);
    let values: Vec<f64> = if is_rate {
        points.points.iter().map(|(_, value)| *value).collect()
    } else {
        points
            .points
            .windows(2)
            .map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0).max(1.0))
            .collect()
    };
    let last = change_points(&values, world.thresholds.trends.rise).pop()?;
    let (at, _) = points.marks.get(last.index)?;
    let what = if is_rate { "was" } else { "grew by" };
    Some(format!(
        "{} {what} {} a block until {} before, {} since",
        kind.name,
        kind.unit.human(last.before),
        human(world.now.since(*at)),
        kind.unit.human(last.after),
    ))
}
