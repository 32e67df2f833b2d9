//! What watching costs: this program, the watcher, the samplers, and the engine's own processes.
//!
//! A monitor must carry a proof that it was not the outage. All figures are read from the kernel, and those of other
//! processes come with their own messages.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    ids::NodeName,
    journal::event::{Cost, Sample},
};

/// Threads of a container engine on Linux; the kernel cuts names at 15 bytes, so this is also `containerd-shim-*`.
const ENGINE_PROCESSES: [&str; 4] = ["dockerd", "containerd", "containerd-shim", "docker-proxy"];

/// CPU time and memory of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessCost {
    /// CPU time in microseconds since it started, all threads.
    pub cpu: u64,
    /// Memory in bytes: its proportional share of what is resident.
    pub memory: u64,
}

/// The cost of this process.
#[must_use]
pub fn own() -> ProcessCost {
    // Not from /proc/self/stat: its ticks of 10 ms are coarser than what a watcher needs in a second.
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let micros = i128::from(used.tv_sec) * 1_000_000 + i128::from(used.tv_nsec) / 1_000;
    ProcessCost {
        cpu: u64::try_from(micros).unwrap_or_default(),
        memory: own_memory(),
    }
}

/// The proportional share of what is resident of this process, in bytes; its resident size where the kernel does not
/// tell the share, zero where it tells nothing.
#[must_use]
pub fn own_memory() -> u64 {
    field_of("/proc/self/smaps_rollup", "Pss:")
        .or_else(|| field_of("/proc/self/status", "VmRSS:"))
        .unwrap_or_default()
}

/// The same of another process that this one may look into; zero where it may not.
#[must_use]
pub fn memory_of(process: u32) -> u64 {
    field_of(&format!("/proc/{process}/smaps_rollup"), "Pss:").unwrap_or_default()
}

fn field_of(path: &str, field: &str) -> Option<u64> {
    kibibytes(&fs::read_to_string(path).ok()?, field)
}

/// Finds `Pss:   12 kB` and answers in bytes.
pub(super) fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// What is used of `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// The process's name, at most 15 bytes.
    pub(super) name: String,
    /// CPU time in microseconds.
    pub(super) cpu: u64,
    /// When it started, in clock ticks since boot: tells a reused number.
    pub(super) started: u64,
}

impl Stat {
    /// `None` when the text is not of that form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, parentheses too.
        let (_, after) = text.split_once('(')?;
        let (name, rest) = after.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let user: u64 = fields.nth(11)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let started = fields.nth(6)?.parse().ok()?;
        // The unit is 1/100 s on every architecture that Linux programs see.
        Some(Self {
            name: name.to_owned(),
            cpu: user.saturating_add(system).saturating_mul(10_000),
            started,
        })
    }
}

/// Sums up the CPU time of the engine's processes on this machine over their coming and going.
#[derive(Debug, Default)]
pub struct EngineCpu {
    /// Containers whose shims count; of others' shims nothing is charged to the canary.
    containers: Vec<String>,
    seen: BTreeMap<u32, Seen>,
    total: u64,
}

#[derive(Debug)]
struct Seen {
    started: u64,
    /// CPU time at the last look; `None` for a process that does not belong to the engine.
    cpu: Option<u64>,
}

impl EngineCpu {
    /// Counts the engine itself and the shims of these containers (full ids); with an empty list all shims.
    #[must_use]
    pub fn new(containers: Vec<String>) -> Self {
        Self {
            containers,
            ..Self::default()
        }
    }

    /// CPU time in microseconds used by the engine since the first call; zero where its processes cannot be seen.
    pub fn measure(&mut self) -> u64 {
        let mut seen = BTreeMap::new();
        let first = self.seen.is_empty();
        for id in process_ids() {
            let Ok(text) = fs::read_to_string(format!("/proc/{id}/stat")) else {
                continue;
            };
            let Some(stat) = Stat::parse(&text) else {
                continue;
            };
            let last = self
                .seen
                .remove(&id)
                .filter(|last| last.started == stat.started);
            let counts = match &last {
                Some(last) => last.cpu.is_some(),
                None => self.counts(id, &stat.name),
            };
            if counts {
                // A process met for the first time was started since the last look, so all of it counts.
                let before = match last.and_then(|last| last.cpu) {
                    Some(before) => before,
                    None if first => stat.cpu,
                    None => 0,
                };
                self.total += stat.cpu.saturating_sub(before);
            }
            let cpu = counts.then_some(stat.cpu);
            let started = stat.started;
            seen.insert(id, Seen { started, cpu });
        }
        self.seen = seen;
        self.total
    }

    fn counts(&self, id: u32, name: &str) -> bool {
        if !ENGINE_PROCESSES.contains(&name) {
            return false;
        }
        if name != "containerd-shim" || self.containers.is_empty() {
            return true;
        }
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        words.any(|word| {
            self.containers
                .iter()
                .any(|container| container.as_bytes() == word)
        })
    }
}

fn process_ids() -> impl Iterator<Item = u32> {
    let folder = fs::read_dir("/proc").into_iter().flatten().flatten();
    folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Sums up what the watcher and the samplers tell of themselves; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CostBook {
    inner: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    watcher: ProcessCost,
    samplers: BTreeMap<NodeName, Sampler>,
}

#[derive(Debug, Default)]
struct Sampler {
    /// CPU time of samplers of this node that have ended.
    before: u64,
    now: ProcessCost,
}

impl CostBook {
    /// Notes what the watcher's container costs.
    pub fn watcher(&self, cost: ProcessCost) {
        let mut book = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // The group's CPU time never falls, unless the container was made again.
        book.watcher = cost;
    }

    /// Notes what a sampler costs, from its sample.
    pub fn sampler(&self, node: &NodeName, sample: &Sample) {
        let mut book = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sampler = book.samplers.entry(node.clone()).or_default();
        if sample.sampler_cpu < sampler.now.cpu {
            sampler.before = sampler.before.saturating_add(sampler.now.cpu);
        }
        sampler.now = ProcessCost {
            cpu: sample.sampler_cpu,
            memory: sample.sampler_memory,
        };
    }

    /// All that is known, with this program's own share; the caller fills in the rest.
    #[must_use]
    pub fn total(&self) -> Cost {
        let own = own();
        let book = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |value: fn(&Sampler) -> u64| {
            book.samplers
                .values()
                .map(value)
                .fold(0, u64::saturating_add)
        };
        Cost {
            canary_cpu: own.cpu,
            canary_memory: own.memory,
            watcher_cpu: book.watcher.cpu,
            watcher_memory: book.watcher.memory,
            samplers_cpu: sum(|sampler| sampler.before.saturating_add(sampler.now.cpu)),
            samplers_memory: sum(|sampler| sampler.now.memory),
            ..Cost::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn a_stat_line_is_parsed_whatever_the_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 1 0 9988 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.cpu, stat.started),
            ("a) b (c", 420_000, 9988)
        );
        for bad in ["", "7 (", "7 (x) S", "7 (x) S 1 7 7 0 -1 4 1 0 0 0 x 30"] {
            assert_eq!(Stat::parse(bad), None);
        }
    }

    #[test]
    fn this_process_has_a_cost() {
        assert!(own().memory > 100_000);
        assert_eq!(
            kibibytes("VmRSS:\t  12 kB\nPss:  3 kB\n", "Pss:"),
            Some(3072)
        );
        assert_eq!(kibibytes("Pss: 99999999999999999999 kB", "Pss:"), None);
    }

    #[test]
    fn a_sampler_that_was_started_again_adds_up() {
        let book = CostBook::default();
        let node = NodeName::of(ShardId(0), 0);
        for cpu in [10, 20, 5, 6] {
            let sample = Sample {
                sampler_cpu: cpu,
                sampler_memory: 100,
                ..Sample::default()
            };
            book.sampler(&node, &sample);
        }
        let total = book.total();
        assert_eq!((total.samplers_cpu, total.samplers_memory), (26, 100));
    }

    #[test]
    fn the_engine_costs_nothing_before_the_first_look() {
        let mut engine = EngineCpu::new(Vec::new());
        assert_eq!(engine.measure(), 0);
        engine.measure();
    }
}
