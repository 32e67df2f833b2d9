//! The generated network: what its nodes do, told as the probes would tell it.

pub(super) mod told;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{DISK_BYTES, What};
use crate::{
    ids::{Epoch, Height, NodeName, ShardId, ViewId},
    journal::event::{
        ContainerChange, Cost, Event, LogClass, Mode, NodeHead, ProbeError, ProbeKind, Sample,
    },
    plan::Plan,
    time::{Elapsed, WallTime},
};

/// Blocks of an epoch, as the reference node has them.
const EPOCH: u64 = 100;
/// Blocks that a node fetches in a second when it has fallen behind.
const CATCH_UP_PER_SECOND: u64 = 200;

#[derive(Debug)]
pub(super) struct Node {
    name: NodeName,
    shard: usize,
    label: Arc<str>,
    pub runs: bool,
    pub takes_part: bool,
    answers: bool,
    stuck: bool,
    disk_full: bool,
    height: u64,
    cpu: u64,
    lines: u64,
    starts: u64,
}

#[derive(Debug)]
struct Shard {
    id: ShardId,
    nodes: Vec<usize>,
    height: u64,
    view: u64,
    leader: usize,
    /// View changes at the height being agreed on, and when the next one is due.
    failed_views: u64,
    next_view: Elapsed,
    quorum_lost: bool,
}

impl Shard {
    /// Nobody can decide anything; views climb, each with a longer timeout.
    fn wait_for_quorum(&mut self, now: Elapsed, view_change: Duration, longest: Duration) {
        if !self.quorum_lost {
            self.quorum_lost = true;
            self.next_view = now + view_change;
        } else if now >= self.next_view {
            self.failed_views += 1;
            let timeout = view_change * u32::try_from(self.failed_views + 1).unwrap_or(4);
            self.next_view = now + timeout.min(longest);
        }
    }
}

#[derive(Debug)]
pub(super) struct Network {
    pub nodes: Vec<Node>,
    shards: Vec<Shard>,
    interval: Duration,
    view_change: Duration,
    view_change_max: Duration,
    pace: u64,
    seeing: bool,
    random: u64,
    books: told::Books,
}

impl Network {
    pub fn new(plan: &Plan, seed: u64) -> Self {
        let mut shards: Vec<Shard> = Vec::new();
        let mut nodes = Vec::new();
        for planned in &plan.network.nodes {
            if shards.last().is_none_or(|shard| shard.id != planned.shard) {
                shards.push(Shard {
                    id: planned.shard,
                    nodes: Vec::new(),
                    height: 0,
                    view: 0,
                    leader: 0,
                    failed_views: 0,
                    next_view: Elapsed::default(),
                    quorum_lost: false,
                });
            }
            let shard = shards.len() - 1;
            shards[shard].nodes.push(nodes.len());
            nodes.push(Node {
                label: planned.name.as_str().into(),
                name: planned.name.clone(),
                shard,
                runs: false,
                takes_part: false,
                answers: true,
                stuck: false,
                disk_full: false,
                height: 0,
                cpu: 0,
                lines: 0,
                starts: 0,
            });
        }
        Self {
            nodes,
            shards,
            interval: plan.clocks.block_interval,
            view_change: plan.clocks.view_change_timeout,
            view_change_max: plan.clocks.view_change_timeout_max,
            pace: 100,
            seeing: true,
            random: seed,
            books: told::Books::default(),
        }
    }

    /// SplitMix64: small, and the same everywhere for ever.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn signing(&self, shard: usize) -> usize {
        let signs = |&&node: &&usize| {
            let node = &self.nodes[node];
            node.takes_part && !node.disk_full && !node.stuck
        };
        self.shards[shard].nodes.iter().filter(signs).count()
    }

    pub fn has_quorum(&self, shard: usize) -> bool {
        self.signing(shard) * 3 > self.shards[shard].nodes.len() * 2
    }

    fn leads(&self, shard: usize, node: usize) -> bool {
        let shard = &self.shards[shard];
        shard.nodes[shard.leader % shard.nodes.len()] == node
    }

    fn leader_signs(&self, shard: usize) -> bool {
        let state = &self.shards[shard];
        let node = &self.nodes[state.nodes[state.leader % state.nodes.len()]];
        node.takes_part && !node.disk_full && !node.stuck
    }

    pub fn container(&mut self, place: usize, change: ContainerChange, requested: bool) -> Event {
        let node = &mut self.nodes[place];
        match change {
            ContainerChange::Started => {
                node.runs = true;
                node.answers = true;
                node.starts += 1;
            }
            ContainerChange::Died { .. } => {
                node.runs = false;
                node.takes_part = false;
            }
            _ => {}
        }
        Event::Container {
            node: node.name.clone(),
            change,
            requested,
        }
    }

    /// The shard makes its next block, or does not; answers when it is to be asked again.
    pub fn block(
        &mut self,
        place: usize,
        now: Elapsed,
        wall: WallTime,
        out: &mut VecDeque<Event>,
    ) -> Elapsed {
        let jitter = Duration::from_micros(self.draw() % 4_000);
        let again = now + self.interval * u32::try_from(self.pace).unwrap_or(100) / 100 + jitter
            - Duration::from_millis(2);
        let quorum = self.has_quorum(place);
        let leader_signs = self.leader_signs(place);
        let (view_change, longest) = (self.view_change, self.view_change_max);
        let shard = &mut self.shards[place];
        if !quorum {
            shard.wait_for_quorum(now, view_change, longest);
            return now + self.interval / 4;
        }
        if shard.quorum_lost {
            // Whoever was away has to be heard again first.
            shard.quorum_lost = false;
            return now + view_change / 2;
        }
        if !leader_signs {
            shard.failed_views += 1;
            shard.leader += 1;
            return now + view_change;
        }
        shard.height += 1;
        shard.view += 1 + shard.failed_views;
        shard.failed_views = 0;
        let (height, view, leader) = (shard.height, shard.view, shard.leader);
        if shard.height.is_multiple_of(EPOCH) {
            shard.leader += 1;
        }
        let id = shard.id;
        let nodes = shard.nodes.clone();
        let signers = self.signing(place) as u32;
        let content = self.book(place);
        let hash: Arc<str> = format!("{:016x}{:016x}", self.draw(), self.draw()).into();
        let mut first = None;
        for &node in &nodes {
            let node = &mut self.nodes[node];
            if node.takes_part && !node.disk_full && !node.stuck && node.height + 1 >= height {
                node.height = height;
                if node.answers {
                    first.get_or_insert(node.name.clone());
                }
            }
        }
        if let Some(node) = first
            && self.seeing
        {
            out.push_back(Event::Block {
                shard: id,
                height: Height(height),
                hash,
                view: Some(ViewId(view)),
                epoch: Some(Epoch(height / EPOCH)),
                leader: Some(self.nodes[nodes[leader % nodes.len()]].label.clone()),
                signers: Some(signers),
                committee: Some(nodes.len() as u32),
                time: Some(wall),
                node,
                content: Some(content),
            });
        }
        again
    }

    pub fn heads(&mut self, place: usize, out: &mut VecDeque<Event>) {
        let quorum = self.has_quorum(place);
        let shard = &self.shards[place];
        let (height, wanted) = (shard.height, shard.view + 1 + shard.failed_views);
        let views_fail = shard.failed_views > 0;
        let mut heads = Vec::with_capacity(shard.nodes.len());
        for &node in &shard.nodes {
            let leads = quorum && self.leads(place, node);
            let state = &self.nodes[node];
            if !state.runs || !state.answers {
                continue;
            }
            let behind = state.height < height;
            heads.push((
                node,
                NodeHead {
                    node: state.name.clone(),
                    height: Height(state.height),
                    view: Some(ViewId(if behind { shard.view } else { wanted })),
                    agreeing: Some(Height(state.height + 1)),
                    mode: Some(
                        match (state.stuck || (behind && !state.disk_full), views_fail) {
                            (true, _) => Mode::Syncing,
                            (false, true) => Mode::ViewChanging,
                            (false, false) => Mode::Normal,
                        },
                    ),
                    leads: Some(leads),
                },
            ));
        }
        for &(node, _) in &heads {
            let state = &mut self.nodes[node];
            if state.takes_part && !state.disk_full && !state.stuck {
                state.height = height.min(state.height + CATCH_UP_PER_SECOND);
            }
        }
        if !heads.is_empty() && self.seeing {
            out.push_back(Event::Heads {
                shard: self.shards[place].id,
                nodes: heads.into_iter().map(|(_, head)| head).collect(),
            });
        }
    }

    pub fn sample(&mut self, place: usize, now: Elapsed, out: &mut VecDeque<Event>) {
        let noise = self.draw();
        let node = &mut self.nodes[place];
        if !node.runs || !self.seeing {
            return;
        }
        node.cpu += 30_000 + noise % 5_000;
        // Flat by pruning: it fills at the start, then a saw.
        let full_after = 400_000_000_u64;
        let filled = (DISK_BYTES / 4).saturating_mul(now.0.min(full_after)) / full_after;
        let disk_used = if node.disk_full {
            DISK_BYTES
        } else {
            (8 << 20) + filled + noise % (64 << 10)
        };
        out.push_back(Event::Sample(Sample {
            node: Some(node.name.clone()),
            memory: (12 << 20) + noise % (256 << 10),
            charged: (40 << 20) + noise % (1 << 20),
            memory_limit: 128 << 20,
            cpu: node.cpu,
            disk_used,
            disk_free: DISK_BYTES.saturating_sub(disk_used),
            visible: disk_used,
            inodes_free: 4000,
            inodes: 4096,
            open_files: 24,
            pids: 6,
            sampler_memory: 600 << 10,
            sampler_cpu: now.0 / 1000,
            incarnation: node.starts.saturating_sub(1),
            ..Sample::default()
        }));
    }

    pub fn count(&mut self, place: usize, now: Elapsed, out: &mut VecDeque<Event>) {
        let node = &mut self.nodes[place];
        if node.runs {
            node.lines = now.0 / 40_000;
            out.push_back(Event::LogCount {
                node: node.name.clone(),
                lines: node.lines,
                bytes: node.lines * 180,
                lost: 0,
                cut: 0,
            });
        }
    }

    pub fn cost(&self, now: Elapsed) -> Event {
        Event::Cost(Cost {
            canary_cpu: now.0 / 40,
            canary_memory: 30 << 20,
            watcher_cpu: now.0 / 60,
            watcher_memory: 8 << 20,
            samplers_cpu: now.0 / 200,
            samplers_memory: 10 << 20,
            helper_cpu: 0,
            engine_cpu: now.0 / 20,
            run_directory: now.0 / 1000,
            lag: 1500,
            dropped: 0,
        })
    }

    pub fn incident(&mut self, what: &What, out: &mut VecDeque<Event>) {
        match what {
            What::LoseSight | What::RegainSight => {
                self.seeing = *what == What::RegainSight;
                out.push_back(Event::Sight {
                    seeing: self.seeing,
                    detail: "the watcher's stream ended".to_owned(),
                });
            }
            What::Pace(percent) => self.pace = *percent,
            What::Kill(node)
            | What::Exit(node, _)
            | What::OutOfMemory(node)
            | What::Start(node)
            | What::DiskFull(node)
            | What::DiskRecovered(node)
            | What::Hang(node)
            | What::Mute(node)
            | What::Unhang(node)
            | What::StickSyncing(node)
            | What::Fork(node)
            | What::GoBack(node, _) => {
                let place = self.nodes.iter().position(|known| known.name == *node);
                if let Some(place) = place {
                    self.node_incident(place, what, out);
                }
            }
            What::Suspend(_) | What::Fact(_) => {}
        }
    }

    fn node_incident(&mut self, place: usize, what: &What, out: &mut VecDeque<Event>) {
        match what {
            What::Kill(_) => {
                let killed = ContainerChange::Killed { signal: 9 };
                self.end(place, Some(killed), 137, out);
            }
            What::Exit(_, code) => self.end(place, None, *code, out),
            What::OutOfMemory(_) => {
                self.end(place, Some(ContainerChange::OutOfMemory), 137, out);
            }
            What::Start(_) => {
                out.push_back(self.container(place, ContainerChange::Started, false));
                self.nodes[place].takes_part = true;
                self.probe_answered(place, out);
            }
            What::DiskFull(_) => {
                self.nodes[place].disk_full = true;
                out.push_back(self.log(place, LogClass::DiskFull));
            }
            What::DiskRecovered(_) => {
                self.nodes[place].disk_full = false;
                out.push_back(self.log(place, LogClass::DiskRecovered));
            }
            What::Hang(_) => {
                self.nodes[place].answers = false;
                self.nodes[place].takes_part = false;
                self.probe_failed(place, ProbeError::Deadline, out);
            }
            What::Mute(_) => {
                self.nodes[place].answers = false;
                self.probe_failed(place, ProbeError::Deadline, out);
            }
            What::Unhang(_) => {
                self.nodes[place].answers = true;
                self.nodes[place].takes_part = true;
                self.probe_answered(place, out);
            }
            What::StickSyncing(_) => self.nodes[place].stuck = true,
            What::Fork(_) => out.push_back(self.head(place, "f0f0f0f0", None)),
            What::GoBack(_, blocks) => {
                let node = &mut self.nodes[place];
                let was = Some(Height(node.height));
                node.height = node.height.saturating_sub(*blocks);
                out.push_back(self.head(place, "0b0b0b0b", was));
            }
            _ => {}
        }
    }

    /// A node's head that contradicts what was seen.
    fn head(&self, place: usize, hash: &str, was: Option<Height>) -> Event {
        let node = &self.nodes[place];
        Event::Head {
            node: node.name.clone(),
            shard: self.shards[node.shard].id,
            height: Height(node.height),
            hash: hash.into(),
            leader: None,
            was,
        }
    }

    /// A node's process ends, after what the engine tells before it.
    fn end(
        &mut self,
        place: usize,
        before: Option<ContainerChange>,
        exit_code: i64,
        out: &mut VecDeque<Event>,
    ) {
        if let Some(before) = before {
            out.push_back(self.container(place, before, false));
        }
        let died = ContainerChange::Died { exit_code };
        out.push_back(self.container(place, died, false));
        self.probe_failed(place, ProbeError::Unreachable, out);
    }

    fn log(&self, place: usize, class: LogClass) -> Event {
        Event::Log {
            node: self.nodes[place].name.clone(),
            level: "error".into(),
            rule: "no-space".into(),
            class,
            message: "write failed".to_owned(),
            error: Some("No space left on device (os error 28)".to_owned()),
            time: None,
            at: None,
        }
    }

    fn probe_failed(&self, place: usize, error: ProbeError, out: &mut VecDeque<Event>) {
        out.push_back(Event::ProbeFailed {
            node: self.nodes[place].name.clone(),
            probe: ProbeKind::Rpc,
            error,
            failures: 1,
        });
    }

    fn probe_answered(&self, place: usize, out: &mut VecDeque<Event>) {
        out.push_back(Event::ProbeAnswered {
            node: self.nodes[place].name.clone(),
            probe: ProbeKind::Rpc,
            silent_for: Duration::from_secs(1),
        });
    }
}
