//! Nodes, their disks and the links between them, in simulated time. Everything that happens follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::chance::Chance;
use super::checks::Checks;
use super::disk::{Disk, Network};
use super::events::{Event, Timed};
use super::liar::spoil;
use crate::reference_node::chain::Payload;
use crate::reference_node::consensus::{
    CommittedBlock, Consensus, ConsensusConfig, Input, Message, Micros, Mode, Output,
};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::defects::Defects;
use crate::reference_node::genesis::Genesis;
use crate::reference_node::log::{Event as LogEvent, Level};
use crate::reference_node::types::{NodeId, ShardId};

pub(super) const MILLISECOND: Micros = 1_000;

/// The clocks of a simulated network, in the proportions of the reference profile.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) interval: Micros,
    pub(super) timeout: Micros,
    pub(super) timeout_max: Micros,
}

pub(super) const CLOCKS: Clocks = Clocks {
    interval: 100 * MILLISECOND,
    timeout: 340 * MILLISECOND,
    timeout_max: 4 * 340 * MILLISECOND,
};

/// How the network and the disks behave now.
#[derive(Clone)]
pub(super) struct Weather {
    /// Messages lost, of a hundred.
    pub(super) loss: u64,
    /// Messages delivered twice, of a hundred.
    pub(super) duplication: u64,
    /// Longest time on the way; messages overtake each other within it.
    pub(super) delay: Micros,
    /// Longest time of a write.
    pub(super) write: Micros,
}

pub(super) const CALM: Weather = Weather {
    loss: 0,
    duplication: 0,
    delay: 2 * MILLISECOND,
    write: 4 * MILLISECOND,
};

struct Node<C> {
    id: NodeId,
    core: Option<Consensus<C>>,
    disk: Disk,
    incarnation: u64,
    wake_at: Option<Micros>,
    wall_origin_ms: u64,
}

/// A kind of fault that strikes in the middle of a protocol step.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Trap {
    /// The next node that sends PREPARED crashes at once, the message reaching only some.
    Prepared,
    /// The same with COMMITTED.
    Committed,
    /// The same with NEWVIEW.
    NewView,
    /// As soon as one node reports a new block, the power of all is cut.
    Report,
}

pub(super) struct World<C, F> {
    pub(super) now: Micros,
    pub(super) chance: Chance,
    pub(super) weather: Weather,
    pub(super) checks: Checks,
    pub(super) trap: Option<Trap>,
    /// Who sprang `Trap::Report`: the only one that has the block.
    pub(super) reporter: Option<usize>,
    /// Log lines at info or above, and those of each message text if wanted.
    pub(super) lines: Vec<(usize, LogEvent)>,
    pub(super) keep_lines: bool,
    /// Print what happens: for the one seed that a person looks at.
    pub(super) trace: bool,
    /// What every leader is offered.
    pub(super) payload: Payload,
    /// A member that lies.
    pub(super) liar: Option<usize>,
    /// What nodes have that are started from here on.
    pub(super) defects: Defects,
    pub(super) steps: u64,
    clocks: Clocks,
    genesis: Arc<Genesis>,
    crypto: F,
    nodes: Vec<Node<C>>,
    /// Cut directions.
    cut: BTreeMap<(usize, usize), ()>,
    events: BinaryHeap<Reverse<Timed>>,
    order: u64,
}

impl<C: Crypto, F: Fn(NodeId) -> C> World<C, F> {
    pub(super) fn new(
        seed: u64,
        network: &Network,
        clocks: Clocks,
        retention: usize,
        crypto: F,
    ) -> Self {
        let mut chance = Chance::new(seed);
        let nodes = network.genesis.nodes(ShardId::BEACON).map(|id| Node {
            id,
            core: None,
            disk: Disk::new(network, retention),
            incarnation: 0,
            wake_at: None,
            wall_origin_ms: 1_700_000_000_000 + chance.between(0, 800),
        });
        let nodes = nodes.collect();
        Self {
            now: 0,
            chance,
            weather: CALM,
            checks: Checks::default(),
            trap: None,
            reporter: None,
            lines: Vec::new(),
            keep_lines: false,
            trace: false,
            payload: Payload::default(),
            liar: None,
            defects: Defects::default(),
            steps: 0,
            clocks,
            genesis: Arc::clone(&network.genesis),
            crypto,
            nodes,
            cut: BTreeMap::new(),
            events: BinaryHeap::new(),
            order: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].core.is_some()
    }

    pub(super) fn height(&self, node: usize) -> u64 {
        self.nodes[node].disk.height()
    }

    pub(super) fn head(&self, node: usize) -> &CommittedBlock {
        self.nodes[node].disk.head()
    }

    pub(super) fn core(&self, node: usize) -> Option<&Consensus<C>> {
        self.nodes[node].core.as_ref()
    }

    /// Highest block that any node reported.
    pub(super) fn best(&self) -> u64 {
        self.checks.best()
    }

    pub(super) fn mode(&self, node: usize) -> Option<Mode> {
        self.core(node).map(|core| core.status().mode)
    }

    // --- Faults.

    pub(super) fn start_at(&mut self, node: usize, at: Micros) {
        self.push(at, Event::Start { node });
    }

    fn say(&self, node: usize, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9} us  node {node}: {}", self.now, what());
        }
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.say(node, || "CRASH".to_owned());
        let one = &mut self.nodes[node];
        if one.core.take().is_some() {
            one.incarnation += 1;
            one.wake_at = None;
            one.disk.crash(&mut self.chance);
        }
    }

    /// Replaces the disk of a node that is down by an empty one.
    pub(super) fn wipe(&mut self, node: usize, network: &Network) {
        assert!(!self.is_up(node), "the disk of a running node stays");
        self.nodes[node].disk = Disk::new(network, 1_000);
        self.checks.forget(node);
    }

    pub(super) fn set_failing(&mut self, node: usize, failing: bool) {
        self.say(node, || format!("DISK FAILING {failing}"));
        self.nodes[node].disk.failing = failing;
    }

    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.say(from, || format!("CUT to {to}"));
        self.cut.insert((from, to), ());
    }

    /// Joins all links again; those that were cut are dialled within half a timeout.
    pub(super) fn join_all(&mut self) {
        self.say(0, || "JOIN all".to_owned());
        for ((from, to), ()) in std::mem::take(&mut self.cut) {
            let at = self.now + self.chance.between(0, self.clocks.timeout / 2);
            self.push(
                at,
                Event::Connect {
                    node: to,
                    peer: from,
                },
            );
        }
    }

    // --- Time.

    /// Runs until `deadline`, or until `done`.
    pub(super) fn run_until(
        &mut self,
        deadline: Micros,
        mut done: impl FnMut(&Self) -> bool,
    ) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.events.peek() {
                Some(Reverse(next)) if next.at <= deadline => {}
                _ => {
                    self.now = deadline;
                    return false;
                }
            }
            let Some(Reverse(Timed { at, event, .. })) = self.events.pop() else {
                return false;
            };
            self.now = at;
            self.happen(event);
        }
    }

    pub(super) fn run_for(&mut self, time: Micros) {
        self.run_until(self.now + time, |_| false);
    }

    fn push(&mut self, at: Micros, event: Event) {
        self.order += 1;
        self.events.push(Reverse(Timed {
            at,
            order: self.order,
            event,
        }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver {
                from,
                to,
                incarnation,
                message,
            } => {
                // What was on its way to a node that crashed dies with its links.
                if self.nodes[to].incarnation == incarnation {
                    let from = self.nodes[from].id;
                    self.step(to, Input::Message { from, message });
                }
            }
            Event::Wake { node, incarnation } => {
                let one = &mut self.nodes[node];
                if one.incarnation == incarnation && one.wake_at == Some(self.now) {
                    one.wake_at = None;
                    self.step(node, Input::Wake);
                }
            }
            Event::WriteEnd { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation
                    && let Some((id, result)) = self.nodes[node].disk.finish_one(&mut self.chance)
                {
                    self.step(node, Input::WriteDone { id, result });
                }
            }
            Event::Connect { node, peer } => {
                if self.is_up(peer) && !self.cut.contains_key(&(peer, node)) {
                    let peer = self.nodes[peer].id;
                    self.step(node, Input::PeerConnected(peer));
                }
            }
            Event::Start { node } => self.start(node),
        }
    }

    fn start(&mut self, node: usize) {
        if self.is_up(node) {
            return;
        }
        self.say(node, || "START".to_owned());
        let one = &mut self.nodes[node];
        let config = ConsensusConfig {
            node: one.id,
            interval: self.clocks.interval,
            view_change_timeout: self.clocks.timeout,
            view_change_timeout_max: self.clocks.timeout_max,
            retry_interval: self.clocks.interval.max(self.clocks.timeout / 4),
            sync_interval: self.clocks.timeout,
            wall_origin_ms: one.wall_origin_ms,
            defects: self.defects,
            log_level: if self.keep_lines || self.trace {
                Level::Info
            } else {
                Level::Error
            },
        };
        let recovered = one.disk.recover();
        self.checks.started(node, &recovered);
        let (core, outputs) = Consensus::restore(
            config,
            Arc::clone(&self.genesis),
            (self.crypto)(one.id),
            recovered,
            self.now,
        );
        one.core = Some(core);
        self.take(node, outputs);
        for peer in 0..self.len() {
            if peer != node {
                let at = self.now + self.chance.between(0, self.clocks.timeout / 4);
                self.push(at, Event::Connect { node, peer });
                self.push(
                    at,
                    Event::Connect {
                        node: peer,
                        peer: node,
                    },
                );
            }
        }
    }

    fn step(&mut self, node: usize, input: Input) {
        self.steps += 1;
        let now = self.now;
        if let Some(core) = self.nodes[node].core.as_mut() {
            let outputs = core.step(now, input);
            self.take(node, outputs);
        }
    }

    fn take(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            self.take_one(node, output);
        }
        let now = self.now;
        let one = &mut self.nodes[node];
        if let Some(core) = &one.core {
            let due = core.next_deadline();
            assert!(
                due > now,
                "BUSY LOOP: node {node} wants to be woken at {due}, it is {now}"
            );
            if one.wake_at.is_none_or(|at| at > due || at <= now) {
                one.wake_at = Some(due);
                let incarnation = one.incarnation;
                self.push(due, Event::Wake { node, incarnation });
            }
        }
    }

    fn take_one(&mut self, node: usize, output: Output) {
        // A trap may have ended the node between two outputs of one step.
        if !self.is_up(node) {
            return;
        }
        match output {
            Output::Send { to, message } => self.send(node, &to, &message),
            Output::Write { id, write } => {
                let time = self.chance.between(0, self.weather.write);
                let incarnation = self.nodes[node].incarnation;
                let disk = &mut self.nodes[node].disk;
                disk.ask(id, write);
                disk.busy_until = disk.busy_until.max(self.now) + time;
                let at = disk.busy_until;
                self.push(at, Event::WriteEnd { node, incarnation });
            }
            Output::PayloadWanted { height, view } => {
                let payload = self.payload.clone();
                self.step(
                    node,
                    Input::Payload {
                        height,
                        view,
                        payload,
                    },
                );
            }
            // The payload is fixed here: it is the same for every block.
            Output::Refused(_) => {}
            Output::ServeBlocks { to, from, count } => {
                let message = self.nodes[node].disk.serve(from, count);
                self.send(node, &[to], &message);
            }
            Output::Committed { committed, .. } => {
                assert!(
                    committed == *self.head(node),
                    "reported before it was durable"
                );
                let new = self.checks.committed(node, self.now, &committed);
                if new && self.trap == Some(Trap::Report) {
                    self.trap = None;
                    self.reporter = Some(node);
                    (0..self.len()).for_each(|node| self.crash(node));
                }
            }
            Output::SnapshotInstalled { head, .. } => {
                self.checks.committed(node, self.now, &head);
            }
            Output::Log { context, event } => {
                self.say(node, || {
                    let fields: Vec<String> = event
                        .fields
                        .iter()
                        .map(|(name, value)| format!("{name}={value:?}"))
                        .collect();
                    format!(
                        "block {} view {} {} {}",
                        context.block,
                        context.view,
                        event.message,
                        fields.join(" ")
                    )
                });
                if self.keep_lines {
                    self.lines.push((node, event));
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: &[NodeId], message: &Message) {
        self.checks.sent(from, message);
        let sprung = matches!(
            (self.trap, message),
            (Some(Trap::Prepared), Message::Prepared { .. })
                | (Some(Trap::Committed), Message::Committed { .. })
                | (Some(Trap::NewView), Message::NewView(_))
        );
        for receiver in to {
            let to = usize::from(receiver.index);
            assert_ne!(to, from, "a node must not send to itself");
            let lost = self
                .chance
                .percent(if sprung { 60 } else { self.weather.loss });
            if lost || self.cut.contains_key(&(from, to)) {
                continue;
            }
            let copies = if self.chance.percent(self.weather.duplication) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let at = self.now + self.chance.between(100, self.weather.delay);
                let lies = self.liar == Some(from);
                let message = if lies {
                    spoil(message, &mut self.chance)
                } else {
                    message.clone()
                };
                let incarnation = self.nodes[to].incarnation;
                self.push(
                    at,
                    Event::Deliver {
                        from,
                        to,
                        incarnation,
                        message,
                    },
                );
            }
        }
        if sprung {
            self.trap = None;
            self.crash(from);
        }
    }
}
