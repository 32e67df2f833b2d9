//! What a detector is, and the table of all of them.

use crate::{
    detect::{
        finding::Severity,
        findings::{Findings, Handle},
        world::World,
    },
    journal::Entry,
};

/// A pure state machine over the journal.
pub trait Detector: Send {
    /// Looks at one entry, which `world` already holds. "Now" is `world.now`.
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings);
}

/// A line of the table: everything that names a detector follows from it.
#[derive(Clone, Copy)]
pub struct DetectorInfo {
    /// Id of its findings, stable.
    pub id: &'static str,
    /// The worst severity that it opens or raises to.
    pub severity: Severity,
    /// One line for people.
    pub summary: &'static str,
    /// Makes one.
    pub build: fn() -> Box<dyn Detector>,
}

macro_rules! detectors {
    ($($id:literal, $severity:ident, $module:ident, $summary:literal;)*) => {
        /// All detectors, in the order in which they look at an entry: what explains others comes first.
        pub const DETECTORS: &[DetectorInfo] = &[
            $(DetectorInfo {
                id: $id,
                severity: Severity::$severity,
                summary: $summary,
                build: || Box::<super::$module::Watch>::default(),
            },)*
        ];
    };
}

detectors! {
    "oom-kill", Major, oom_kill, "the kernel ended a node's process for memory";
    "crash", Major, crash, "a node's process ended";
    "crash-loop", Critical, crash_loop, "a node ends again and again";
    "disk-full", Major, disk_full, "a node's writes fail for want of room";
    "disk-error", Major, disk_error, "a node's storage fails";
    "disk-read-only", Major, disk_read_only, "a node's file system turned read-only";
    "inodes-full", Major, inodes_full, "a node's file system has no more inodes";
    "ghost-bytes", Major, ghost_bytes, "disk space is used by files that nobody can see";
    "db-corruption", Critical, db_corruption, "a node finds its own data damaged";
    "commit-signatures-lost", Critical, commit_signatures_lost, "a leader cannot propose: the last commit signatures are gone";
    "invalid-announce", Major, invalid_announce, "a leader's announcement was refused";
    "fork", Critical, fork, "two blocks at one height";
    "height-regression", Critical, height_regression, "a node's head went back";
    "never-started", Critical, never_started, "a shard never made a block";
    "stall", Critical, stall, "a shard makes no block";
    "no-recovery", Critical, no_recovery, "a shard does not come back after a fault was healed";
    "view-change-loop", Critical, view_change_loop, "views advance, the height does not";
    "no-leader", Critical, no_leader, "no node of a shard leads while no block comes";
    "view-change-storm", Major, view_change_storm, "too many blocks need a view change";
    "slow-blocks", Major, slow_blocks, "blocks come slower than asked for";
    "low-signers", Major, low_signers, "too few of the committee sign";
    "hung", Major, hung, "a node runs and answers nothing";
    "node-lagging", Major, node_lagging, "a node is behind its shard";
    "stuck-syncing", Major, stuck_syncing, "a node does not leave sync mode";
    "fault-ineffective", Info, fault_ineffective, "an injected fault had no effect, or could not be healed";
    "blind", Info, blind, "the canary lost sight";
    "log-lines-lost", Info, log_lines_lost, "log lines were lost before they were read";
    "canary-overloaded", Info, canary_overloaded, "the canary exceeds its own budget";
}

/// Open findings by place (of a shard or a node).
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<Option<Handle>>);

impl Slots {
    /// The open finding at this place.
    pub fn get(&self, place: usize) -> Option<Handle> {
        self.0.get(place).copied().flatten()
    }

    /// Whether one is open.
    pub fn any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// A finding was opened at this place.
    pub fn put(&mut self, place: usize, handle: Handle) {
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(handle);
    }

    /// It is over.
    pub fn take(&mut self, place: usize) -> Option<Handle> {
        self.0.get_mut(place).and_then(Option::take)
    }
}

/// Places of shards to look at now: all at a pulse, else the one that the entry is about.
pub(super) fn shards_at(world: &World) -> std::ops::Range<usize> {
    match (world.pulse, world.touched_shard) {
        (true, _) => 0..world.shards.len(),
        (false, Some(shard)) => shard..shard + 1,
        (false, None) => 0..0,
    }
}

/// Places of nodes to look at now: all at a pulse, else the one that the entry is about.
pub(super) fn nodes_at(world: &World) -> std::ops::Range<usize> {
    match (world.pulse, world.touched_node) {
        (true, _) => 0..world.nodes.len(),
        (false, Some(node)) => node..node + 1,
        (false, None) => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_detector_can_be_built() {
        let mut ids: Vec<_> = DETECTORS.iter().map(|detector| detector.id).collect();
        for detector in DETECTORS {
            let _ = (detector.build)();
            assert!(!detector.summary.is_empty());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), DETECTORS.len());
    }

    #[test]
    fn every_detector_is_documented_under_four_headings() {
        for detector in DETECTORS {
            let path = format!(
                "{}/src/detect/{}.rs",
                env!("CARGO_MANIFEST_DIR"),
                detector.id.replace('-', "_")
            );
            let text = std::fs::read_to_string(&path).unwrap();
            for heading in [
                "//! # What it reports",
                "//! # Why it matters",
                "//! # Evidence",
                "//! # When it stays quiet",
            ] {
                assert!(text.contains(heading), "{path}: {heading}");
            }
        }
    }
}
