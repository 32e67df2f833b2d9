//! What a detector says when it opens a finding.

use crate::{
    detect::finding::Severity,
    ids::{Height, NodeName, Seq, ShardId},
    time::Elapsed,
};

/// What a detector says when it opens a finding.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The kind's id.
    pub kind: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The shard, if it concerns one.
    pub shard: Option<ShardId>,
    /// The nodes it concerns.
    pub nodes: Vec<NodeName>,
    /// Since when.
    pub start: Elapsed,
    /// Heights.
    pub heights: Option<(Height, Height)>,
    /// One line for people.
    pub summary: String,
    /// Entries it rests on, oldest first; the entry at hand is added.
    pub evidence: Vec<Seq>,
    /// What came before it.
    pub causes: Vec<String>,
    /// The injected fault that excuses it.
    pub excused_by: Option<String>,
}

impl Opening {
    /// The least that a finding needs.
    #[must_use]
    pub fn new(kind: &'static str, severity: Severity, start: Elapsed, summary: String) -> Self {
        Self {
            kind,
            severity,
            shard: None,
            nodes: Vec::new(),
            start,
            heights: None,
            summary,
            evidence: Vec::new(),
            causes: Vec::new(),
            excused_by: None,
        }
    }

    /// About a shard.
    #[must_use]
    pub fn shard(mut self, shard: ShardId) -> Self {
        self.shard = Some(shard);
        self
    }

    /// About a node.
    #[must_use]
    pub fn node(mut self, node: &NodeName) -> Self {
        self.nodes.push(node.clone());
        self
    }

    /// Resting on these entries.
    #[must_use]
    pub fn resting_on(mut self, evidence: impl IntoIterator<Item = Seq>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Preceded by this.
    #[must_use]
    pub fn after(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(causes);
        self
    }
}
