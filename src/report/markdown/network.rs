//! Shards, nodes, their clocks, and what could not be judged of them.

use std::time::Duration;

use super::section::Section;
use crate::{
    detect::{
        NodeView,
        judgement::{NodeState, Participation, Sight},
        outlook::{Course, Outlook, Unit},
    },
    plan::Role,
    report::{
        ReportInput, audit, terminal,
        text::{self, bytes, clock, count, markdown, percent, plural, ratio},
        versions,
    },
    time::human,
};

pub(super) fn shards(input: &ReportInput) -> String {
    let mut section = Section::new("Shards", 4_000);
    section.heading(&[
        "shard",
        "heights",
        "interval p50/p99",
        "mean",
        "longest",
        "views/1k",
        "leader turns",
        "recovery p99",
        "signers",
        "disk",
        "state at the end",
    ]);
    section.rows(&input.judgement.shards, |shard| {
        vec![
            shard.shard.to_string(),
            terminal::heights(shard),
            terminal::interval(shard),
            interval(shard.whole.mean),
            interval(shard.whole.longest),
            format!("{:.1}", shard.view_changes_per_1000),
            count(shard.leader_turns),
            terminal::recovery(shard, input.plan.thresholds.recovery),
            terminal::signers(shard),
            shard.disk_share.map_or_else(|| "-".to_owned(), percent),
            state(shard.sight).to_owned(),
        ]
    });
    section.line(&format!("\n{}", terminal::coverage_words(input)));
    section.finish(0, "verdict.json")
}

/// How a shard stands, in words.
pub(in crate::report) fn state(sight: Sight) -> &'static str {
    match sight {
        Sight::Waiting => "no block",
        Sight::Progressing => "makes blocks",
        Sight::Stalled => "makes no blocks",
        Sight::Blind => "not seen",
    }
}

/// A block interval; none was measured where it is zero.
fn interval(span: Duration) -> String {
    if span.is_zero() {
        return "-".to_owned();
    }
    format!("{} ms", text::millis(span))
}

pub(super) fn nodes(input: &ReportInput) -> String {
    let mut section = Section::new("Nodes", 4_500);
    section.heading(&[
        "node",
        "role",
        "state",
        "height",
        "restarts",
        "exits",
        "memory (peak)",
        "cpu",
        "disk (peak)",
        "blind",
        "lines (lost)",
        "led (turns, missed)",
        "signed",
        "longest gap",
    ]);
    section.rows(&input.judgement.nodes, |node| {
        vec![
            node.node.to_string(),
            match node.role {
                Role::Validator => "validator".to_owned(),
                Role::Explorer => "explorer".to_owned(),
            },
            node_state(node.state).to_owned(),
            node.height
                .map_or_else(|| "-".to_owned(), |height| count(height.0)),
            node.restarts.to_string(),
            node.exits.to_string(),
            format!("{} ({})", bytes(node.memory), bytes(node.memory_peak)),
            percent(node.cpu_share),
            format!(
                "{} of {} ({})",
                bytes(node.disk.0),
                bytes(node.disk.1),
                bytes(node.disk_peak)
            ),
            percent(node.blind_share),
            format!("{} ({})", count(node.lines.0), count(node.lines.1)),
            format!(
                "{} ({}, {})",
                count(part(node).led),
                part(node).turns,
                part(node).missed_turns
            ),
            part(node).share().map_or_else(|| "-".to_owned(), percent),
            part(node).share().map_or_else(
                || "-".to_owned(),
                |_| plural(part(node).longest_unsigned, "block"),
            ),
        ]
    });
    section.finish(0, "verdict.json")
}

/// Figures by version; nothing where there was one only.
pub(super) fn versions(input: &ReportInput) -> String {
    let rows = versions::rows(input, markdown);
    if rows.is_empty() {
        return String::new();
    }
    let mut section = Section::new("By version", 1_500);
    section.heading(versions::HEADING);
    section.rows(rows, |row| row);
    section.finish(0, "verdict.json")
}

/// Its part as a validator: who signs a block earns its reward.
fn part(node: &NodeView) -> Participation {
    node.participation
}

pub(in crate::report) fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Absent => "never started",
        NodeState::Running => "runs",
        NodeState::Paused => "frozen",
        NodeState::EndedByItself => "ended by itself",
        NodeState::EndedByOutsideHand => "ended by an outside hand",
        NodeState::EndedByCanary => "ended by the canary",
        NodeState::EndedByEngine => "ended with the engine",
    }
}

/// Slopes of each node for a block, with their intervals.
pub(super) fn growth(input: &ReportInput) -> String {
    let mut section = Section::new("Growth", 2_500);
    section.line("For each block, with the 95 % interval; in brackets the mainnet days until the limit, at the earliest.\n");
    section.heading(&["node", "memory", "disk", "open files"]);
    section.rows(&input.judgement.nodes, |node| {
        let outlook = &node.outlook;
        vec![
            node.node.to_string(),
            course(outlook.memory.as_ref(), Unit::Bytes),
            course(outlook.disk.as_ref(), Unit::Bytes),
            course(outlook.open_files.as_ref(), Unit::Count),
        ]
    });
    section.finish(0, "verdict.json")
}

/// Growth for each block in words.
pub(in crate::report) fn course(outlook: Option<&Outlook>, unit: Unit) -> String {
    let Some(outlook) = outlook else {
        return "too short to say".to_owned();
    };
    let word = match (outlook.course, outlook.filling) {
        (_, true) => "still filling",
        (Course::Flat, _) => "flat",
        (Course::Rises, _) => "rises",
        (Course::Falls, _) => "falls",
        (Course::Unclear, _) => "too short to say",
    };
    let days = outlook
        .earliest_days
        .map_or_else(|| "never".to_owned(), |days| format!("{} d", ratio(days)));
    format!(
        "{word}: {}, {} to {} ({days})",
        unit.human(outlook.per_block),
        unit.human(outlook.low),
        unit.human(outlook.high),
    )
}

pub(super) fn acceleration(input: &ReportInput) -> String {
    let mut section = Section::new("Acceleration", 3_000);
    let view = &input.judgement.acceleration;
    let measured = if view.measured > 0.0 {
        format!(
            "measured {}x (slowest shard {}x)",
            ratio(view.measured),
            ratio(view.slowest)
        )
    } else {
        "nothing was measured".to_owned()
    };
    section.line(&format!(
        "Asked {}x, {measured}; a block interval of {} stands for {} on mainnet.\n",
        ratio(input.plan.speedup),
        human(input.plan.clocks.block_interval),
        human(input.plan.clocks.mainnet_block_interval),
    ));
    section.heading(&[
        "clock",
        "mainnet",
        "canary",
        "faster",
        "in intervals (mainnet)",
        "lever",
        "scaled",
        "hides or fakes",
    ]);
    section.rows(audit::audit(&input.plan), |row| {
        vec![
            markdown(&row.clock, 60),
            human(row.mainnet),
            human(row.canary),
            format!("{}x", ratio(row.factor)),
            format!("{} ({})", ratio(row.blocks), ratio(row.mainnet_blocks)),
            markdown(&row.lever, 80),
            row.scaling.word().to_owned(),
            row.hides
                .map_or_else(|| "-".to_owned(), |hides| markdown(&hides, 160)),
        ]
    });
    section.line("\nWhat acceleration cannot reach or may fake:\n");
    let remarks = audit::remarks(&input.plan);
    if remarks.is_empty() {
        section.line("- every clock scaled with the blocks; what needs real time (clocks of the host, disks, the network) did not");
    }
    for remark in remarks {
        section.line(&format!("- {}", markdown(&remark, 240)));
    }
    section.finish(0, "verdict.json")
}

/// What was judged of less time than this is told.
const JUDGED: f64 = 0.99;

pub(super) fn not_judged(input: &ReportInput) -> String {
    let mut section = Section::new("What was judged only in part", 2_000);
    let judgement = &input.judgement;
    let thin: Vec<_> = judgement
        .detectors
        .iter()
        .filter(|detector| detector.judged < JUDGED)
        .collect();
    if judgement.doubts.is_empty() && thin.is_empty() {
        section.line("Every detector saw what it needed.");
    }
    for detector in thin {
        let needs: Vec<&str> = detector.needs.iter().map(|source| source.word()).collect();
        section.line(&format!(
            "- {} judged {} of the watched time (needs {})",
            markdown(&detector.id, 40),
            percent(detector.judged),
            needs.join(", ")
        ));
    }
    for doubt in &judgement.doubts {
        let scope = match (&doubt.node, doubt.shard) {
            (Some(node), _) => node.to_string(),
            (None, Some(shard)) => text::shard(shard),
            (None, None) => "the network".to_owned(),
        };
        let until = doubt
            .until
            .map_or_else(|| "the end".to_owned(), |until| clock(input.wall(until)));
        section.line(&format!(
            "- {} on {scope}, {} to {until} UTC: {}",
            markdown(&doubt.detector, 40),
            clock(input.wall(doubt.from)),
            markdown(&doubt.why, 200)
        ));
    }
    section.finish(0, "verdict.json")
}
