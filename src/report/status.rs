//! The state of a run that goes on: the lines of live progress and of `canarynet status`.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use super::{
    look::{Look, Tone},
    table::{Cell, Table},
    tally, tally_words,
    text::{self, count, millis, percent, plain, ratio, span},
    timeline::stage_word,
};
use crate::{
    detect::{
        Finding, Judge, Judgement, ShardView,
        judgement::{AccelerationView, Sight, StageStart},
    },
    ids::RunId,
    journal::event::Stage,
    plan::{Plan, Waiver},
    time::{Elapsed, human, micros},
    verdict::{expired, waives},
};

/// What is shown of a run that goes on. Serialises as the object of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Live<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Age of the run.
    pub elapsed: Elapsed,
    /// The stage it is in, and since when.
    pub stage: Option<StageStart>,
    /// Length of the soak as planned, if time ends it.
    #[serde(with = "maybe_micros")]
    pub soak: Option<Duration>,
    /// Height that ends the soak, if one does.
    pub until_height: Option<u64>,
    /// Asked-for and measured acceleration, and mainnet time so far.
    pub acceleration: AccelerationView,
    /// The shards.
    pub shards: Cow<'a, [ShardView]>,
    /// Findings so far that are neither waived nor excused, from info to critical.
    pub findings: [u32; 4],
}

mod maybe_micros {
    use std::time::Duration;

    use serde::Serializer;

    use super::micros;

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => micros::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl<'a> Live<'a> {
    /// The state of a run from what was concluded so far.
    #[must_use]
    pub fn of(plan: &Plan, run: &'a RunId, judgement: &'a Judgement) -> Self {
        Self {
            run,
            elapsed: judgement.last,
            stage: judgement.stages.last().copied(),
            soak: plan.soak.map(|soak| soak.0),
            until_height: plan.until_height,
            acceleration: judgement.acceleration,
            shards: Cow::Borrowed(&judgement.shards),
            findings: tally(&judgement.findings),
        }
    }

    /// The state of a run from a judge at work, without the cost of a whole judgement: call it as often as it is shown.
    #[must_use]
    pub fn from_judge(
        plan: &Plan,
        run: &'a RunId,
        judge: &Judge,
        now: Elapsed,
        stage: Option<StageStart>,
    ) -> Self {
        let shards = judge.shards();
        let wall = judge.world().started.plus(now.as_duration());
        let waived = |finding: &&Finding| {
            let waives = |waiver: &&Waiver| waives(waiver, finding) && !expired(waiver, wall);
            plan.gate.waive.iter().any(|waiver| waives(&waiver))
        };
        Self {
            run,
            elapsed: now,
            stage,
            soak: plan.soak.map(|soak| soak.0),
            until_height: plan.until_height,
            acceleration: acceleration(plan, &shards),
            findings: tally(judge.findings().iter().filter(|finding| !waived(finding))),
            shards: Cow::Owned(shards),
        }
    }
}

/// Acceleration from the intervals measured so far.
fn acceleration(plan: &Plan, shards: &[ShardView]) -> AccelerationView {
    let mainnet = plan.clocks.mainnet_block_interval;
    let measured: Vec<f64> = shards
        .iter()
        .filter(|shard| !shard.whole.mean.is_zero())
        .map(|shard| mainnet.as_secs_f64() / shard.whole.mean.as_secs_f64())
        .collect();
    let blocks = shards
        .iter()
        .map(|shard| shard.whole.count)
        .min()
        .unwrap_or(0);
    AccelerationView {
        asked: plan.speedup,
        measured: measured.iter().sum::<f64>() / (measured.len().max(1) as f64),
        slowest: measured.iter().copied().reduce(f64::min).unwrap_or(0.0),
        mainnet: mainnet.saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX)),
    }
}

/// The table of shards: height, interval, view, leader, signers, disk and what is wrong. With more than `most` shards
/// those in trouble come first and the rest is counted.
#[must_use]
pub fn shard_lines(live: &Live<'_>, most: usize, look: Look) -> Vec<String> {
    let mut table = Table::new(&[
        "shard",
        ">height",
        ">interval p50/p99",
        ">view",
        "leader",
        ">signers",
        ">disk",
        "state",
    ]);
    let shown = foremost(&live.shards, most);
    for shard in &shown {
        table.row(cells(shard, live.elapsed));
    }
    let mut lines = table.lines(look);
    let rest = live.shards.len() - shown.len();
    if rest > 0 {
        lines.push(look.fit(&format!(
            "and {}, none in worse state",
            text::plural(rest as u64, "more shard")
        )));
    }
    lines
}

/// What stands above the columns of [`rows`].
pub const HEADING: &[&str] = &[
    "shard",
    "height",
    "interval p50/p99",
    "view",
    "leader",
    "signers",
    "disk",
    "state",
];

/// The same table for other views: the shards in trouble first where there is no room for all, told in order.
#[must_use]
pub fn rows(shards: &[ShardView], most: usize, now: Elapsed) -> Vec<Vec<String>> {
    let text = |cell: Cell| cell.text().to_owned();
    let row = |shard: &ShardView| cells(shard, now).into_iter().map(text).collect();
    foremost(shards, most).into_iter().map(row).collect()
}

/// One shard's row.
#[must_use]
pub fn cells(shard: &ShardView, now: Elapsed) -> Vec<Cell> {
    let interval = if shard.recent.count == 0 {
        "-".to_owned()
    } else {
        format!(
            "{}/{} ms",
            millis(shard.recent.p50),
            millis(shard.recent.p99)
        )
    };
    vec![
        text::shard(shard.shard).into(),
        shard
            .height
            .map_or_else(|| "-".to_owned(), |height| count(height.0))
            .into(),
        interval.into(),
        shard
            .view
            .map_or_else(|| "-".to_owned(), |view| count(view.0))
            .into(),
        leader(shard).into(),
        signers(shard).into(),
        shard
            .disk_share
            .map_or_else(|| "-".to_owned(), percent)
            .into(),
        state(shard, now),
    ]
}

/// The shards to show where there is no room for all: the ones in trouble, told in order of number.
fn foremost(shards: &[ShardView], most: usize) -> Vec<&ShardView> {
    let trouble = |shard: &ShardView| match shard.sight {
        Sight::Stalled => 0,
        Sight::Blind => 1,
        _ if shard.open.iter().any(|open| *open > 0) => 2,
        Sight::Waiting => 3,
        Sight::Progressing => 4,
    };
    let mut shown: Vec<&ShardView> = shards.iter().collect();
    shown.sort_by_key(|shard| (trouble(shard), shard.shard));
    shown.truncate(most);
    shown.sort_by_key(|shard| shard.shard);
    shown
}

fn leader(shard: &ShardView) -> String {
    // A chain's own addresses are long; the first figures are enough to tell two leaders apart.
    shard
        .leader
        .as_deref()
        .map_or_else(|| "-".to_owned(), |leader| plain(leader, 16))
}

fn signers(shard: &ShardView) -> String {
    shard.signers.map_or_else(
        || "-".to_owned(),
        |(signed, committee)| format!("{signed}/{committee}"),
    )
}

fn state(shard: &ShardView, now: Elapsed) -> Cell {
    let since = || {
        shard.last_block.map_or_else(String::new, |last| {
            format!(" for {}", human(now.since(last)))
        })
    };
    match shard.sight {
        Sight::Waiting => Cell::toned(Tone::Faint, "no block yet"),
        Sight::Stalled => Cell::toned(Tone::Bad, format!("no block{}", since())),
        Sight::Blind => Cell::toned(Tone::Warning, "not seen"),
        Sight::Progressing => {
            let open: u32 = shard.open.iter().sum();
            if open == 0 {
                return Cell::toned(Tone::Good, "ok");
            }
            let tone = if shard.open[2] + shard.open[3] > 0 {
                Tone::Bad
            } else {
                Tone::Warning
            };
            Cell::toned(tone, tally_words(shard.open))
        }
    }
}

/// Stage, how far, mainnet time, findings: one line.
#[must_use]
pub fn status_line(live: &Live<'_>, look: Look) -> String {
    let counted = live.findings[2] + live.findings[3];
    let any: u32 = live.findings.iter().sum();
    let tone = match (counted, any) {
        (0, 0) => Tone::Good,
        (0, _) => Tone::Warning,
        _ => Tone::Bad,
    };
    let words = if any == 0 {
        "no findings".to_owned()
    } else {
        tally_words(live.findings)
    };
    look.fit(&format!(
        "{}   {}",
        look.paint(Tone::Strong, &stage_text(live)),
        look.paint(tone, &words)
    ))
}

fn stage_text(live: &Live<'_>) -> String {
    let Some(stage) = live.stage else {
        return format!("{}   begins", human(live.elapsed.as_duration()));
    };
    let within = live.elapsed.since(stage.at);
    let mut words = format!("{} {}", stage_word(stage.stage), span(within));
    if stage.stage != Stage::Soak {
        return words;
    }
    if let Some(soak) = live.soak {
        let share = within.as_secs_f64() / soak.as_secs_f64().max(1e-9);
        words.push_str(&format!(
            " of {} ({:.0} %)",
            human(soak),
            share.min(1.0) * 100.0
        ));
    }
    if let Some(height) = live.until_height {
        words.push_str(&format!(", until height {}", count(height)));
    }
    if live.acceleration.measured > 0.0 {
        words.push_str(&format!(
            " = {} of mainnet at {}x",
            human(live.acceleration.mainnet),
            ratio(live.acceleration.measured)
        ));
    }
    words
}

/// Everything on one line, for logs and pipes: `00:05:10 soak 5m10s of 8h00m | 0: 1,234 201 ms view 3 4/4 12 % | ...`
#[must_use]
pub fn plain_line(live: &Live<'_>, most: usize) -> String {
    let seconds = live.elapsed.0 / 1_000_000;
    let mut line = format!(
        "{:02}:{:02}:{:02} {}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        stage_text(live)
    );
    let shown = foremost(&live.shards, most);
    for shard in &shown {
        line.push_str(&format!(" | {}: ", shard.shard));
        let Some(height) = shard.height else {
            line.push_str("no block yet");
            continue;
        };
        line.push_str(&count(height.0));
        match shard.sight {
            Sight::Stalled => line.push_str(&match shard.last_block {
                Some(last) => format!(" NO BLOCK for {}", human(live.elapsed.since(last))),
                None => " NO BLOCK".to_owned(),
            }),
            Sight::Blind => line.push_str(" not seen"),
            Sight::Waiting | Sight::Progressing => {
                line.push_str(&format!(" {} ms", millis(shard.recent.p50)));
            }
        }
        if let Some(view) = shard.view {
            line.push_str(&format!(" view {view}"));
        }
        line.push_str(&format!(" {}", signers(shard)));
        if let Some(share) = shard.disk_share {
            line.push_str(&format!(" {}", percent(share)));
        }
    }
    if live.shards.len() > shown.len() {
        line.push_str(&format!(" | {} more", live.shards.len() - shown.len()));
    }
    line.push_str(&format!(" | findings: {}", tally_words(live.findings)));
    line
}

/// `canarynet status RUN`: the run, its shards and the status line, once.
#[must_use]
pub fn render(live: &Live<'_>, plan: &Plan, look: Look) -> String {
    let mut lines = vec![look.fit(&format!(
        "{}   {}   seed {}",
        look.paint(Tone::Strong, live.run.as_str()),
        plain(&plan.profile, 40),
        plain(&plan.seed, 40)
    ))];
    lines.extend(shard_lines(live, usize::MAX, look));
    lines.push(status_line(live, look));
    lines.push(String::new());
    lines.join("\n")
}
