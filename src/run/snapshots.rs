//! Snapshots of a live run: who wants one, when it may be made, and what becomes of it.
//!
//! ```text
//!  asked by a file, or due by the ladder --> no fault in force: hold --> copied --> let go --> manifest, name
//!                                                \__ no longer than its deadline: let go, and nothing is kept __/
//! ```

mod copying;
mod rungs;

use std::{collections::VecDeque, path::Path, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};

use self::copying::{Copied, Order, copy, take};
pub use self::{
    copying::ask,
    rungs::{Made, before, made},
};
use super::{
    by_hand,
    conductor::Conductor,
    directory::RunDirectory,
    error::RunError,
    faults::{is_hold, is_recovery},
};
use crate::{
    engine::toolbox::room_of,
    ids::{Height, NodeName},
    journal::{
        Event,
        effect::{RECOVERY, SNAPSHOT},
        event::{FaultStep, Stage},
        text::clean,
    },
    plan::{Plan, ShardHeight, SoakTime, snapshots::as_name},
    report::text::{bytes, count},
    snapshot::{SnapshotFolder, Stored, folder::Partial},
    time::{Elapsed, RunClock, human},
};

/// Longest standstill: this, and a second for so many bytes of data.
const MOST: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: u64 = 8 << 20;
/// Room that must be left on the disk of the folder.
const SPARE: u64 = 64 << 20;
/// Snapshots that may wait.
const WAITING: usize = 16;

/// A snapshot that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// Under which name was asked, for the answer.
    asked: Option<String>,
    /// Its name, if one was given.
    name: Option<String>,
    /// It is a rung of this lineage.
    lineage: Option<String>,
}

/// The snapshot that is being made.
#[derive(Debug)]
struct Working {
    id: String,
    wanted: Wanted,
    begun: Elapsed,
    /// How long the network had stood still before.
    stood: Duration,
    partial: Option<Partial>,
    heights: Vec<ShardHeight>,
    copied: Option<Result<Copied, String>>,
    task: Option<JoinHandle<()>>,
}

/// What came of work beside the loop.
#[derive(Debug)]
pub(super) enum Came {
    /// All disks were copied, or one could not be.
    Copied(Result<Copied, String>),
    /// The snapshot is there, or could not be finished; and what became of older rungs, for people.
    Finished(Result<(Box<Stored>, Vec<String>), String>),
}

/// Snapshots of a run.
#[derive(Debug)]
pub(super) struct Snapshots {
    folder: SnapshotFolder,
    wanted: VecDeque<Wanted>,
    working: Option<Working>,
    came: (mpsc::Sender<Came>, mpsc::Receiver<Came>),
    /// What this run began from, and the rungs that it made.
    made: Vec<Made>,
    /// Height of the next rung.
    next: Option<u64>,
    /// How long the network stood still in all: no clock of the plan goes on meanwhile.
    stood: Duration,
}

impl Snapshots {
    /// Of a run in this directory; snapshots are kept in the folder of all runs.
    pub(super) fn of(directory: &RunDirectory, plan: &Plan) -> Self {
        let state = directory.path().parent().and_then(Path::parent);
        let begun = plan.begun().map(|begun| Made {
            name: begun.name.clone(),
            at: Elapsed::default(),
            soaked: None,
            height: highest(&begun.heights),
        });
        Self {
            folder: SnapshotFolder::of(state.unwrap_or(directory.path())),
            wanted: VecDeque::new(),
            working: None,
            came: mpsc::channel(4),
            made: begun.into_iter().collect(),
            next: None,
            stood: Duration::ZERO,
        }
    }

    /// What came of work, for the loop to wait on.
    pub(super) async fn next(&mut self) -> Came {
        match self.came.1.recv().await {
            Some(came) => came,
            None => std::future::pending().await,
        }
    }

    /// A time of the run without its standstills.
    pub(super) fn without(&self, time: Duration) -> Duration {
        time.saturating_sub(self.stood)
    }

    /// Whether one is being made.
    pub(super) fn busy(&self) -> bool {
        self.working.is_some()
    }

    /// The newest snapshot of this run, else the one that it began from.
    pub(super) fn newest(&self, run: &str, plan: &Plan) -> Option<Stored> {
        let mut own = self.folder.all();
        own.retain(|stored| stored.manifest.run == run && stored.manifest.fits(plan).is_ok());
        let newest = own.into_iter().max_by_key(|stored| stored.manifest.made);
        newest.or_else(|| Stored::read(&plan.begun()?.folder).ok())
    }

    /// Gives up what is being made: the run ends.
    fn abandon(&mut self) {
        if let Some(task) = self.working.take().and_then(|working| working.task) {
            task.abort();
        }
    }
}

fn highest(heights: &[ShardHeight]) -> Height {
    let heights = heights.iter().map(|shard| shard.height);
    heights.max().unwrap_or_default()
}

impl Conductor {
    /// Takes what was asked for, asks for what is due, and begins what can be begun.
    pub(super) fn snapshots_due(&mut self) -> Result<(), RunError> {
        for (asked, name) in take(self.directory.path()) {
            let refused = match self.stage {
                Stage::Prepare | Stage::Start => Some("the network does not run yet"),
                Stage::WarmUp | Stage::Soak => None,
                _ => Some("the run is about to end"),
            };
            let full = (self.snapshots.wanted.len() >= WAITING).then_some("too many are asked for");
            match refused.or(full) {
                Some(why) => self.tell_asked(Some(&asked), &format!("no snapshot: {why}")),
                None => {
                    if self.snapshots.busy() || self.faults.busy() {
                        let line = "waiting until no fault is in force and no other snapshot is being made";
                        self.tell_asked(Some(&asked), line);
                    }
                    self.snapshots.wanted.push_back(Wanted {
                        asked: Some(asked),
                        name,
                        lineage: None,
                    });
                }
            }
        }
        self.rung_due();
        let may = matches!(self.stage, Stage::WarmUp | Stage::Soak);
        if may
            && !self.snapshots.busy()
            && !self.faults.busy()
            // One that starts in the middle of it would not be copied at one moment with the others.
            && self.starting == 0
            && !self.judge.coming_back()
            && !self.recovering.climbs()
            && let Some(wanted) = self.snapshots.wanted.pop_front()
        {
            let asked = wanted.asked.clone();
            if let Err(why) = self.begin_snapshot(wanted)? {
                self.no_snapshot(asked.as_deref(), &why)?;
            }
        }
        Ok(())
    }

    /// Asks for the next rung when the chain is high enough.
    fn rung_due(&mut self) {
        let (Some(ladder), Stage::Soak) = (&self.plan.ladder, self.stage) else {
            return;
        };
        let shards = &self.judge.world().shards;
        let heights = shards.iter().filter_map(|shard| shard.best.as_ref());
        let Some(highest) = heights.map(|best| best.height.0).max() else {
            return;
        };
        // A height is a node's word: behind the last one that there can be no rung comes.
        let Some(after) = highest.checked_add(ladder.every) else {
            return;
        };
        let next = *self.snapshots.next.get_or_insert(after);
        if highest >= next {
            self.snapshots.next = Some(after);
            let lineage = ladder.lineage.clone();
            // One that still waits stands for both.
            if !self
                .snapshots
                .wanted
                .iter()
                .any(|wanted| wanted.lineage.is_some())
            {
                self.snapshots.wanted.push_back(Wanted {
                    asked: None,
                    name: None,
                    lineage: Some(lineage),
                });
            }
        }
    }

    /// Holds the network, or says why that cannot be.
    fn begin_snapshot(&mut self, wanted: Wanted) -> Result<Result<(), String>, RunError> {
        let world = self.judge.world();
        let running = world.nodes.iter().filter(|node| node.runs());
        let running: Vec<NodeName> = running.map(|node| node.name.clone()).collect();
        if running.is_empty() {
            return Ok(Err("no node runs".to_owned()));
        }
        let used: u64 = world.nodes.iter().map(|node| node.disk.used).sum();
        let base = wanted.lineage.as_deref().unwrap_or(&self.record.name);
        let height = highest(&self.heights());
        let name = wanted
            .name
            .clone()
            .unwrap_or_else(|| match &wanted.lineage {
                // The same height may be reached again by another run of the lineage.
                Some(_) => as_name(&format!("{base}-{height}-{}", RunClock::wall().0 / 1_000)),
                None => as_name(&format!("{base}-{height}")),
            });
        let partial = match self.snapshots.folder.begin(&name) {
            Ok(partial) => partial,
            Err(error) => return Ok(Err(super::told(&error))),
        };
        if let Ok(room) = room_of(partial.path())
            && room.free < used.saturating_add(SPARE)
        {
            return Ok(Err(format!(
                "the disks hold {} and only {} are free where snapshots are kept ({})",
                bytes(used),
                bytes(room.free),
                partial.path().display()
            )));
        }
        let most = MOST + Duration::from_secs(used / BYTES_A_SECOND);
        let (id, steps) = match self.faults.hold(running, most) {
            Ok(held) => held,
            Err(why) => return Ok(Err(why)),
        };
        self.note(&format!(
            "snapshot {name}: all nodes stand still while their disks are copied"
        ));
        self.snapshots.working = Some(Working {
            id,
            wanted,
            begun: self.clock.elapsed(),
            stood: self.snapshots.stood,
            partial: Some(partial),
            heights: Vec::new(),
            copied: None,
            task: None,
        });
        self.journal_steps(steps)?;
        Ok(Ok(()))
    }

    /// All nodes of a standstill were told to stand still.
    pub(super) fn snapshot_held(&mut self, id: &str, held: bool) {
        let (Some(working), Some(launched)) = (&mut self.snapshots.working, &self.launched) else {
            return;
        };
        if working.id != id {
            return;
        }
        let Some(partial) = working.partial.as_ref().filter(|_| held) else {
            working.copied = Some(Err("not all nodes could be made to stand still".to_owned()));
            return;
        };
        let order = Order::of(
            &self.plan,
            &self.record.run,
            &self.docker,
            launched,
            partial.path(),
        );
        let sender = self.snapshots.came.0.clone();
        working.task = Some(tokio::spawn(async move {
            let copied = copy(order).await;
            // The receiver is gone when the run has ended.
            let _ = sender.send(Came::Copied(copied)).await;
        }));
    }

    /// Work beside the loop is done.
    pub(super) fn snapshot_came(&mut self, came: Came) -> Result<(), RunError> {
        match came {
            Came::Copied(copied) => {
                // Blocks may have come until the last node stood still; what came of them was written since.
                let heights = self.heights();
                let Some(working) = &mut self.snapshots.working else {
                    return Ok(());
                };
                working.heights = heights;
                // What was copied while nodes were let go again is of no single moment.
                let stood = self.faults.stands(&working.id);
                working.copied = Some(copied.and_then(|copied| {
                    stood
                        .then_some(copied)
                        .ok_or_else(|| "the network went on before all was copied".to_owned())
                }));
                working.task = None;
                let id = working.id.clone();
                let steps = self.faults.release(&id);
                self.journal_steps(steps)
            }
            Came::Finished(outcome) => self.snapshot_finished(outcome),
        }
    }

    /// The network goes on, or could not be let go: now there is time to finish.
    pub(super) fn snapshot_released(&mut self, id: &str) -> Result<(), RunError> {
        let now = self.clock.elapsed();
        let Some(working) = self
            .snapshots
            .working
            .as_mut()
            .filter(|working| working.id == id)
        else {
            return Ok(());
        };
        let pause = now.since(working.begun);
        self.snapshots.stood += pause;
        let late = || Err("copying took longer than the network may stand still".to_owned());
        let copied = working.copied.take().unwrap_or_else(late);
        let partial = working.partial.take();
        let (copied, partial) = match (copied, partial) {
            (Ok(copied), Some(partial)) => (copied, partial),
            (Err(why), _) => return self.snapshot_failed(&why),
            (Ok(_), None) => return Ok(()),
        };
        let working = self
            .snapshots
            .working
            .as_ref()
            .filter(|working| working.id == id);
        let (lineage, heights) = working.map_or((None, Vec::new()), |working| {
            (working.wanted.lineage.clone(), working.heights.clone())
        });
        let manifest = self.snapshot_manifest(&partial, lineage, heights, copied, pause);
        let marks = self.marks();
        let ladder = manifest.lineage.as_ref().and(self.plan.ladder.clone());
        let folder = self.snapshots.folder.clone();
        let sender = self.snapshots.came.0.clone();
        tokio::task::spawn_blocking(move || {
            let finished = rungs::finish(&folder, partial, &manifest, &marks, ladder.as_ref());
            let _ = sender.blocking_send(Came::Finished(finished));
        });
        Ok(())
    }

    fn snapshot_finished(
        &mut self,
        outcome: Result<(Box<Stored>, Vec<String>), String>,
    ) -> Result<(), RunError> {
        let (stored, told) = match outcome {
            Ok(finished) => finished,
            Err(why) => return self.snapshot_failed(&why),
        };
        let Some(working) = self.snapshots.working.take() else {
            return Ok(());
        };
        let manifest = &stored.manifest;
        let line = format!(
            "snapshot {} saved: {} disks, {} in {}, height {}, the network stood still for {}",
            manifest.name,
            manifest.nodes.len(),
            bytes(manifest.packed()),
            stored.path.display(),
            count(manifest.height().0),
            human(manifest.pause.0)
        );
        if manifest.lineage.is_some() {
            self.snapshots.made.push(Made {
                name: manifest.name.clone(),
                at: working.begun,
                soaked: self
                    .soak_started
                    .map(|soak| SoakTime(working.begun.since(soak).saturating_sub(working.stood))),
                height: manifest.height(),
            });
        }
        self.note(&line);
        for line in told {
            self.note(&clean(&line, 400));
        }
        self.tell_asked(working.wanted.asked.as_deref(), &line);
        self.record(Event::Fault {
            id: working.id.into(),
            kind: SNAPSHOT.into(),
            step: FaultStep::effective(clean(&line, 300)),
        })
    }

    fn snapshot_failed(&mut self, why: &str) -> Result<(), RunError> {
        let working = self.snapshots.working.take();
        let asked = working.and_then(|working| {
            if let Some(task) = working.task {
                task.abort();
            }
            working.wanted.asked
        });
        self.no_snapshot(asked.as_deref(), why)
    }

    fn no_snapshot(&mut self, asked: Option<&str>, why: &str) -> Result<(), RunError> {
        let line = clean(&format!("no snapshot: {why}"), 400);
        self.note(&line);
        self.tell_asked(asked, &line);
        self.record(Event::Infra {
            what: SNAPSHOT.to_owned(),
            detail: line,
            fatal: false,
        })
    }

    fn tell_asked(&mut self, asked: Option<&str>, line: &str) {
        if let Some(name) = asked {
            by_hand::tell(self.directory.path(), name, &clean(line, 400));
        }
    }

    /// The run ends: what is being made is given up, who waits is told, and what was found is written to the rungs.
    pub(super) fn end_snapshots(&mut self) {
        let waiting = std::mem::take(&mut self.snapshots.wanted);
        let working = self.snapshots.working.as_ref();
        let asked = working.and_then(|working| working.wanted.asked.clone());
        let asked = waiting
            .into_iter()
            .filter_map(|wanted| wanted.asked)
            .chain(asked);
        for name in asked.collect::<Vec<_>>() {
            self.tell_asked(Some(&name), "no snapshot: the run ended");
        }
        self.snapshots.abandon();
        let marks = self.marks();
        rungs::mark(&self.snapshots.folder, &marks);
        rungs::keep(&self.directory, &self.snapshots.made);
    }

    /// The kind under which a step is journalled.
    pub(super) fn kind_of(id: &str, kind: String) -> String {
        if is_hold(id) {
            SNAPSHOT.to_owned()
        } else if is_recovery(id) {
            RECOVERY.to_owned()
        } else {
            kind
        }
    }
}
