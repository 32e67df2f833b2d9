//! What is measured of one node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        judgement::{NodeState, NodeView, Participation, Slope, Source},
        outlook::{Course, NodeOutlook},
        world::{Container, Hand, Node, World},
    },
    journal::event::Sample,
    time::Elapsed,
};

/// CPU time as it is told from sample to sample.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct CpuTime {
    /// Time and CPU time of the last sample.
    last: Option<(Elapsed, u64)>,
}

impl CpuTime {
    /// The next sample's CPU time in microseconds: how much was used since the last one, and over what time.
    pub fn step(&mut self, cpu: u64, now: Elapsed) -> Option<(Duration, Duration)> {
        let (at, before) = self.last.replace((now, cpu))?;
        let span = now.since(at);
        // CPU time that goes back is a new process; a gap of samples says nothing about the time in between.
        let used = cpu.checked_sub(before)?;
        (span <= Duration::from_secs(60)).then(|| (Duration::from_micros(used), span))
    }
}

/// What is measured of one node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct NodeMeasure {
    memory: u64,
    memory_peak: u64,
    /// CPU time, and what was summed up of it over all incarnations.
    time: CpuTime,
    cpu: Duration,
    cpu_over: Duration,
    disk: (u64, u64),
    disk_peak: u64,
    pub exits: u64,
    pub lines: Count,
    pub lost: Count,
    /// Blind time of RPC, log and sampler.
    pub blind: [Duration; 3],
    /// The same of its metrics page, which no verdict rests on alone.
    blind_metrics: Duration,
    /// Whether its metrics page answers nothing now.
    pub metrics_failing: bool,
    /// Log lines whose form was not looked at.
    pub passed_over: Count,
}

/// A count that begins anew with each owner of the run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Count {
    /// What the owners before counted.
    before: u64,
    now: u64,
}

impl Count {
    /// It stands at this, as the present owner counts.
    pub fn set(&mut self, count: u64) {
        self.now = count;
    }

    /// Another owner counts from here on.
    pub fn attached(&mut self) {
        (self.before, self.now) = (self.all(), 0);
    }

    /// What all of them counted.
    pub fn all(self) -> u64 {
        self.before.saturating_add(self.now)
    }
}

impl NodeMeasure {
    pub fn begin_soak(&mut self) {
        self.blind = Default::default();
        self.blind_metrics = Duration::ZERO;
    }

    /// The run was taken over.
    pub fn attached(&mut self) {
        for count in [&mut self.lines, &mut self.lost, &mut self.passed_over] {
            count.attached();
        }
    }

    pub fn sample(&mut self, sample: &Sample, now: Elapsed) {
        self.memory = sample.memory;
        self.memory_peak = self.memory_peak.max(sample.memory);
        if let Some((used, over)) = self.time.step(sample.cpu, now) {
            self.cpu += used;
            self.cpu_over += over;
        }
        let size = sample.disk_used.saturating_add(sample.disk_free);
        self.disk = (sample.disk_used, size);
        self.disk_peak = self.disk_peak.max(sample.disk_used);
    }

    /// Time passed in which a probe saw nothing although the node ran.
    pub fn watched(&mut self, node: &Node, world: &World, passed: Duration) {
        let shard = &world.shards[node.shard];
        let blind = [
            shard.unseen_since.is_some() || !world.seeing(),
            node.log.failing_since.is_some(),
            node.sampler.failing_since.is_some(),
        ];
        // First what is quick, and true at most times.
        let sees_all = blind == [false; 3] && !self.metrics_failing;
        if sees_all || !node.runs() || world.drilled(shard.id, world.now).is_some() {
            return;
        }
        for (sum, blind) in self.blind.iter_mut().zip(blind) {
            if blind {
                *sum += passed;
            }
        }
        if self.metrics_failing {
            self.blind_metrics += passed;
        }
    }

    /// How long nothing was seen of it by this source.
    pub fn unseen(&self, source: Source) -> Duration {
        match source {
            Source::Chain => self.blind[0],
            Source::Log => self.blind[1],
            Source::Resources => self.blind[2],
            Source::Metrics => self.blind_metrics,
            Source::Engine | Source::Canary => Duration::ZERO,
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

    pub fn view(&self, place: usize, world: &World, watched: Duration) -> NodeView {
        let node = &world.nodes[place];
        let outlook = NodeOutlook::of(world, place);
        let interval = world.clocks.block_interval.as_secs_f64().max(1e-9);
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
            lines: (self.lines.all(), self.lost.all()),
            lines_passed_over: self.passed_over.all(),
            participation: Participation::default(),
            memory: self.memory,
            memory_peak: self.memory_peak,
            cpu_share: if self.cpu_over.is_zero() {
                0.0
            } else {
                self.cpu.as_secs_f64() / self.cpu_over.as_secs_f64()
            },
            disk: self.disk,
            disk_peak: self.disk_peak,
            disk_slope: outlook.disk.map(|disk| Slope {
                bytes_per_hour: disk.per_block * 3600.0 / interval,
                flat: disk.course == Course::Flat,
            }),
            outlook,
        }
    }
}
