//! What comes from peers: decoded here, judged by the core, the pool and the relay.

use super::Node;
use super::gossip::{self, Gossip};
use crate::reference_node::consensus::{Input, Message};
use crate::reference_node::log::{Event, Level};
use crate::reference_node::mempool::Tip;
use crate::reference_node::network::{Arrival, FRAME_LIMIT, Kind};
use crate::reference_node::types::{NodeId, Transaction, decode};

impl Node {
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Up(peer) => {
                self.log(
                    &Event::new(Level::Debug, "peer connected").field("peer", peer.to_string()),
                );
                if self.of_shard(peer) {
                    self.feed(Input::PeerConnected(peer));
                }
            }
            Arrival::Down { peer, reason } => {
                let event =
                    Event::new(Level::Info, "peer disconnected").field("peer", peer.to_string());
                self.log(&event.error(reason));
                if self.of_shard(peer) {
                    self.feed(Input::PeerDisconnected(peer));
                }
            }
            // The permit is given back when this function ends: the bytes are counted until they are dealt with.
            Arrival::Frame {
                from,
                kind: Kind::Consensus,
                payload,
                permit: _permit,
            } => {
                self.tallies.consensus_messages += 1;
                self.consensus(from, &payload);
            }
            Arrival::Frame {
                from,
                payload,
                permit: _permit,
                ..
            } => {
                self.tallies.gossip_messages += 1;
                self.gossip(from, &payload);
            }
        }
    }

    fn consensus(&mut self, from: NodeId, payload: &[u8]) {
        match decode::<Message>(payload, FRAME_LIMIT) {
            Ok(message) if self.of_shard(from) => self.feed(Input::Message { from, message }),
            _ => {
                self.tallies.malformed += 1;
                self.nonfatal("a message that cannot be read");
            }
        }
    }

    fn gossip(&mut self, from: NodeId, payload: &[u8]) {
        let Ok(gossip) = Gossip::read(payload) else {
            self.tallies.malformed += 1;
            return;
        };
        let proof = (&*self.genesis, &self.crypto);
        let posts = match (gossip, &mut self.relay) {
            (Gossip::Transactions(transactions), _) => {
                self.transactions(from, transactions);
                return;
            }
            (Gossip::Batch(batch), Some(relay)) => relay.batch(from, *batch, &self.state, proof),
            (Gossip::CrossLink(link), Some(relay)) => {
                relay.crosslink(from, *link, &self.state, proof)
            }
            (Gossip::Batch(_) | Gossip::CrossLink(_), None) => return,
        };
        self.post(posts);
    }

    fn transactions(&mut self, from: NodeId, transactions: Vec<Transaction>) {
        if !self.of_shard(from) || transactions.len() > gossip::TRANSACTIONS {
            self.tallies.malformed += 1;
            return;
        }
        let tip = Tip {
            state: &self.state,
            height: self.head,
            crypto: &self.crypto,
        };
        for transaction in transactions {
            if self.mempool.insert(transaction, false, &tip).is_err() {
                self.tallies.refused_transactions += 1;
            }
        }
    }
}
