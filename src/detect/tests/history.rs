//! Trends over 90 mainnet days: histories made in memory, thinned as a long journal is, judged in milliseconds.

use std::time::{Duration, Instant};

use super::{Severity, judge_with, names, node, one};
use crate::{
    detect::{Finding, Judgement, outlook::Course},
    ids::{Height, RunId, Seq, ShardId},
    journal::{
        Entry, Event,
        effect::Effect,
        event::{ContainerChange, FORMAT, FaultStep, Mode, NodeHead, Sample, Stage},
        generate::Shape,
    },
    plan::Plan,
    time::{Elapsed, WallTime},
};

/// Between two looks: below what the judge takes for a gap.
const STEP: Duration = Duration::from_millis(2_500);
const BLOCKS_PER_STEP: u64 = 50;
/// 8 s a block.
const BLOCKS_PER_DAY: u64 = 10_800;

fn plan() -> Plan {
    let shape = Shape {
        shards: 1,
        interval: STEP / BLOCKS_PER_STEP as u32,
        ..Shape::default()
    };
    let mut plan = shape.plan();
    plan.network.mainnet.disk = Some(40 << 30);
    plan
}

/// What a node's sample and log show at a height.
struct Shown {
    sample: Sample,
    log: u64,
}

/// A node in health: memory with the teeth of a garbage collector, a disk with those of compaction, connections that
/// come and go, work that differs from block to block, and all of it a little more on every mainnet afternoon.
fn healthy(height: u64, index: u32) -> Shown {
    let noise = |step: u64, range: u64| {
        let mixed = (height / step + u64::from(index) * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32 & (range - 1)
    };
    let day = (height % BLOCKS_PER_DAY) as f64 / BLOCKS_PER_DAY as f64;
    let afternoon = (1.0 + (day * std::f64::consts::TAU).sin()) / 2.0;
    let disk_used = (24 << 20) + (height % 5_000) * 800 + noise(1, 1 << 16);
    Shown {
        sample: Sample {
            node: Some(node(0, index)),
            memory: (12 << 20)
                + (height % 700) * 3_000
                + noise(1, 1 << 17)
                + (afternoon * 1e6) as u64,
            memory_limit: 128 << 20,
            cpu: height * 6_000 + (afternoon * 9e6) as u64 + noise(1, 1 << 15),
            disk_used,
            disk_free: (64 << 20) - disk_used,
            visible: disk_used - noise(3, 1 << 14),
            inodes_free: 4_000 - noise(100, 32),
            inodes: 4_096,
            open_files: 24 + noise(50, 4),
            ..Sample::default()
        },
        log: height * 300 + noise(1, 1 << 10),
    }
}

/// Ninety mainnet days of a shard of four, of which the first node shows what `change` makes of it. `pace` is how many
/// blocks a look brings at a height.
fn history(
    days: u64,
    pace: impl Fn(u64) -> u64,
    change: impl Fn(u64, &mut Shown),
    extra: &[(u64, Event)],
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut now = Elapsed::default();
    let mut push = |now: Elapsed, event: Event| {
        let seq = Seq(entries.len() as u64);
        entries.push(Entry {
            seq,
            elapsed: now,
            event,
        });
    };
    push(
        now,
        Event::RunStarted {
            format: FORMAT,
            run: "r".parse::<RunId>().unwrap(),
            canarynet: "0".to_owned(),
            wall: WallTime(0),
            plan: serde_json::Value::Null,
        },
    );
    for index in 0..4 {
        let change = ContainerChange::Started;
        push(
            now,
            Event::Container {
                node: node(0, index),
                change,
                requested: false,
            },
        );
    }
    push(
        now,
        Event::Thinned {
            blocks: 80,
            heads: 4,
            samples: 10,
            notes: true,
            left_out: 0,
        },
    );
    push(now, Event::Stage { stage: Stage::Soak });
    let (mut height, mut step, mut extra) = (0, 0, extra.iter().peekable());
    while height < days * BLOCKS_PER_DAY {
        height += pace(height);
        now = now + STEP;
        let heads = (0..4).map(|index| NodeHead {
            node: node(0, index),
            height: Height(height),
            view: None,
            agreeing: None,
            mode: Some(Mode::Normal),
            leads: Some(index == 0),
        });
        push(
            now,
            Event::Heads {
                shard: ShardId(0),
                nodes: heads.collect(),
            },
        );
        while let Some((_, event)) = extra.next_if(|(at, _)| *at <= height) {
            push(now, event.clone());
        }
        let index = step % 4;
        let mut shown = healthy(height, index);
        if index == 0 {
            change(height, &mut shown);
        }
        push(now, Event::Sample(shown.sample));
        push(
            now,
            Event::LogCount {
                node: node(0, index),
                lines: height,
                bytes: shown.log,
                lost: 0,
                cut: 0,
            },
        );
        step += 1;
    }
    entries
}

fn steady(_: u64) -> u64 {
    BLOCKS_PER_STEP
}

fn check(
    what: &str,
    pace: impl Fn(u64) -> u64,
    change: impl Fn(u64, &mut Shown),
    extra: &[(u64, Event)],
) -> Judgement {
    let entries = history(90, pace, change, extra);
    let start = Instant::now();
    let judgement = judge_with(&plan(), entries.iter().cloned());
    println!(
        "90 mainnet days, {what}: {} entries judged in {} ms{}",
        entries.len(),
        start.elapsed().as_millis(),
        judgement
            .findings
            .iter()
            .map(|finding| format!(
                "\n    {} after {:.1} mainnet days: {}",
                finding.kind,
                finding.noticed.0 as f64 / STEP.as_micros() as f64 * BLOCKS_PER_STEP as f64
                    / BLOCKS_PER_DAY as f64,
                finding.summary
            ))
            .collect::<String>()
    );
    judgement
}

fn only<'a>(judgement: &'a Judgement, kinds: &[&str]) -> &'a Finding {
    let found: Vec<&str> = names(&judgement.findings)
        .iter()
        .map(|name| name.0)
        .collect();
    assert_eq!(found, kinds);
    let finding = one(&judgement.findings, kinds[0]);
    assert_eq!(finding.severity, Severity::Major);
    assert!(finding.evidence.len() > 3, "{:?}", finding.evidence);
    finding
}

/// In mainnet days.
fn noticed(finding: &Finding) -> f64 {
    finding.noticed.0 as f64 / STEP.as_micros() as f64 * BLOCKS_PER_STEP as f64
        / BLOCKS_PER_DAY as f64
}

#[test]
fn a_healthy_quarter_of_a_year_has_no_finding_and_is_flat() {
    let judgement = check("healthy", steady, |_, _| {}, &[]);
    assert_eq!(names(&judgement.findings), []);
    for node in &judgement.nodes {
        for outlook in [
            node.outlook.memory,
            node.outlook.disk,
            node.outlook.open_files,
        ] {
            let outlook = outlook.expect("enough to say");
            assert_eq!(outlook.course, Course::Flat, "{outlook:?}");
            assert!(outlook.low <= outlook.high && !outlook.filling);
        }
    }
}

#[test]
fn a_leak_of_memory_is_found_while_most_of_it_is_still_ahead() {
    // 150 bytes a block: 50 MiB after a month.
    let judgement = check(
        "memory",
        steady,
        |h, shown| shown.sample.memory += h * 150,
        &[],
    );
    let leak = only(&judgement, &["memory-growth"]);
    assert_eq!(leak.nodes, [node(0, 0)]);
    assert!(noticed(leak) < 12.0, "{}", noticed(leak));
    let outlook = judgement.nodes[0].outlook.memory.unwrap();
    assert!(outlook.low < 150.0 && 150.0 < outlook.high, "{outlook:?}");
}

#[test]
fn a_leak_of_files_is_found() {
    // One in 200 blocks: 1600 in a month.
    let judgement = check(
        "files",
        steady,
        |h, shown| shown.sample.open_files += h / 200,
        &[],
    );
    assert!(noticed(only(&judgement, &["fd-growth"])) < 6.0);
}

#[test]
fn a_leak_that_begins_late_is_found_and_the_change_is_told() {
    let begin = 40 * BLOCKS_PER_DAY;
    let judgement = check(
        "memory from day 40",
        steady,
        |h, shown| shown.sample.memory += h.saturating_sub(begin) * 200,
        &[],
    );
    let leak = only(&judgement, &["memory-growth"]);
    assert!((40.0..70.0).contains(&noticed(leak)), "{}", noticed(leak));
}

#[test]
fn disks_that_grow_are_found_and_what_is_expected_is_only_forecast() {
    let grow = |h: u64, shown: &mut Shown| {
        let grown = (h * 100).min(30 << 20);
        shown.sample.disk_used += grown;
        shown.sample.visible += grown;
        shown.sample.disk_free = shown.sample.disk_free.saturating_sub(grown);
    };
    let judgement = check("disk", steady, grow, &[]);
    only(&judgement, &["disk-growth"]);
    let forecast = judgement.nodes[0].outlook.disk.unwrap();
    assert!(
        forecast.earliest_days.is_none_or(|days| days > 1_000.0),
        "mainnet has room: {forecast:?}"
    );
}

#[test]
fn ghost_bytes_and_inodes_that_grow_are_found() {
    let ghosts = |h: u64, shown: &mut Shown| {
        shown.sample.visible = shown.sample.visible.saturating_sub((h * 300).min(6 << 20));
    };
    only(&check("ghost bytes", steady, ghosts, &[]), &["ghost-bytes"]);
    let mut plan = plan();
    plan.network.mainnet.disk = None;
    let files = |h: u64, shown: &mut Shown| shown.sample.inodes_free -= h / 300;
    let judgement = judge_with(&plan, history(90, steady, files, &[]));
    only(&judgement, &["disk-exhaustion-forecast"]);
}

#[test]
fn work_and_logs_that_grow_with_height_are_found() {
    // Twice the work after 50 days.
    let creep = |h: u64, shown: &mut Shown| {
        shown.sample.cpu += (h as f64 * h as f64 * 6_000.0 / 540_000.0 / 2.0 * 2.0) as u64;
    };
    only(&check("cpu", steady, creep, &[]), &["cpu-creep"]);
    let logs = |h: u64, shown: &mut Shown| {
        shown.log += (h as f64 * h as f64 * 300.0 / 540_000.0 / 2.0 * 2.0) as u64;
    };
    only(&check("logs", steady, logs, &[]), &["log-flood"]);
}

#[test]
fn blocks_that_take_longer_and_longer_are_found() {
    // Half as long again after 50 days, had it not ended just before.
    let pace = |height: u64| {
        let slower = 1.0 + (height as f64 / (100 * BLOCKS_PER_DAY) as f64).min(0.45);
        (BLOCKS_PER_STEP as f64 / slower).round() as u64
    };
    let judgement = check("block time", pace, |_, _| {}, &[]);
    let creep = only(&judgement, &["block-time-creep"]);
    assert_eq!(creep.shard, Some(ShardId(0)));
    assert!(creep.nodes.is_empty());
}

#[test]
fn what_ends_with_a_restart_begins_anew_there() {
    let started = |at: u64| {
        (
            at,
            Event::Container {
                node: node(0, 0),
                change: ContainerChange::Started,
                requested: true,
            },
        )
    };
    // A leak that would be found after some days never gets so far: restarted each mainnet day.
    let restarts: Vec<_> = (1..90).map(|day| started(day * BLOCKS_PER_DAY)).collect();
    let leak = |h: u64, shown: &mut Shown| shown.sample.memory += h % BLOCKS_PER_DAY * 60;
    assert_eq!(
        names(&check("restarts", steady, leak, &restarts).findings),
        []
    );
    // Found before, it ends with the restart.
    let leak = |h: u64, shown: &mut Shown| {
        if h < 30 * BLOCKS_PER_DAY {
            shown.sample.memory += h * 150;
        }
    };
    let restart = [started(30 * BLOCKS_PER_DAY)];
    let judgement = check("one restart", steady, leak, &restart);
    assert!(only(&judgement, &["memory-growth"]).end.is_some());
}

#[test]
fn what_an_injected_fault_does_is_left_out() {
    let id: std::sync::Arc<str> = "memory-hog-1".into();
    let step = |at: u64, step: FaultStep| {
        let kind = "memory-hog".into();
        (
            at,
            Event::Fault {
                id: id.clone(),
                kind,
                step,
            },
        )
    };
    let requested = FaultStep::Requested {
        targets: vec![node(0, 0)],
        takes: vec![node(0, 0)],
        effects: vec![Effect::MemoryPressed],
        lasts: Duration::from_secs(1),
    };
    let fault = [
        step(20 * BLOCKS_PER_DAY, requested),
        step(20 * BLOCKS_PER_DAY, FaultStep::Acknowledged),
        step(60 * BLOCKS_PER_DAY, FaultStep::Healed),
    ];
    let hog = |h: u64, shown: &mut Shown| {
        if (20 * BLOCKS_PER_DAY..60 * BLOCKS_PER_DAY).contains(&h) {
            shown.sample.memory += (h - 20 * BLOCKS_PER_DAY) * 200;
        }
    };
    assert_eq!(names(&check("a fault", steady, hog, &fault).findings), []);
    assert_eq!(
        names(&check("by itself", steady, hog, &[]).findings)[0].0,
        "memory-growth"
    );
}

#[test]
fn a_node_that_fills_what_it_keeps_is_no_finding_unless_it_would_not_fit() {
    let mut plan = plan();
    plan.network.disk.retention = Some(20 * BLOCKS_PER_DAY);
    let fills = |per_block: u64| {
        move |h: u64, shown: &mut Shown| {
            let grown = h.min(20 * BLOCKS_PER_DAY) * per_block;
            shown.sample.disk_used += grown;
            shown.sample.visible += grown;
            shown.sample.disk_free = shown.sample.disk_free.saturating_sub(grown);
            shown.sample.memory += grown / 4;
        }
    };
    let judgement = judge_with(&plan, history(90, steady, fills(100), &[]));
    assert_eq!(names(&judgement.findings), []);
    let judgement = judge_with(&plan, history(15, steady, fills(100), &[]));
    assert_eq!(names(&judgement.findings), []);
    assert!(judgement.nodes[0].outlook.disk.unwrap().filling);
    let judgement = judge_with(&plan, history(15, steady, fills(250), &[]));
    assert_eq!(names(&judgement.findings)[0].0, "disk-growth");
}
