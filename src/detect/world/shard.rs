//! What is known of one shard.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::rates::Rates;
use crate::{
    ids::{Epoch, Height, Seq, ShardId, ViewId},
    plan::foreign::Quorum,
    time::{Elapsed, WallTime},
};

/// Hashes kept to recognise a fork that is told by a second block entry. A contradicting head needs none of them.
const HASHES: usize = 256;

/// The best block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Best {
    /// Its height.
    pub height: Height,
    /// When it arrived.
    pub at: Elapsed,
    /// The entry.
    pub seq: Seq,
    /// Its own time.
    pub time: Option<WallTime>,
    /// Its view.
    pub view: Option<ViewId>,
    /// Its epoch.
    pub epoch: Option<Epoch>,
    /// Its leader.
    pub leader: Option<Arc<str>>,
}

/// What the entry at hand added to the shard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NewBlock {
    /// Blocks added: 1 unless some were not seen one by one.
    pub blocks: u64,
    /// Time from the block before it, by the blocks' own clock where they have one, for all of `blocks` together.
    /// `None` for the first and where the canary did not look in between.
    pub interval: Option<Duration>,
    /// When the block before it arrived.
    pub previous: Option<Elapsed>,
    /// View changes it took.
    pub view_changes: u64,
    /// Whether another leader made it.
    pub turned: bool,
    /// Signers and committee it told of.
    pub signers: Option<(u32, u32)>,
}

/// What is known of one shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// Places of its nodes in the world.
    pub nodes: Vec<usize>,
    /// How much of the voting power must agree.
    pub quorum: Quorum,
    /// Voting power of all its validators.
    pub total_power: u64,
    /// Voting power of those that run.
    pub running_power: u64,
    /// First height and when it arrived.
    pub first: Option<(Height, Elapsed)>,
    /// The best block.
    pub best: Option<Best>,
    /// Last signers told.
    pub signers: Option<(u32, u32)>,
    /// What the entry at hand added.
    pub new_block: Option<NewBlock>,
    /// The last moment at which a node of it answered.
    pub answered_at: Option<Elapsed>,
    /// ... and the entry.
    pub answered_seq: Option<Seq>,
    /// Since when the canary sees nothing of it.
    pub unseen_since: Option<Elapsed>,
    /// Time since the last block in which nothing was seen.
    pub unseen: Duration,
    /// Windows do not look behind this moment.
    pub from: Elapsed,
    /// View changes at the height being agreed on.
    pub views_at_height: u64,
    /// ... of these, the ones before the validators that run were a quorum: nobody could have taken over.
    pub views_without_quorum: u64,
    /// Entries that showed them, newest last.
    pub view_evidence: Vec<Seq>,
    /// Since when no node takes itself for the leader.
    pub leaderless_since: Option<Elapsed>,
    /// When the running validators became a quorum again.
    pub quorum_since: Option<Elapsed>,
    /// Rates over the window.
    pub rates: Rates,
    hashes: VecDeque<(Height, Arc<str>)>,
    /// By how much the view grows from block to block without a view change: learned, 0 or 1.
    view_step: Option<u64>,
    /// The first view seen at the height being agreed on, where the best block does not tell its own.
    first_view: Option<ViewId>,
}

impl Shard {
    pub(super) fn new(id: ShardId, rate_window: Duration, quorum: Quorum) -> Self {
        Self {
            id,
            quorum,
            nodes: Vec::new(),
            total_power: 0,
            running_power: 0,
            first: None,
            best: None,
            signers: None,
            new_block: None,
            answered_at: None,
            answered_seq: None,
            unseen_since: None,
            unseen: Duration::ZERO,
            from: Elapsed::default(),
            views_at_height: 0,
            views_without_quorum: 0,
            view_evidence: Vec::new(),
            leaderless_since: None,
            quorum_since: None,
            rates: Rates::new(rate_window),
            hashes: VecDeque::new(),
            view_step: None,
            first_view: None,
        }
    }

    /// Whether the validators that run are a quorum.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.quorum.is_met(self.total_power, self.running_power)
    }

    /// Since when the shard is expected to make its next block: the arrival of the last one.
    #[must_use]
    pub fn gap_start(&self) -> Option<Elapsed> {
        self.best.as_ref().map(|best| best.at.max(self.from))
    }

    /// How long the canary has seen that no block comes; stretches in which it saw nothing do not count.
    #[must_use]
    pub fn seen_gap(&self, now: Elapsed) -> Option<Duration> {
        Some(now.since(self.gap_start()?).saturating_sub(self.unseen))
    }

    /// Windows begin anew now.
    pub(super) fn restart_windows(&mut self, now: Elapsed) {
        self.from = now;
        self.unseen = Duration::ZERO;
        self.leaderless_since = None;
        self.rates.restart(now);
    }

    /// The hash of this shard's block at this height, if it is remembered.
    #[must_use]
    pub fn known_hash(&self, height: Height) -> Option<&Arc<str>> {
        self.hash_at(height)
    }

    /// The hash known at this height.
    pub(super) fn hash_at(&self, height: Height) -> Option<&Arc<str>> {
        self.hashes
            .iter()
            .rev()
            .find(|(known, _)| *known == height)
            .map(|(_, hash)| hash)
    }

    pub(super) fn remember_hash(&mut self, height: Height, hash: &Arc<str>) {
        if self.hashes.len() == HASHES {
            self.hashes.pop_front();
        }
        self.hashes.push_back((height, hash.clone()));
    }

    /// A better block arrived.
    pub(super) fn advance_to(&mut self, best: Best, signers: Option<(u32, u32)>) {
        let (height, at) = (best.height, best.at);
        let mut new = NewBlock {
            blocks: 1,
            interval: None,
            previous: None,
            view_changes: 0,
            turned: false,
            signers,
        };
        if let Some(before) = &self.best {
            new.blocks = height.0.saturating_sub(before.height.0).max(1);
            new.previous = Some(before.at);
            let looked = before.at >= self.from && self.unseen.is_zero();
            new.interval = looked.then(|| interval(before, &best));
            new.turned =
                best.leader.is_some() && before.leader.is_some() && best.leader != before.leader;
            new.view_changes = match (before.view, best.view) {
                (Some(from), Some(to)) => {
                    let grown = to.0.saturating_sub(from.0);
                    let each = grown / new.blocks;
                    let step = self.view_step.map_or(each, |step| step.min(each)).min(1);
                    self.view_step = Some(step);
                    // A chain whose views jump for another reason must not look like a million view changes.
                    grown
                        .saturating_sub(step * new.blocks)
                        .min(new.blocks.saturating_mul(1000))
                }
                _ => self.views_at_height,
            };
        } else {
            self.first = Some((height, at));
        }
        if signers.is_some() {
            self.signers = signers;
        }
        self.best = Some(best);
        self.unseen = Duration::ZERO;
        self.views_at_height = 0;
        self.views_without_quorum = 0;
        self.view_evidence.clear();
        self.first_view = None;
        self.leaderless_since = None;
        self.new_block = Some(new);
    }

    /// This was the best block when the canary looked again. Nothing is measured of the blocks up to it.
    pub(super) fn was_at(&mut self, best: Best) {
        if self.first.is_none() {
            self.first = Some((best.height, best.at));
        }
        self.best = Some(best);
        self.views_at_height = 0;
        self.views_without_quorum = 0;
        self.view_evidence.clear();
        self.first_view = None;
        self.leaderless_since = None;
    }

    /// The next block has been waited for since this moment, and all of that was seen.
    pub(super) fn waits_since(&mut self, at: Elapsed) {
        self.from = at;
        self.unseen = Duration::ZERO;
    }

    /// The view that at least two of the validators (or the only one that answers) want at the next height.
    pub(super) fn wanted(&mut self, view: ViewId, seq: Seq) {
        let base = match (&self.best, self.view_step) {
            (
                Some(Best {
                    view: Some(view), ..
                }),
                Some(step),
            ) => view.0.saturating_add(step),
            _ => self.first_view.get_or_insert(view).0,
        };
        let changes = view.0.saturating_sub(base);
        if changes > self.views_at_height {
            self.views_at_height = changes;
            if self.view_evidence.len() == 8 {
                self.view_evidence.remove(0);
            }
            self.view_evidence.push(seq);
        }
    }
}

/// Time between two blocks: their own clock tells it to the millisecond; arrival is late by up to a poll.
fn interval(before: &Best, after: &Best) -> Duration {
    let arrival = after.at.since(before.at);
    match (before.time, after.time) {
        (Some(from), Some(to)) => {
            let chain = Duration::from_millis(to.0.saturating_sub(from.0));
            // The chain's clock is somebody else's word: far from the arrival it is not believed.
            if chain <= arrival + Duration::from_secs(2) {
                chain
            } else {
                arrival
            }
        }
        _ => arrival,
    }
}
