use std::sync::Arc;

use super::*;
use crate::reference_node::chain::{Payload, Proposal};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::genesis::GenesisConfig;
use crate::reference_node::types::{Bitmap, Certificate, Phase, Transaction, VotePayload};

const ZERO: ShardId = ShardId(0);
const ONE: ShardId = ShardId(1);

fn genesis() -> Genesis {
    Genesis::new(GenesisConfig {
        shards: 2,
        ..GenesisConfig::default()
    })
    .unwrap()
}

/// One shard whose blocks are final as soon as they are made, with real signatures.
struct Shard {
    genesis: Genesis,
    crypto: Bls,
    head: CommittedBlock,
    state: ChainState,
}

impl Shard {
    fn new(shard: ShardId) -> Self {
        let genesis = genesis();
        let crypto = genesis.bls(NodeId { shard, index: 0 }).unwrap();
        let head = CommittedBlock {
            block: Arc::new(genesis.block(shard)),
            certificate: None,
        };
        let state = genesis.state(shard);
        Self {
            genesis,
            crypto,
            head,
            state,
        }
    }

    fn certify(&self, header: &Header) -> Certificate {
        let payload = VotePayload {
            phase: Phase::Commit,
            shard: header.shard,
            height: header.height,
            view: header.view,
            block: header.hash(),
        };
        let committee = self.genesis.committee(header.shard, header.epoch);
        let mut signers = Bitmap::new(committee.len());
        (0..committee.len()).for_each(|position| signers.insert(position));
        let votes: Vec<_> = committee
            .nodes(&signers)
            .map(|node| self.genesis.bls(node).unwrap().sign_vote(&payload))
            .collect();
        Certificate {
            payload,
            signers,
            signature: self.crypto.aggregate(&votes).unwrap(),
        }
    }

    fn grow(&mut self, payload: &Payload) {
        let parent = &self.head.block.header;
        let proposal = Proposal {
            parent,
            state: &self.state,
            last_commit: self.head.certificate.clone(),
            leader: self.genesis.committee(parent.shard, 0).at(0),
            view: parent.view + 1,
            timestamp_ms: parent.timestamp_ms + 200,
            payload,
        };
        let rules = Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        };
        let built = rules.build_block(proposal).unwrap();
        let certificate = Some(self.certify(&built.block.header));
        self.state = built.state;
        self.head = CommittedBlock {
            block: Arc::new(built.block),
            certificate,
        };
    }

    /// A block with one transfer to shard 1.
    fn send(&mut self, nonce: u64) {
        let key = self.genesis.faucet_key(ZERO, 0);
        let to = self.genesis.faucet_address(ONE, 0);
        let transfer = Transaction::transfer(&key, nonce, (ZERO, ONE), to, 5);
        self.grow(&Payload {
            transactions: vec![transfer],
            ..Payload::default()
        });
    }

    fn batch(&self) -> ReceiptBatch {
        let certificate = self.head.certificate.as_ref().unwrap();
        self.state
            .fresh_batches(&self.head.block.header, certificate)
            .remove(0)
    }

    fn relay(&self, index: u16) -> Relay {
        Relay::new(
            NodeId {
                shard: self.state.shard(),
                index,
            },
            4,
            &self.head,
        )
    }

    fn receive(&self, relay: &mut Relay, from: NodeId, batch: ReceiptBatch) -> Posts {
        relay.batch(from, batch, &self.state, (&self.genesis, &self.crypto))
    }
}

const SENDER: NodeId = NodeId::new(0, 0);
const MATE: NodeId = NodeId::new(1, 3);

#[test]
fn the_leader_and_one_more_push_receipts_and_headers() {
    let mut source = Shard::new(ZERO);
    source.send(0);
    let speakers: Vec<u16> = (0..4)
        .filter(|index| {
            let posts = source
                .relay(*index)
                .committed(&source.head, &source.state, true);
            posts.iter().any(|(to, gossip)| {
                *to == Receivers::Shard(ONE) && matches!(gossip, Gossip::Batch(_))
            })
        })
        .collect();
    assert_eq!(speakers, [0, 1]);
    assert!(
        source
            .relay(0)
            .committed(&source.head, &source.state, false)
            .is_empty()
    );
}

#[test]
fn a_batch_is_kept_offered_and_passed_on_once() {
    let (mut source, destination) = (Shard::new(ZERO), Shard::new(ONE));
    source.send(0);
    let mut relay = destination.relay(1);
    let posts = destination.receive(&mut relay, SENDER, source.batch());
    assert_eq!(
        posts,
        [(
            Receivers::Shard(ONE),
            Gossip::Batch(Box::new(source.batch()))
        )]
    );
    assert!(
        destination
            .receive(&mut relay, SENDER, source.batch())
            .is_empty()
    );
    let mut second = destination.relay(2);
    assert!(
        destination
            .receive(&mut second, MATE, source.batch())
            .is_empty(),
        "not passed on inside a shard"
    );
    assert_eq!(relay.payload(&destination.state, 2).0, [source.batch()]);
    assert_eq!(relay.pending(), 1);
}

#[test]
fn a_gap_is_not_offered() {
    let (mut source, destination) = (Shard::new(ZERO), Shard::new(ONE));
    source.send(0);
    let first = source.batch();
    source.send(1);
    let mut relay = destination.relay(1);
    destination.receive(&mut relay, SENDER, source.batch());
    assert!(relay.payload(&destination.state, 2).0.is_empty());
    destination.receive(&mut relay, SENDER, first.clone());
    assert_eq!(
        relay.payload(&destination.state, 2).0,
        [first, source.batch()]
    );
}

#[test]
fn what_is_not_proven_is_neither_kept_nor_passed_on() {
    let (mut source, destination) = (Shard::new(ZERO), Shard::new(ONE));
    source.send(0);
    let mut relay = destination.relay(1);
    let mut richer = source.batch();
    richer.receipts[0].amount = 1_000_000;
    let mut unsigned = source.batch();
    unsigned.certificate.signature.0[20] ^= 1;
    for forged in [richer, unsigned] {
        assert!(destination.receive(&mut relay, SENDER, forged).is_empty());
    }
    assert_eq!((relay.refused, relay.batches.len(), relay.bytes), (2, 0, 0));
}

#[test]
fn an_executed_batch_is_forgotten_and_its_repetition_is_answered_with_the_header() {
    let (mut source, mut destination) = (Shard::new(ZERO), Shard::new(ONE));
    source.send(0);
    let mut relay = destination.relay(0);
    destination.receive(&mut relay, SENDER, source.batch());
    let (incoming, crosslinks) = relay.payload(&destination.state, 2);
    destination.grow(&Payload {
        incoming,
        crosslinks,
        ..Payload::default()
    });
    let posts = relay.committed(&destination.head, &destination.state, true);
    let header = Gossip::CrossLink(Box::new(crosslink(&destination.head).unwrap()));
    assert_eq!(
        posts,
        [(Receivers::Shard(ZERO), header.clone())],
        "the source is told at once"
    );
    assert_eq!((relay.pending(), relay.bytes), (0, 0));
    let again = destination.receive(&mut relay, SENDER, source.batch());
    assert_eq!(again, [(Receivers::Node(SENDER), header)]);
    // The source takes the header into its next block, and has nothing left to repeat.
    let mut back = source.relay(0);
    let Gossip::CrossLink(link) = again[0].1.clone() else {
        panic!("a header")
    };
    back.crosslink(
        NodeId::new(1, 0),
        *link,
        &source.state,
        (&source.genesis, &source.crypto),
    );
    let (_, crosslinks) = back.payload(&source.state, 2);
    source.grow(&Payload {
        crosslinks,
        ..Payload::default()
    });
    back.committed(&source.head, &source.state, true);
    assert_eq!(source.state.unacknowledged().count(), 0);
    assert!(
        back.links.is_empty(),
        "a header that a block carried is not kept"
    );
}

#[test]
fn what_nobody_acknowledges_is_pushed_again_in_turns() {
    let mut source = Shard::new(ZERO);
    source.send(0);
    let batch = source.batch();
    let mut relays: Vec<Relay> = (0..4).map(|index| source.relay(index)).collect();
    let repeat = |relays: &mut Vec<Relay>, state: &ChainState| -> Vec<usize> {
        relays
            .iter_mut()
            .map(|relay| relay.repeat(state).len())
            .collect()
    };
    assert_eq!(
        repeat(&mut relays, &source.state),
        [0; 4],
        "not yet overdue"
    );
    for _ in 0..=OVERDUE {
        source.grow(&Payload::default());
    }
    for relay in &mut relays {
        relay.committed(&source.head, &source.state, true);
    }
    let mut pushes = [0; 4];
    for _ in 0..8 {
        let now = repeat(&mut relays, &source.state);
        assert_eq!(now.iter().sum::<usize>(), 1, "one validator at a time");
        pushes
            .iter_mut()
            .zip(now)
            .for_each(|(all, now)| *all += now);
    }
    assert_eq!(pushes, [2; 4]);
    let mut relay = source.relay(0);
    relay.tick = 3;
    let again = relay.repeat(&source.state);
    assert!(matches!(&again[0].1, Gossip::Batch(pushed) if pushed.receipts == batch.receipts));
}

#[test]
fn a_relay_that_leaks_pushes_no_receipts_and_still_tells_of_its_blocks() {
    let mut source = Shard::new(ZERO);
    source.send(0);
    let mut relay = source.relay(0);
    relay.leaks = true;
    let posts = relay.committed(&source.head, &source.state, true);
    assert!(
        !posts
            .iter()
            .any(|(_, gossip)| matches!(gossip, Gossip::Batch(_)))
    );
    for _ in 0..=OVERDUE {
        source.grow(&Payload::default());
    }
    relay.committed(&source.head, &source.state, true);
    assert!((0..8).all(|_| relay.repeat(&source.state).is_empty()));
}
