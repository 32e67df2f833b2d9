//! The metrics of limits, by the names that plans use.

use std::{collections::BTreeMap, time::Duration};

use crate::plan::Role;
use crate::{
    detect::{
        judgement::{
            Intervals, Judgement, KindView, Latencies, Measure, NodeView, Recovery, ShardView,
            Spread, Unit,
        },
        world::World,
    },
    time::{Clocks, MAINNET_DAY},
};

/// A forecast of a century stands for never.
const LONGEST_DAYS: f64 = 36_525.0;

/// The values that limits may be set on; of shards and nodes the worst one.
pub(super) fn measures(
    judgement: &Judgement,
    world: &World,
    inclusion: &Latencies,
) -> BTreeMap<String, Measure> {
    let mut metrics = Metrics(BTreeMap::new());
    metrics.traffic(judgement, inclusion);
    metrics.intervals(&judgement.shards);
    metrics.recovery(judgement);
    metrics.shards(judgement, world);
    metrics.nodes(&judgement.nodes, &world.clocks);
    metrics.canary(judgement);
    metrics.0
}

/// A metric's name and how it is taken from a shard's measures.
type Pick<T> = (&'static str, fn(T) -> Duration);

/// A quantile's name, and how it is taken from stalls and from heals.
type PickHeal = (
    &'static str,
    fn(&Recovery) -> Duration,
    fn(&Spread) -> Duration,
);

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

    /// Load, epochs, and who was paid.
    fn traffic(&mut self, judgement: &Judgement, inclusion: &Latencies) {
        let picks: [(&str, Duration); 3] = [
            ("tx-inclusion.p50", inclusion.p50),
            ("tx-inclusion.p95", inclusion.p95),
            ("tx-inclusion.p99", inclusion.p99),
        ];
        for (name, time) in picks {
            let value = (inclusion.count > 0).then(|| millis(time));
            self.put(name, value, Unit::Milliseconds);
        }
        let boundaries = || {
            let boundaries = judgement
                .shards
                .iter()
                .map(|shard| shard.traffic.boundaries);
            boundaries.filter(|boundaries| boundaries.count > 0)
        };
        let picks: [Pick<Intervals>; 3] = [
            ("epoch-boundary.p50", |boundaries| boundaries.p50),
            ("epoch-boundary.p99", |boundaries| boundaries.p99),
            ("epoch-boundary.max", |boundaries| boundaries.longest),
        ];
        for (name, pick) in picks {
            let value = largest(boundaries().map(|boundaries| millis(pick(boundaries))));
            self.put(name, value, Unit::Milliseconds);
        }
        let rewards = judgement
            .nodes
            .iter()
            .filter(|node| node.role == Role::Validator);
        let least = rewards
            .filter_map(|node| node.participation.share())
            .min_by(f64::total_cmp);
        self.put("rewards.least", least, Unit::Share);
        self.put("load.offered", judgement.coverage.load_share, Unit::Share);
    }

    /// Of stalls and of heals the worse one; of heals also by kind: `recovery.disk-fill.p99`.
    fn recovery(&mut self, judgement: &Judgement) {
        let shards = judgement.shards.iter().map(|shard| shard.recovery);
        let stalls: Vec<Recovery> = shards.filter(|shard| shard.recovered > 0).collect();
        let kinds = &judgement.kinds;
        let picks: [PickHeal; 3] = [
            ("p50", |stalls| stalls.p50, |heals| heals.p50),
            ("p99", |stalls| stalls.p99, |heals| heals.p99),
            ("max", |stalls| stalls.longest, |heals| heals.longest),
        ];
        let measured = |spread: &Spread| (spread.count > 0).then_some(*spread);
        for (name, stall, heal) in picks {
            let of_stalls = stalls.iter().map(|stalls| millis(stall(stalls)));
            let of_heals = |spread: fn(&KindView) -> Spread| {
                let spreads = kinds.iter().filter_map(move |kind| measured(&spread(kind)));
                spreads.map(move |spread| millis(heal(&spread)))
            };
            let back = largest(of_stalls.chain(of_heals(|kind| kind.first_block)));
            self.put(&format!("recovery.{name}"), back, Unit::Milliseconds);
            let level = largest(of_heals(|kind| kind.caught_up));
            self.put(&format!("catch-up.{name}"), level, Unit::Milliseconds);
            for kind in kinds {
                let of = |spread| measured(spread).map(|spread| millis(heal(&spread)));
                let key = format!("recovery.{}.{name}", kind.kind);
                self.put(&key, of(&kind.first_block), Unit::Milliseconds);
                let key = format!("catch-up.{}.{name}", kind.kind);
                self.put(&key, of(&kind.caught_up), Unit::Milliseconds);
            }
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

    fn nodes(&mut self, nodes: &[NodeView], clocks: &Clocks) {
        let memory = largest(nodes.iter().map(|node| node.memory_peak as f64));
        self.put("memory.max", memory.filter(|peak| *peak > 0.0), Unit::Bytes);
        let disk = nodes
            .iter()
            .filter(|node| node.disk.1 > 0)
            .map(|node| node.disk_peak as f64 / node.disk.1 as f64);
        self.put("disk-used.max", largest(disk), Unit::Share);
        let growth = nodes
            .iter()
            .filter_map(|node| node.outlook.memory)
            .map(|memory| memory.per_block * 1000.0);
        self.put("memory.per-1000-blocks", largest(growth), Unit::Bytes);
        // The first disk that would be full, at the earliest; in time of the canary, as all times are.
        let disks: Option<Vec<_>> = nodes.iter().map(|node| node.outlook.disk).collect();
        let forecast = disks.and_then(|disks| {
            let days = disks
                .iter()
                .map(|disk| disk.earliest_days.unwrap_or(LONGEST_DAYS).min(LONGEST_DAYS));
            days.min_by(f64::total_cmp)
        });
        let wall =
            forecast.map(|days| millis(clocks.from_mainnet(MAINNET_DAY.mul_f64(days.max(0.0)))));
        self.put("disk-full.forecast", wall, Unit::Milliseconds);
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
        let slower = cost.observer.map(|observer| observer.difference);
        self.put("observer.slower", slower, Unit::Share);
        let coverage = &judgement.coverage;
        self.put("restarts", Some(coverage.restarts as f64), Unit::Count);
        self.put("blind", Some(coverage.blind_share), Unit::Share);
        self.put("lines-lost", Some(coverage.lines_lost_share), Unit::Share);
    }
}
