//! Catching up: ranges of committed blocks, and snapshots when the peers have pruned what is missing.
//!
//! What a peer claims is only a reason to ask it; every block comes with its commit certificate and is executed.
//! Invariant: claims that bring nothing are dropped, so a node always leaves Syncing; the timers of consensus run on
//! all the while.

use std::collections::VecDeque;

use super::core::Consensus;
use super::durable::Kind;
use super::messages::{CommittedBlock, HeadStatus, Message, Micros, Output, Snapshot, Write};
use crate::reference_node::chain::ChainState;
use crate::reference_node::crypto::Crypto;
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{NodeId, Phase};

/// Blocks asked for at once. Sixteen of the largest blocks fit a message; the sender stops earlier if it must.
const BATCH: u32 = 64;

/// What is known of a peer.
#[derive(Default)]
pub(super) struct Peer {
    /// It said something since the start.
    pub(super) heard: bool,
    /// Highest head that it claimed.
    pub(super) height: u64,
    /// It asked for nothing and got an answer to something old then.
    pub(super) helped: Option<Micros>,
    /// When it got a snapshot.
    snapshot_sent: Option<Micros>,
    /// The oldest height that it has, where it said so.
    oldest: u64,
    /// Not asked before this time: it did not answer, or with nonsense.
    shunned_until: Micros,
}

struct Request {
    peer: NodeId,
    snapshot: bool,
    deadline: Micros,
}

/// The state of catching up.
#[derive(Default)]
pub(super) struct Sync {
    request: Option<Request>,
    queue: VecDeque<CommittedBlock>,
    /// Who sent the queue.
    source: Option<NodeId>,
    behind: bool,
    /// Stays behind for ever (`stuck-syncing`).
    pub(super) stuck: bool,
    /// Since when a single block is missing; consensus itself usually brings it.
    missing_since: Option<(u64, Micros)>,
    patience: Micros,
    /// A block is being written: the answer to the next question depends on how that ends.
    paused: bool,
    /// When the node last said that it is out of sync, and whether it said so of the current time behind.
    said: Option<Micros>,
    said_now: bool,
    last_asked: Option<NodeId>,
}

impl Sync {
    /// Known to be more than one block behind.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    pub(super) fn deadline(&self) -> Option<Micros> {
        if self.paused {
            return None;
        }
        let asked = self.request.as_ref().map(|request| request.deadline);
        let waiting = self
            .missing_since
            .map(|(_, since)| since + self.patience)
            .filter(|_| asked.is_none());
        asked.or(waiting)
    }
}

impl<C: Crypto> Consensus<C> {
    pub(super) fn best_peer_height(&self) -> u64 {
        self.peers
            .values()
            .map(|peer| peer.height)
            .max()
            .unwrap_or(0)
    }

    /// A peer's messages show that its head is at least this.
    pub(super) fn claim(&mut self, from: NodeId, height: u64) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.height = peer.height.max(height);
        }
    }

    /// Applies what is queued, or asks for what is missing.
    pub(super) fn run_sync(&mut self) {
        self.sync.patience = (self.config.retry() / 2).max(1);
        self.sync.paused = self.durable.waits(Kind::Head);
        if self.sync.paused {
            self.sync.missing_since = None;
            return;
        }
        self.apply_queue();
        let height = self.head.committed.block.header.height;
        let best = self.best_peer_height();
        if best <= height {
            self.sync.request = None;
            self.sync.missing_since = None;
            self.set_behind(false);
            return;
        }
        self.set_behind(best > height + 1);
        if self.stays_behind(best, height) {
            self.sync.request = None;
            self.sync.missing_since = None;
            return;
        }
        self.sync.paused = self.durable.waits(Kind::Head);
        if self.sync.paused {
            return;
        }
        if let Some(request) = &self.sync.request {
            if request.deadline > self.now {
                return;
            }
            let peer = request.peer;
            self.shun(peer);
        }
        if best == height + 1 && !self.patience_is_over(height) {
            return;
        }
        self.ask_somebody();
    }

    fn patience_is_over(&mut self, height: u64) -> bool {
        match self.sync.missing_since {
            Some((at, since)) if at == height => since + self.sync.patience <= self.now,
            _ => {
                self.sync.missing_since = Some((height, self.now));
                false
            }
        }
    }

    fn set_behind(&mut self, behind: bool) {
        if self.sync.behind == behind || (self.sync.stuck && !behind) {
            return;
        }
        self.sync.behind = behind;
        if behind {
            // Claims are cheap: a peer that makes them up must not fill the log.
            let pause = self.config.sync_interval;
            if self.sync.said.is_some_and(|said| self.now < said + pause) {
                return;
            }
            (self.sync.said, self.sync.said_now) = (Some(self.now), true);
            let best = self.best_peer_height();
            let event = Event::new(
                Level::Info,
                "[ConsensusMainLoop] Node is OUT OF SYNC, reason: behind its peers",
            );
            self.log(event.field("otherHeight", best));
        } else if std::mem::take(&mut self.sync.said_now) {
            self.log(Event::new(Level::Info, "Node is IN SYNC"));
        }
    }

    /// A peer's claims came to nothing: forget them, and leave it alone for a while.
    fn shun(&mut self, node: NodeId) {
        self.sync.request = None;
        self.sync.queue.clear();
        let until = self.now + self.config.retry();
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.height = 0;
            peer.shunned_until = until;
        }
    }

    fn ask_somebody(&mut self) {
        let from = self.round.height;
        let useful = |node: &NodeId| {
            self.peers
                .get(node)
                .is_some_and(|peer| peer.height >= from && peer.shunned_until <= self.now)
        };
        let candidates: Vec<NodeId> = self.peers.keys().copied().filter(useful).collect();
        let whole: Vec<NodeId> = candidates
            .iter()
            .copied()
            .filter(|node| self.peers.get(node).is_some_and(|peer| peer.oldest <= from))
            .collect();
        let snapshot = whole.is_empty();
        let choice = if snapshot { &candidates } else { &whole };
        // Round and round, so that one bad peer costs one request.
        let after = choice
            .iter()
            .find(|node| Some(**node) > self.sync.last_asked)
            .or(choice.first());
        let Some(peer) = after.copied() else {
            // All who claimed more are shunned: wait for them.
            self.sync.missing_since = Some((self.head.committed.block.header.height, self.now));
            return;
        };
        self.sync.last_asked = Some(peer);
        self.sync.missing_since = None;
        let deadline = self.now + self.config.view_change_timeout / 2 + self.config.retry();
        self.sync.request = Some(Request {
            peer,
            snapshot,
            deadline,
        });
        let message = if snapshot {
            Message::SnapshotRequest
        } else {
            Message::BlocksRequest { from, count: BATCH }
        };
        self.send(peer, message);
    }

    // --- Answers.

    fn answered(&mut self, from: NodeId, snapshot: bool) -> bool {
        let matches = self
            .sync
            .request
            .as_ref()
            .is_some_and(|request| request.peer == from && request.snapshot == snapshot);
        if matches {
            self.sync.request = None;
        }
        matches
    }

    pub(super) fn on_blocks(&mut self, from: NodeId, blocks: Vec<CommittedBlock>) {
        if !self.answered(from, false) {
            return;
        }
        if blocks.is_empty() || blocks.len() > BATCH as usize {
            self.shun(from);
            return;
        }
        self.sync.queue = blocks.into();
        self.sync.source = Some(from);
    }

    pub(super) fn on_pruned(&mut self, from: NodeId, oldest: u64) {
        if !self.answered(from, false) {
            return;
        }
        if oldest <= self.round.height {
            self.shun(from);
        } else if let Some(peer) = self.peers.get_mut(&from) {
            peer.oldest = oldest;
        }
    }

    /// Takes queued blocks until one is being written.
    fn apply_queue(&mut self) {
        while let Some(next) = self.sync.queue.pop_front() {
            let height = next.block.header.height;
            if height < self.round.height {
                continue;
            }
            let hash = next.block.hash();
            let source = self.sync.source.unwrap_or(self.me());
            let certificate = next.certificate.filter(|certificate| {
                height == self.round.height
                    && certificate.payload.block == hash
                    && self
                        .round
                        .committed
                        .as_ref()
                        .is_none_or(|known| known.payload.block == hash)
                    && self.proves(certificate, Phase::Commit)
            });
            match certificate {
                Some(certificate) if self.body(source, hash, Some(&next.block)).is_some() => {
                    self.decide(certificate, true);
                    return;
                }
                _ => self.shun(source),
            }
        }
    }

    pub(super) fn on_snapshot(&mut self, from: NodeId, snapshot: Snapshot) {
        if !self.answered(from, true) {
            return;
        }
        match self.checked_snapshot(snapshot) {
            Some((head, state)) if !self.durable.waits(Kind::Head) => {
                self.write(Kind::Head, Write::Snapshot { head, state });
            }
            _ => self.shun(from),
        }
    }

    fn checked_snapshot(&self, snapshot: Snapshot) -> Option<(CommittedBlock, ChainState)> {
        let Snapshot { head, rows } = snapshot;
        let header = &head.block.header;
        let certificate = head.certificate.as_ref()?;
        let payload = &certificate.payload;
        let shard = self.me().shard;
        let committee = self
            .genesis
            .committee(shard, self.genesis.epoch_of(header.height));
        let proven = header.height > self.head.committed.block.header.height
            && payload.phase == Phase::Commit
            && payload.height == header.height
            && payload.block == head.block.hash()
            && head.block.header.body_root == head.block.body_root()
            && self.crypto.verify_certificate(&committee, certificate);
        if !proven {
            return None;
        }
        let state = ChainState::from_rows(shard, rows).ok()?;
        (state.root() == header.state_root).then_some((head, state))
    }

    pub(super) fn on_snapshot_durable(&mut self, head: CommittedBlock, state: ChainState) {
        self.begin_after(head.clone(), state.clone(), None);
        self.doubt(true);
        let event = Event::new(Level::Info, "[STAGED_STREAM_SYNC] snapshot installed");
        self.log(event.field("blockNum", head.block.header.height));
        self.emit(Output::SnapshotInstalled { head, state });
        self.replay_early();
    }

    // --- Serving others.

    pub(super) fn status_message(&self) -> Message {
        Message::Status(HeadStatus {
            height: self.head.committed.block.header.height,
            hash: self.head.hash,
        })
    }

    pub(super) fn on_blocks_request(&mut self, from: NodeId, first: u64, count: u32) {
        if first > self.head.committed.block.header.height {
            let status = self.status_message();
            self.send(from, status);
        } else {
            self.emit(Output::ServeBlocks {
                to: from,
                from: first,
                count: count.min(BATCH),
            });
        }
    }

    pub(super) fn on_snapshot_request(&mut self, from: NodeId) {
        let pause = self.config.view_change_timeout;
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        // A snapshot is the largest thing that a peer can ask for: not more often than it can use it.
        let allowed = peer.snapshot_sent.is_none_or(|sent| sent + pause <= now);
        if allowed && self.head.committed.certificate.is_some() {
            peer.snapshot_sent = Some(now);
            let rows = self.head.state.rows().collect();
            let head = self.head.committed.clone();
            self.send(from, Message::Snapshot(Box::new(Snapshot { head, rows })));
        }
    }

    pub(super) fn on_status(&mut self, from: NodeId, status: HeadStatus) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.height = status.height;
        }
        let waits = self
            .sync
            .request
            .as_ref()
            .is_some_and(|request| request.peer == from);
        if waits && status.height < self.round.height {
            // It has nothing more after all.
            self.sync.request = None;
        }
    }

    /// Tells all peers where this node stands, when nothing else has for a while.
    pub(super) fn heartbeat(&mut self) {
        self.next_heartbeat = self.now + self.config.sync_interval.max(1);
        let status = self.status_message();
        let peers = self.peers.keys().copied().collect();
        self.send_all(peers, status);
    }
}
