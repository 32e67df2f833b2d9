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

/// Watches every node for one class of log lines about its storage.
#[derive(Debug)]
pub struct StorageWatch {
    kind: &'static str,
    class: LogClass,
    severity: Severity,
    open: Slots,
    last: Vec<Elapsed>,
}

impl StorageWatch {
    pub(super) fn new(kind: &'static str, class: LogClass, severity: Severity) -> Self {
        Self {
            kind,
            class,
            severity,
            open: Slots::default(),
            last: Vec::new(),
        }
    }
}

/// Watches every node for input and output errors.
pub struct Watch(StorageWatch);

impl Default for Watch {
    fn default() -> Self {
        Self(StorageWatch::new(
            "disk-error",
            LogClass::DiskError,
            Severity::Major,
        ))
    }
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(entry, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::PULSE
    }
}

impl StorageWatch {
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

impl Detector for StorageWatch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if world.pulse && self.open.any() {
            let quiet = self.quiet(world);
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
        if *class != self.class {
            return;
        }
        if let Some(place) = world.node(node) {
            self.sign(place, error.as_ref().unwrap_or(message), world, findings);
        }
    }
}

impl StorageWatch {
    /// A sign of the trouble, in these words.
    pub(super) fn sign(
        &mut self,
        place: usize,
        said: &str,
        world: &World,
        findings: &mut Findings,
    ) {
        if world.host_dry || !world.judging() {
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
        let summary = match self.class {
            LogClass::CommitSignaturesLost => {
                format!("{} has lost the last commit signatures: {said}", node.name)
            }
            LogClass::DoubleProposal => {
                format!("{} was sent two blocks of one view: {said}", node.name)
            }
            LogClass::InvalidAnnounce => format!("{} refused an announcement: {said}", node.name),
            _ => format!("the storage of {} fails: {said}", node.name),
        };
        let opening = Opening::new(self.kind, self.severity, world.now, summary)
            .shard(world.shards[node.shard].id)
            .node(&node.name);
        self.open.put(place, findings.open(opening));
    }
}
