//! # What it reports
//! A node that says that its storage fails with input or output errors. `major`. (A file system that turned read-only is
//! `disk-read-only`, damaged data `db-corruption`; both are watched in the same way.)
//!
//! # Why it matters
//! Real disks fail so. A node that goes on as if nothing had happened writes its next block into the void.
//!
//! # Evidence
//! The log lines, from the first on.
//!
//! # When it stays quiet
//! While the host's own disk is dry. It closes when the node said nothing of the kind for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    journal::{Entry, Event, event::LogClass, text::clean},
    time::Elapsed,
};

/// What is over is not said again; a minute is many retries of any node.
const QUIET: Duration = Duration::from_secs(60);

/// One class of log lines about storage.
pub(super) struct Kind {
    /// Id of its findings.
    pub id: &'static str,
    /// The class.
    pub class: LogClass,
    /// How bad.
    pub severity: Severity,
}

/// Watches every node for one class of log lines about its storage.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StorageWatch {
    open: Slots,
    last: Vec<Elapsed>,
}

const KIND: Kind = Kind {
    id: "disk-error",
    class: LogClass::DiskError,
    severity: Severity::Major,
};

/// Watches every node for input and output errors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(StorageWatch);

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(&KIND, entry, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::LOUD_PULSE
    }
}

impl Kind {
    /// How long nothing is said until it is over. A disk that fails is written to at every block: half of the time to
    /// recover is five blocks at least. Longer, and what a fault did would stay open when nothing excuses it any more.
    fn quiet(&self, world: &World) -> Duration {
        match self.class {
            LogClass::DiskError | LogClass::DiskReadOnly => {
                QUIET.min(world.thresholds.recovery / 2)
            }
            _ => QUIET,
        }
    }
}

impl Kind {
    /// Whether a host without room makes a node say so: thin disks fail, tear, or turn read-only. What else is watched
    /// in this way has nothing to do with room.
    fn explained_by_a_dry_host(&self) -> bool {
        matches!(
            self.class,
            LogClass::DiskError | LogClass::DiskReadOnly | LogClass::Corruption
        )
    }
}

impl StorageWatch {
    pub(super) fn step(
        &mut self,
        kind: &Kind,
        entry: &Entry,
        world: &World,
        findings: &mut Findings,
    ) {
        if world.pulse && self.open.any() {
            let quiet = kind.quiet(world);
            for place in 0..world.nodes.len() {
                if self.open.get(place).is_some()
                    && world.now.since(self.last[place]) >= quiet
                    && let Some(handle) = self.open.take(place)
                {
                    findings.close(handle, self.last[place]);
                }
            }
        }
        let Event::Log {
            node,
            class,
            message,
            error,
            ..
        } = &entry.event
        else {
            return;
        };
        if *class != kind.class {
            return;
        }
        if let Some(place) = world.node(node) {
            let said = error.as_ref().unwrap_or(message);
            self.sign(kind, place, said, world, findings);
        }
    }

    /// A sign of the trouble, in these words.
    pub(super) fn sign(
        &mut self,
        kind: &Kind,
        place: usize,
        said: &str,
        world: &World,
        findings: &mut Findings,
    ) {
        if (kind.explained_by_a_dry_host() && world.host_dry) || !world.judging() {
            return;
        }
        self.last.resize(world.nodes.len(), Elapsed::default());
        self.last[place] = world.now;
        if let Some(handle) = self.open.get(place) {
            findings.cite(handle, world.seq);
            return;
        }
        let node = &world.nodes[place];
        let said = clean(said, 160);
        let summary = match kind.class {
            LogClass::CommitSignaturesLost => {
                format!("{} has lost the last commit signatures: {said}", node.name)
            }
            LogClass::DoubleProposal => {
                format!("{} was sent two blocks of one view: {said}", node.name)
            }
            LogClass::InvalidAnnounce => format!("{} refused an announcement: {said}", node.name),
            _ => format!("the storage of {} fails: {said}", node.name),
        };
        let opening = Opening::new(kind.id, kind.severity, world.now, summary)
            .shard(world.shards[node.shard].id)
            .node(&node.name);
        self.open.put(place, findings.open(opening));
    }
}
