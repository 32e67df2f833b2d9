//! What the watcher saw of a shard while no process of the canary was attached to the run.
//!
//! The run's clock stood still meanwhile, so what happened then has no times of its own: it is one fact a shard, with
//! the spans that count. The watcher measured them by its own clock, and wrote each observation into a bounded spool.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Epoch, Height, ShardId, ViewId},
    time::{WallTime, micros},
};

/// A hand-over takes this long at most, and the last entry of an owner that was killed is as old: what is not watched of
/// less than this is no gap.
pub const HAND_OVER: Duration = Duration::from_secs(2);

/// A shard while nobody was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unattended {
    /// The shard.
    pub shard: ShardId,
    /// How long the watcher watched without an owner.
    #[serde(with = "micros")]
    pub watched: Duration,
    /// How much of the time without an owner it did not watch: it had not been started, had ended, or stood still.
    #[serde(with = "micros", default, skip_serializing_if = "Duration::is_zero")]
    pub unwatched: Duration,
    /// Observations that found no room in the spool or could not be read again, of all shards; the oldest go first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Blocks that were seen then; no other entry tells of them.
    pub blocks: u64,
    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<NewestBlock>,
    /// The longest wait for one of them, time in which no node answered left out unless the blocks' own times tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<Wait>,
    /// How long the next block has been waited for already, by what was seen; zero where the newest one is not known.
    #[serde(with = "micros", default, skip_serializing_if = "Duration::is_zero")]
    pub waiting: Duration,
}

/// The newest block of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestBlock {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Arc<str>,
    /// Its view, where the chain tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewId>,
    /// Its epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Who proposed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Arc<str>>,
    /// Its own time, where that has millisecond precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<WallTime>,
}

/// A wait for a block that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// How long.
    #[serde(with = "micros")]
    pub lasted: Duration,
    /// Height of the block after which it began.
    pub after: Height,
    /// Height of the block that ended it.
    pub until: Height,
}

impl Unattended {
    /// Whether nothing of the time without an owner is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.dropped == 0 && self.unwatched <= HAND_OVER
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
