//! The metrics of limits, by the names that plans use.

use std::{collections::BTreeMap, time::Duration};

use crate::detect::{
    judgement::{Intervals, Judgement, Measure, NodeView, Recovery, ShardView, Unit},
    world::World,
};

/// The values that limits may be set on; of shards and nodes the worst one.
pub(super) fn measures(judgement: &Judgement, world: &World) -> BTreeMap<String, Measure> {
    let mut metrics = Metrics(BTreeMap::new());
    metrics.intervals(&judgement.shards);
    metrics.recovery(&judgement.shards);
    metrics.shards(judgement, world);
    metrics.nodes(&judgement.nodes);
    metrics.canary(judgement);
    metrics.0
}

/// A metric's name and how it is taken from a shard's measures.
type Pick<T> = (&'static str, fn(T) -> Duration);

struct Metrics(BTreeMap<String, Measure>);

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn largest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.max_by(f64::total_cmp)
}

impl Metrics {
    /// What was not measured has no entry.
    fn put(&mut self, name: &str, value: Option<f64>, unit: Unit) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), Measure { value, unit });
        }
    }

    fn intervals(&mut self, shards: &[ShardView]) {
        let measured = || {
            let whole = shards.iter().map(|shard| shard.whole);
            whole.filter(|whole| whole.count > 0)
        };
        let picks: [Pick<Intervals>; 4] = [
            ("block-interval.mean", |whole| whole.mean),
            ("block-interval.p50", |whole| whole.p50),
            ("block-interval.p99", |whole| whole.p99),
            ("block-interval.max", |whole| whole.longest),
        ];
        for (name, pick) in picks {
            let value = largest(measured().map(|whole| millis(pick(whole))));
            self.put(name, value, Unit::Milliseconds);
        }
    }

    fn recovery(&mut self, shards: &[ShardView]) {
        let measured = || {
            let recovery = shards.iter().map(|shard| shard.recovery);
            recovery.filter(|recovery| recovery.recovered > 0)
        };
        let picks: [Pick<Recovery>; 3] = [
            ("recovery.p50", |recovery| recovery.p50),
            ("recovery.p99", |recovery| recovery.p99),
            ("recovery.max", |recovery| recovery.longest),
        ];
        for (name, pick) in picks {
            let value = largest(measured().map(|recovery| millis(pick(recovery))));
            self.put(name, value, Unit::Milliseconds);
        }
    }

    fn shards(&mut self, judgement: &Judgement, world: &World) {
        let shards = &judgement.shards;
        let signers = shards
            .iter()
            .filter_map(|shard| shard.signers_share)
            .min_by(f64::total_cmp);
        self.put("signers.mean", signers, Unit::Share);
        let views = shards
            .iter()
            .filter(|shard| shard.height.is_some())
            .map(|shard| shard.view_changes_per_1000);
        self.put("view-changes.per-1000-blocks", largest(views), Unit::Count);
        let slowest = Some(judgement.acceleration.slowest).filter(|ratio| *ratio > 0.0);
        self.put("acceleration", slowest, Unit::Count);
        // From the last container's start to the first block of the slowest shard; not while one has none.
        let last_start = world.nodes.iter().filter_map(|node| node.first_start).max();
        let firsts: Option<Vec<_>> = shards.iter().map(|shard| shard.first_block).collect();
        let first_block = last_start.zip(firsts).and_then(|(start, firsts)| {
            largest(firsts.into_iter().map(|first| millis(first.since(start))))
        });
        self.put("first-block.max", first_block, Unit::Milliseconds);
    }

    fn nodes(&mut self, nodes: &[NodeView]) {
        let memory = largest(nodes.iter().map(|node| node.memory_peak as f64));
        self.put("memory.max", memory.filter(|peak| *peak > 0.0), Unit::Bytes);
        let disk = nodes
            .iter()
            .filter(|node| node.disk.1 > 0)
            .map(|node| node.disk_peak as f64 / node.disk.1 as f64);
        self.put("disk-used.max", largest(disk), Unit::Share);
    }

    fn canary(&mut self, judgement: &Judgement) {
        let cost = &judgement.cost;
        if cost.samples > 0 {
            self.put("canary.cpu", Some(cost.cpu_share), Unit::Share);
            self.put("canary.memory", Some(cost.memory_peak as f64), Unit::Bytes);
            self.put("canary.lag", Some(millis(cost.lag)), Unit::Milliseconds);
        }
        let rise = cost
            .engine_cpu_share
            .zip(cost.engine_cpu_share_unwatched)
            .map(|(watched, unwatched)| watched - unwatched);
        self.put("engine.cpu-rise", rise, Unit::Share);
        let coverage = &judgement.coverage;
        self.put("restarts", Some(coverage.restarts as f64), Unit::Count);
        self.put("blind", Some(coverage.blind_share), Unit::Share);
        self.put("lines-lost", Some(coverage.lines_lost_share), Unit::Share);
    }
}
