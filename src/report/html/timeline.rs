//! A shard over time: block intervals, view changes, signers and leaders, with faults as bands and findings as marks.

mod leaders;

use std::time::Duration;

use leaders::leaders;
use serde::Serialize;

use super::{
    Table,
    svg::{Svg, TimeScale},
};
use crate::{
    detect::Finding,
    ids::ShardId,
    journal::event::Stage,
    report::{
        ReportInput, Standing,
        curves::{Course, ShardBucket, ShardCurve},
        look,
        text::{clock, count, millis, plain, plural},
    },
    time::{Elapsed, human},
};

/// Shards that are drawn; those with the worst findings come first.
const MOST_SHARDS: usize = 32;
/// Colours of the style sheet.
pub(super) const COLOURS: usize = 12;
/// Faults and findings drawn of a shard.
const MOST_MARKS: usize = 120;
/// Turns of leaders up to which each says who it was.
const MOST_TIPS: usize = 80;
/// Rows of the table that tells a plot in words.
const ROWS: usize = 12;
/// Names in the key of leaders.
const MOST_NAMES: usize = 16;

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 62.0;
/// Top and bottom of each row of the plot.
const INTERVALS: (f64, f64) = (22.0, 122.0);
const VIEWS: (f64, f64) = (130.0, 148.0);
const SIGNERS: (f64, f64) = (156.0, 174.0);
const LEADERS: (f64, f64) = (182.0, 196.0);
const FAULTS: (f64, f64) = (204.0, 214.0);
const MARKS: (f64, f64) = (4.0, 16.0);

/// One shard's plot with its words.
#[derive(Debug, Serialize)]
pub(super) struct ShardPlot {
    name: String,
    words: String,
    svg: String,
    leaders: Vec<Key>,
    table: Table,
}

/// A colour and whose it is.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub(super) colour: usize,
    pub(super) name: String,
}

/// Plots of the shards that matter most, in order of number, and how many shards were left out.
pub(super) fn plots(input: &ReportInput) -> (Vec<ShardPlot>, usize) {
    let mut shards: Vec<&ShardCurve> = input.curves.shards.iter().collect();
    let worst = |shard: ShardId| {
        let of = input.judgement.findings.iter();
        of.filter(|finding| finding.shard == Some(shard))
            .map(|finding| finding.severity)
            .max()
    };
    shards.sort_by_cached_key(|curve| (std::cmp::Reverse(worst(curve.shard)), curve.shard));
    let left_out = shards.len().saturating_sub(MOST_SHARDS);
    shards.truncate(MOST_SHARDS);
    shards.sort_by_key(|curve| curve.shard);
    let plots = shards.into_iter().map(|curve| plot(input, curve));
    (plots.collect(), left_out)
}

/// The scale of all plots of a run: from its start until evidence was collected.
pub(super) fn scale(input: &ReportInput, left: f64, width: f64) -> TimeScale {
    TimeScale {
        to: watched_until(input).max(Elapsed::from_secs(1)),
        left,
        width,
        started: input.judgement.started,
    }
}

/// When watching ended: what follows the settle stage is no stall.
fn watched_until(input: &ReportInput) -> Elapsed {
    let ended = |stage: Stage| matches!(stage, Stage::Settle | Stage::Collect | Stage::TearDown);
    let stages = &input.judgement.stages;
    let end = stages.iter().find(|begun| ended(begun.stage));
    end.map_or(input.judgement.last, |begun| begun.at)
}

fn plot(input: &ReportInput, curve: &ShardCurve) -> ShardPlot {
    let scale = scale(input, LEFT, WIDTH - LEFT - 8.0);
    let gaps = gaps(input, &curve.course);
    let words = words(input, curve, &gaps);
    let title = format!("shard {} over time", curve.shard);
    let size = (WIDTH, HEIGHT);
    let mut svg = Svg::new(&format!("shard-{}", curve.shard), size, &title, &words);
    scale.axis(&mut svg, INTERVALS.0, FAULTS.1 + 4.0);
    bands(input, curve.shard, &scale, &mut svg);
    for (from, to) in &gaps {
        let (x, end) = (scale.x(*from), scale.x(*to));
        let tip = format!("no block for {}", human(to.since(*from)));
        let size = (end - x, INTERVALS.1 - INTERVALS.0);
        svg.rectangle("gap", (x, INTERVALS.0), size, &tip);
    }
    intervals(input, &curve.course, &scale, &mut svg);
    views(&curve.course, &scale, &mut svg);
    signers(&curve.course, &scale, &mut svg);
    leaders(input, curve, &scale, &mut svg);
    marks(input, curve.shard, &scale, &mut svg);
    for (row, name) in [
        (INTERVALS, "interval"),
        (VIEWS, "views"),
        (SIGNERS, "signers"),
        (LEADERS, "leader"),
        (FAULTS, "faults"),
    ] {
        let y = if name == "interval" {
            row.0 - 4.0
        } else {
            row.1 - 3.0
        };
        svg.text((LEFT - 6.0, y), "end", name);
    }
    let keys = curve.leaders.iter().take(MOST_NAMES).enumerate();
    ShardPlot {
        name: format!("shard {}", curve.shard),
        words,
        svg: svg.finish(),
        leaders: keys
            .map(|(place, name)| Key {
                colour: place % COLOURS,
                name: plain(name, 24),
            })
            .collect(),
        table: table(input, curve),
    }
}

/// Stretches without a block that are long enough to be suspected of a stall.
fn gaps(input: &ReportInput, course: &Course<ShardBucket>) -> Vec<(Elapsed, Elapsed)> {
    let least = input.plan.thresholds.stall_suspected;
    let mut gaps = Vec::new();
    let mut last: Option<Elapsed> = None;
    let mut close = |from: Option<Elapsed>, to: Elapsed| {
        if let Some(from) = from
            && to.since(from) >= least
        {
            gaps.push((from, to));
        }
    };
    for (place, bucket) in course.buckets.iter().enumerate() {
        if bucket.blocks > 0 {
            close(last, course.starts(place));
            last = Some(course.starts(place + 1));
        }
    }
    close(last, watched_until(input));
    gaps
}

/// The plot in a sentence.
fn words(input: &ReportInput, curve: &ShardCurve, gaps: &[(Elapsed, Elapsed)]) -> String {
    let view = input
        .judgement
        .shards
        .iter()
        .find(|view| view.shard == curve.shard);
    let mut words = match view {
        Some(view) if view.whole.count > 0 => format!(
            "Block interval {} ms in the median, {} ms at the 99th percentile, {} at the longest; {}; {}.",
            millis(view.whole.p50),
            millis(view.whole.p99),
            human(view.whole.longest),
            plural(view.view_changes, "view change"),
            plural(view.leader_turns, "leader turn"),
        ),
        _ => "No block interval was measured.".to_owned(),
    };
    let told = gaps.iter().take(4).map(|(from, to)| {
        format!(
            "{} UTC for {}",
            clock(input.wall(*from)),
            human(to.since(*from))
        )
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        words.push_str(&format!(" No block from {}", told.join(", from ")));
        let more = gaps.len() - told.len();
        if more > 0 {
            words.push_str(&format!(" and {} more times", count(more as u64)));
        }
        words.push('.');
    }
    words
}

/// Faults as bands behind the intervals and as bars in a row of their own.
fn bands(input: &ReportInput, shard: ShardId, scale: &TimeScale, svg: &mut Svg) {
    let faults = input.judgement.faults.iter();
    let here = faults.filter(|fault| fault.skipped.is_none() && fault.shards.contains(&shard));
    for fault in here.take(MOST_MARKS) {
        let until = fault.healed.unwrap_or(scale.to);
        let (x, end) = (scale.x(fault.requested), scale.x(until));
        let tip = format!(
            "{} on {} at {} UTC for {}",
            fault.kind,
            fault.targets.join(" "),
            clock(input.wall(fault.requested)),
            human(until.since(fault.requested))
        );
        let row = (end - x, INTERVALS.1 - INTERVALS.0);
        svg.rectangle("fault", (x, INTERVALS.0), row, &tip);
        svg.rectangle(
            "bar",
            (x, FAULTS.0),
            ((end - x).max(2.0), FAULTS.1 - FAULTS.0),
            &tip,
        );
    }
    for drill in input
        .judgement
        .drills
        .iter()
        .filter(|drill| drill.shard == shard)
    {
        let (x, end) = (
            scale.x(drill.begins),
            scale.x(drill.ends.unwrap_or(scale.to)),
        );
        let row = ((end - x).max(2.0), FAULTS.1 - FAULTS.0);
        svg.rectangle("drill", (x, FAULTS.0), row, "drill: a fake stall");
    }
}

/// Lowest to highest as a band, the mean as a line, on a logarithmic scale.
fn intervals(input: &ReportInput, course: &Course<ShardBucket>, scale: &TimeScale, svg: &mut Svg) {
    let asked = input.plan.clocks.block_interval.as_micros().max(1) as f64;
    let filled = || {
        course
            .buckets
            .iter()
            .filter(|bucket| bucket.intervals.count > 0)
    };
    let lowest = filled()
        .map(|bucket| bucket.intervals.low as f64)
        .fold(asked, f64::min);
    let highest = filled()
        .map(|bucket| bucket.intervals.high as f64)
        .fold(asked, f64::max);
    let (bottom, top) = (
        (lowest.max(100.0) / 1.4).ln(),
        (highest.max(asked * 2.0) * 1.2).ln(),
    );
    let y = |micros: f64| {
        let share = (micros.max(1.0).ln() - bottom) / (top - bottom).max(1e-9);
        INTERVALS.1 - (INTERVALS.1 - INTERVALS.0) * share.clamp(0.0, 1.0)
    };
    let right = scale.left + scale.width;
    for mark in decades(bottom.exp(), top.exp()) {
        let at = y(mark);
        svg.path("grid", &format!("M{LEFT:.1} {at:.1}H{right:.1}"), "");
        let label = human(Duration::from_micros(mark as u64));
        svg.text((LEFT - 6.0, at + 4.0), "end", &label.replace(".0 ", " "));
    }
    let at = y(asked);
    svg.path(
        "asked",
        &format!("M{LEFT:.1} {at:.1}H{right:.1}"),
        "asked for",
    );
    for (begin, stretch) in stretches(course, |bucket| bucket.intervals.count > 0) {
        let x = |offset: usize| scale.x(course.starts(begin + offset));
        let (mut over, mut under, mut line) = (String::new(), String::new(), String::new());
        for (offset, bucket) in stretch.iter().enumerate() {
            let (low, high) = (
                y(bucket.intervals.low as f64),
                y(bucket.intervals.high as f64),
            );
            let mean = y(bucket.intervals.mean().unwrap_or(asked));
            let word = if offset == 0 { 'M' } else { 'L' };
            over.push_str(&format!(
                "{word}{:.1} {high:.1}H{:.1}",
                x(offset),
                x(offset + 1)
            ));
            line.push_str(&format!(
                "{word}{:.1} {mean:.1}H{:.1}",
                x(offset),
                x(offset + 1)
            ));
            under.insert_str(
                0,
                &format!("L{:.1} {low:.1}H{:.1}", x(offset + 1), x(offset)),
            );
        }
        svg.path("range", &format!("{over}{under}Z"), "");
        svg.path("mean", &line, "");
    }
}

/// One, two and five times powers of ten between these, or the powers alone where those are too many.
fn decades(from: f64, to: f64) -> Vec<f64> {
    let mut fine = Vec::new();
    let mut power = 10_f64.powf(from.max(1.0).log10().floor());
    while power <= to && fine.len() < 64 {
        fine.extend([1.0, 2.0, 5.0].map(|factor| factor * power));
        power *= 10.0;
    }
    fine.retain(|mark| (from..=to).contains(mark));
    if fine.len() > 4 {
        let whole = |mark: &f64| (mark.log10() - mark.log10().round()).abs() < 1e-6;
        fine.retain(whole);
    }
    fine
}

/// Runs of neighbouring buckets for which this holds, each with the place of its first.
fn stretches(
    course: &Course<ShardBucket>,
    holds: impl Fn(&ShardBucket) -> bool,
) -> Vec<(usize, &[ShardBucket])> {
    let mut begin = 0;
    let mut runs = Vec::new();
    for run in course
        .buckets
        .chunk_by(|one, next| holds(one) == holds(next))
    {
        if holds(&run[0]) {
            runs.push((begin, run));
        }
        begin += run.len();
    }
    runs
}

fn views(course: &Course<ShardBucket>, scale: &TimeScale, svg: &mut Svg) {
    let most = course
        .buckets
        .iter()
        .map(|bucket| bucket.view_changes)
        .max();
    let most = most.unwrap_or(0).max(1) as f64;
    for (place, bucket) in course.buckets.iter().enumerate() {
        if bucket.view_changes == 0 {
            continue;
        }
        let x = scale.x(course.starts(place));
        let width = (scale.x(course.starts(place + 1)) - x).max(1.5);
        let height = (VIEWS.1 - VIEWS.0) * (bucket.view_changes as f64 / most).max(0.15);
        let tip = plural(bucket.view_changes, "view change");
        svg.rectangle("views", (x, VIEWS.1 - height), (width, height), &tip);
    }
    svg.path(
        "axis",
        &format!("M{LEFT:.1} {:.1}H{:.1}", VIEWS.1, scale.left + scale.width),
        "",
    );
}

/// The fewest signers of each stretch, against the committee.
fn signers(course: &Course<ShardBucket>, scale: &TimeScale, svg: &mut Svg) {
    for (begin, stretch) in stretches(course, |bucket| bucket.signers.count > 0) {
        let x = |offset: usize| scale.x(course.starts(begin + offset));
        let mut area = format!("M{:.1} {:.1}", x(0), SIGNERS.1);
        for (offset, bucket) in stretch.iter().enumerate() {
            let share = bucket.signers.low as f64 / f64::from(bucket.committee.max(1));
            let y = SIGNERS.1 - (SIGNERS.1 - SIGNERS.0) * share.min(1.0);
            area.push_str(&format!("L{:.1} {y:.1}H{:.1}", x(offset), x(offset + 1)));
        }
        area.push_str(&format!("V{:.1}Z", SIGNERS.1));
        svg.path("signers", &area, "");
    }
}

/// Findings as marks where they began, with a line as long as they lasted.
fn marks(input: &ReportInput, shard: ShardId, scale: &TimeScale, svg: &mut Svg) {
    let ranked = input.ranked();
    let counts = |standing: &Standing| !matches!(standing, Standing::Excused | Standing::Waived);
    let mut here: Vec<&Finding> = ranked
        .iter()
        .filter(|(standing, finding)| counts(standing) && finding.shard == Some(shard))
        .map(|(_, finding)| *finding)
        .take(MOST_MARKS)
        .collect();
    // The worst is drawn last and so on top.
    here.reverse();
    for finding in here {
        let class = look::severity(finding.severity);
        let (x, end) = (
            scale.x(finding.start),
            scale.x(finding.end.unwrap_or(scale.to)),
        );
        let tip = format!("{class} {}: {}", finding.kind, finding.summary);
        let (top, bottom) = MARKS;
        if end - x > 1.0 {
            svg.path(
                &format!("lasts {class}"),
                &format!("M{x:.1} {bottom:.1}H{end:.1}"),
                "",
            );
        }
        let commands = format!(
            "M{:.1} {top:.1}H{:.1}L{x:.1} {bottom:.1}Z",
            x - 5.0,
            x + 5.0
        );
        svg.path(&format!("mark {class}"), &commands, &tip);
    }
}

/// The same as a plot, for those who cannot see it.
fn table(input: &ReportInput, curve: &ShardCurve) -> Table {
    let course = curve.course.folded(ROWS);
    let mut table = Table::new(
        &format!(
            "shard {} in {} stretches of time",
            curve.shard,
            course.buckets.len()
        ),
        &[
            "from (UTC)",
            "blocks",
            "shortest",
            "mean",
            "longest",
            "view changes",
            "fewest signers",
            "led most",
        ],
    );
    for (place, bucket) in course.buckets.iter().enumerate() {
        let values = &bucket.intervals;
        let span = |micros: u64| match values.count {
            0 => "-".to_owned(),
            _ => human(Duration::from_micros(micros)),
        };
        let leader = bucket
            .leader
            .and_then(|(leader, _)| curve.leaders.get(usize::from(leader)));
        table.row(vec![
            clock(input.wall(course.starts(place))),
            count(bucket.blocks),
            span(values.low),
            span(values.mean().unwrap_or(0.0) as u64),
            span(values.high),
            count(bucket.view_changes),
            match bucket.signers.count {
                0 => "-".to_owned(),
                _ => format!("{} of {}", bucket.signers.low, bucket.committee),
            },
            leader.map_or_else(|| "-".to_owned(), |leader| plain(leader, 24)),
        ]);
    }
    table
}
