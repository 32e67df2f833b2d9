//! A run so far, from its journal: for who takes it over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{self, Checkpoint, Refusal},
    conductor::chain,
    directory::{RunDirectory, RunRecord},
    error::RunError,
};
use crate::{
    detect::{
        FindingChange, Judge,
        kept::{self, Bytes, KeptError},
    },
    ids::{NodeName, Seq, ShardId},
    journal::{
        Capability, Entry, Event, JOURNAL_FOLDER, ReadError, Reader,
        event::{ContainerChange, Stage},
    },
    plan::Plan,
    probe::{
        events::{JOURNALLED, Journalled},
        watcher::protocol::KnownBlock,
    },
    report::Curves,
    time::{Elapsed, WallTime, human},
};

/// What is known of a run from its journal so far, beside what was concluded from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Past {
    /// The last entry, and its time.
    pub(super) last: Option<(Seq, Elapsed)>,
    pub(super) started: WallTime,
    pub(super) stages: Vec<(Stage, Elapsed)>,
    /// The newest block of each shard: what follows it was missed by nobody.
    pub(super) blocks: BTreeMap<ShardId, KnownBlock>,
    /// The last changes of containers: the engine tells some of them once more.
    pub(super) changes: VecDeque<(Elapsed, NodeName, ContainerChange)>,
    /// Faults that were begun.
    pub(super) fired: BTreeSet<String>,
    /// What became of the recovery ladders.
    #[serde(with = "kept::by_name")]
    pub(super) recovery: Vec<(Elapsed, Event)>,
    /// What faults need of the machine, as it was tried.
    #[serde(with = "kept::by_name")]
    pub(super) capabilities: Vec<Capability>,
}

impl Past {
    /// Takes note of the next entry.
    pub(super) fn step(&mut self, entry: &Entry) {
        self.last = Some((entry.seq, entry.elapsed));
        match &entry.event {
            Event::RunStarted { wall, .. } => self.started = *wall,
            Event::Fault { id, .. } => {
                self.fired.insert(id.to_string());
            }
            event @ Event::Recovery { .. } => self.recovery.push((entry.elapsed, event.clone())),
            Event::Capability(capability) => self.capabilities.push(capability.clone()),
            Event::Drill { .. } => {
                self.fired.insert("drill".to_owned());
            }
            Event::Stage { stage } => self.stages.push((*stage, entry.elapsed)),
            Event::Container { node, change, .. } => {
                let old = |(at, _, _): &(Elapsed, _, _)| entry.elapsed.since(*at) > JOURNALLED;
                while self.changes.front().is_some_and(old) {
                    self.changes.pop_front();
                }
                self.changes
                    .push_back((entry.elapsed, node.clone(), *change));
            }
            Event::Block {
                shard,
                height,
                hash,
                ..
            } => {
                let known = KnownBlock {
                    shard: *shard,
                    height: *height,
                    hash: Arc::clone(hash),
                };
                self.blocks.insert(*shard, known);
            }
            Event::Unattended(told) => {
                if let Some(newest) = &told.newest {
                    let known = KnownBlock {
                        shard: told.shard,
                        height: newest.height,
                        hash: Arc::clone(&newest.hash),
                    };
                    self.blocks.insert(told.shard, known);
                }
            }
            _ => {}
        }
    }

    /// Where the engine's events go on.
    pub(super) fn journalled(&self, ended: WallTime) -> Journalled {
        let last = self.last.map_or(Elapsed::default(), |(_, at)| at);
        let changes = self.changes.iter();
        let changes = changes.filter(|(at, _, _)| last.since(*at) <= JOURNALLED);
        Journalled {
            until: ended,
            changes: changes
                .map(|(_, node, change)| (node.clone(), *change))
                .collect(),
        }
    }

    /// Place of the entry that comes next.
    pub(super) fn next(&self) -> Seq {
        self.last.map_or(Seq(0), |(seq, _)| Seq(seq.0 + 1))
    }
}

/// A run so far with all that was concluded from it.
pub(super) struct Judged {
    pub(super) plan: Plan,
    pub(super) judge: Judge,
    /// What the report draws.
    pub(super) curves: Curves,
    pub(super) past: Past,
}

/// All of [`Judged`] but the plan, in bytes: the state of a checkpoint.
pub(super) fn state_of(judge: &Judge, curves: &Curves, past: &Past) -> Result<Vec<u8>, KeptError> {
    kept::write(&(Bytes(judge.keep()?), curves, past))
}

impl Judged {
    /// Before the first entry.
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            judge: Judge::new(&plan),
            plan,
            curves: Curves::default(),
            past: Past::default(),
        }
    }

    /// As it was kept.
    pub(super) fn restore(plan: &Plan, state: &[u8]) -> Result<Self, KeptError> {
        let (Bytes(judge), curves, past) = kept::read(state)?;
        Ok(Self {
            judge: Judge::restore(plan, &judge)?,
            plan: plan.clone(),
            curves,
            past,
        })
    }

    pub(super) fn step(&mut self, entry: &Entry) -> Vec<FindingChange> {
        let changes = self.judge.step(entry);
        self.curves.step(entry, self.judge.world(), &changes);
        self.past.step(entry);
        changes
    }
}

/// Why a journal could not be judged on from a checkpoint.
enum Stopped {
    /// The checkpoint is none of this journal.
    Refused(Refusal),
    /// The journal cannot be read.
    Unreadable(ReadError),
}

/// Judges the journal so far, so that findings go on where they were: from the run's checkpoint on where it has a good
/// one, else all of it. Answers also what is to be told of it.
pub(super) fn judge_again(
    directory: &RunDirectory,
    record: &RunRecord,
) -> Result<(Judged, String), RunError> {
    let begun = Instant::now();
    let folder = directory.path().join(JOURNAL_FOLDER);
    let unreadable = |error: ReadError| RunError::Attach {
        run: record.name.clone(),
        why: chain(&error),
    };
    let plan = plan_of(&folder, record)?;
    let refusal = match checkpoint::read(directory, &record.run) {
        Ok(None) => None,
        Ok(Some(checkpoint)) => match on_from(&folder, &plan, &checkpoint) {
            Ok(judged) => {
                let from = checkpoint.head.seq;
                let more = judged.past.next().0.saturating_sub(from.0 + 1);
                let took = human(begun.elapsed());
                let note =
                    format!("judged on from the checkpoint at entry {from}: {more} more in {took}");
                return Ok((judged, note));
            }
            Err(Stopped::Refused(refusal)) => Some(refusal),
            Err(Stopped::Unreadable(error)) => return Err(unreadable(error)),
        },
        Err(refusal) => Some(refusal),
    };
    let why = refusal.map_or_else(
        || "it has no checkpoint".to_owned(),
        |refusal| {
            // Entries to come may have the places of those that it knows: it is never to be taken for theirs.
            checkpoint::forget(directory);
            format!("its checkpoint is not used, {}", chain(&refusal))
        },
    );
    let mut judged = Judged::new(plan);
    for entry in Reader::open(&folder).map_err(unreadable)? {
        judged.step(&entry.map_err(unreadable)?);
    }
    let (all, took) = (judged.past.next(), human(begun.elapsed()));
    Ok((judged, format!("judged all {all} entries in {took}: {why}")))
}

/// The plan of a run: the first entry of its journal.
fn plan_of(folder: &Path, record: &RunRecord) -> Result<Plan, RunError> {
    let cannot = |why: String| RunError::Attach {
        run: record.name.clone(),
        why,
    };
    let mut reader = Reader::open(folder).map_err(|error| cannot(chain(&error)))?;
    let first = reader.next().transpose();
    let first = first.map_err(|error| cannot(chain(&error)))?;
    let plan = first.map(|entry| crate::detect::plan_of(&entry));
    plan.transpose()
        .map_err(|source| RunError::Plan {
            run: record.name.clone(),
            source,
        })?
        .flatten()
        .ok_or_else(|| cannot("its journal does not begin with its plan".to_owned()))
}

/// Judges what came after a checkpoint. Only segments are read that may hold more than it knows.
fn on_from(folder: &Path, plan: &Plan, checkpoint: &Checkpoint) -> Result<Judged, Stopped> {
    let head = &checkpoint.head;
    let known = (head.seq, head.elapsed);
    let restored = Judged::restore(plan, &checkpoint.state);
    let mut judged = restored.map_err(|error| Stopped::Refused(Refusal::State(error)))?;
    let not_there = || Stopped::Refused(Refusal::NotInJournal(head.seq));
    if judged.past.last != Some(known) {
        return Err(not_there());
    }
    let mut there = false;
    for entry in Reader::open_before(folder, Some(head.seq)).map_err(Stopped::Unreadable)? {
        let entry = entry.map_err(Stopped::Unreadable)?;
        // Invariant: what is judged here begins with the very next entry after the last one that was judged.
        if entry.seq <= head.seq {
            there |= (entry.seq, entry.elapsed) == known;
        } else if there && entry.seq == judged.past.next() {
            judged.step(&entry);
        } else {
            return Err(not_there());
        }
    }
    if there { Ok(judged) } else { Err(not_there()) }
}
