//! Whatever bytes arrive, decoding and judging them answers and never panics.

use super::harness::{ALL, Net};
use crate::reference_node::chain::{ChainState, Check, Payload, StateChanges, StateRow};
use crate::reference_node::crypto::{Crypto, Domain};
use crate::reference_node::genesis::GenesisConfig;
use crate::reference_node::types::{
    Bitmap, Block, Certificate, Committee, CrossLink, DecodeError, Header, NodeId, ReceiptBatch,
    ShardId, Signature, Transaction, VotePayload, decode, encode,
};
use proptest::prelude::*;
use std::sync::OnceLock;

const LIMIT: usize = Block::MAX_BYTES;

struct Samples {
    net: Net,
    block: Block,
    rows: Vec<StateRow>,
}

/// A block with something of everything, made once.
fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut net = Net::new(3);
        let transactions = vec![net.transfer(1, 0, 0, 0, 50), net.transfer(1, 0, 1, 2, 5)];
        let incoming = net.advance(
            1,
            &Payload {
                transactions,
                ..Payload::default()
            },
            &ALL,
        );
        let crosslinks = vec![net.shards[1].crosslink().unwrap()];
        let transactions = vec![net.transfer(0, 0, 0, 1, 5), net.transfer(0, 1, 0, 0, 5)];
        let built = net.build(
            0,
            &Payload {
                transactions,
                incoming,
                crosslinks,
            },
        );
        let (block, rows) = (built.block.clone(), built.state.rows().collect());
        Samples { net, block, rows }
    })
}

/// Reads the bytes as everything that comes from outside and judges what can be read.
fn judge(bytes: &[u8]) {
    let Samples { net, .. } = samples();
    let state = &net.shards[0].state;
    if let Ok(block) = decode::<Block>(bytes, LIMIT) {
        let _ = net.check(0, &block, Check::Proposal { now_ms: 1_000 });
        let _ = net.check(0, &block, Check::Final);
        let _ = net
            .rules()
            .check_commit(&block.header, &net.certify(&net.shards[0].header, &ALL));
    }
    if let Ok(header) = decode::<Header>(bytes, LIMIT) {
        let certificate = net.certify(&net.shards[0].header, &ALL);
        let _ = (
            state.wants_crosslink(&header),
            state.fresh_batches(&header, &certificate),
        );
        let _ = net.rules().check_commit(&header, &certificate);
    }
    if let Ok(batch) = decode::<ReceiptBatch>(bytes, LIMIT) {
        let _ = (
            state.wants_batch(&batch),
            net.rules().check_batch(&batch).is_ok(),
        );
    }
    if let Ok(link) = decode::<CrossLink>(bytes, LIMIT) {
        let _ = (
            state.wants_crosslink(&link.header),
            net.rules().check_crosslink(&link).is_ok(),
        );
    }
    if let Ok(transaction) = decode::<Transaction>(bytes, LIMIT) {
        let _ = (
            state.check_transaction(&transaction, 3).is_ok(),
            transaction.signature_is_valid(),
        );
    }
    if let Ok(certificate) = decode::<Certificate>(bytes, LIMIT) {
        let _ = net
            .rules()
            .check_commit(&net.shards[1].header, &certificate);
    }
    let _ = decode::<ChainState>(bytes, LIMIT).is_ok();
    let _ = decode::<StateChanges>(bytes, LIMIT).is_ok();
    let _ = decode::<VotePayload>(bytes, LIMIT).is_ok();
    let _ = decode::<Committee>(bytes, LIMIT).map(|committee| committee.total_power());
    let _ = decode::<GenesisConfig>(bytes, LIMIT).is_ok();
    if let Ok(bitmap) = decode::<Bitmap>(bytes, LIMIT) {
        let committee = net.genesis.committee(ShardId(0), 0);
        let _ = (
            bitmap.fits(4),
            committee.power(&bitmap),
            committee.nodes(&bitmap).count(),
        );
    }
    let _ = std::str::from_utf8(bytes).map(|text| {
        (
            text.parse::<NodeId>().is_ok(),
            text.parse::<Signature>().is_ok(),
        )
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        judge(&bytes);
    }

    #[test]
    fn damaged_values(which in 0_usize..8, damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let Samples { block, .. } = samples();
        let mut bytes = match which {
            0 => encode(&block.header),
            1 => encode(&block.incoming[0]),
            2 => encode(&block.crosslinks[0]),
            3 => encode(&block.transactions[0]),
            4 => encode(&block.crosslinks[0].certificate),
            _ => encode(block),
        };
        for (position, value) in damage {
            let position = usize::from(position) % bytes.len();
            bytes[position] = value;
        }
        judge(&bytes);
    }

    #[test]
    fn damaged_rows(row in any::<u16>(), position in any::<u16>(), value in any::<u8>(), key in any::<bool>()) {
        let mut rows = samples().rows.clone();
        let row = usize::from(row) % rows.len();
        let bytes = if key { &mut rows[row].0 } else { &mut rows[row].1 };
        let position = usize::from(position) % bytes.len();
        bytes[position] = value;
        let _ = ChainState::from_rows(ShardId(0), rows).map(|state| (state.in_flight(), state.root()));
    }

    #[test]
    fn real_signatures(bytes in prop::collection::vec(any::<u8>(), 96..=96), flags in any::<u8>()) {
        static BLS: OnceLock<crate::reference_node::crypto::Bls> = OnceLock::new();
        let Samples { net, block, .. } = samples();
        let bls = BLS.get_or_init(|| net.genesis.bls(NodeId::new(0, 0)).unwrap());
        let mut signature = Signature(bytes.try_into().unwrap());
        signature.0[0] = (signature.0[0] & 0x1f) | (flags & 0xe0);
        prop_assert!(!bls.verify(NodeId::new(0, 1), Domain::Link, b"hello", &signature));
        let mut certificate = block.crosslinks[0].certificate.clone();
        certificate.signature = signature;
        let committee = net.genesis.committee(ShardId(1), block.crosslinks[0].header.epoch);
        prop_assert!(!bls.verify_certificate(&committee, &certificate));
        let _ = bls.aggregate(&[signature, bls.sign(Domain::Vote, b"x")]);
    }
}

#[test]
fn lengths_are_bounded_and_exact() {
    let Samples { block, .. } = samples();
    let mut bytes = encode(&block.header);
    assert_eq!(
        decode::<Header>(&bytes, bytes.len() - 1),
        Err(DecodeError::TooLarge {
            size: bytes.len(),
            limit: bytes.len() - 1
        })
    );
    assert_eq!(decode::<Header>(&bytes, LIMIT).unwrap(), block.header);
    bytes.push(0);
    assert_eq!(
        decode::<Header>(&bytes, LIMIT),
        Err(DecodeError::Trailing(1))
    );
    // A length prefix of an exabyte with nothing behind it must not reserve memory.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(decode::<Vec<StateRow>>(&huge, LIMIT).is_err());
}
