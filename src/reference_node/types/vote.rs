//! Votes, the set of signers, and the certificate that a quorum of votes makes.

use super::{Hash, Height, ShardId, Signature, View};
use serde::{Deserialize, Serialize};

/// The two rounds of votes on a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// "I have checked this block." A quorum of these locks it.
    Prepare,
    /// "I have durably locked this block." A quorum of these is final.
    Commit,
}

/// What a vote signs. Everything that tells two votes apart is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VotePayload {
    /// The round.
    pub phase: Phase,
    /// The shard.
    pub shard: ShardId,
    /// The height of the block.
    pub height: Height,
    /// The view in which the vote is given; the block may come from an earlier one.
    pub view: View,
    /// The block.
    pub block: Hash,
}

impl VotePayload {
    /// The bytes to sign, under `Domain::Vote`.
    pub fn signing_bytes(&self) -> Vec<u8> {
        super::encode(self)
    }
}

/// A set of committee positions, least significant bit of the first byte first, as Harmony writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitmap(Vec<u8>);

impl Bitmap {
    /// The empty set among `members` positions.
    pub fn new(members: usize) -> Self {
        Bitmap(vec![0; members.div_ceil(8)])
    }

    /// Adds a position; one outside the committee is ignored.
    pub fn insert(&mut self, position: usize) {
        if let Some(byte) = self.0.get_mut(position / 8) {
            *byte |= 1 << (position % 8);
        }
    }

    /// Whether the position is in the set.
    pub fn contains(&self, position: usize) -> bool {
        self.0
            .get(position / 8)
            .is_some_and(|byte| byte & (1 << (position % 8)) != 0)
    }

    /// The positions in the set, ascending.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 8).filter(|position| self.contains(*position))
    }

    /// How many positions are in the set.
    pub fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether it has the one form that a set among `members` positions has: right length, no bit beyond the end.
    pub fn fits(&self, members: usize) -> bool {
        self.0.len() == members.div_ceil(8) && self.positions().all(|position| position < members)
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A quorum's votes on one payload: a prepare certificate or a commit certificate.
///
/// It proves itself only together with the committee of its shard and epoch; `Crypto::verify_certificate` checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// What was signed.
    pub payload: VotePayload,
    /// Who signed, by committee position.
    pub signers: Bitmap,
    /// The aggregate of their signatures.
    pub signature: Signature,
}
