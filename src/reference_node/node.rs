//! The process: everything wired together around the one task that steps the consensus core.
//!
//! ```text
//!   arrivals ----.
//!   write results |--> Node::feed --> Consensus::step --> outputs --> links, store, log, published state
//!   submissions --|         ^                               |
//!   timers -------'         '-- payload for a new block <---'
//! ```
//!
//! Invariant: the task waits in one place only, for the next of these inputs. Sending queues, writing queues,
//! logging queues; RPC and metrics read what was published.

mod gossip;
mod inbound;
pub mod published;
mod relay;
mod start;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use self::gossip::Gossip;
use self::published::{Published, Tallies};
use self::relay::{Posts, Receivers, Relay};
use super::chain::{ChainState, Payload};
use super::consensus::{CommittedBlock, Consensus, Input, Message, Micros, Output};
use super::crypto::Bls;
use super::defects::{Defect, Defects, leaks::Leaks};
use super::genesis::Genesis;
use super::load::Load;
use super::log::{Context, Event, Logger};
use super::mempool::{Mempool, RejectedTransaction, Tip};
use super::network::{Arrival, Frame, Kind, Network};
use super::store::{Done, Store};
use super::types::{Block, NodeId, ShardId, Transaction, encode};
use super::wall;

pub use start::{NodeError, main_runtime, run};

/// Inputs taken in a row before what the node shows is brought up to date and other tasks have their turn.
const BATCH: usize = 64;
/// Bytes of blocks in one answer to a peer that is behind: some hundred usual blocks.
const SERVED_BYTES: usize = 512 * 1_024;
/// Peers that are served blocks at a time.
const SERVED_AT_ONCE: usize = 8;
/// Patience with the store when a peer waits for blocks: beyond it the peer has asked somebody else.
const SERVE_WITHIN: Duration = Duration::from_secs(2);
/// Blocks that an own transfer may wait before it is sent to the others again.
const TRANSFER_PATIENCE: u64 = 10;

/// A transfer from RPC, and where the answer goes.
pub struct Submission {
    /// The transfer.
    pub transaction: Transaction,
    /// Whether the pool took it.
    pub answer: oneshot::Sender<Result<(), RejectedTransaction>>,
}

/// The node's task.
struct Node {
    me: NodeId,
    genesis: Arc<Genesis>,
    crypto: Bls,
    core: Consensus<Bls>,
    /// `Micros` 0.
    origin: Instant,
    state: ChainState,
    head: u64,
    network: Arc<Network>,
    store: Arc<Store>,
    serving: Arc<Semaphore>,
    logger: Logger,
    mempool: Mempool,
    load: Option<Load>,
    relay: Option<Relay>,
    published: Arc<Published>,
    tallies: Tallies,
    defects: Defects,
    leaks: Leaks,
    /// What this node ends over (`exit-on-nonfatal`).
    gave_up: Option<&'static str>,
    /// Pause between two rounds of repetition: transfers and receipts that wait.
    repeat_every: Duration,
    next_repeat: Instant,
}

/// What comes to the node from its other parts.
struct Sources {
    arrivals: mpsc::Receiver<Arrival>,
    results: mpsc::UnboundedReceiver<Done>,
    submissions: mpsc::Receiver<Submission>,
}

/// Why the node's task ended by itself.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    StoreGone,
    NetworkGone,
    GaveUp(&'static str),
}

impl Node {
    fn now(&self) -> Micros {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Runs until a part that the node cannot live without is gone. The caller ends it for a signal.
    async fn run(&mut self, sources: &mut Sources) -> Ended {
        loop {
            let deadline = self.deadline();
            let first = tokio::select! {
                biased;
                done = sources.results.recv() => match done {
                    Some(done) => Next::Done(done),
                    None => return Ended::StoreGone,
                },
                arrival = sources.arrivals.recv() => match arrival {
                    Some(arrival) => Next::Arrival(arrival),
                    None => return Ended::NetworkGone,
                },
                Some(submission) = sources.submissions.recv() => Next::Submission(submission),
                () = sleep_until(deadline.into()) => Next::Timer,
            };
            self.take(first);
            for _ in 1..BATCH {
                let Some(next) = waiting(sources) else { break };
                self.take(next);
            }
            self.run_timers();
            self.publish();
            if let Some(why) = self.gave_up {
                return Ended::GaveUp(why);
            }
            tokio::task::yield_now().await;
        }
    }

    fn deadline(&self) -> Instant {
        let core = self.origin + Duration::from_micros(self.core.next_deadline().min(FAR));
        let load = self.load.as_ref().map_or(core, Load::next);
        core.min(load).min(self.next_repeat)
    }

    fn take(&mut self, next: Next) {
        match next {
            Next::Done(done) => {
                let failed = done.result.is_err();
                self.feed(Input::WriteDone {
                    id: done.id,
                    result: done.result,
                });
                if failed && self.core.status().write_failing {
                    self.nonfatal("a failed write");
                }
            }
            Next::Arrival(arrival) => self.arrived(arrival),
            Next::Submission(Submission {
                transaction,
                answer,
            }) => {
                let result = self.submit(vec![transaction]);
                // The asker may be gone.
                let _ = answer.send(result);
            }
            Next::Timer => {}
        }
    }

    fn run_timers(&mut self) {
        if self.now() >= self.core.next_deadline() {
            self.feed(Input::Wake);
        }
        let now = Instant::now();
        let made = match &mut self.load {
            Some(load) if load.next() <= now => load.due(now, &self.mempool, &self.state),
            _ => Vec::new(),
        };
        if !made.is_empty() {
            // A full pool is what a stalled chain looks like: the generator holds back by itself.
            let _ = self.submit(made);
        }
        if self.next_repeat <= now {
            self.next_repeat = now + self.repeat_every;
            let overdue = self
                .mempool
                .overdue(self.head, TRANSFER_PATIENCE, gossip::TRANSACTIONS);
            if !overdue.is_empty() {
                self.post(vec![(
                    Receivers::Shard(self.me.shard),
                    Gossip::Transactions(overdue),
                )]);
            }
            let posts = self
                .relay
                .as_mut()
                .map(|relay| relay.repeat(&self.state))
                .unwrap_or_default();
            self.post(posts);
        }
    }

    /// Takes own transfers into the pool and sends those that fit to the shard. The result is the last one's.
    fn submit(&mut self, transactions: Vec<Transaction>) -> Result<(), RejectedTransaction> {
        let mut result = Ok(());
        let mut taken = Vec::new();
        for transaction in transactions {
            let tip = Tip {
                state: &self.state,
                height: self.head,
                crypto: &self.crypto,
            };
            result = self.mempool.insert(transaction.clone(), true, &tip);
            match result {
                Ok(()) => taken.push(transaction),
                Err(_) => self.tallies.refused_transactions += 1,
            }
        }
        if !taken.is_empty() {
            self.post(vec![(
                Receivers::Shard(self.me.shard),
                Gossip::Transactions(taken),
            )]);
        }
        result
    }

    /// Something that a healthy node lives with.
    fn nonfatal(&mut self, what: &'static str) {
        if self.defects.has(Defect::ExitOnNonfatal) {
            self.gave_up = Some(what);
        }
    }

    /// One step of the core, and everything that it wants done.
    fn feed(&mut self, input: Input) {
        let now = self.now();
        // The machine's clock may be set while the node runs: nodes that start later go by the new time.
        self.core.set_wall_clock(now, wall::now_ms());
        let outputs = self.core.step(now, input);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, message } => self.send(&to, &message),
                Output::Write { id, write } => self.store.write(id, write),
                Output::PayloadWanted { height, view } => {
                    let payload = self.payload();
                    self.feed(Input::Payload {
                        height,
                        view,
                        payload,
                    });
                }
                Output::Refused(transactions) => self.mempool.refused(&transactions, self.head),
                Output::ServeBlocks { to, from, count } => self.serve(to, from, count),
                Output::Committed {
                    committed,
                    state,
                    synced,
                } => self.committed(&committed, state, synced),
                Output::SnapshotInstalled { head, state } => self.snapshot_installed(&head, state),
                Output::Log { context, event } => self.logger.write(&context, &event),
            }
        }
    }

    fn send(&self, to: &[NodeId], message: &Message) {
        // A message that no receiver would accept is dropped here; the core bounds what it makes.
        if let Some(frame) = Frame::new(Kind::Consensus, &encode(message)) {
            self.network.send(to, &frame);
        }
    }

    fn post(&self, posts: Posts) {
        for (receivers, gossip) in posts {
            let Some(frame) = gossip.frame() else {
                continue;
            };
            match receivers {
                Receivers::Node(node) => self.network.send(&[node], &frame),
                Receivers::Shard(shard) => {
                    // Explorers follow; they make no blocks and need no transfers and receipts.
                    let validators = self.genesis.config().validators;
                    let nodes: Vec<NodeId> = self
                        .network
                        .connected()
                        .filter(|node| node.shard == shard && node.index < validators)
                        .collect();
                    self.network.send(&nodes, &frame);
                }
            }
        }
    }

    fn payload(&self) -> Payload {
        let (incoming, crosslinks) = match &self.relay {
            Some(relay) => relay.payload(&self.state, self.genesis.config().shards),
            None => (Vec::new(), Vec::new()),
        };
        Payload {
            transactions: self.mempool.select(&self.state, Block::MAX_TRANSACTIONS),
            incoming,
            crosslinks,
        }
    }

    fn committed(&mut self, committed: &CommittedBlock, state: ChainState, synced: bool) {
        let block = &committed.block;
        self.head = block.header.height;
        self.state = state;
        self.mempool.committed(block, &self.state);
        self.mempool.forget_stranded(self.head, &self.state);
        if let Some(load) = &mut self.load {
            load.committed(block, synced, Instant::now());
        }
        self.tallies.blocks += 1;
        self.tallies.synced_blocks += u64::from(synced);
        self.tallies.led_blocks += u64::from(block.header.leader == self.me && !synced);
        self.tallies.transactions += block.transactions.len() as u64;
        self.tallies.receipts += block
            .incoming
            .iter()
            .map(|batch| batch.receipts.len() as u64)
            .sum::<u64>();
        self.published.live().push(committed, &self.state);
        self.leaks.block();
        let posts = self
            .relay
            .as_mut()
            .map(|relay| relay.committed(committed, &self.state, !synced));
        self.post(posts.unwrap_or_default());
    }

    fn snapshot_installed(&mut self, head: &CommittedBlock, state: ChainState) {
        self.head = head.block.header.height;
        self.state = state;
        self.mempool.state_replaced(&self.state);
        if let Some(load) = &mut self.load {
            load.state_replaced(&self.state);
        }
        self.published.live().push(head, &self.state);
        if let Some(relay) = &mut self.relay {
            relay.state_replaced(head, &self.state);
        }
    }

    /// Reads blocks for a peer in a task of its own: the disk may take its time.
    fn serve(&self, to: NodeId, from: u64, count: u32) {
        let Ok(permit) = Arc::clone(&self.serving).try_acquire_owned() else {
            return;
        };
        let (store, network) = (Arc::clone(&self.store), Arc::clone(&self.network));
        tokio::spawn(async move {
            let _permit = permit;
            let Ok(Ok(range)) =
                timeout(SERVE_WITHIN, store.blocks(from, count, SERVED_BYTES)).await
            else {
                return;
            };
            let message = if range.blocks.is_empty() && from < range.oldest {
                Message::Pruned {
                    oldest: range.oldest,
                }
            } else {
                Message::Blocks(range.blocks)
            };
            if let Some(frame) = Frame::new(Kind::Consensus, &encode(&message)) {
                network.send(&[to], &frame);
            }
        });
    }

    /// Brings what RPC and metrics see up to date.
    fn publish(&mut self) {
        let status = self.core.status();
        let pool = self.mempool.sizes(&self.state);
        if let Some(load) = &self.load {
            self.tallies.load_made = load.made;
            self.tallies.load_held_back = load.held_back;
            self.tallies.load_missed = load.missed;
            self.tallies.inclusion = load.inclusion(Instant::now());
        }
        let mut pending_receipts = 0;
        if let Some(relay) = &self.relay {
            pending_receipts = relay.pending();
            self.tallies.refused_cross_shard = relay.refused;
            self.tallies.repeated_batches = relay.repeated;
        }
        let mut live = self.published.live();
        live.status = status;
        live.pool = pool;
        live.pending_receipts = pending_receipts;
        live.tallies = self.tallies;
        live.connected.clear();
        live.connected.extend(self.network.connected());
    }

    /// A line of the shell's own.
    fn log(&self, event: &Event) {
        let status = self.core.status();
        let context = Context {
            shard: u32::from(self.me.shard.0),
            block: status.height,
            view: status.view,
            phase: status.phase.name(),
            mode: status.mode.name(),
        };
        self.logger.write(&context, event);
    }

    fn of_shard(&self, node: NodeId) -> bool {
        let shard: ShardId = self.me.shard;
        node.shard == shard
    }
}

/// A deadline beyond this is none: about a year, in microseconds.
const FAR: Micros = 365 * 24 * 3_600 * 1_000_000;

enum Next {
    Done(Done),
    Arrival(Arrival),
    Submission(Submission),
    Timer,
}

/// What waits already. Results first: a durable write is what the shard waits for.
fn waiting(sources: &mut Sources) -> Option<Next> {
    if let Ok(done) = sources.results.try_recv() {
        return Some(Next::Done(done));
    }
    if let Ok(arrival) = sources.arrivals.try_recv() {
        return Some(Next::Arrival(arrival));
    }
    sources.submissions.try_recv().ok().map(Next::Submission)
}
