//! Everything of the page that is a table.

use super::Table;
use crate::{
    detect::outlook::Outlook,
    detect::outlook::Unit,
    plan::Role,
    report::{
        Fact, ReportInput, audit, climbs, faults,
        markdown::network::{course, node_state, state},
        status, terminal,
        text::{bytes, clock, count, percent, plain, ratio, shard, span},
        timeline, together, versions,
    },
    time::{Elapsed, human},
};

/// Rows of a table that grows with the run or the network.
const MOST_ROWS: usize = 300;
/// Shards told at the top of a live page.
const MOST_NOW: usize = 16;
/// Faults told one by one.
const MOST_FAULTS: usize = 200;
/// A text of a node, plan or engine.
const TEXT: usize = 300;

pub(super) fn shards(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Shards",
        &[
            "shard",
            "heights",
            "interval p50/p99",
            "longest",
            "views/1k",
            "leader turns",
            "recovery p99",
            "signers",
            "disk",
            "at the end",
        ],
    );
    for shard in input.judgement.shards.iter().take(MOST_ROWS) {
        table.row(vec![
            shard.shard.to_string(),
            terminal::heights(shard),
            terminal::interval(shard),
            span(shard.whole.longest),
            format!("{:.1}", shard.view_changes_per_1000),
            count(shard.leader_turns),
            terminal::recovery(shard, input.plan.thresholds.recovery),
            terminal::signers(shard),
            shard.disk_share.map_or_else(|| "-".to_owned(), percent),
            state(shard.sight).to_owned(),
        ]);
    }
    table.of(input.judgement.shards.len(), "verdict.json")
}

/// The shards of a run that goes on, those in trouble first where there is no room for all.
pub(super) fn shards_now(input: &ReportInput, now: Elapsed) -> Table {
    let mut table = Table::new("Shards now", status::HEADING);
    for row in status::rows(&input.judgement.shards, MOST_NOW, now) {
        table.row(row);
    }
    table.of(input.judgement.shards.len(), "the table below")
}

pub(super) fn gates(input: &ReportInput) -> Table {
    let mut table = Table::new("Gates", &["gate", "asked", "measured", "outcome"]);
    for gate in input.verdict.gates.iter().take(MOST_ROWS) {
        table.row(vec![
            plain(&gate.gate, 80),
            plain(&gate.asked, 120),
            plain(&gate.measured, 120),
            terminal::outcome_word(gate.outcome).to_lowercase(),
        ]);
    }
    table.of(input.verdict.gates.len(), "verdict.json")
}

pub(super) fn happened(input: &ReportInput) -> Table {
    let (rows, left_out) = timeline::rows(input, MOST_ROWS);
    let mut table = Table::new(
        "What happened",
        &["UTC", "elapsed", "height", "event", "journal"],
    );
    let all = rows.len() + left_out;
    for row in rows {
        table.row(vec![
            clock(input.wall(row.at)),
            span(row.at.as_duration()),
            row.height
                .map_or_else(|| "-".to_owned(), |height| count(height.0)),
            plain(&row.what, TEXT),
            row.seq
                .map_or_else(|| "-".to_owned(), |seq| format!("seq {seq}")),
        ]);
    }
    table.of(all, "journal/")
}

pub(super) fn audit(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Clocks of the protocol",
        &[
            "clock",
            "mainnet",
            "canary",
            "faster",
            "in intervals (mainnet)",
            "lever",
            "scaled",
            "hides or fakes",
        ],
    );
    let rows = audit::audit(&input.plan);
    let all = rows.len();
    for row in rows.into_iter().take(MOST_ROWS) {
        table.row(vec![
            plain(&row.clock, 60),
            human(row.mainnet),
            human(row.canary),
            format!("{}x", ratio(row.factor)),
            format!("{} ({})", ratio(row.blocks), ratio(row.mainnet_blocks)),
            plain(&row.lever, 80),
            row.scaling.word().to_owned(),
            row.hides
                .map_or_else(|| "-".to_owned(), |hides| plain(&hides, TEXT)),
        ]);
    }
    table.of(all, "verdict.json")
}

pub(super) fn kinds(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Recovery by kind of fault (median / p99 / worst)",
        &[
            "kind",
            "fired",
            "effective",
            "skipped",
            "healed",
            "first block after heal",
            "all nodes caught up",
        ],
    );
    for row in input.judgement.kinds.iter().take(MOST_ROWS) {
        table.row(vec![
            plain(&row.kind, 40),
            row.fired.to_string(),
            row.effective.to_string(),
            row.skipped.to_string(),
            row.healed.to_string(),
            faults::spread(&row.first_block, row.late),
            faults::spread(&row.caught_up, row.never_caught_up),
        ]);
    }
    table.of(input.judgement.kinds.len(), "verdict.json")
}

/// What the recovery ladder tried; empty where none was set off.
pub(super) fn recovery(input: &ReportInput) -> Table {
    let mut table = Table::new("What would bring it back", climbs::HEADING);
    let rows = climbs::rows(input, plain);
    let all = rows.len();
    rows.into_iter()
        .take(MOST_ROWS)
        .for_each(|row| table.row(row));
    table.of(all, "verdict.json")
}

pub(super) fn faults(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Every fault",
        &[
            "UTC",
            "fault",
            "on",
            "effect",
            "healed after",
            "first block",
            "caught up",
        ],
    );
    let all = &input.judgement.faults;
    for fault in all.iter().take(MOST_FAULTS) {
        let effect = match (&fault.skipped, &fault.heal_failed, fault.effective) {
            (Some(why), ..) => format!("skipped: {why}"),
            (_, Some(why), _) => format!("NOT HEALED: {why}"),
            (_, _, Some(true)) => fault.proof.clone(),
            (_, _, Some(false)) => format!("NO EFFECT: {}", fault.proof),
            (_, _, None) => "not read".to_owned(),
        };
        let healed = fault
            .healed
            .map(|healed| span(healed.since(fault.requested)));
        let dash = || "-".to_owned();
        table.row(vec![
            clock(input.wall(fault.requested)),
            plain(&fault.id, 60),
            plain(&fault.targets.join(" "), 160),
            plain(&effect, TEXT),
            healed.unwrap_or_else(dash),
            fault.first_block.map_or_else(dash, |time| span(time.0)),
            fault.caught_up.map_or_else(dash, |time| span(time.0)),
        ]);
    }
    table.of(all.len(), "findings.json")
}

pub(super) fn nodes(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Nodes",
        &[
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
            "led",
            "signed",
        ],
    );
    for node in input.judgement.nodes.iter().take(MOST_ROWS) {
        let part = node.participation;
        table.row(vec![
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
            count(part.led),
            part.share().map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    table.of(input.judgement.nodes.len(), "verdict.json")
}

/// Figures by version; empty where there was one only.
pub(super) fn by_version(input: &ReportInput) -> Table {
    let mut table = Table::new("By version", versions::HEADING);
    let rows = versions::rows(input, plain);
    rows.into_iter().for_each(|row| table.row(row));
    table
}

/// Forecasts: growth for a block with its interval, and the mainnet days until the limit at the earliest.
pub(super) fn growth(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "Growth for each block, with its 95 % interval, and mainnet days until the limit at the earliest",
        &["node", "memory", "disk", "open files"],
    );
    let told = |outlook: &Option<Outlook>, unit| course(outlook.as_ref(), unit);
    for node in input.judgement.nodes.iter().take(MOST_ROWS) {
        table.row(vec![
            node.node.to_string(),
            told(&node.outlook.memory, Unit::Bytes),
            told(&node.outlook.disk, Unit::Bytes),
            told(&node.outlook.open_files, Unit::Count),
        ]);
    }
    table.of(input.judgement.nodes.len(), "verdict.json")
}

pub(super) fn capabilities(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "What the machine can do",
        &["what", "can", "how it was proved", "remedy"],
    );
    let tried = &input.judgement.capabilities;
    for capability in tried.iter().take(MOST_ROWS) {
        let remedy = capability.remedy.as_deref();
        table.row(vec![
            plain(&capability.id, 40),
            if capability.able { "yes" } else { "NO" }.to_owned(),
            plain(&capability.proof, TEXT),
            remedy.map_or_else(|| "-".to_owned(), |remedy| plain(remedy, TEXT)),
        ]);
    }
    table.of(tried.len(), "verdict.json")
}

pub(super) fn cost(input: &ReportInput) -> Table {
    let cost = &input.judgement.cost;
    let mut table = Table::new("What watching cost", &["part", "share of one core"]);
    if cost.samples == 0 {
        return table;
    }
    let engine = |share: Option<f64>| share.map_or_else(|| "not seen".to_owned(), percent);
    for (part, share) in [
        ("canary", percent(cost.canary_cpu_share)),
        ("watcher", percent(cost.watcher_cpu_share)),
        ("samplers", percent(cost.samplers_cpu_share)),
        ("helper", percent(cost.helper_cpu_share)),
        ("engine, while watching", engine(cost.engine_cpu_share)),
        (
            "engine, watching off",
            engine(cost.engine_cpu_share_unwatched),
        ),
    ] {
        table.row(vec![part.to_owned(), share]);
    }
    table
}

pub(super) fn versions(input: &ReportInput) -> Table {
    let mut table = Table::new("Versions", &["what", "value"]);
    let canarynet = Fact::new("canarynet", input.judgement.canarynet.clone());
    let program = Fact::new("nodes", input.program.clone());
    let facts = [&canarynet, &program].into_iter().chain(&input.facts);
    for fact in facts.take(MOST_ROWS) {
        table.row(vec![plain(&fact.name, 40), plain(&fact.value, TEXT)]);
    }
    table.of(input.facts.len() + 2, "verdict.json")
}

/// Families of known bugs that findings look like.
pub(super) fn alike(input: &ReportInput) -> Table {
    let mut table = Table::new(
        "What they look like",
        &["family", "where", "met before", "look at"],
    );
    let alike = together::looks_like(input);
    let all = alike.len();
    for one in alike.iter().take(MOST_ROWS) {
        let shards: Vec<String> = one.shards.iter().take(8).map(|of| shard(*of)).collect();
        table.row(vec![
            format!("{}: {}", plain(&one.family, 40), plain(&one.title, 120)),
            shards.join(", "),
            plain(&one.met, 160),
            plain(&one.look, 240),
        ]);
    }
    table.of(all, "findings.json")
}

/// What findings have in common, a line each.
pub(super) fn common(input: &ReportInput) -> Vec<String> {
    let common = together::common(input);
    common
        .iter()
        .take(20)
        .map(|one| plain(&one.summary, TEXT))
        .collect()
}

/// What could not be judged, a line each.
pub(super) fn not_judged(input: &ReportInput) -> Vec<String> {
    let judgement = &input.judgement;
    let thin = judgement
        .detectors
        .iter()
        .filter(|detector| detector.judged < 0.99);
    let mut lines: Vec<String> = thin
        .map(|detector| {
            format!(
                "{} judged {} of the watched time",
                plain(&detector.id, 40),
                percent(detector.judged)
            )
        })
        .collect();
    lines.extend(judgement.doubts.iter().map(|doubt| {
        let scope = match (&doubt.node, doubt.shard) {
            (Some(node), _) => node.to_string(),
            (None, Some(shard)) => format!("shard {shard}"),
            (None, None) => "the network".to_owned(),
        };
        let until = doubt
            .until
            .map_or_else(|| "the end".to_owned(), |until| clock(input.wall(until)));
        format!(
            "{} on {scope}, {} to {until} UTC: {}",
            plain(&doubt.detector, 40),
            clock(input.wall(doubt.from)),
            plain(&doubt.why, TEXT)
        )
    }));
    lines.truncate(MOST_ROWS);
    lines
}
