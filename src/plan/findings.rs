//! The ids that plans may name, with their default severities. Stable: plans, waivers and tickets refer to them.

use crate::detect::finding::Severity::{self, Critical, Info, Major, Minor};

/// Every finding id with the highest severity it has by default.
pub const FINDINGS: &[(&str, Severity)] = &[
    ("stall", Critical),
    ("slow-blocks", Major),
    ("never-started", Critical),
    ("no-recovery", Critical),
    ("cross-shard-stall", Critical),
    ("view-change-loop", Critical),
    ("view-change-storm", Major),
    ("leader-flapping", Major),
    ("no-leader", Critical),
    ("fork", Critical),
    ("height-regression", Critical),
    ("double-proposal", Critical),
    ("height-mismatch", Critical),
    ("state-mismatch", Critical),
    ("tx-not-included", Major),
    ("empty-blocks", Major),
    ("tx-lost", Critical),
    ("value-not-conserved", Critical),
    ("low-signers", Major),
    ("idle-validator", Major),
    ("node-lagging", Major),
    ("stuck-syncing", Major),
    ("disk-full", Major),
    ("inodes-full", Major),
    ("disk-error", Major),
    ("disk-read-only", Major),
    ("disk-hang", Major),
    ("slow-fsync", Minor),
    ("db-corruption", Critical),
    ("ghost-bytes", Major),
    ("unsynced-data", Major),
    ("disk-exhaustion-forecast", Major),
    ("crash", Major),
    ("crash-loop", Critical),
    ("oom-kill", Major),
    ("hung", Major),
    ("memory-growth", Major),
    ("fd-growth", Major),
    ("disk-growth", Major),
    ("cpu-creep", Major),
    ("log-flood", Major),
    ("block-time-creep", Major),
    ("commit-signatures-lost", Critical),
    ("invalid-announce", Major),
    ("new-log-template", Minor),
    ("log-template-vanished", Minor),
    ("log-template-storm", Minor),
    ("blind", Info),
    ("log-lines-lost", Info),
    ("fault-ineffective", Info),
    ("canary-overloaded", Info),
];

/// The default severity of a finding, `None` for an id that does not exist.
#[must_use]
pub fn severity(id: &str) -> Option<Severity> {
    FINDINGS
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, severity)| *severity)
}
