//! Both schemes keep the same contract; the real one is timed.

use super::{Bls, Crypto, Domain, FakeCrypto};
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::types::{
    Bitmap, Certificate, Committee, Hash, NodeId, Phase, ShardId, Signature, Transaction,
    VotePayload,
};
use std::time::Instant;

fn genesis() -> Genesis {
    Genesis::new(GenesisConfig {
        shards: 2,
        explorers: 1,
        ..GenesisConfig::default()
    })
    .unwrap()
}

fn payload(number: u64) -> VotePayload {
    let (phase, shard) = (Phase::Commit, ShardId(0));
    VotePayload {
        phase,
        shard,
        height: number,
        view: number,
        block: Hash::of(&[&number.to_be_bytes()]),
    }
}

fn bitmap(positions: &[usize]) -> Bitmap {
    let mut bitmap = Bitmap::new(4);
    positions
        .iter()
        .for_each(|position| bitmap.insert(*position));
    bitmap
}

fn bls(genesis: &Genesis) -> Vec<Bls> {
    genesis
        .validators(ShardId(0))
        .map(|node| genesis.bls(node).unwrap())
        .collect()
}

/// `nodes` are the validators of shard 0 in order of their indices.
fn contract<C: Crypto>(committee: &Committee, nodes: &[C]) {
    let (vote, other) = (payload(7), payload(8));
    let ids: Vec<NodeId> = committee.members.iter().map(|member| member.node).collect();
    let votes: Vec<Signature> = nodes.iter().map(|node| node.sign_vote(&vote)).collect();
    let judge = &nodes[0];
    assert!(judge.verify_vote(ids[1], &vote, &votes[1]));
    assert!(
        !judge.verify_vote(ids[2], &vote, &votes[1]),
        "another's vote"
    );
    assert!(
        !judge.verify_vote(ids[1], &other, &votes[1]),
        "another payload"
    );
    assert!(
        !judge.verify(ids[1], Domain::Link, &vote.signing_bytes(), &votes[1]),
        "another domain"
    );
    let link = nodes[3].sign(Domain::Link, b"challenge");
    assert!(judge.verify(ids[3], Domain::Link, b"challenge", &link));
    assert_eq!(judge.aggregate(&[]), None);

    let three = judge.aggregate(&[votes[3], votes[0], votes[2]]).unwrap();
    assert!(judge.verify_aggregate(committee, &bitmap(&[0, 2, 3]), &vote, &three));
    assert!(
        judge.verify_aggregate(committee, &bitmap(&[0, 2, 3]), &vote, &three),
        "also from the cache"
    );
    for wrong in [&[0, 1, 2][..], &[0, 2], &[0, 1, 2, 3], &[]] {
        assert!(
            !judge.verify_aggregate(committee, &bitmap(wrong), &vote, &three),
            "signers {wrong:?}"
        );
    }
    assert!(!judge.verify_aggregate(committee, &bitmap(&[0, 2, 3]), &other, &three));
    let twice = judge.aggregate(&[votes[0], votes[0], votes[2]]).unwrap();
    assert!(
        !judge.verify_aggregate(committee, &bitmap(&[0, 2]), &vote, &twice),
        "a vote counted twice"
    );
    let spoilt = judge
        .aggregate(&[votes[0], votes[2], nodes[3].sign_vote(&other)])
        .unwrap();
    assert!(!judge.verify_aggregate(committee, &bitmap(&[0, 2, 3]), &vote, &spoilt));

    let certificate = Certificate {
        payload: vote,
        signers: bitmap(&[0, 2, 3]),
        signature: three,
    };
    assert!(judge.verify_certificate(committee, &certificate));
    let two = judge.aggregate(&votes[..2]).unwrap();
    let too_few = Certificate {
        payload: vote,
        signers: bitmap(&[0, 1]),
        signature: two,
    };
    assert!(judge.verify_aggregate(committee, &too_few.signers, &vote, &two));
    assert!(
        !judge.verify_certificate(committee, &too_few),
        "two of four are no quorum"
    );
}

#[test]
fn both_schemes_keep_the_contract() {
    let genesis = genesis();
    let committee = genesis.committee(ShardId(0), 0);
    contract(&committee, &bls(&genesis));
    let fakes: Vec<_> = genesis
        .validators(ShardId(0))
        .map(FakeCrypto::new)
        .collect();
    contract(&committee, &fakes);
}

#[test]
fn keys_follow_from_the_seed_and_differ() {
    let (one, same) = (genesis(), genesis());
    let other = Genesis::new(GenesisConfig {
        seed: "other".into(),
        ..one.config().clone()
    })
    .unwrap();
    let keys: std::collections::BTreeSet<_> = one
        .shards()
        .flat_map(|shard| one.nodes(shard))
        .map(|node| one.node(node).unwrap().key)
        .collect();
    assert_eq!(keys.len(), 10);
    let node = NodeId::new(1, 4);
    assert_eq!(one.node(node), same.node(node));
    assert_ne!(one.node(node), other.node(node));
    assert_ne!(one.hash(), other.hash());
    assert_eq!(node.to_string(), "s1-n04");
    assert_eq!("s1-n04".parse(), Ok(node));
    assert!(one.bls(NodeId::new(1, 5)).is_none());
}

#[test]
fn committees_rotate_by_epoch() {
    let config = GenesisConfig {
        validators: 5,
        committee_size: Some(4),
        ..GenesisConfig::default()
    };
    let genesis = Genesis::new(config).unwrap();
    let seats = |epoch| -> Vec<u16> {
        genesis
            .committee(ShardId(0), epoch)
            .members
            .iter()
            .map(|member| member.node.index)
            .collect()
    };
    assert_eq!(seats(0), [0, 1, 2, 3]);
    assert_eq!(seats(3), [3, 4, 0, 1]);
    assert_eq!(seats(5), seats(0));
    assert_eq!((genesis.epoch_of(99), genesis.epoch_of(100)), (0, 1));
    assert!(genesis.is_epoch_start(100) && !genesis.is_epoch_start(101));
    let committee = genesis.committee(ShardId(0), 0);
    assert!(committee.is_quorum(3) && !committee.is_quorum(2));
    assert!(committee.has_honest(2) && !committee.has_honest(1));
}

/// Prints what signatures cost. The bound is loose: it catches a scheme that decodes keys for every check, not a
/// busy machine.
#[test]
fn signatures_are_fast_enough_for_short_blocks() {
    const ROUNDS: u64 = 50;
    let genesis = genesis();
    let committee = genesis.committee(ShardId(0), 0);
    let nodes = bls(&genesis);
    let all = bitmap(&[0, 1, 2, 3]);
    let cases: Vec<(VotePayload, Vec<Signature>)> = (0..ROUNDS)
        .map(|number| {
            (
                payload(number),
                nodes
                    .iter()
                    .map(|node| node.sign_vote(&payload(number)))
                    .collect(),
            )
        })
        .collect();
    let mut report = Vec::new();
    let mut time = |what: &'static str, work: &mut dyn FnMut(u64)| {
        let start = Instant::now();
        (0..ROUNDS).for_each(work);
        report.push((what, start.elapsed().as_micros() as u64 / ROUNDS));
    };
    time("sign", &mut |round| {
        assert_ne!(nodes[0].sign_vote(&payload(round)), Signature::ZERO)
    });
    time("verify", &mut |round| {
        let (vote, votes) = &cases[round as usize];
        assert!(nodes[0].verify_vote(committee.members[1].node, vote, &votes[1]));
    });
    time("aggregate(4)", &mut |round| {
        assert!(nodes[0].aggregate(&cases[round as usize].1).is_some())
    });
    let sums: Vec<Signature> = cases
        .iter()
        .map(|(_, votes)| nodes[0].aggregate(votes).unwrap())
        .collect();
    for what in ["verify-aggregate(4)", "verify-aggregate(4) again"] {
        time(what, &mut |round| {
            let (vote, sum) = (&cases[round as usize].0, &sums[round as usize]);
            assert!(nodes[0].verify_aggregate(&committee, &all, vote, sum));
        });
    }
    report
        .iter()
        .for_each(|(what, micros)| println!("bls {what}: {micros} us"));
    assert!(
        report.iter().all(|(_, micros)| *micros < 20_000),
        "{report:?}"
    );
}

#[test]
fn a_remembered_transfer_vouches_for_no_other() {
    let genesis = genesis();
    let bls = genesis.bls(NodeId::new(0, 0)).unwrap();
    let key = genesis.faucet_key(ShardId(0), 0);
    let to = genesis.faucet_address(ShardId(0), 1);
    let good = Transaction::transfer(&key, 0, (ShardId(0), ShardId(1)), to, 5);
    assert!(bls.verify_transaction(&good) && bls.verify_transaction(&good));
    let mut more = good.clone();
    more.amount = 6;
    assert!(!bls.verify_transaction(&more) && !bls.verify_transaction(&more));
    let mut unsigned = good;
    unsigned.signature.0[3] ^= 1;
    assert!(!bls.verify_transaction(&unsigned));
}
