//! Makes journals of networks that never ran: for the detectors' tests over simulated months, for benchmarks, and to
//! see what a report looks like.
//!
//! Pure: a shape, a seed and a script of incidents decide every entry. The model is coarse where the judge does not
//! look: blocks come on time while a quorum takes part, a leader that does not take part costs one view change, and
//! without a quorum views climb.

mod command;
mod network;
mod plan;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

pub use command::{Generated, Request, generate_journal};
use network::{
    Network,
    told::{FIGURES_EVERY, FORMS_EVERY, LEDGER_EVERY},
};
pub use plan::Shape;

use super::event::{ContainerChange, Entry, Event, FORMAT, FinishReason, Stage};
use crate::{
    ids::{NodeName, Seq},
    time::{Elapsed, WallTime},
};

/// Size of each generated data disk.
pub(super) const DISK_BYTES: u64 = 64 << 20;
/// Wall time at elapsed zero of every generated journal: the start of 2030.
const START: WallTime = WallTime(1_893_456_000_000);
/// Containers are started one after the other at this distance.
const BETWEEN_STARTS: Duration = Duration::from_millis(50);
/// The warm-up begins so long after the first container, and the soak so long after that.
const WARM_UP_AFTER: Duration = Duration::from_secs(2);
const SOAK_AFTER: Duration = Duration::from_secs(5);

/// Something that happens to the generated network.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// When.
    pub at: Elapsed,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An outside hand kills a node.
    Kill(NodeName),
    /// A node ends itself with this exit code.
    Exit(NodeName, i64),
    /// The kernel ends a node for memory.
    OutOfMemory(NodeName),
    /// A node is started again by an outside hand.
    Start(NodeName),
    /// A node's disk is full: it says so, answers, and cannot go on.
    DiskFull(NodeName),
    /// There is room again.
    DiskRecovered(NodeName),
    /// A node runs and answers nothing.
    Hang(NodeName),
    /// A node takes part and answers no RPC.
    Mute(NodeName),
    /// It answers again.
    Unhang(NodeName),
    /// A node falls behind and stays in sync mode.
    StickSyncing(NodeName),
    /// A node shows another block at its last height.
    Fork(NodeName),
    /// A node's head goes back by this many blocks.
    GoBack(NodeName, u64),
    /// All blocks take this many percent of the asked interval from now on.
    Pace(u64),
    /// The watcher is gone; nothing of the chain is seen.
    LoseSight,
    /// It is back.
    RegainSight,
    /// The machine sleeps for so long: wall time jumps, the run's clock stands still.
    Suspend(Duration),
    /// Any other fact, as it is.
    Fact(Box<Event>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Incident(usize),
    Start(usize),
    Stage(u8),
    Block(usize),
    Heads(usize),
    Sample(usize),
    Count(usize),
    Ledger(usize),
    Figures(usize),
    Forms(usize),
    Cost,
    Tick,
    Finish,
}

/// The entries of a generated run, in order.
pub struct Generator {
    network: Network,
    incidents: Vec<Incident>,
    queue: BinaryHeap<Reverse<(Elapsed, u64, Action)>>,
    order: u64,
    ready: VecDeque<Event>,
    now: Elapsed,
    last_written: Elapsed,
    /// Wall time ahead of the run's clock by sleep, in milliseconds.
    slept: u64,
    soak: Duration,
    next: u64,
}

impl Generator {
    /// A run of this shape: healthy but for the script.
    #[must_use]
    pub fn new(shape: &Shape, seed: u64, incidents: Vec<Incident>) -> Self {
        let plan = shape.plan();
        let mut generator = Self {
            network: Network::new(&plan, seed),
            incidents,
            queue: BinaryHeap::new(),
            order: 0,
            ready: VecDeque::new(),
            now: Elapsed::default(),
            last_written: Elapsed::default(),
            slept: 0,
            soak: shape.soak,
            next: 0,
        };
        generator.ready.push_back(Event::RunStarted {
            format: FORMAT,
            run: "generated"
                .parse()
                .expect("invariant: the literal is a run id"),
            canarynet: env!("CARGO_PKG_VERSION").to_owned(),
            wall: START,
            plan: serde_json::to_value(&plan).unwrap_or_default(),
        });
        generator.ready.push_back(Event::Stage {
            stage: Stage::Start,
        });
        let (zero, second) = (Elapsed::default(), Duration::from_secs(1));
        let mut last = zero;
        for node in 0..plan.network.nodes.len() {
            last = zero + BETWEEN_STARTS * node as u32;
            generator.at(last, Action::Start(node));
        }
        let first_block = last + BETWEEN_STARTS;
        for shard in 0..shape.shards as usize {
            // Shards and seconds are spread, as they are in life.
            let spread = Duration::from_millis(37 * shard as u64 % 1000);
            generator.at(first_block + spread, Action::Block(shard));
            generator.at(first_block + spread, Action::Heads(shard));
            generator.at(first_block + spread + LEDGER_EVERY, Action::Ledger(shard));
        }
        for node in 0..plan.network.nodes.len() {
            let spread = Duration::from_millis(61 * node as u64 % 1000);
            generator.at(first_block + spread, Action::Sample(node));
            generator.at(first_block + spread, Action::Count(node));
            generator.at(first_block + spread + second, Action::Figures(node));
            generator.at(first_block + spread + second, Action::Forms(node));
        }
        generator.at(first_block, Action::Cost);
        generator.at(zero, Action::Tick);
        generator.at(last + WARM_UP_AFTER, Action::Stage(0));
        let soak = last + WARM_UP_AFTER + SOAK_AFTER;
        generator.at(soak, Action::Stage(1));
        for place in 0..generator.incidents.len() {
            let at = generator.incidents[place].at;
            generator.at(at, Action::Incident(place));
        }
        generator.at(soak + shape.soak, Action::Stage(2));
        generator
    }

    /// When the soak begins in a run of this shape.
    #[must_use]
    pub fn soak_start(shape: &Shape) -> Elapsed {
        let nodes = shape.shards * u64::from(shape.validators);
        let last = BETWEEN_STARTS * (nodes.max(1) as u32 - 1);
        Elapsed::default() + last + WARM_UP_AFTER + SOAK_AFTER
    }

    fn at(&mut self, at: Elapsed, action: Action) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, action)));
    }

    fn wall(&self) -> WallTime {
        START
            .plus(self.now.as_duration())
            .plus(Duration::from_millis(self.slept))
    }

    fn act(&mut self, action: Action) {
        let (now, wall) = (self.now, self.wall());
        let second = Duration::from_secs(1);
        match action {
            Action::Incident(place) => self.incident(place),
            Action::Start(node) => {
                let event = self
                    .network
                    .container(node, ContainerChange::Started, false);
                self.network.nodes[node].takes_part = true;
                self.network.started(node, now);
                self.ready.push_back(event);
            }
            Action::Stage(step) => self.stage(step),
            Action::Block(shard) => {
                let next = self.network.block(shard, now, wall, &mut self.ready);
                self.at(next, Action::Block(shard));
            }
            Action::Heads(shard) => {
                self.network.heads(shard, &mut self.ready);
                // A shard without a block shows each further view at once, as the watcher does.
                let until = if self.network.has_quorum(shard) {
                    second
                } else {
                    second / 4
                };
                self.at(now + until, Action::Heads(shard));
            }
            Action::Sample(node) => {
                self.network.sample(node, now, &mut self.ready);
                self.at(now + second, Action::Sample(node));
            }
            Action::Count(node) => {
                self.network.count(node, now, &mut self.ready);
                self.at(now + second * 10, Action::Count(node));
            }
            Action::Ledger(shard) => {
                self.network.ledger(shard, &mut self.ready);
                self.at(now + LEDGER_EVERY, Action::Ledger(shard));
            }
            Action::Figures(node) => {
                self.network.figures(node, now, &mut self.ready);
                self.at(now + FIGURES_EVERY, Action::Figures(node));
            }
            Action::Forms(node) => {
                self.network.forms(node, &mut self.ready);
                self.at(now + FORMS_EVERY, Action::Forms(node));
            }
            Action::Cost => {
                self.ready.push_back(self.network.cost(now));
                self.at(now + second * 5, Action::Cost);
            }
            Action::Tick => {
                if now.since(self.last_written) >= second / 4 {
                    self.ready.push_back(Event::Tick { wall });
                }
                self.at(now + second / 4, Action::Tick);
            }
            Action::Finish => {
                self.ready.push_back(Event::RunFinished {
                    reason: FinishReason::Completed,
                    wall,
                });
                self.queue.clear();
            }
        }
    }

    fn stage(&mut self, step: u8) {
        let stage = match step {
            0 => Stage::WarmUp,
            1 => Stage::Soak,
            2 => Stage::Settle,
            3 => Stage::Collect,
            _ => Stage::TearDown,
        };
        self.ready.push_back(Event::Stage { stage });
        let second = Duration::from_secs(1);
        match step {
            2 | 3 => self.at(self.now + second, Action::Stage(step + 1)),
            4 => {
                for node in 0..self.network.nodes.len() {
                    if self.network.nodes[node].runs {
                        let killed = ContainerChange::Killed { signal: 9 };
                        let died = ContainerChange::Died { exit_code: 137 };
                        self.ready
                            .push_back(self.network.container(node, killed, true));
                        self.ready
                            .push_back(self.network.container(node, died, true));
                    }
                }
                self.at(self.now + second, Action::Finish);
            }
            _ => {}
        }
    }

    fn incident(&mut self, place: usize) {
        let what = self.incidents[place].what.clone();
        let wall = self.wall();
        match what {
            What::Suspend(span) => {
                self.slept += u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                // Before and after, so that the jump can be seen at all.
                self.ready.push_back(Event::Tick { wall });
                self.ready.push_back(Event::Tick { wall: self.wall() });
            }
            What::Fact(event) => self.ready.push_back(*event),
            what => self.network.incident(&what, &mut self.ready),
        }
    }

    /// Length of the soak.
    #[must_use]
    pub fn soak(&self) -> Duration {
        self.soak
    }

    /// The next fact and when it was learned.
    pub fn next_fact(&mut self) -> Option<(Elapsed, Event)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_written = self.now;
                return Some((self.now, event));
            }
            let Reverse((at, _, action)) = self.queue.pop()?;
            self.now = at;
            self.act(action);
        }
    }
}

impl Iterator for Generator {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let (elapsed, event) = self.next_fact()?;
        let seq = Seq(self.next);
        self.next += 1;
        Some(Entry {
            seq,
            elapsed,
            event,
        })
    }
}
