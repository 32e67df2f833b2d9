//! The rungs of a run: finished, marked by what was found, thinned out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    detect::Finding,
    ids::Height,
    journal::text::clean,
    plan::{Ladder, ShardHeight, SoakTime},
    run::{conductor::Conductor, directory::RunDirectory, told},
    snapshot::{
        FORMAT, Manifest, Shape, SnapshotFolder, Stored,
        folder::Partial,
        ladder::{Counting, Standing, evict, standings},
        manifest::age,
    },
    time::{Elapsed, RunClock},
};

use super::copying::Copied;

/// Blocks without a finding that make a stretch a healthy one.
const HEALTHY: u64 = 100;
/// What a run keeps of its rungs, in its directory.
const FILE: &str = "rungs.json";

/// A rung that a run made, or began from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// When, since the run started.
    pub at: Elapsed,
    /// How long the run had soaked by then; `None` before its soak.
    pub soaked: Option<SoakTime>,
    /// The height of its highest shard.
    pub height: Height,
}

/// The last rung before a moment of a run.
#[must_use]
pub fn before(made: &[Made], moment: Elapsed) -> Option<&Made> {
    made.iter().rev().find(|made| made.at < moment)
}

/// The rungs of a run, as it kept them: what it began from first.
#[must_use]
pub fn made(directory: &RunDirectory) -> Vec<Made> {
    let bytes = std::fs::read(directory.path().join(FILE)).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Keeps them; a run without any keeps nothing.
pub(super) fn keep(directory: &RunDirectory, made: &[Made]) {
    if made.is_empty() {
        return;
    }
    // Without it a repetition begins where the run began.
    if let Ok(text) = serde_json::to_vec_pretty(made) {
        let _ = directory.write(FILE, &text);
    }
}

impl Conductor {
    /// What was found so far says of the rungs so far.
    pub(super) fn marks(&self) -> Vec<(String, Standing)> {
        let made = &self.snapshots.made;
        if made.is_empty() {
            return Vec::new();
        }
        let judgement = self.judge.judgement();
        let counting = |finding: &&Finding| {
            finding.severity >= self.plan.gate.fail_on
                && finding.excused_by.is_none()
                && finding.waived.is_none()
        };
        let findings: Vec<Counting> = judgement
            .findings
            .iter()
            .filter(counting)
            .map(|finding| Counting {
                id: finding.id.clone(),
                since: finding.start,
                until: finding.end,
            })
            .collect();
        let healthy: Duration = self
            .plan
            .clocks
            .blocks(HEALTHY)
            .max(self.plan.thresholds.recovery * 3);
        let at: Vec<Elapsed> = made.iter().map(|made| made.at).collect();
        let told = standings(&at, &findings, self.clock.elapsed(), healthy);
        let pin = |standing: Standing| Standing {
            pinned: standing
                .pinned
                .map(|finding| format!("{finding} of {}", self.record.name)),
            ..standing
        };
        let names = made.iter().map(|made| made.name.clone());
        names.zip(told.into_iter().map(pin)).collect()
    }

    /// Where the shards stand, as far as it was seen.
    pub(super) fn heights(&self) -> Vec<ShardHeight> {
        let shards = self.judge.world().shards.iter();
        let known = shards.filter_map(|shard| {
            Some(ShardHeight {
                shard: shard.id,
                height: shard.best.as_ref()?.height,
            })
        });
        known.collect()
    }

    /// What a snapshot says of itself.
    pub(super) fn snapshot_manifest(
        &self,
        partial: &Partial,
        lineage: Option<String>,
        heights: Vec<ShardHeight>,
        copied: Copied,
        pause: Duration,
    ) -> Manifest {
        let shards = self.judge.shards();
        let shards = shards.iter().filter_map(|view| {
            let height = heights
                .iter()
                .find(|known| known.shard == view.shard)?
                .height;
            Some((view.shard, view.first_height?, height))
        });
        let images = self.images.as_ref();
        Manifest {
            format: FORMAT,
            name: partial.name().to_owned(),
            lineage,
            made: RunClock::wall(),
            canarynet: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.record.name.clone(),
            program: images.map_or_else(
                || crate::run::program(&self.plan),
                |images| format!("{} ({})", images.node.reference, images.node.digest),
            ),
            shape: Shape::of(&self.plan),
            seed: self.plan.network_seed().to_owned(),
            subnets: copied.subnets,
            age: age(&self.plan, shards),
            heights,
            pause: SoakTime(pause),
            nodes: copied.nodes,
            shared: copied.shared,
        }
    }
}

/// Writes down what became of rungs; what was known before stays.
pub(super) fn mark(folder: &SnapshotFolder, marks: &[(String, Standing)]) {
    for (name, standing) in marks {
        // One that is gone needs no mark; one that cannot be written keeps what it says.
        if let Ok(mut stored) = folder.find(name) {
            let before = stored.standing.clone();
            let now = Standing {
                good: standing.good || before.good,
                tainted: standing.tainted || before.tainted,
                pinned: before.pinned.clone().or_else(|| standing.pinned.clone()),
            };
            if now != before {
                let _ = stored.stand(now);
            }
        }
    }
}

/// Gives a snapshot its name, marks older rungs and removes those that are too many. Answers what it did, for people.
pub(super) fn finish(
    folder: &SnapshotFolder,
    partial: Partial,
    manifest: &Manifest,
    marks: &[(String, Standing)],
    ladder: Option<&Ladder>,
) -> Result<(Box<Stored>, Vec<String>), String> {
    let stored = partial.finish(manifest).map_err(|error| told(&error))?;
    mark(folder, marks);
    let mut lines = Vec::new();
    if let Some(ladder) = ladder {
        let mut all = folder.rungs(&ladder.lineage);
        // Another network may have the same lineage by chance: its rungs are not ours to remove.
        all.retain(|rung| rung.manifest.shape.key() == manifest.shape.key());
        let rungs: Vec<_> = all.iter().map(Stored::rung).collect();
        let keep = usize::try_from(ladder.keep).unwrap_or(usize::MAX);
        for name in evict(&rungs, keep, ladder.budget) {
            let Some(rung) = all.iter().find(|rung| rung.manifest.name == name) else {
                continue;
            };
            lines.push(match folder.remove(rung, false) {
                Ok(()) => format!("rung {name} was removed"),
                Err(error) => format!("rung {name} stays: {}", clean(&told(&error), 200)),
            });
        }
    }
    Ok((Box::new(stored), lines))
}
