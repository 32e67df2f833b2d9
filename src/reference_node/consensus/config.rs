//! The clocks of one node's consensus, and who it is.

use super::messages::Micros;
use crate::reference_node::defects::Defects;
use crate::reference_node::log;
use crate::reference_node::types::NodeId;

/// What the core is told once.
#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    /// This node.
    pub node: NodeId,
    /// Time between two proposals, B.
    pub interval: Micros,
    /// Patience with the first view of a height, V; every failed view adds as much again.
    pub view_change_timeout: Micros,
    /// Longest patience with a view, V_max.
    pub view_change_timeout_max: Micros,
    /// Pause before anything that is waited for is asked for again. Default: max(B, V / 4).
    pub retry_interval: Micros,
    /// Pause between two words of a silent shard on where it stands, by which a node that fell behind learns of it.
    /// Default: V.
    pub sync_interval: Micros,
    /// Wall time in milliseconds since 1970 at `Micros` 0. Only block timestamps use it.
    pub wall_origin_ms: u64,
    /// Lines below this level are not even made.
    pub log_level: log::Level,
    /// Bugs that are switched on: none in a healthy node.
    pub defects: Defects,
}

impl ConsensusConfig {
    /// Pause before a repetition.
    pub(super) fn retry(&self) -> Micros {
        self.retry_interval.max(1)
    }

    /// Pause before a failed write is tried again. Failing costs the store an attempt to reopen, and a block that
    /// waits for room should not wait much longer than the room does.
    pub(super) fn write_retry(&self) -> Micros {
        self.retry().min(100_000)
    }

    /// How long the leader waits for more commit signatures than a quorum. Short enough that a missing validator
    /// costs nothing: the next proposal is due only after a whole interval.
    ///
    /// After the last block of an epoch another node leads, and votes that come later than this are lost for it.
    pub(super) fn grace(&self, last_of_epoch: bool) -> Micros {
        if last_of_epoch {
            self.interval / 4
        } else {
            self.interval / 8
        }
    }

    /// Patience with a view, by the number of views that failed before it at this height.
    pub(super) fn patience(&self, failed_views: u64) -> Micros {
        let patience = self
            .view_change_timeout
            .saturating_mul(failed_views.saturating_add(1));
        patience
            .min(self.view_change_timeout_max.max(self.view_change_timeout))
            .max(1)
    }

    /// How long a fresh start waits for the rest of the committee once a quorum is linked.
    pub(super) fn gathering(&self) -> Micros {
        (2 * self.interval).min(self.view_change_timeout / 2)
    }

    /// Wall time of `now`.
    pub(super) fn wall_ms(&self, now: Micros) -> u64 {
        self.wall_origin_ms.saturating_add(now / 1_000)
    }
}
