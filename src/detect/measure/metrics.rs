//! The metrics of limits, by the names that plans use.

use std::{collections::BTreeMap, time::Duration};

use crate::detect::{
    judgement::{Judgement, Measure, NodeView, ShardView, Unit},
    world::World,
};

/// The values that limits may be set on; of shards and nodes the worst one.
pub(super) fn measures(judgement: &Judgement, world: &World) -> BTreeMap<String, Measure> {
    let mut measures = BTreeMap::new();
    let mut put = |name: &str, value: Option<f64>, unit: Unit| {
        if let Some(value) = value {
            measures.insert(name.to_owned(), Measure { value, unit });
        }
    };
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let worst = |value: &dyn Fn(&ShardView) -> Option<f64>| {
        judgement
            .shards
            .iter()
            .filter_map(value)
            .max_by(f64::total_cmp)
    };
    let interval = |pick: fn(&ShardView) -> Duration| {
        worst(&move |shard: &ShardView| (shard.whole.count > 0).then(|| millis(pick(shard))))
    };
    let ms = Unit::Milliseconds;
    put(
        "block-interval.mean",
        interval(|shard| shard.whole.mean),
        ms,
    );
    put("block-interval.p50", interval(|shard| shard.whole.p50), ms);
    put("block-interval.p99", interval(|shard| shard.whole.p99), ms);
    put(
        "block-interval.max",
        interval(|shard| shard.whole.longest),
        ms,
    );
    let recovery = |pick: fn(&ShardView) -> Duration| {
        worst(&move |shard: &ShardView| (shard.recovery.recovered > 0).then(|| millis(pick(shard))))
    };
    put("recovery.p50", recovery(|shard| shard.recovery.p50), ms);
    put("recovery.p99", recovery(|shard| shard.recovery.p99), ms);
    put("recovery.max", recovery(|shard| shard.recovery.longest), ms);
    let signers = judgement
        .shards
        .iter()
        .filter_map(|shard| shard.signers_share)
        .min_by(f64::total_cmp);
    put("signers.mean", signers, Unit::Share);
    let views = worst(&|shard: &ShardView| shard.height.map(|_| shard.view_changes_per_1000));
    put("view-changes.per-1000-blocks", views, Unit::Count);
    let last_start = world.nodes.iter().filter_map(|node| node.first_start).max();
    let first_block = judgement
        .shards
        .iter()
        .map(|shard| shard.first_block.zip(last_start))
        .collect::<Option<Vec<_>>>()
        .and_then(|pairs| {
            pairs
                .into_iter()
                .map(|(first, start)| millis(first.since(start)))
                .max_by(f64::total_cmp)
        });
    put("first-block.max", first_block, ms);
    let cost = &judgement.cost;
    let costed = cost.samples > 0;
    put("canary.cpu", costed.then_some(cost.cpu_share), Unit::Share);
    put(
        "canary.memory",
        costed.then_some(cost.memory_peak as f64),
        Unit::Bytes,
    );
    put("canary.lag", costed.then(|| millis(cost.lag)), ms);
    let engine = cost
        .engine_cpu_share
        .zip(cost.engine_cpu_share_unwatched)
        .map(|(watched, unwatched)| watched - unwatched);
    put("engine.cpu-rise", engine, Unit::Share);
    let nodes =
        |value: fn(&NodeView) -> f64| judgement.nodes.iter().map(value).max_by(f64::total_cmp);
    put(
        "memory.max",
        nodes(|node| node.memory_peak as f64),
        Unit::Bytes,
    );
    let disk = nodes(|node| node.disk_peak as f64 / node.disk.1.max(1) as f64);
    put(
        "disk-used.max",
        disk.filter(|_| judgement.nodes.iter().any(|node| node.disk.1 > 0)),
        Unit::Share,
    );
    put(
        "acceleration",
        Some(judgement.acceleration.slowest).filter(|ratio| *ratio > 0.0),
        Unit::Count,
    );
    put(
        "restarts",
        Some(judgement.coverage.restarts as f64),
        Unit::Count,
    );
    put("blind", Some(judgement.coverage.blind_share), Unit::Share);
    put(
        "lines-lost",
        Some(judgement.coverage.lines_lost_share),
        Unit::Share,
    );
    measures
}
