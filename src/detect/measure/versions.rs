//! What is measured of each version of the nodes' program. The journal says which node runs which, from when on.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::node::CpuTime;
use crate::{
    detect::{
        findings::{ChangeKind, FindingChange},
        judgement::VersionView,
        world::World,
    },
    ids::NodeName,
    journal::{
        Entry, Event,
        event::{ContainerChange, Stage},
        text::clean,
    },
    plan::versions::BASE,
};

/// Versions that are told apart; more are counted as the last of them.
const MOST: usize = 32;
/// How often it is looked how far behind the nodes are: positions are told as often.
const EVERY: Duration = Duration::from_secs(1);
/// Findings of one version that are told.
const MOST_FINDINGS: usize = 1_000;

/// All versions, and who runs them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VersionMeasure {
    /// The profile's own first, then as they came.
    versions: Vec<Version>,
    /// The version that each node runs.
    runs: Vec<usize>,
    /// Whether the next start is the one that makes the node this version.
    becomes: Vec<bool>,
    cpu: Vec<CpuTime>,
    /// Versions that ran in each shard since the soak began.
    ran: Vec<BTreeSet<usize>>,
    /// Time of the soak since the last look.
    passed: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Version {
    name: String,
    ever: BTreeSet<usize>,
    ran: Duration,
    restarts: u64,
    exits: u64,
    samples: u64,
    /// Bytes, summed up over the samples.
    memory: u128,
    memory_peak: u64,
    cpu: Duration,
    cpu_over: Duration,
    looks: u64,
    behind: u64,
    behind_most: u64,
    led: u64,
    findings: Vec<String>,
}

impl VersionMeasure {
    pub fn new(world: &World) -> Self {
        let nodes = world.nodes.len();
        Self {
            versions: vec![Version {
                name: BASE.to_owned(),
                ever: (0..nodes).collect(),
                ..Version::default()
            }],
            runs: vec![0; nodes],
            becomes: vec![false; nodes],
            cpu: vec![CpuTime::default(); nodes],
            ran: world.shards.iter().map(|_| [0].into()).collect(),
            passed: Duration::ZERO,
        }
    }

    /// Looks at one entry, which `world` already holds, and at what the detectors made of it.
    pub fn step(&mut self, entry: &Entry, world: &World, changes: &[FindingChange]) {
        match &entry.event {
            Event::Version { node, version } => self.turn(node, version, world),
            Event::Stage { .. } if world.soak_begins => self.begin_soak(world),
            Event::Container {
                node,
                change,
                requested,
            } => {
                if let Some(place) = world.node(node) {
                    self.container(place, *change, *requested, world);
                }
            }
            Event::Sample(sample) => {
                if let Some(place) = world.touched_node {
                    let used = self.cpu[place].step(sample.cpu, world.now);
                    let version = &mut self.versions[self.runs[place]];
                    version.samples += 1;
                    version.memory += u128::from(sample.memory);
                    version.memory_peak = version.memory_peak.max(sample.memory);
                    if let Some((used, over)) = used {
                        version.cpu += used;
                        version.cpu_over += over;
                    }
                }
            }
            Event::Block {
                leader: Some(leader),
                ..
            } if self.versions.len() > 1 => {
                let new = world.touched_shard.map(|place| &world.shards[place]);
                let led = leader.parse().ok().and_then(|name| world.node(&name));
                if let (Some(place), true) = (led, new.is_some_and(|s| s.new_block.is_some())) {
                    self.versions[self.runs[place]].led += 1;
                }
            }
            _ => {}
        }
        if world.pulse {
            let soaks = matches!(world.stage, None | Some(Stage::Soak));
            if soaks {
                self.passed += world.since_pulse;
            }
            // What is left at the soak's end counts too.
            if self.passed >= EVERY || !soaks && !self.passed.is_zero() {
                let passed = std::mem::take(&mut self.passed);
                self.look(passed, world);
            }
        }
        for change in changes {
            self.finding(change, world);
        }
    }

    /// A node is about to run another version.
    fn turn(&mut self, node: &NodeName, name: &str, world: &World) {
        let Some(place) = world.node(node) else {
            return;
        };
        let name = clean(name, 64);
        let known = self.versions.iter().position(|of| of.name == name);
        let version = known.unwrap_or_else(|| {
            if self.versions.len() < MOST {
                self.versions.push(Version {
                    name,
                    ..Version::default()
                });
            }
            self.versions.len() - 1
        });
        // Before its first start it was no version at all.
        if world.nodes[place].starts == 0 {
            self.versions[self.runs[place]].ever.remove(&place);
        }
        self.runs[place] = version;
        self.becomes[place] = true;
        self.versions[version].ever.insert(place);
        self.ran[world.nodes[place].shard].insert(version);
    }

    fn begin_soak(&mut self, world: &World) {
        for (ran, shard) in self.ran.iter_mut().zip(&world.shards) {
            *ran = shard.nodes.iter().map(|&node| self.runs[node]).collect();
        }
    }

    fn container(&mut self, place: usize, change: ContainerChange, requested: bool, world: &World) {
        let version = &mut self.versions[self.runs[place]];
        match change {
            ContainerChange::Started => {
                let becomes = std::mem::take(&mut self.becomes[place]);
                if world.nodes[place].starts > 1 && !becomes {
                    version.restarts += 1;
                }
            }
            ContainerChange::Died { .. } if !requested => version.exits += 1,
            _ => {}
        }
    }

    /// Time passed: how far behind the nodes are that run.
    fn look(&mut self, passed: Duration, world: &World) {
        for (place, node) in world
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.runs())
        {
            let version = &mut self.versions[self.runs[place]];
            version.ran += passed;
            let best = world.shards[node.shard].best.as_ref();
            let (Some(best), Some(height)) = (best, node.height) else {
                continue;
            };
            let behind = best.height.0.saturating_sub(height.0);
            version.looks += 1;
            version.behind = version.behind.saturating_add(behind);
            version.behind_most = version.behind_most.max(behind);
        }
    }

    fn finding(&mut self, change: &FindingChange, world: &World) {
        if change.kind != ChangeKind::Opened {
            return;
        }
        let finding = &change.finding;
        let of_shard = world.shards.iter().find(|of| Some(of.id) == finding.shard);
        let of: BTreeSet<usize> = if finding.nodes.is_empty() {
            let nodes = of_shard.into_iter().flat_map(|shard| &shard.nodes);
            let of: BTreeSet<usize> = nodes.map(|&node| self.runs[node]).collect();
            if of.len() == 1 { of } else { BTreeSet::new() }
        } else {
            let nodes = finding.nodes.iter().filter_map(|name| world.node(name));
            nodes.map(|place| self.runs[place]).collect()
        };
        for version in of {
            let findings = &mut self.versions[version].findings;
            if findings.len() < MOST_FINDINGS {
                findings.push(finding.id.clone());
            }
        }
    }

    /// All versions that some node ever ran; none where there was one only.
    pub fn views(&self, world: &World) -> Vec<VersionView> {
        let ever = self.versions.iter().filter(|of| !of.ever.is_empty());
        if ever.count() < 2 {
            return Vec::new();
        }
        let all = self.versions.iter().enumerate();
        all.filter(|(_, version)| !version.ever.is_empty())
            .map(|(index, version)| {
                let now = self.runs.iter().zip(&world.nodes);
                let alone = self.ran.iter().zip(&world.shards);
                let samples = u128::from(version.samples.max(1));
                VersionView {
                    version: version.name.clone(),
                    nodes: now
                        .filter(|(runs, _)| **runs == index)
                        .map(|(_, node)| node.name.clone())
                        .collect(),
                    ever: version.ever.len() as u64,
                    shards: alone
                        .filter(|(ran, _)| ran.len() == 1 && ran.contains(&index))
                        .map(|(_, shard)| shard.id)
                        .collect(),
                    ran: version.ran,
                    restarts: version.restarts,
                    exits: version.exits,
                    memory: u64::try_from(version.memory / samples).unwrap_or(u64::MAX),
                    memory_peak: version.memory_peak,
                    cpu_share: if version.cpu_over.is_zero() {
                        0.0
                    } else {
                        version.cpu.as_secs_f64() / version.cpu_over.as_secs_f64()
                    },
                    behind: version.behind as f64 / version.looks.max(1) as f64,
                    behind_most: version.behind_most,
                    led: version.led,
                    findings: version.findings.clone(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
