//! What a detector concludes. A public interface: ids, JSON shape and severities are stable.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::causes::Cause;
use crate::{
    ids::{Height, NodeName, Seq, ShardId},
    time::{Elapsed, micros},
};

/// How bad a finding is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Within what a network must bear.
    Minor,
    /// Fails the default gate.
    Major,
    /// The incident, or on the way to it.
    Critical,
}

/// A conclusion with its evidence. Grows while it is open; identified by `id` within the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Short id, stable for the same journal: `st-1f3a`.
    pub id: String,
    /// What it is: `stall`, `disk-full`, ... (kebab-case, from the table of detectors).
    pub kind: String,
    /// How bad; may rise while it is open, never falls.
    pub severity: Severity,
    /// The shard, if it concerns one.
    pub shard: Option<ShardId>,
    /// The nodes it concerns.
    pub nodes: Vec<NodeName>,
    /// Since when the condition held (not when it was noticed).
    pub start: Elapsed,
    /// When it was noticed: the entry at which it opened.
    pub noticed: Elapsed,
    /// When it ended; `None` while it lasts.
    pub end: Option<Elapsed>,
    /// First and last height it concerns.
    pub heights: Option<(Height, Height)>,
    /// Wall duration up to its end, or to the last entry seen.
    #[serde(with = "micros")]
    pub duration: Duration,
    /// The same in mainnet time.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// One line for people.
    pub summary: String,
    /// Entries of the journal that it rests on.
    pub evidence: Vec<Seq>,
    /// The injected fault that excuses it, if one does.
    pub excused_by: Option<String>,
    /// The waiver that applies, if one does: its reason.
    pub waived: Option<String>,
    /// What came before it, oldest first, for people.
    pub causes: Vec<String>,
    /// What came before it on its nodes or in its shard, oldest first, with times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Cause>,
    /// When its severity last rose, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Elapsed>,
}

impl Finding {
    /// What it is and where, stable over runs and versions: `stall shard 1`. Moment, height and node differ from night to
    /// night although the bug is the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self.shard {
            Some(shard) => format!("{} shard {shard}", self.kind),
            None => self.kind.clone(),
        }
    }
}
