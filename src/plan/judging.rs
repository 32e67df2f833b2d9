//! Thresholds and gate of a plan: the defaults, and what the plan says instead.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Coverage, Exercised, Gate, NetworkPlan, Thresholds, TrendThresholds, Waiver, against,
    detectors::Detectors,
    error::{PlanError, did_you_mean},
    findings::{self, FINDINGS},
    limits,
    manifest::{self, Manifest},
    resolve::{Sources, window},
    thresholds::Basis,
    until::Until,
};
use crate::{
    detect::finding::Severity,
    ids::{NodeName, ShardId},
    time::{Clocks, Window},
};

/// The thresholds of all detectors.
///
/// # Errors
/// An override out of its range, or two that contradict each other.
pub fn thresholds(
    sources: &Sources,
    basis: &Basis,
    detectors: Option<&Detectors>,
) -> Result<Thresholds, PlanError> {
    let mut thresholds = basis.thresholds();
    let Some(detectors) = detectors else {
        return Ok(thresholds);
    };
    windows(sources, &basis.clocks, detectors, &mut thresholds)?;
    numbers(sources, detectors, &mut thresholds)?;
    if let Some(typed) = &detectors.trends {
        trends(sources, &basis.clocks, typed, &mut thresholds.trends)?;
    }
    if let Some(told) = &mut thresholds.told {
        super::told::set(sources, &basis.clocks, detectors, told)?;
    }
    if thresholds.stall_suspected > thresholds.stall {
        return Err(sources.bad("detectors.stall", "`suspected` is longer than `after`"));
    }
    Ok(thresholds)
}

fn windows(
    sources: &Sources,
    clocks: &Clocks,
    detectors: &Detectors,
    thresholds: &mut Thresholds,
) -> Result<(), PlanError> {
    let stall = detectors.stall.clone().unwrap_or_default();
    let lagging = detectors.node_lagging.clone().unwrap_or_default();
    let after = |detector: &Option<super::detectors::After>| {
        detector.as_ref().and_then(|detector| detector.after)
    };
    let crash_loop = detectors
        .crash_loop
        .as_ref()
        .and_then(|detector| detector.window);
    let rates = detectors.rates.as_ref().and_then(|rates| rates.window);
    let table: [(&str, Option<Window>, &mut Duration); 13] = [
        (
            "stall.suspected",
            stall.suspected,
            &mut thresholds.stall_suspected,
        ),
        ("stall.after", stall.after, &mut thresholds.stall),
        ("stall.page", stall.page, &mut thresholds.page),
        (
            "no-recovery.after",
            after(&detectors.no_recovery),
            &mut thresholds.recovery,
        ),
        (
            "never-started.after",
            after(&detectors.never_started),
            &mut thresholds.never_started,
        ),
        (
            "no-leader.after",
            after(&detectors.no_leader),
            &mut thresholds.no_leader,
        ),
        ("rates.window", rates, &mut thresholds.rate_window),
        ("node-lagging.time", lagging.time, &mut thresholds.lag_time),
        (
            "node-lagging.budget",
            lagging.budget,
            &mut thresholds.lag_budget,
        ),
        (
            "stuck-syncing.after",
            after(&detectors.stuck_syncing),
            &mut thresholds.syncing,
        ),
        (
            "crash-loop.window",
            crash_loop,
            &mut thresholds.crash_loop_window,
        ),
        ("hung.after", after(&detectors.hung), &mut thresholds.hung),
        (
            "blind.after",
            after(&detectors.blind),
            &mut thresholds.blind,
        ),
    ];
    for (key, typed, threshold) in table {
        if let Some(wall) = window(sources, &format!("detectors.{key}"), typed, clocks)? {
            *threshold = wall;
        }
    }
    Ok(())
}

fn numbers(
    sources: &Sources,
    detectors: &Detectors,
    thresholds: &mut Thresholds,
) -> Result<(), PlanError> {
    let positive = |key: &str, value: Option<u64>, threshold: &mut u64| match value {
        Some(0) => Err(sources.bad(&format!("detectors.{key}"), "at least 1")),
        Some(value) => {
            *threshold = value;
            Ok(())
        }
        None => Ok(()),
    };
    if let Some(detector) = &detectors.view_change_loop {
        positive(
            "view-change-loop.views",
            detector.views,
            &mut thresholds.view_change_loop,
        )?;
    }
    if let Some(detector) = &detectors.view_change_storm {
        positive(
            "view-change-storm.least",
            detector.least,
            &mut thresholds.view_change_storm_least,
        )?;
        thresholds.view_change_storm_share = detector
            .share
            .map_or(thresholds.view_change_storm_share, |share| share.0);
    }
    if let Some(factor) = detectors
        .slow_blocks
        .as_ref()
        .and_then(|detector| detector.factor)
    {
        if !(factor > 1.0 && factor <= 1_000.0) {
            return Err(sources.bad("detectors.slow-blocks.factor", "above 1 and at most 1000"));
        }
        thresholds.slow_blocks_factor = factor;
    }
    if let Some(below) = detectors
        .low_signers
        .as_ref()
        .and_then(|detector| detector.below)
    {
        thresholds.low_signers_share = below.0;
    }
    if let Some(detector) = &detectors.node_lagging {
        positive(
            "node-lagging.blocks",
            detector.blocks,
            &mut thresholds.lag_blocks,
        )?;
    }
    if let Some(used) = detectors
        .disk_full
        .as_ref()
        .and_then(|detector| detector.used)
    {
        thresholds.disk_used_share = used.0;
    }
    if let Some(exits) = detectors
        .crash_loop
        .as_ref()
        .and_then(|detector| detector.exits)
    {
        if exits == 0 {
            return Err(sources.bad("detectors.crash-loop.exits", "at least 1"));
        }
        thresholds.crash_loop_exits = exits;
    }
    Ok(())
}

fn trends(
    sources: &Sources,
    clocks: &Clocks,
    typed: &super::detectors::Trends,
    thresholds: &mut TrendThresholds,
) -> Result<(), PlanError> {
    let wall =
        |key: &str, typed| window(sources, &format!("detectors.trends.{key}"), typed, clocks);
    for (key, typed, blocks) in [
        ("warm-up", typed.warm_up, &mut thresholds.warm_up),
        ("least", typed.least, &mut thresholds.least),
    ] {
        if let Some(wall) = wall(key, typed)? {
            let interval = clocks.block_interval.as_secs_f64().max(1e-9);
            *blocks = (wall.as_secs_f64() / interval).ceil() as u64;
        }
    }
    if let Some(horizon) = wall("horizon", typed.horizon)? {
        thresholds.horizon = clocks.to_mainnet(horizon);
    }
    if let Some(rise) = typed.rise {
        thresholds.rise = rise.0;
    }
    for (key, typed, factor) in [
        (
            "creep-factor",
            typed.creep_factor,
            &mut thresholds.creep_factor,
        ),
        (
            "flood-factor",
            typed.flood_factor,
            &mut thresholds.flood_factor,
        ),
    ] {
        let Some(typed) = typed else { continue };
        if !(typed > 1.0 && typed <= 1_000_000.0) {
            let key = format!("detectors.trends.{key}");
            return Err(sources.bad(&key, "above 1 and at most 1000000"));
        }
        *factor = typed;
    }
    Ok(())
}

/// The gate.
///
/// # Errors
/// An id that does not exist, a severity below what is allowed, a limit or waiver without sense.
pub fn gate(
    sources: &Sources,
    manifest: &Manifest,
    clocks: &Clocks,
    network: &NetworkPlan,
    until: &Until,
) -> Result<Gate, PlanError> {
    let gate = manifest.gate.clone().unwrap_or_default();
    let severity = gate.severity.unwrap_or_default();
    for (id, severity) in &severity {
        let key = format!("gate.severity.{id}");
        match findings::severity(id) {
            None => return Err(sources.bad(&key, &unknown_finding(id))),
            Some(Severity::Critical) if *severity < Severity::Critical => {
                return Err(sources.bad(
                    &key,
                    "is critical by default, and what is critical cannot be lowered",
                ));
            }
            Some(_) => {}
        }
    }
    let mut limits = BTreeMap::new();
    for (metric, text) in gate.limits.unwrap_or_default() {
        let limit = limits::parse(&metric, &text, clocks);
        let key = super::source::join("gate.limits", &metric);
        limits.insert(
            metric,
            limit.map_err(|message| sources.bad(&key, &message))?,
        );
    }
    let against = match &gate.against {
        None => None,
        Some(typed) => Some(
            against::resolve(typed, sources.baseline.as_ref())
                .map_err(|(key, message)| sources.bad(&key, &message))?,
        ),
    };
    let mut waive = Vec::new();
    for (index, waiver) in manifest.waive.iter().flatten().enumerate() {
        waive.push(resolve_waiver(sources, index, waiver, network)?);
    }
    Ok(Gate {
        fail_on: gate.fail_on.unwrap_or(Severity::Major),
        severity,
        limits,
        coverage: coverage(gate.coverage.as_ref(), clocks, network, until),
        waive,
        against,
        new_detectors: gate.new_detectors.unwrap_or_default(),
        // What is no range was refused before.
        made_for: manifest
            .requires
            .as_deref()
            .and_then(|range| semver::VersionReq::parse(range).ok())
            .map(|range| super::gate::lowest(&range).to_string()),
    })
}

fn coverage(
    typed: Option<&manifest::Coverage>,
    clocks: &Clocks,
    network: &NetworkPlan,
    until: &Until,
) -> Coverage {
    let typed = typed.cloned().unwrap_or_default();
    let shards = network.shards;
    // A generator that cannot keep up with a tenth of its load shows less than the plan says.
    let tells_load = network.probe.metrics.made.is_some() && network.probe.metrics.missed.is_some();
    let load_share = if tells_load { 0.9 } else { 0.0 };
    let by_time = until.time.map_or(u64::MAX, |time| {
        u64::try_from(time.as_nanos() / clocks.block_interval.as_nanos().max(1)).unwrap_or(u64::MAX)
    });
    let by_height = until.height.unwrap_or(u64::MAX);
    // Half: a net at half its pace is a finding, a net far below it shows too little of anything.
    let blocks = by_time.min(by_height).saturating_mul(shards) / 2;
    Coverage {
        blocks: typed.blocks.unwrap_or(blocks),
        epochs: typed.epochs.unwrap_or(0),
        blind_share: typed.blind.map_or(0.01, |share| share.0),
        lines_lost_share: typed.lines_lost.map_or(0.001, |share| share.0),
        faults_share: typed.faults.map_or(1.0, |share| share.0),
        exercised: Exercised {
            leader_turns: typed.leader_turns.unwrap_or(0),
            leader_kills: typed.leader_kills.unwrap_or(0),
            view_changes: typed.view_changes.unwrap_or(0),
            restarts: typed.restarts.unwrap_or(0),
            full_disks: typed.full_disks.unwrap_or(0),
            full_disks_recovered: typed.full_disks_recovered.unwrap_or(0),
            receipts: typed.receipts.unwrap_or(0),
            load_share: typed.load.map_or(load_share, |share| share.0),
        },
    }
}

fn unknown_finding(id: &str) -> String {
    let hint = did_you_mean(id, FINDINGS.iter().map(|(known, _)| *known));
    format!("{id:?} is no finding{hint}")
}

fn resolve_waiver(
    sources: &Sources,
    index: usize,
    waiver: &manifest::Waive,
    network: &NetworkPlan,
) -> Result<Waiver, PlanError> {
    let bad = |key: &str, message: &str| sources.bad(&format!("waive[{index}].{key}"), message);
    if findings::severity(&waiver.finding).is_none() {
        return Err(bad("finding", &unknown_finding(&waiver.finding)));
    }
    if !is_day(&waiver.until) {
        return Err(bad(
            "until",
            &format!("{:?} is no day: write it like 2026-12-31", waiver.until),
        ));
    }
    if waiver.because.trim().is_empty() {
        return Err(bad("because", "a waiver says why"));
    }
    let place = waiver.place.clone().unwrap_or_default();
    if let Some(node) = &place.node {
        let known = node
            .parse::<NodeName>()
            .is_ok_and(|name| network.nodes.iter().any(|node| node.name == name));
        if !known {
            return Err(bad(
                "where.node",
                &format!("the network has no node {node:?}"),
            ));
        }
    }
    if let Some(shard) = place.shard.map(ShardId)
        && shard.0 >= network.shards
    {
        return Err(bad(
            "where.shard",
            &format!("the network has no shard {shard}"),
        ));
    }
    Ok(Waiver {
        finding: waiver.finding.clone(),
        node: place.node,
        shard: place.shard,
        until: waiver.until.clone(),
        because: waiver.because.trim().to_owned(),
    })
}

/// Whether a text is a day like `2026-12-31`. Days compare as text.
pub(super) fn is_day(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| {
            if at == 4 || at == 7 {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        });
    shape && humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok()
}
