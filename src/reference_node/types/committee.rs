//! The validators that decide on a shard for one epoch.

use super::{Bitmap, Epoch, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// A seat in a committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The validator.
    pub node: NodeId,
    /// Its voting power.
    pub power: u64,
}

/// The ordered seats of a shard for one epoch. Positions are what bitmaps count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// The seats, in order of leadership.
    pub members: Vec<Member>,
}

impl Committee {
    /// Number of seats, at least 1.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody sits in it, which no committee from genesis is.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The position of a node, if it has a seat.
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.members.iter().position(|member| member.node == node)
    }

    /// The node at a position, counted round and round.
    pub fn at(&self, position: u64) -> NodeId {
        self.members[(position % self.members.len() as u64) as usize].node
    }

    /// The nodes of a set of signers. Positions outside the committee are left out.
    pub fn nodes<'a>(&'a self, signers: &'a Bitmap) -> impl Iterator<Item = NodeId> + 'a {
        signers
            .positions()
            .filter_map(|position| self.members.get(position))
            .map(|member| member.node)
    }

    /// The voting power of all seats.
    pub fn total_power(&self) -> u64 {
        self.members.iter().map(|member| member.power).sum()
    }

    /// The voting power of a set of signers.
    pub fn power(&self, signers: &Bitmap) -> u64 {
        signers
            .positions()
            .filter_map(|position| self.members.get(position))
            .map(|member| member.power)
            .sum()
    }

    /// Whether this power is a quorum: strictly more than two thirds.
    pub fn is_quorum(&self, power: u64) -> bool {
        u128::from(power) * 3 > u128::from(self.total_power()) * 2
    }

    /// Whether this power must contain an honest vote when less than a third is not honest: at least a third.
    pub fn has_honest(&self, power: u64) -> bool {
        u128::from(power) * 3 >= u128::from(self.total_power())
    }
}
