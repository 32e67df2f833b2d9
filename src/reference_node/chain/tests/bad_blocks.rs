//! A bad block of each kind is refused, for the right reason.

use super::harness::{ALL, Net};
use crate::reference_node::chain::{
    BlockError, CertificateFault, Check, LinkFault, MAX_CLOCK_DRIFT_MS, Payload, TransactionError,
};
use crate::reference_node::types::{
    Address, Bitmap, Block, Hash, NodeId, Phase, ShardId, Signature,
};

/// A network of three shards in which a block of shard 0 with a crosslink, a batch and transactions is due.
fn scene() -> (Net, Block) {
    let mut net = Net::new(3);
    net.advance(0, &Payload::default(), &ALL);
    let transactions = vec![net.transfer(1, 0, 0, 0, 50), net.transfer(1, 1, 0, 0, 60)];
    let incoming = net.advance(
        1,
        &Payload {
            transactions,
            ..Payload::default()
        },
        &ALL,
    );
    net.advance(2, &Payload::default(), &[0, 2, 3]);
    let crosslinks = vec![
        net.shards[1].crosslink().unwrap(),
        net.shards[2].crosslink().unwrap(),
    ];
    let transactions = vec![
        net.transfer(0, 0, 0, 0, 5),
        net.transfer(0, 0, 1, 1, 6),
        net.transfer(0, 1, 0, 2, 7),
    ];
    let built = net.build(
        0,
        &Payload {
            transactions,
            incoming,
            crosslinks,
        },
    );
    assert!(built.rejected.is_empty());
    assert_eq!(
        (
            built.block.crosslinks.len(),
            built.block.incoming.len(),
            built.block.transactions.len()
        ),
        (2, 1, 3)
    );
    (net, built.block)
}

/// Changes the good block, makes the body root fit if asked, and returns the verdict.
fn verdict(fix_root: bool, change: impl FnOnce(&mut Net, &mut Block)) -> BlockError {
    let (mut net, mut block) = scene();
    let now_ms = block.header.timestamp_ms;
    assert!(net.check(0, &block, Check::Proposal { now_ms }).is_ok());
    change(&mut net, &mut block);
    if fix_root {
        block.header.body_root = block.body_root();
    }
    net.check(0, &block, Check::Proposal { now_ms })
        .expect_err("a bad block was accepted")
}

/// Else a clock that is set back would stop the chain until it shows the parent's date again.
#[test]
fn the_earliest_date_after_the_parent_is_good_by_any_clock() {
    let mut net = Net::new(1);
    let parent = 3_600_000;
    net.shards[0].header.timestamp_ms = parent;
    let mut block = net.build(0, &Payload::default()).block;
    let set_back = Check::Proposal { now_ms: 0 };
    block.header.timestamp_ms = parent + 1;
    assert!(net.check(0, &block, set_back).is_ok());
    block.header.timestamp_ms = parent + 2;
    assert!(matches!(
        net.check(0, &block, set_back),
        Err(BlockError::TimestampInFuture { .. })
    ));
}

fn header_fault(change: impl FnOnce(&mut Net, &mut Block)) -> BlockError {
    verdict(false, change)
}

fn body_fault(change: impl FnOnce(&mut Net, &mut Block)) -> BlockError {
    verdict(true, change)
}

#[test]
fn headers() {
    assert!(matches!(
        header_fault(|_, b| b.header.shard = ShardId(1)),
        BlockError::WrongShard { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.height += 1),
        BlockError::WrongHeight { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.parent.0[0] ^= 1),
        BlockError::WrongParent { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.view -= 1),
        BlockError::ViewNotAboveParent { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.epoch += 1),
        BlockError::WrongEpoch { .. }
    ));
    let stranger = NodeId::new(1, 0);
    assert_eq!(
        header_fault(|_, b| b.header.leader = stranger),
        BlockError::LeaderNotInCommittee(stranger)
    );
    assert!(matches!(
        header_fault(|net, b| b.header.timestamp_ms = net.shards[0].header.timestamp_ms),
        BlockError::TimestampNotAfterParent { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.timestamp_ms += MAX_CLOCK_DRIFT_MS + 1),
        BlockError::TimestampInFuture { .. }
    ));
    assert!(matches!(
        header_fault(|_, b| b.header.state_root = Hash::ZERO),
        BlockError::WrongStateRoot { .. }
    ));
    assert_eq!(
        header_fault(|_, b| b.header.body_root = Hash::ZERO),
        BlockError::WrongBodyRoot
    );
    assert_eq!(
        header_fault(|_, b| b.header.sent[0].value += 1),
        BlockError::WrongReceipts
    );
    assert_eq!(
        header_fault(|_, b| b.header.sent[0].batch = None),
        BlockError::WrongReceipts
    );
    assert_eq!(
        header_fault(|_, b| b.header.received[0].next_sequence += 1),
        BlockError::WrongReceipts
    );
}

#[test]
fn last_commit() {
    let fault = |change: fn(&Net, &mut Block)| header_fault(|net, block| change(net, block));
    let bad = BlockError::BadLastCommit;
    assert_eq!(
        fault(|_, b| b.header.last_commit = None),
        BlockError::MissingLastCommit
    );
    let with = |change: fn(&mut crate::reference_node::types::Certificate)| {
        header_fault(|_, b| change(b.header.last_commit.as_mut().unwrap()))
    };
    assert_eq!(
        with(|c| c.payload.phase = Phase::Prepare),
        bad(CertificateFault::OtherPayload)
    );
    assert_eq!(
        with(|c| c.payload.block.0[5] ^= 1),
        bad(CertificateFault::OtherPayload)
    );
    assert_eq!(
        with(|c| c.payload.height -= 1),
        bad(CertificateFault::OtherPayload)
    );
    assert_eq!(
        with(|c| c.payload.view -= 1),
        bad(CertificateFault::OtherPayload)
    );
    assert_eq!(
        with(|c| c.payload.view += 1),
        bad(CertificateFault::Signature)
    );
    assert_eq!(
        with(|c| c.signature = Signature::ZERO),
        bad(CertificateFault::Signature)
    );
    assert_eq!(
        with(|c| c.signers = Bitmap::new(16)),
        bad(CertificateFault::Bitmap)
    );
    assert_eq!(with(|c| c.signers.insert(7)), bad(CertificateFault::Bitmap));
    assert_eq!(
        with(|c| c.signers = Bitmap::new(4)),
        bad(CertificateFault::NoQuorum)
    );
    let two =
        fault(|net, b| b.header.last_commit = Some(net.certify(&net.shards[0].header, &[0, 1])));
    assert_eq!(two, bad(CertificateFault::NoQuorum));
}

#[test]
fn a_certificate_of_the_genesis_block_is_refused() {
    let net = Net::new(1);
    let mut block = net.build(0, &Payload::default()).block;
    block.header.last_commit = Some(net.certify(&net.shards[0].header, &ALL));
    assert_eq!(
        net.check(0, &block, Check::Final),
        Err(BlockError::UnexpectedLastCommit)
    );
}

#[test]
fn crosslinks() {
    let reason = |change: fn(&mut Net, &mut Block)| match body_fault(change) {
        BlockError::BadCrossLink { reason, .. } => reason,
        other => panic!("refused for another reason: {other}"),
    };
    assert_eq!(
        reason(|_, b| b.crosslinks.push(b.crosslinks[0].clone())),
        LinkFault::NotNewer
    );
    assert_eq!(
        reason(|_, b| b.crosslinks[0].header.state_root = Hash::ZERO),
        LinkFault::Certificate(CertificateFault::OtherPayload)
    );
    assert_eq!(
        reason(|_, b| b.crosslinks[0].certificate.signature = Signature::ZERO),
        LinkFault::Certificate(CertificateFault::Signature)
    );
    assert_eq!(
        reason(|_, b| b.crosslinks[0].header.epoch += 1),
        LinkFault::WrongEpoch
    );
    assert_eq!(
        reason(|_, b| b.crosslinks[0].header.shard = ShardId(9)),
        LinkFault::NoOtherShard
    );
    assert_eq!(
        reason(|net, b| b.crosslinks.push(net.shards[0].crosslink().unwrap())),
        LinkFault::NoOtherShard
    );
}

#[test]
fn a_header_that_acknowledges_what_was_never_sent_is_refused() {
    let fault = body_fault(|net, b| {
        let mut header = net.shards[2].header.clone();
        header
            .received
            .push(crate::reference_node::types::ReceivedRecord {
                source: ShardId(0),
                next_sequence: 9,
                value: 0,
            });
        b.crosslinks[1] = crate::reference_node::types::CrossLink {
            certificate: net.certify(&header, &ALL),
            header,
        };
    });
    assert!(matches!(
        fault,
        BlockError::BadCrossLink {
            reason: LinkFault::Counters,
            ..
        }
    ));
}

#[test]
fn batches() {
    let reason = |change: fn(&mut Net, &mut Block)| match body_fault(change) {
        BlockError::BadBatch { reason, .. } => reason,
        other => panic!("refused for another reason: {other}"),
    };
    assert_eq!(
        reason(|_, b| b.incoming[0].receipts[0].amount += 1),
        LinkFault::WrongReceipts
    );
    assert_eq!(
        reason(|_, b| b.incoming[0].receipts[0].to = Address::ZERO),
        LinkFault::WrongReceipts
    );
    assert_eq!(
        reason(|_, b| b.incoming[0].receipts.reverse()),
        LinkFault::WrongReceipts
    );
    assert_eq!(
        reason(|_, b| b.incoming.push(b.incoming[0].clone())),
        LinkFault::OutOfOrder {
            expected: 1,
            found: 0
        }
    );
    assert_eq!(
        reason(|_, b| b.incoming[0].destination = ShardId(2)),
        LinkFault::OtherDestination
    );
    assert_eq!(
        reason(|_, b| b.incoming[0].certificate.signature = Signature::ZERO),
        LinkFault::Certificate(CertificateFault::Signature)
    );
    // Left out although the header counts it.
    assert_eq!(
        body_fault(|_, b| b.incoming.clear()),
        BlockError::WrongReceipts
    );
}

#[test]
fn transactions() {
    let reason = |change: fn(&mut Net, &mut Block)| match body_fault(change) {
        BlockError::BadTransaction { reason, .. } => reason,
        other => panic!("refused for another reason: {other}"),
    };
    use TransactionError as Reason;
    assert_eq!(
        reason(|_, b| b.transactions[0].amount += 1),
        Reason::BadSignature
    );
    assert_eq!(
        reason(|_, b| b.transactions[0].to = Address::ZERO),
        Reason::BadSignature
    );
    assert_eq!(
        reason(|_, b| b.transactions.push(b.transactions[0].clone())),
        Reason::NonceTooLow {
            expected: 2,
            found: 0
        }
    );
    assert_eq!(
        reason(|_, b| b.transactions.swap(0, 1)),
        Reason::NonceTooHigh {
            expected: 0,
            found: 1
        }
    );
    assert_eq!(
        reason(|net, b| b.transactions[0] = net.transfer(1, 0, 0, 0, 5)),
        Reason::WrongShard
    );
    assert_eq!(
        reason(|net, b| b.transactions[0] = net.transfer(0, 0, 0, 9, 5)),
        Reason::UnknownShard
    );
    assert_eq!(
        reason(|net, b| b.transactions[0] = net.transfer(0, 0, 0, 0, 0)),
        Reason::ZeroAmount
    );
    assert!(matches!(
        reason(|net, b| b.transactions[0] = net.transfer(0, 0, 0, 0, u64::MAX)),
        Reason::InsufficientBalance { .. }
    ));
    // One that is missing shows in the receipts or in the state.
    assert_eq!(
        body_fault(|_, b| b.transactions.truncate(2)),
        BlockError::WrongReceipts
    );
    assert!(matches!(
        body_fault(|net, b| b.transactions[0] = net.transfer(0, 0, 0, 0, 4)),
        BlockError::WrongStateRoot { .. }
    ));
}

#[test]
fn bounds() {
    let many = body_fault(|_, b| {
        b.transactions = vec![b.transactions[0].clone(); Block::MAX_TRANSACTIONS + 1]
    });
    assert!(matches!(
        many,
        BlockError::TooMany {
            what: "transactions",
            ..
        }
    ));
    let many = body_fault(|_, b| b.incoming = vec![b.incoming[0].clone(); Block::MAX_INCOMING + 1]);
    assert!(matches!(
        many,
        BlockError::TooMany {
            what: "batches",
            ..
        }
    ));
    let many =
        body_fault(|_, b| b.crosslinks = vec![b.crosslinks[0].clone(); Block::MAX_CROSSLINKS + 1]);
    assert!(matches!(
        many,
        BlockError::TooMany {
            what: "crosslinks",
            ..
        }
    ));
    let large =
        body_fault(|_, b| b.incoming[0].receipts = vec![b.incoming[0].receipts[0].clone(); 5_000]);
    assert!(matches!(large, BlockError::TooMany { what: "bytes", .. }));
}

#[test]
fn a_final_block_is_executed_without_its_inner_signatures() {
    let (net, mut block) = scene();
    block.header.last_commit.as_mut().unwrap().signature = Signature::ZERO;
    let now_ms = block.header.timestamp_ms;
    assert!(net.check(0, &block, Check::Proposal { now_ms }).is_err());
    let state = net.check(0, &block, Check::Final);
    // The proof of the parent's batches holds the signature, so only a parent without batches leaves the root alone.
    assert!(state.is_ok());
    block.transactions[0].amount += 1;
    block.header.body_root = block.body_root();
    assert!(matches!(
        net.check(0, &block, Check::Final),
        Err(BlockError::WrongStateRoot { .. })
    ));
}
