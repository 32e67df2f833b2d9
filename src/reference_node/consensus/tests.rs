//! Single promises, one by one: what a node must not say, and when. Whole schedules are in `simulation`.

use std::sync::Arc;

use super::*;
use crate::reference_node::chain::{Payload, TransactionError};
use crate::reference_node::crypto::{Crypto, Domain, FakeCrypto};
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::log::Level;
use crate::reference_node::types::{
    Block, Certificate, Hash, NodeId, Phase, ShardId, Transaction, VotePayload, encode,
};

const INTERVAL: Micros = 100_000;
const TIMEOUT: Micros = 340_000;

fn id(index: u16) -> NodeId {
    NodeId::new(0, index)
}

fn genesis() -> Arc<Genesis> {
    let config = GenesisConfig {
        faucets: 1,
        timestamp_ms: 1_600_000_000_000,
        ..GenesisConfig::default()
    };
    Arc::new(Genesis::new(config).unwrap())
}

/// One node, driven by hand.
struct Node {
    core: Consensus<FakeCrypto>,
    genesis: Arc<Genesis>,
    now: Micros,
}

impl Node {
    fn restore(
        index: u16,
        fresh: bool,
        lock: Option<Lock>,
        view: Option<PersistedView>,
    ) -> (Self, Vec<Output>) {
        Self::with_defects("none", index, fresh, lock, view)
    }

    fn with_defects(
        defects: &str,
        index: u16,
        fresh: bool,
        lock: Option<Lock>,
        view: Option<PersistedView>,
    ) -> (Self, Vec<Output>) {
        let defects = defects.parse().unwrap();
        let genesis = genesis();
        let config = ConsensusConfig {
            node: id(index),
            interval: INTERVAL,
            view_change_timeout: TIMEOUT,
            view_change_timeout_max: 4 * TIMEOUT,
            retry_interval: INTERVAL,
            sync_interval: TIMEOUT,
            wall_origin_ms: 1_700_000_000_000,
            log_level: Level::Error,
            defects,
        };
        let block = Arc::new(genesis.block(ShardId::BEACON));
        let head = CommittedBlock {
            block,
            certificate: None,
        };
        let state = genesis.state(ShardId::BEACON);
        let recovered = Recovered {
            fresh,
            head,
            state,
            lock,
            view,
        };
        let (core, mut outputs) = Consensus::restore(
            config,
            Arc::clone(&genesis),
            FakeCrypto::new(id(index)),
            recovered,
            0,
        );
        let mut node = Self {
            core,
            genesis,
            now: 0,
        };
        for peer in (0..4).filter(|peer| *peer != index) {
            outputs.extend(node.step(Input::PeerConnected(id(peer))));
        }
        (node, outputs)
    }

    fn fresh(index: u16) -> Self {
        Self::restore(index, true, None, None).0
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        self.core.step(self.now, input)
    }

    fn hear(&mut self, from: u16, message: Message) -> Vec<Output> {
        self.step(Input::Message {
            from: id(from),
            message,
        })
    }

    fn wait(&mut self, time: Micros) -> Vec<Output> {
        self.now += time;
        self.step(Input::Wake)
    }

    /// All writes among the outputs succeed; gives the writes, and what comes of them.
    fn write_all(&mut self, outputs: &[Output]) -> (Vec<Write>, Vec<Output>) {
        let writes: Vec<(WriteId, Write)> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Write { id, write } => Some((*id, write.clone())),
                _ => None,
            })
            .collect();
        let results = writes
            .iter()
            .flat_map(|(id, _)| {
                self.step(Input::WriteDone {
                    id: *id,
                    result: Ok(()),
                })
            })
            .collect();
        (
            writes.into_iter().map(|(_, write)| write).collect(),
            results,
        )
    }

    /// A block that node 0 may propose first; blocks of different numbers differ.
    fn block(&self, number: u64) -> Arc<Block> {
        self.block_of(1, 0, number)
    }

    fn block_of(&self, view: u64, leader: u16, number: u64) -> Arc<Block> {
        let crypto = FakeCrypto::new(id(0));
        let rules = crate::reference_node::chain::Rules {
            genesis: &self.genesis,
            crypto: &crypto,
        };
        let parent = self.genesis.block(ShardId::BEACON).header;
        let built = rules.build_block(crate::reference_node::chain::Proposal {
            parent: &parent,
            state: &self.genesis.state(ShardId::BEACON),
            last_commit: None,
            leader: id(leader),
            view,
            timestamp_ms: 1_600_000_000_001 + number,
            payload: &Payload::default(),
        });
        Arc::new(built.unwrap().block)
    }
}

fn announce(block: &Arc<Block>) -> Message {
    Message::Announce(Proposal {
        height: 1,
        view: 1,
        block: Arc::clone(block),
    })
}

fn certificate(phase: Phase, view: u64, block: Hash) -> Certificate {
    let committee = genesis().committee(ShardId::BEACON, 0);
    let payload = VotePayload {
        phase,
        shard: ShardId::BEACON,
        height: 1,
        view,
        block,
    };
    let mut signers = crate::reference_node::types::Bitmap::new(4);
    let signatures: Vec<_> = (0..3)
        .map(|index| {
            signers.insert(committee.position(id(index)).unwrap());
            FakeCrypto::new(id(index)).sign_vote(&payload)
        })
        .collect();
    let signature = FakeCrypto::new(id(0)).aggregate(&signatures).unwrap();
    Certificate {
        payload,
        signers,
        signature,
    }
}

fn prepared(view: u64, block: &Arc<Block>) -> Message {
    Message::Prepared {
        certificate: certificate(Phase::Prepare, view, block.hash()),
        block: Some(Arc::clone(block)),
    }
}

fn view_change(index: u16, view: u64, prepared: Option<Certificate>) -> ViewChangeVote {
    let known = prepared
        .as_ref()
        .map(|proof| (proof.payload.view, proof.payload.block));
    let message = encode(&(ShardId::BEACON, 1_u64, view, known));
    let signature = FakeCrypto::new(id(index)).sign(Domain::ViewChange, &message);
    ViewChangeVote {
        voter: id(index),
        height: 1,
        view,
        prepared,
        signature,
    }
}

fn sent<'a>(outputs: &'a [Output], name: &str) -> Vec<&'a Message> {
    let messages = outputs.iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    messages.filter(|message| message.name() == name).collect()
}

#[test]
fn the_first_good_block_of_a_view_gets_the_vote_and_no_other() {
    let mut node = Node::fresh(1);
    let (one, two) = (node.block(1), node.block(2));
    assert_eq!(
        sent(&node.hear(2, announce(&one)), "PREPARE").len(),
        0,
        "node 2 does not lead"
    );
    assert_eq!(sent(&node.hear(0, announce(&one)), "PREPARE").len(), 1);
    assert_eq!(sent(&node.hear(0, announce(&two)), "PREPARE").len(), 0);
    assert_eq!(
        sent(&node.hear(0, announce(&one)), "PREPARE").len(),
        1,
        "the leader repeats, so does the vote"
    );
}

#[test]
fn a_bad_block_is_refused() {
    let mut node = Node::fresh(1);
    let mut bad = Block::clone(&node.block(1));
    bad.header.state_root = Hash::ZERO;
    assert!(sent(&node.hear(0, announce(&Arc::new(bad))), "PREPARE").is_empty());
    let good = node.block(1);
    assert_eq!(sent(&node.hear(0, announce(&good)), "PREPARE").len(), 1);
}

#[test]
fn a_restarted_node_is_silent_in_the_views_it_may_have_voted_in() {
    let (mut node, _) = Node::restore(1, false, None, None);
    let one = node.block(1);
    assert!(sent(&node.hear(0, announce(&one)), "PREPARE").is_empty());
    let outputs = node.hear(0, prepared(1, &one));
    let (writes, outputs) = node.write_all(&outputs);
    assert!(
        matches!(writes[..], [Write::Lock(_)]),
        "it keeps the lock all the same"
    );
    assert!(sent(&outputs, "COMMIT").is_empty());
    let outputs = node.wait(TIMEOUT);
    let (_, outputs) = node.write_all(&outputs);
    let votes = sent(&outputs, "VIEWCHANGE");
    assert!(!votes.is_empty(), "it takes part in the view change");
    for vote in votes {
        assert!(
            matches!(vote, Message::ViewChange { vote, .. } if vote.prepared.is_some()),
            "with its lock"
        );
    }
}

#[test]
fn a_restarted_leader_proposes_nothing_and_hands_over() {
    let (mut node, mut outputs) = Node::restore(0, false, None, None);
    outputs.extend(node.wait(INTERVAL));
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::PayloadWanted { .. }))
    );
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Write {
            write: Write::View(_),
            ..
        }
    )));
}

#[test]
fn the_stored_view_is_silent_too_and_the_next_one_is_not() {
    let (mut node, outputs) =
        Node::restore(1, false, None, Some(PersistedView { height: 1, view: 2 }));
    assert!(sent(&outputs, "PREPARE").is_empty());
    let one = node.block(1);
    let proof = certificate(Phase::Prepare, 1, one.hash());
    assert!(
        node.hear(0, prepared(1, &one)).is_empty(),
        "a view that it has left"
    );
    // It leads view 2 and may have opened it before: a quorum for it changes nothing.
    let mut outputs = Vec::new();
    for index in [0, 2, 3] {
        let vote = view_change(index, 2, Some(proof.clone()));
        outputs.extend(node.hear(
            index,
            Message::ViewChange {
                vote,
                block: Some(Arc::clone(&one)),
            },
        ));
    }
    assert!(sent(&outputs, "NEWVIEW").is_empty());
    let votes = [0, 2, 3]
        .map(|index| view_change(index, 3, Some(proof.clone())))
        .to_vec();
    let message = Message::NewView(NewView {
        height: 1,
        view: 3,
        votes,
        block: Arc::clone(&one),
    });
    let outputs = node.hear(2, message);
    assert!(
        sent(&outputs, "PREPARE").is_empty(),
        "the view is not durable yet"
    );
    let (_, outputs) = node.write_all(&outputs);
    assert_eq!(sent(&outputs, "PREPARE").len(), 1);
}

#[test]
fn the_commit_vote_waits_for_the_lock_and_comes_again_after_a_restart() {
    let mut node = Node::fresh(1);
    let one = node.block(1);
    node.hear(0, announce(&one));
    let outputs = node.hear(0, prepared(1, &one));
    assert!(sent(&outputs, "COMMIT").is_empty());
    let (writes, outputs) = node.write_all(&outputs);
    assert_eq!(sent(&outputs, "COMMIT").len(), 1);
    let [Write::Lock(lock)] = &writes[..] else {
        panic!("one lock is written")
    };
    let (_, outputs) = Node::restore(1, false, Some(lock.clone()), None);
    assert!(!sent(&outputs, "COMMIT").is_empty());
}

#[test]
fn who_asked_for_a_later_view_accepts_nothing_of_an_earlier_one() {
    let mut node = Node::fresh(1);
    let one = node.block(1);
    node.hear(0, announce(&one));
    let outputs = node.wait(TIMEOUT);
    assert!(
        sent(&outputs, "VIEWCHANGE").is_empty(),
        "the view is not durable yet"
    );
    let (writes, outputs) = node.write_all(&outputs);
    assert!(matches!(
        writes[..],
        [Write::View(PersistedView { height: 1, view: 2 })]
    ));
    assert!(!sent(&outputs, "VIEWCHANGE").is_empty());
    let outputs = node.hear(0, prepared(1, &one));
    assert!(node.write_all(&outputs).0.is_empty());
    let outputs = node.hear(2, prepared(3, &one));
    assert!(
        matches!(node.write_all(&outputs).0[..], [Write::Lock(_)]),
        "a later one is proof enough"
    );
}

#[test]
fn a_new_view_must_carry_the_block_that_follows_from_its_votes() {
    let mut node = Node::fresh(3);
    let (one, two) = (node.block(1), node.block(2));
    let proof = certificate(Phase::Prepare, 1, one.hash());
    let fresh = node.block_of(2, 1, 3);
    let votes = vec![
        view_change(0, 2, None),
        view_change(1, 2, Some(proof.clone())),
        view_change(2, 2, None),
    ];
    let new_view = |votes: &[ViewChangeVote], block: &Arc<Block>| {
        Message::NewView(NewView {
            height: 1,
            view: 2,
            votes: votes.to_vec(),
            block: Arc::clone(block),
        })
    };
    let refused = [
        ("another block", new_view(&votes, &two)),
        ("too few votes", new_view(&votes[..2], &one)),
        (
            "one vote three times",
            new_view(
                &[votes[1].clone(), votes[1].clone(), votes[1].clone()],
                &one,
            ),
        ),
        ("a forged vote that hides the lock", {
            let hidden = ViewChangeVote {
                prepared: None,
                ..votes[1].clone()
            };
            new_view(&[votes[0].clone(), hidden, votes[2].clone()], &fresh)
        }),
        (
            "votes for another view",
            new_view(
                &[0, 1, 2].map(|index| view_change(index, 3, Some(proof.clone()))),
                &one,
            ),
        ),
    ];
    for (reason, message) in refused {
        let outputs = node.hear(1, message);
        assert!(node.write_all(&outputs).1.is_empty(), "{reason}");
    }
    let outputs = node.hear(1, new_view(&votes, &one));
    let (_, outputs) = node.write_all(&outputs);
    assert_eq!(sent(&outputs, "PREPARE").len(), 1);
}

#[test]
fn a_third_that_asks_for_a_later_view_is_joined_at_once() {
    let mut node = Node::fresh(3);
    let outputs = node.hear(
        1,
        Message::ViewChange {
            vote: view_change(1, 4, None),
            block: None,
        },
    );
    assert!(node.write_all(&outputs).0.is_empty(), "one may be a liar");
    let outputs = node.hear(
        2,
        Message::ViewChange {
            vote: view_change(2, 3, None),
            block: None,
        },
    );
    let (writes, outputs) = node.write_all(&outputs);
    assert!(matches!(
        writes[..],
        [Write::View(PersistedView { height: 1, view: 3 })]
    ));
    assert!(!sent(&outputs, "VIEWCHANGE").is_empty());
}

#[test]
fn alone_a_node_asks_for_one_view_and_waits() {
    let mut node = Node::fresh(3);
    for _ in 0..200 {
        let outputs = node.wait(TIMEOUT);
        node.write_all(&outputs);
    }
    assert_eq!(node.core.status().view_change_id, 2);
    assert_eq!(node.core.status().mode, Mode::ViewChanging);
}

#[test]
fn a_claim_that_brings_nothing_does_not_keep_a_node_syncing() {
    let mut node = Node::fresh(3);
    node.hear(
        2,
        Message::Status(HeadStatus {
            height: u64::MAX,
            hash: Hash::ZERO,
        }),
    );
    assert_eq!(node.core.status().mode, Mode::Syncing);
    for _ in 0..10 {
        node.wait(TIMEOUT / 2);
    }
    assert_ne!(node.core.status().mode, Mode::Syncing);
}

#[test]
fn a_failed_write_is_tried_again_and_the_vote_follows() {
    let mut node = Node::fresh(1);
    let one = node.block(1);
    node.hear(0, announce(&one));
    let mut outputs = node.hear(0, prepared(1, &one));
    for _ in 0..3 {
        let Some(id) = outputs.iter().find_map(|output| match output {
            Output::Write {
                id,
                write: Write::Lock(_),
            } => Some(*id),
            _ => None,
        }) else {
            panic!("the lock is written")
        };
        node.step(Input::WriteDone {
            id,
            result: Err("no space left on device".to_owned()),
        });
        assert!(node.core.status().write_failing);
        outputs = node.wait(INTERVAL);
    }
    let (_, outputs) = node.write_all(&outputs);
    assert_eq!(sent(&outputs, "COMMIT").len(), 1);
    assert!(!node.core.status().write_failing);
}

#[test]
fn an_equivocating_leader_announces_two_blocks_and_a_healthy_one_does_not() {
    for (defects, blocks) in [("none", 1), ("equivocate", 2)] {
        let (mut node, mut outputs) = Node::with_defects(defects, 0, true, None, None);
        outputs.extend(node.wait(INTERVAL));
        let Some((height, view)) = outputs.iter().find_map(|output| match output {
            Output::PayloadWanted { height, view } => Some((*height, *view)),
            _ => None,
        }) else {
            panic!("it is the first leader")
        };
        let outputs = node.step(Input::Payload {
            height,
            view,
            payload: Payload::default(),
        });
        let mut hashes: Vec<Hash> = sent(&outputs, "ANNOUNCE")
            .iter()
            .map(|message| match message {
                Message::Announce(proposal) => {
                    assert_eq!((proposal.height, proposal.view), (1, 1));
                    proposal.block.hash()
                }
                _ => panic!("announcements were asked for"),
            })
            .collect();
        hashes.dedup();
        assert_eq!(hashes.len(), blocks, "{defects}");
    }
}

#[test]
fn alone_a_node_waits_and_one_that_forks_makes_its_own_block() {
    for (defects, blocks) in [("none", 0), ("fork-on-heal", 1)] {
        let (mut node, _) = Node::with_defects(defects, 3, true, None, None);
        let mut own = 0;
        for _ in 0..50 {
            let outputs = node.wait(TIMEOUT);
            let (_, outputs) = node.write_all(&outputs);
            let committed = |output: &&Output| matches!(output, Output::Committed { .. });
            own += outputs.iter().filter(committed).count();
        }
        assert_eq!(own, blocks, "{defects}");
    }
}

/// A node that runs while the machine's clock is set must go by the new time, as nodes do that start later.
#[test]
fn blocks_are_dated_by_the_wall_clock_as_it_is_now() {
    const MINUTE_LATER: u64 = 1_700_000_060_000;
    let later = |node: &Node| node.block(MINUTE_LATER - 1_600_000_000_001);
    let mut late = Node::fresh(1);
    let block = later(&late);
    assert!(sent(&late.hear(0, announce(&block)), "PREPARE").is_empty());
    let mut set = Node::fresh(1);
    set.core.set_wall_clock(set.now, MINUTE_LATER);
    assert_eq!(sent(&set.hear(0, announce(&block)), "PREPARE").len(), 1);

    let (mut leader, mut outputs) = Node::with_defects("none", 0, true, None, None);
    outputs.extend(leader.wait(INTERVAL));
    leader.core.set_wall_clock(leader.now, MINUTE_LATER);
    let date = proposed(&mut leader, &outputs, Payload::default())
        .0
        .header
        .timestamp_ms;
    assert_eq!(date, MINUTE_LATER);
}

/// Answers the leader's question for a payload: the block that it announces, and what it refused.
fn proposed(
    leader: &mut Node,
    outputs: &[Output],
    payload: Payload,
) -> (Arc<Block>, Vec<(Transaction, TransactionError)>) {
    let wanted = outputs.iter().find_map(|output| match output {
        Output::PayloadWanted { height, view } => Some((*height, *view)),
        _ => None,
    });
    let (height, view) = wanted.unwrap();
    let outputs = leader.step(Input::Payload {
        height,
        view,
        payload,
    });
    let block = match sent(&outputs, "ANNOUNCE").first() {
        Some(Message::Announce(proposal)) => Arc::clone(&proposal.block),
        _ => panic!("it announces a block"),
    };
    let refused = outputs.into_iter().find_map(|output| match output {
        Output::Refused(transactions) => Some(transactions),
        _ => None,
    });
    (block, refused.unwrap_or_default())
}

#[test]
fn what_a_block_could_not_have_is_told() {
    let (mut leader, mut outputs) = Node::with_defects("none", 0, true, None, None);
    outputs.extend(leader.wait(INTERVAL));
    let shard = ShardId::BEACON;
    let key = leader.genesis.faucet_key(shard, 0);
    let to = leader.genesis.faucet_address(shard, 0);
    let transfer = |nonce, amount| Transaction::transfer(&key, nonce, (shard, shard), to, amount);
    let transactions = vec![transfer(0, 1), transfer(1, u64::MAX), transfer(2, 1)];
    let payload = Payload {
        transactions: transactions.clone(),
        ..Payload::default()
    };
    let (block, refused) = proposed(&mut leader, &outputs, payload);
    assert_eq!(block.transactions, transactions[..1]);
    let refused: Vec<Transaction> = refused.into_iter().map(|(refused, _)| refused).collect();
    assert_eq!(refused, transactions[1..]);
}
