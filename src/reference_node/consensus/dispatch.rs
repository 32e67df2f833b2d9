//! Sorting what arrives: by kind, and by the height it is about.

use std::mem::discriminant;
use std::sync::Arc;

use super::core::Consensus;
use super::durable::Kind;
use super::messages::{Message, Vote, Write, WriteId};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{Block, Hash, NodeId};

impl<C: Crypto> Consensus<C> {
    pub(super) fn on_message(&mut self, from: NodeId, message: Message) {
        self.hear(from);
        if !self.peers.contains_key(&from) {
            return;
        }
        match height_of(&message) {
            Some(height) if height < self.round.height => self.on_late(from, height, &message),
            Some(height) if height > self.round.height => self.on_early(from, height, message),
            _ => self.on_current(from, message),
        }
    }

    fn on_current(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Announce(proposal) => self.on_announce(from, &proposal),
            Message::Prepare(vote) => self.on_prepare(from, &vote),
            Message::Prepared { certificate, block } => {
                self.on_prepared(from, certificate, block.as_ref())
            }
            Message::Commit(vote) => self.on_commit(from, &vote),
            Message::Committed { certificate, block } => {
                self.on_committed(from, &certificate, block.as_ref())
            }
            Message::ViewChange { vote, block } => self.on_view_change(from, vote, block),
            Message::NewView(new_view) => self.on_new_view(from, &new_view),
            Message::Status(status) => self.on_status(from, status),
            Message::BlocksRequest { from: first, count } => {
                self.on_blocks_request(from, first, count)
            }
            Message::Blocks(blocks) => self.on_blocks(from, blocks),
            Message::Pruned { oldest } => self.on_pruned(from, oldest),
            Message::SnapshotRequest => self.on_snapshot_request(from),
            Message::Snapshot(snapshot) => self.on_snapshot(from, *snapshot),
            Message::BodyRequest { height: _, hash } => self.on_body_request(from, hash),
            Message::Body(block) => self.on_body(from, &block),
        }
    }

    // --- Messages of other heights.

    /// About a height that is over here. Late votes count for the next block; a peer that is stuck gets the block.
    fn on_late(&mut self, from: NodeId, height: u64, message: &Message) {
        if matches!(message, Message::Committed { .. }) {
            return;
        }
        if let Message::Commit(vote) = message
            && self.take_late_commit(from, vote)
        {
            return;
        }
        let pause = self.config.retry() / 2;
        let head = self.head.committed.block.header.height;
        // Votes that cross with the end of the height are no call for help.
        if height == head && self.now < self.head.since + pause {
            return;
        }
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if peer.helped.is_some_and(|helped| now < helped + pause) {
            return;
        }
        peer.helped = Some(now);
        let answer = match &self.head.committed.certificate {
            Some(certificate) if height == head => {
                let block = Some(Arc::clone(&self.head.committed.block));
                Message::Committed {
                    certificate: certificate.clone(),
                    block,
                }
            }
            _ => self.status_message(),
        };
        self.send(from, answer);
    }

    /// A commit vote for the head that this node led: the next block will carry it.
    fn take_late_commit(&mut self, from: NodeId, vote: &Vote) -> bool {
        let committee = self
            .genesis
            .committee(from.shard, self.head.committed.block.header.epoch);
        let Some(votes) = &mut self.head.votes else {
            return false;
        };
        let payload = votes.payload();
        let same = payload.height == vote.height
            && payload.view == vote.view
            && payload.block == vote.block_hash;
        match committee.position(from) {
            Some(position) if same && !votes.has(position) => {
                votes.add(position, vote.signature);
                true
            }
            _ => false,
        }
    }

    /// About a height that has not begun here: the sender is ahead, at least by one block.
    fn on_early(&mut self, from: NodeId, height: u64, message: Message) {
        let final_there = matches!(message, Message::Committed { .. });
        self.claim(from, if final_there { height } else { height - 1 });
        if height != self.round.height + 1
            || matches!(message, Message::Prepare(_) | Message::Commit(_))
        {
            return;
        }
        if let Message::Announce(proposal) = &message
            && let Some(certificate) = proposal.block.header.last_commit.clone()
            && certificate.payload.height == self.round.height
        {
            // The next block proves that the current one is final.
            self.on_committed(from, &certificate, None);
        }
        // One of each kind of each peer: bounded whatever peers send.
        let kind = discriminant(&message);
        self.early
            .retain(|(sender, kept)| *sender != from || discriminant(kept) != kind);
        self.early.push((from, message));
    }

    /// Hears again what came too early.
    pub(super) fn replay_early(&mut self) {
        for (from, message) in std::mem::take(&mut self.early) {
            if height_of(&message).is_some_and(|height| height >= self.round.height) {
                self.on_message(from, message);
            }
        }
    }

    // --- Bodies.

    /// Asks one member after the other for the block that is needed and missing.
    pub(super) fn ask_for_body(&mut self) {
        let committed = self
            .round
            .committed
            .as_ref()
            .map(|certificate| certificate.payload.block);
        let prepared = self
            .round
            .prepared_without_body
            .as_ref()
            .map(|certificate| certificate.payload.block);
        let wanted = committed
            .or(prepared)
            .or_else(|| self.wanted_for_new_view());
        if let Some(hash) = wanted.filter(|hash| self.round.candidate(*hash).is_none()) {
            let height = self.round.height;
            self.send_all(self.other_members(), Message::BodyRequest { height, hash });
        }
    }

    fn on_body_request(&mut self, from: NodeId, hash: Hash) {
        if let Some(candidate) = self.round.candidate(hash) {
            let block = Arc::clone(&candidate.block);
            self.send(from, Message::Body(block));
        }
    }

    fn on_body(&mut self, from: NodeId, block: &Arc<Block>) {
        let hash = block.hash();
        if let Some(certificate) = self.round.committed.clone() {
            if certificate.payload.block == hash {
                self.on_committed(from, &certificate, Some(block));
            }
        } else if let Some(certificate) = self.round.prepared_without_body.clone()
            && certificate.payload.block == hash
        {
            self.on_prepared(from, certificate, Some(block));
        } else if self.wanted_for_new_view() == Some(hash)
            && self.body(from, hash, Some(block)).is_some()
        {
            self.try_new_view();
        }
    }

    // --- Links and writes.

    fn hear(&mut self, from: NodeId) {
        if let Some(peer) = self.peers.get_mut(&from)
            && !peer.heard
        {
            peer.heard = true;
            self.gather();
        }
    }

    pub(super) fn on_peer_connected(&mut self, peer: NodeId) {
        self.hear(peer);
        let status = self.status_message();
        self.send(peer, status);
    }

    pub(super) fn on_peer_disconnected(&mut self, peer: NodeId) {
        if self.logs(Level::Debug) {
            self.log(Event::new(Level::Debug, "peer disconnected").field("peer", peer.to_string()));
        }
    }

    pub(super) fn on_write_done(&mut self, id: WriteId, result: Result<(), String>) {
        let error = match result {
            Ok(()) => {
                let was_failing = self.durable.is_failing();
                let done = self.durable.done(id);
                if was_failing && !self.durable.is_failing() {
                    // Whoever watches for full disks needs the end as much as the beginning.
                    let event = Event::new(Level::Info, "[store] Store writes succeed again");
                    self.log(event.field("blockNum", self.round.height));
                }
                match done {
                    Some((Kind::Lock, Write::Lock(lock))) => self.on_lock_durable(&lock),
                    Some((Kind::View, Write::View(view))) => self.on_view_durable(view),
                    Some((
                        Kind::Head,
                        Write::Block {
                            committed, state, ..
                        },
                    )) => self.on_block_durable(committed, state),
                    Some((Kind::Head, Write::Snapshot { head, state })) => {
                        self.on_snapshot_durable(head, state)
                    }
                    _ => {}
                }
                return;
            }
            Err(error) => error,
        };
        let retry_at = self.now + self.config.write_retry();
        let kind = self.durable.failed(id, retry_at);
        let text = match kind {
            Some(Kind::Head) => "[finalCommit] Failed to write block body",
            Some(Kind::Lock) => "[OnPrepared] Failed to store prepared block",
            Some(Kind::View) => "[startViewChange] Failed to store view",
            None => return,
        };
        self.log(
            Event::new(Level::Error, text)
                .field("blockNum", self.round.height)
                .error(error),
        );
        if kind == Some(Kind::Head) {
            self.move_on_without_disk();
        }
    }
}

/// The height that a message of the agreement is about; none for the others.
fn height_of(message: &Message) -> Option<u64> {
    match message {
        Message::Announce(proposal) => Some(proposal.height),
        Message::Prepare(vote) | Message::Commit(vote) => Some(vote.height),
        Message::Prepared { certificate, .. } | Message::Committed { certificate, .. } => {
            Some(certificate.payload.height)
        }
        Message::ViewChange { vote, .. } => Some(vote.height),
        Message::NewView(new_view) => Some(new_view.height),
        Message::BodyRequest { height, .. } => Some(*height),
        _ => None,
    }
}
