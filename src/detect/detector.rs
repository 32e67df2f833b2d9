//! What a detector is, and the table of all of them.

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        finding::Severity,
        findings::{Findings, Handle},
        judgement::Source,
        kept::Kept,
        world::World,
    },
    journal::{Entry, Event},
};

/// A pure state machine over the journal. Its state can be kept: it derives `Serialize` and `Deserialize`.
pub trait Detector: Send + Kept {
    /// Looks at one entry, which `world` already holds. "Now" is `world.now`.
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings);

    /// Where what it judges comes from: a stretch in which one of these was not seen is none that it has judged.
    fn needs(&self) -> &'static [Source] {
        &[Source::Chain]
    }

    /// The entries that it is to look at. A detector that leaves some out is not called for them: most entries concern
    /// few detectors, and a month has a hundred million.
    fn wants(&self) -> Wants {
        Wants::ALL
    }
}

/// Classes of entries, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants(u16);

impl Wants {
    /// Changes of containers.
    pub const CONTAINERS: Self = Self(1);
    /// Changes of probes.
    pub const PROBES: Self = Self(1 << 1);
    /// Classified log lines.
    pub const LOGS: Self = Self(1 << 2);
    /// Counts of log lines and of their forms.
    pub const COUNTS: Self = Self(1 << 3);
    /// What watching costs.
    pub const COSTS: Self = Self(1 << 4);
    /// Where nodes stand. Where blocks are thinned it may be the first that tells of one.
    pub const HEADS: Self = Self(1 << 5);
    /// A block that moves its shard's head and contradicts nothing, while no finding is open: there is nothing to close.
    const QUIET_BLOCKS: Self = Self(1 << 6);
    /// All other blocks, heads that contradict, and what came while nobody was attached.
    pub const LOUD_BLOCKS: Self = Self(1 << 7);
    /// All blocks.
    pub const BLOCKS: Self = Self(Self::QUIET_BLOCKS.0 | Self::LOUD_BLOCKS.0);
    /// Whatever may move a shard's head.
    pub const CHAIN: Self = Self(Self::BLOCKS.0 | Self::HEADS.0);
    /// A sample of a node whose disk has room, answers and can be written, while no finding is open.
    const QUIET_SAMPLES: Self = Self(1 << 8);
    /// All other samples.
    pub const LOUD_SAMPLES: Self = Self(1 << 9);
    /// All samples of nodes.
    pub const SAMPLES: Self = Self(Self::QUIET_SAMPLES.0 | Self::LOUD_SAMPLES.0);
    /// What nodes tell of themselves in figures.
    pub const FIGURES: Self = Self(1 << 10);
    /// What they hold after a block.
    pub const LEDGERS: Self = Self(1 << 11);
    /// All others: rare, but for ticks.
    pub const OTHERS: Self = Self(1 << 12);
    /// A pulse at which all nodes are seen to be well, while no finding is open.
    const QUIET_PULSE: Self = Self(1 << 13);
    /// All other pulses.
    pub const LOUD_PULSE: Self = Self(1 << 14);
    /// Whatever the entry is: so much time has passed that timers are to be looked at.
    pub const PULSE: Self = Self(Self::QUIET_PULSE.0 | Self::LOUD_PULSE.0);
    /// Whatever the entry is: a window of a series that may grow was completed, or the series began anew.
    pub const TREND: Self = Self(1 << 15);
    /// All entries.
    pub const ALL: Self = Self(u16::MAX);
    /// None of them.
    pub(super) const NONE: Self = Self(0);

    /// Every class without and with a pulse and a trend, in the order of [`Self::class`].
    pub(super) fn classes() -> impl Iterator<Item = Self> {
        let pulses = [Self::NONE, Self::QUIET_PULSE, Self::LOUD_PULSE];
        let marks = [Self::NONE, Self::TREND]
            .into_iter()
            .flat_map(move |trend| pulses.map(|pulse| trend | pulse));
        (0..=Self::OTHERS.0.trailing_zeros())
            .flat_map(move |class| marks.clone().map(move |mark| Self(1 << class) | mark))
    }

    /// The number of the class of the entry at hand, which `world` already holds. `at_rest`: no finding is open.
    #[inline]
    pub(super) fn class(event: &Event, world: &World, at_rest: bool) -> usize {
        let quiet = at_rest
            && match event {
                Event::Block { .. } => {
                    let shard = world.touched_shard.map(|place| &world.shards[place]);
                    world.contradiction.is_none() && shard.is_some_and(|of| of.new_block.is_some())
                }
                Event::Sample(sample) => {
                    let node = world.touched_node.map(|place| &world.nodes[place]);
                    sample.stuck == 0
                        && !sample.read_only
                        && node.is_some_and(|node| node.disk.full_since.is_none())
                }
                _ => false,
            };
        let pulse = match (world.pulse, at_rest && world.all_well) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        let trend = usize::from(world.trends.any_changed());
        Self::place(event, quiet) * Self::MARKS + trend * 3 + pulse
    }

    /// Kinds of pulses and trends together.
    const MARKS: usize = 6;

    /// Place of an entry's class, as far as it follows from the entry alone.
    pub(super) fn plain_class(event: &Event) -> usize {
        Self::place(event, false) * Self::MARKS
    }

    fn place(event: &Event, quiet: bool) -> usize {
        Self::of(event, quiet).0.trailing_zeros() as usize
    }

    /// An entry's class, without a pulse and a trend.
    fn of(event: &Event, quiet: bool) -> Self {
        match event {
            Event::Block { .. } if quiet => Self::QUIET_BLOCKS,
            Event::Block { .. } | Event::Head { .. } | Event::Unattended(_) => Self::LOUD_BLOCKS,
            Event::Heads { .. } => Self::HEADS,
            Event::Sample(_) if quiet => Self::QUIET_SAMPLES,
            Event::Sample(_) => Self::LOUD_SAMPLES,
            Event::Log { .. } => Self::LOGS,
            Event::LogCount { .. } | Event::TemplateCounts { .. } => Self::COUNTS,
            Event::Figures(_) => Self::FIGURES,
            Event::Ledger(_) => Self::LEDGERS,
            Event::Container { .. } => Self::CONTAINERS,
            Event::ProbeAnswered { .. } | Event::ProbeFailed { .. } => Self::PROBES,
            Event::Cost(_) => Self::COSTS,
            _ => Self::OTHERS,
        }
    }

    /// Whether the two have a class in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Wants {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A line of the table: everything that names a detector follows from it.
#[derive(Clone, Copy)]
pub struct DetectorInfo {
    /// Id of its findings, stable.
    pub id: &'static str,
    /// Version of canarynet that it came with: in a plan that was made for an older one its findings only warn.
    pub since: &'static str,
    /// The worst severity that it opens or raises to.
    pub severity: Severity,
    /// One line for people.
    pub summary: &'static str,
    /// Its file, whose documentation is what people are told.
    pub source: &'static str,
    /// Makes one.
    pub build: fn() -> Box<dyn Detector>,
}

macro_rules! detectors {
    ($($since:literal => { $($id:literal, $severity:ident, $module:ident, $summary:literal;)* })*) => {
        /// All detectors, in the order in which they look at an entry: what explains others comes first.
        pub const DETECTORS: &[DetectorInfo] = &[
            $($(DetectorInfo {
                id: $id,
                since: $since,
                severity: Severity::$severity,
                summary: $summary,
                source: include_str!(concat!(stringify!($module), ".rs")),
                build: || Box::<super::$module::Watch>::default(),
            },)*)*
        ];
    };
}

// One group a version, the newest last: a new detector goes into the group of the version that it comes with.
detectors! {
"0.1.0" => {
    "oom-kill", Major, oom_kill, "the kernel ended a node's process for memory";
    "crash", Major, crash, "a node's process ended";
    "crash-loop", Critical, crash_loop, "a node ends again and again";
    "disk-full", Major, disk_full, "a node's writes fail for want of room";
    "disk-error", Major, disk_error, "a node's storage fails";
    "disk-read-only", Major, disk_read_only, "a node's file system turned read-only";
    "disk-hang", Major, disk_hang, "a node's disk does not answer";
    "slow-fsync", Minor, slow_fsync, "a node's disk takes long to make writes durable";
    "inodes-full", Major, inodes_full, "a node's file system has no more inodes";
    "ghost-bytes", Major, ghost_bytes, "disk space is used by files that nobody can see";
    "db-corruption", Critical, db_corruption, "a node finds its own data damaged";
    "commit-signatures-lost", Critical, commit_signatures_lost, "a leader cannot propose: the last commit signatures are gone";
    "invalid-announce", Major, invalid_announce, "a leader's announcement was refused";
    "double-proposal", Critical, double_proposal, "a leader proposed two blocks at one height and view";
    "height-mismatch", Critical, height_mismatch, "a node's sources disagree on where it stands";
    "state-mismatch", Critical, state_mismatch, "a node holds another state than its block says";
    "tx-lost", Critical, tx_lost, "transactions that a block had are gone";
    "value-not-conserved", Critical, value_not_conserved, "value appeared or vanished";
    "fork", Critical, fork, "two blocks at one height";
    "height-regression", Critical, height_regression, "a node's head went back";
    "never-started", Critical, never_started, "a shard never made a block";
    "stall", Critical, stall, "a shard makes no block";
    "no-recovery", Critical, no_recovery, "a shard does not come back after a fault was healed";
    "view-change-loop", Critical, view_change_loop, "views advance, the height does not";
    "no-leader", Critical, no_leader, "no node of a shard leads while no block comes";
    "view-change-storm", Major, view_change_storm, "too many blocks need a view change";
    "leader-flapping", Major, leader_flapping, "the lead goes to and fro";
    "slow-blocks", Major, slow_blocks, "blocks come slower than asked for";
    "low-signers", Major, low_signers, "too few of the committee sign";
    "idle-validator", Major, idle_validator, "a validator takes part and does not sign";
    "cross-shard-stall", Critical, cross_shard_stall, "receipts of one shard stop moving at another";
    "empty-blocks", Major, empty_blocks, "blocks hold nothing while transactions wait";
    "tx-not-included", Major, tx_not_included, "a transaction is in no block";
    "memory-growth", Major, memory_growth, "a node's memory grows without end";
    "fd-growth", Major, fd_growth, "a node opens more and more files";
    "disk-growth", Major, disk_growth, "a data disk fills faster than it should";
    "disk-exhaustion-forecast", Major, disk_exhaustion_forecast, "a node's data would soon fill its disk on mainnet";
    "cpu-creep", Major, cpu_creep, "a node needs more and more CPU time for a block";
    "log-flood", Major, log_flood, "a node logs far more than it usually does";
    "block-time-creep", Major, block_time_creep, "a shard's blocks take longer and longer";
    "hung", Major, hung, "a node runs and answers nothing";
    "node-lagging", Major, node_lagging, "a node is behind its shard";
    "stuck-syncing", Major, stuck_syncing, "a node does not leave sync mode";
    "fault-ineffective", Info, fault_ineffective, "an injected fault had no effect, or could not be healed";
    "blind", Info, blind, "the canary lost sight";
    "log-lines-lost", Info, log_lines_lost, "log lines were lost before they were read";
    "new-log-template", Minor, new_log_template, "a log line of a form that was never seen";
    "log-template-vanished", Minor, log_template_vanished, "log lines that came all the time come no more";
    "log-template-storm", Minor, log_template_storm, "a node says the same thing many times as often";
    "canary-overloaded", Info, canary_overloaded, "the canary exceeds its own budget";
}
}

/// Whether the detector of such findings came with a later version than this one. What no detector finds is never new.
#[must_use]
pub fn newer_than(kind: &str, version: &str) -> bool {
    let since = DETECTORS
        .iter()
        .find(|detector| detector.id == kind)
        .map(|detector| detector.since);
    let read = |text: &str| semver::Version::parse(text).ok();
    matches!((since.and_then(read), read(version)), (Some(since), Some(version)) if since > version)
}

/// Open findings by place (of a shard or a node).
#[derive(Debug, Default, Serialize, Deserialize)]
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
            let since = semver::Version::parse(detector.since).unwrap();
            let own = semver::Version::parse(env!("CARGO_PKG_VERSION")).unwrap();
            assert!(since <= own, "{} is of the future", detector.id);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), DETECTORS.len());
    }

    #[test]
    fn the_number_of_a_class_is_its_place_among_all() {
        let mut world = World::new(&crate::journal::generate::Shape::default().plan());
        let tick = Event::Tick {
            wall: crate::time::WallTime(0),
        };
        for (pulse, at_rest, all_well) in [
            (false, true, true),
            (true, true, true),
            (true, true, false),
            (true, false, true),
        ] {
            (world.pulse, world.all_well) = (pulse, all_well);
            let class = Wants::classes().nth(Wants::class(&tick, &world, at_rest));
            let class = class.expect("a class");
            assert!(class.meets(Wants::OTHERS) && !class.meets(Wants::TREND));
            assert_eq!(class.meets(Wants::PULSE), pulse);
            assert_eq!(
                class.meets(Wants::LOUD_PULSE),
                pulse && !(at_rest && all_well)
            );
        }
        assert_eq!(Wants::classes().count(), 13 * Wants::MARKS);
    }

    #[test]
    fn a_detector_is_newer_than_versions_before_its_own() {
        assert!(newer_than("stall", "0.0.9"));
        assert!(newer_than("stall", "0.1.0-rc.1"));
        assert!(!newer_than("stall", "0.1.0"));
        assert!(!newer_than("stall", "1.0.0"));
        assert!(!newer_than("stall", "soon"));
        assert!(!newer_than("no-such-finding", "0.0.1"));
    }

    /// The findings of the project's vocabulary, family by family.
    const VOCABULARY: &[&str] = &[
        "stall",
        "slow-blocks",
        "never-started",
        "no-recovery",
        "cross-shard-stall",
        "view-change-loop",
        "view-change-storm",
        "leader-flapping",
        "no-leader",
        "fork",
        "height-regression",
        "double-proposal",
        "height-mismatch",
        "state-mismatch",
        "tx-not-included",
        "empty-blocks",
        "tx-lost",
        "value-not-conserved",
        "low-signers",
        "idle-validator",
        "node-lagging",
        "stuck-syncing",
        "disk-full",
        "inodes-full",
        "disk-error",
        "disk-read-only",
        "disk-hang",
        "slow-fsync",
        "db-corruption",
        "ghost-bytes",
        "unsynced-data",
        "disk-exhaustion-forecast",
        "crash",
        "crash-loop",
        "oom-kill",
        "hung",
        "memory-growth",
        "fd-growth",
        "disk-growth",
        "cpu-creep",
        "log-flood",
        "block-time-creep",
        "commit-signatures-lost",
        "invalid-announce",
        "new-log-template",
        "log-template-vanished",
        "log-template-storm",
        "blind",
        "log-lines-lost",
        "fault-ineffective",
        "canary-overloaded",
    ];

    /// Of these no detector exists yet.
    const MISSING: &[&str] = &["unsynced-data"];

    #[test]
    fn every_finding_of_the_vocabulary_has_a_detector_and_a_severity() {
        for id in VOCABULARY {
            assert!(crate::plan::findings::severity(id).is_some(), "{id}");
            let detected = DETECTORS.iter().any(|detector| detector.id == *id);
            assert_ne!(detected, MISSING.contains(id), "{id}");
        }
        for detector in DETECTORS {
            assert!(VOCABULARY.contains(&detector.id), "{}", detector.id);
        }
        assert_eq!(crate::plan::findings::FINDINGS.len(), VOCABULARY.len());
    }

    #[test]
    fn detectors_name_the_sources_of_the_facts_that_they_look_at() {
        for detector in DETECTORS {
            let path = format!(
                "{}/src/detect/{}.rs",
                env!("CARGO_MANIFEST_DIR"),
                detector.id.replace('-', "_")
            );
            let text = std::fs::read_to_string(&path).unwrap();
            let needs = (detector.build)().needs();
            for (fact, source) in [
                ("Event::Sample", Source::Resources),
                ("Event::Figures", Source::Metrics),
                ("Event::Log ", Source::Log),
                ("Event::Template", Source::Log),
                ("Event::Ledger", Source::Chain),
                ("Event::Block", Source::Chain),
                ("Event::Heads", Source::Chain),
            ] {
                assert!(
                    !text.contains(fact) || needs.contains(&source),
                    "{} looks at {fact} and does not need {source:?}",
                    detector.id
                );
            }
        }
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
