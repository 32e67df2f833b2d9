//! A member that lies: what it says is spoilt in one of many ways before it leaves.

use std::sync::Arc;

use super::chance::Chance;
use crate::reference_node::consensus::Message;
use crate::reference_node::types::{Block, Certificate, Hash};

/// Spoils a message, in most cases.
pub(super) fn spoil(message: &Message, chance: &mut Chance) -> Message {
    let mut message = message.clone();
    if chance.percent(40) {
        return message;
    }
    match &mut message {
        Message::Announce(proposal) => match chance.index(3) {
            0 => proposal.view = number(proposal.view, chance),
            1 => proposal.height = number(proposal.height, chance),
            _ => proposal.block = other_block(&proposal.block, chance),
        },
        Message::Prepare(vote) | Message::Commit(vote) => match chance.index(4) {
            0 => vote.view = number(vote.view, chance),
            1 => vote.height = number(vote.height, chance),
            2 => vote.block_hash = Hash::of(&[&chance.next().to_be_bytes()]),
            _ => vote.signature.0[chance.index(8)] ^= 1,
        },
        Message::Prepared { certificate, block } | Message::Committed { certificate, block } => {
            match chance.index(3) {
                0 => spoil_certificate(certificate, chance),
                1 => *block = None,
                _ => *block = block.as_ref().map(|block| other_block(block, chance)),
            }
        }
        Message::ViewChange { vote, block } => match chance.index(4) {
            0 => vote.view = number(vote.view, chance),
            1 => vote.height = number(vote.height, chance),
            2 => vote.prepared = None,
            _ => *block = block.as_ref().map(|block| other_block(block, chance)),
        },
        Message::NewView(new_view) => match chance.index(3) {
            0 => new_view.votes.truncate(1),
            1 => new_view.view = number(new_view.view, chance),
            _ => new_view.block = other_block(&new_view.block, chance),
        },
        Message::Status(status) => status.height = number(status.height, chance),
        Message::BlocksRequest { from, count } => {
            *from = number(*from, chance);
            *count = u32::MAX;
        }
        Message::Blocks(blocks) => {
            blocks.reverse();
            blocks.truncate(chance.index(4));
        }
        Message::Pruned { oldest } => *oldest = number(*oldest, chance),
        Message::SnapshotRequest => {}
        Message::Snapshot(snapshot) => {
            snapshot.rows.pop();
        }
        Message::BodyRequest { height, .. } => *height = number(*height, chance),
        Message::Body(block) => *block = other_block(block, chance),
    }
    message
}

/// Another number: near, far, or at the end of the type.
fn number(value: u64, chance: &mut Chance) -> u64 {
    match chance.index(4) {
        0 => value.saturating_add(1),
        1 => value.saturating_sub(1),
        2 => value.saturating_add(chance.between(2, 1_000)),
        _ => u64::MAX,
    }
}

fn other_block(block: &Block, chance: &mut Chance) -> Arc<Block> {
    let mut block = block.clone();
    match chance.index(6) {
        // Good blocks both: the liar proposes one to some and the other to others.
        0..=2 => block.header.timestamp_ms += 1,
        3 => block.header.state_root = Hash::ZERO,
        4 => block.header.height = number(block.header.height, chance),
        _ => {
            if let Some(certificate) = &mut block.header.last_commit {
                spoil_certificate(certificate, chance);
            }
        }
    }
    Arc::new(block)
}

fn spoil_certificate(certificate: &mut Certificate, chance: &mut Chance) {
    match chance.index(4) {
        0 => certificate.signature.0[chance.index(8)] ^= 1,
        1 => certificate.signers.insert(chance.index(8)),
        2 => certificate.payload.view = number(certificate.payload.view, chance),
        _ => certificate.payload.block = Hash::of(&[&chance.next().to_be_bytes()]),
    }
}
