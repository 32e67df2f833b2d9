//! What watching costs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::node::Count;
use crate::{
    detect::{
        canary_overloaded::{cpu, memory},
        judgement::{CostView, MemorySlope},
        statistics::{Confidence, Least, Line, Windows},
        world::World,
    },
    journal::event::{Cost, Stage},
    plan::Budget,
    time::Elapsed,
};

/// CPU time over a stretch of time.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Share {
    used: Duration,
    over: Duration,
}

impl Share {
    fn add(&mut self, before: u64, after: u64, over: Duration) {
        self.used += Duration::from_micros(after.saturating_sub(before));
        self.over += over;
    }

    fn value(self) -> f64 {
        if self.over.is_zero() {
            0.0
        } else {
            self.used.as_secs_f64() / self.over.as_secs_f64()
        }
    }
}

/// Least values of the canary's own memory over time.
#[derive(Debug, Serialize, Deserialize)]
struct OwnMemory(Windows<Least<1>>);

impl Default for OwnMemory {
    fn default() -> Self {
        // Ten seconds, in microseconds: short enough for a run of minutes.
        Self(Windows::new(10_000_000))
    }
}

impl OwnMemory {
    /// The slope over all but the first tenth: what fills up at the beginning is no growth.
    fn slope(&self) -> Option<MemorySlope> {
        const HOUR: f64 = 3_600e6;
        const PAGE: f64 = 4_096.0;
        let all = self.0.all();
        let points: Vec<(f64, f64)> = all[all.len() / 10..]
            .iter()
            .map(|(_, point)| (point.at.0 as f64 / HOUR, point.least[0] as f64))
            .collect();
        let line = Line::of(&points, PAGE)?;
        let (low, high) = line.interval(Confidence::Report);
        Some(MemorySlope {
            bytes_per_hour: line.slope,
            low,
            high,
        })
    }
}

/// Costs over the soak.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CostMeasure {
    samples: u64,
    last: Option<(Elapsed, Cost, bool)>,
    all: Share,
    canary: Share,
    watcher: Share,
    samplers: Share,
    helper: Share,
    engine: Share,
    engine_unwatched: Share,
    engine_seen: bool,
    memory: u64,
    memory_peak: u64,
    own_memory: OwnMemory,
    lag: Duration,
    dropped: Count,
    run_directory: u64,
}

impl CostMeasure {
    pub fn step(&mut self, cost: &Cost, world: &World) {
        self.engine_seen |= cost.engine_cpu > 0;
        self.dropped.set(cost.dropped);
        self.run_directory = cost.run_directory;
        self.memory = memory(cost);
        let paused = world.watch_paused;
        let soaking = world.stage == Some(Stage::Soak) || world.stage.is_none();
        if let Some((at, before, was_paused)) = self.last.take()
            && was_paused == paused
            && world.judging_progress()
        {
            let over = world.now.since(at);
            let engine = if paused {
                &mut self.engine_unwatched
            } else {
                &mut self.engine
            };
            engine.add(before.engine_cpu, cost.engine_cpu, over);
            if soaking && !paused {
                self.all.add(cpu(&before), cpu(cost), over);
                self.canary.add(before.canary_cpu, cost.canary_cpu, over);
                self.watcher.add(before.watcher_cpu, cost.watcher_cpu, over);
                self.samplers
                    .add(before.samplers_cpu, cost.samplers_cpu, over);
                self.helper.add(before.helper_cpu, cost.helper_cpu, over);
            }
        }
        self.last = Some((world.now, cost.clone(), paused));
        if soaking && !paused {
            self.samples += 1;
            self.memory_peak = self.memory_peak.max(self.memory);
            self.lag = self.lag.max(Duration::from_micros(cost.lag));
            let point = Least {
                least: [self.memory],
                at: world.now,
                seq: world.seq,
            };
            self.own_memory.0.add(world.now.0, point);
        }
    }

    /// The run was taken over: another process's costs, and counts from zero.
    pub fn attached(&mut self) {
        self.dropped.attached();
        self.last = None;
    }

    pub fn view(&self, budget: &Budget) -> CostView {
        // The kernel counts in hundredths of a second: over a shorter stretch a share says nothing.
        let seen = |share: Share| {
            (self.engine_seen && share.over >= Duration::from_secs(1)).then(|| share.value())
        };
        let cpu_share = self.all.value();
        CostView {
            samples: self.samples,
            cpu_share,
            canary_cpu_share: self.canary.value(),
            watcher_cpu_share: self.watcher.value(),
            samplers_cpu_share: self.samplers.value(),
            helper_cpu_share: self.helper.value(),
            memory: self.memory,
            memory_peak: self.memory_peak,
            memory_slope: self.own_memory.slope(),
            engine_cpu_share: seen(self.engine),
            engine_cpu_share_unwatched: seen(self.engine_unwatched),
            run_directory: self.run_directory,
            lag: self.lag,
            dropped: self.dropped.all(),
            observer: None,
            within_budget: cpu_share <= budget.cpu_share && self.memory_peak <= budget.memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Seq;

    /// Four hours of a canary that grows by so many bytes an hour, with a little noise.
    fn grown(bytes_per_hour: f64) -> MemorySlope {
        let mut memory = OwnMemory::default();
        for look in 0..1_440_u64 {
            let hours = look as f64 / 360.0;
            let noise = (look.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as f64 / 64.0;
            let at = Elapsed::from_secs(look * 10);
            let least = [(40_000_000.0 + hours * bytes_per_hour + noise) as u64];
            let seq = Seq(look);
            memory.0.add(at.0, Least { least, at, seq });
        }
        memory.slope().expect("a slope")
    }

    #[test]
    fn the_slope_is_in_bytes_an_hour() {
        let slope = grown(1_000_000.0);
        assert!(
            (950_000.0..1_050_000.0).contains(&slope.bytes_per_hour),
            "{slope:?}"
        );
        assert!(slope.low > 0.0, "{slope:?}");
        let flat = grown(0.0);
        assert!(flat.low <= 0.0 && flat.high >= 0.0, "{flat:?}");
        assert!(flat.bytes_per_hour.abs() < 50_000.0, "{flat:?}");
    }
}
