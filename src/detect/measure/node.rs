//! What is measured of one node.

use std::time::Duration;

use super::series::Series;
use crate::{
    detect::{
        judgement::{NodeState, NodeView, Slope},
        world::{Container, Hand, Node, World},
    },
    journal::event::Sample,
    time::Elapsed,
};

/// What is measured of one node.
#[derive(Debug, Default)]
pub(super) struct NodeMeasure {
    memory: u64,
    memory_peak: u64,
    /// Time and CPU of the last sample, and what was summed up over all incarnations.
    last: Option<(Elapsed, u64)>,
    cpu: Duration,
    cpu_over: Duration,
    disk: (u64, u64),
    disk_peak: u64,
    disk_series: Series,
    pub exits: u64,
    pub lines: u64,
    pub lost: u64,
    /// Blind time of RPC, log and sampler.
    pub blind: [Duration; 3],
}

impl NodeMeasure {
    pub fn begin_soak(&mut self) {
        self.disk_series.clear();
        self.blind = Default::default();
    }

    pub fn sample(&mut self, sample: &Sample, now: Elapsed, soaking: bool) {
        self.memory = sample.memory;
        self.memory_peak = self.memory_peak.max(sample.memory);
        if let Some((at, cpu)) = self.last {
            let used = sample.cpu.checked_sub(cpu);
            let span = now.since(at);
            // CPU time that goes back is a new process; a gap of samples says nothing about the time in between.
            if let Some(used) = used
                && span <= Duration::from_secs(60)
            {
                self.cpu += Duration::from_micros(used);
                self.cpu_over += span;
            }
        }
        self.last = Some((now, sample.cpu));
        let size = sample.disk_used.saturating_add(sample.disk_free);
        self.disk = (sample.disk_used, size);
        self.disk_peak = self.disk_peak.max(sample.disk_used);
        if soaking && size > 0 {
            self.disk_series.add(now, sample.disk_used as f64);
        }
    }

    /// Time passed in which a probe saw nothing although the node ran.
    pub fn watched(&mut self, node: &Node, world: &World, passed: Duration) {
        let shard_unseen = world.shards[node.shard].unseen_since.is_some();
        if !node.runs() {
            return;
        }
        let blind = [
            shard_unseen || !world.seeing(),
            node.log.failing_since.is_some(),
            node.sampler.failing_since.is_some(),
        ];
        for (sum, blind) in self.blind.iter_mut().zip(blind) {
            if blind {
                *sum += passed;
            }
        }
    }

    pub fn blind_share(&self, watched: Duration) -> f64 {
        let longest = self.blind.iter().max().copied().unwrap_or_default();
        if watched.is_zero() {
            0.0
        } else {
            (longest.as_secs_f64() / watched.as_secs_f64()).min(1.0)
        }
    }

    fn slope(&self) -> Option<Slope> {
        let (per_second, span) = self.disk_series.late_slope()?;
        let size = self.disk.1 as f64;
        let rise = per_second * span.as_secs_f64();
        Some(Slope {
            bytes_per_hour: per_second * 3600.0,
            flat: size > 0.0 && rise < size / 100.0,
        })
    }

    pub fn view(&self, node: &Node, world: &World, watched: Duration) -> NodeView {
        let state = match (node.container, node.down.map(|down| down.hand)) {
            (Container::Absent, _) => NodeState::Absent,
            (Container::Running, _) => NodeState::Running,
            (Container::Paused, _) => NodeState::Paused,
            (Container::Ended, Some(Hand::Outside)) => NodeState::EndedByOutsideHand,
            (Container::Ended, Some(Hand::Canary)) => NodeState::EndedByCanary,
            (Container::Ended, Some(Hand::Engine)) => NodeState::EndedByEngine,
            (Container::Ended, _) => NodeState::EndedByItself,
        };
        NodeView {
            node: node.name.clone(),
            shard: world.shards[node.shard].id,
            role: node.role,
            state,
            height: node.height,
            mode: node.mode.map(|(mode, _)| mode),
            restarts: node.starts.saturating_sub(1),
            exits: self.exits,
            blind_share: self.blind_share(watched),
            lines: (self.lines, self.lost),
            memory: self.memory,
            memory_peak: self.memory_peak,
            cpu_share: if self.cpu_over.is_zero() {
                0.0
            } else {
                self.cpu.as_secs_f64() / self.cpu_over.as_secs_f64()
            },
            disk: self.disk,
            disk_peak: self.disk_peak,
            disk_slope: self.slope(),
        }
    }
}
