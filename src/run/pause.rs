//! A run that stands still: at a height that a person asked for, all nodes are paused, and with them the run's clock,
//! until somebody lets it go on or ends it. What was broken then stays broken.
//!
//! Invariant: what is not told of the pause is not judged by it: watching is off, and the clock goes on from the moment
//! at which it stopped.

use std::{path::Path, time::Duration};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    arm::{self, Armed},
    conductor::{Conductor, chain},
    directory::RunDirectory,
    error::RunError,
    live::STOP_REQUEST,
};
use crate::{
    engine::Docker,
    ids::{NodeName, ShardId},
    journal::{Event, event::FinishReason, text::clean},
    probe::events::Operation,
    time::{RunClock, WallTime},
};

/// A file of this name in the run directory says that the run stands still, and where.
const FILE: &str = "paused.json";

/// ... and one of this name asks it to go on. A file, as with the wish to stop.
const RESUME_REQUEST: &str = "resume";

/// How often it is asked whether the run is to go on.
const LOOK: Duration = Duration::from_millis(100);

/// Heals that fall due meanwhile are put off by so long: the guard takes an owner that heals nothing for hanging.
const PUT_OFF: Duration = Duration::from_secs(7 * 86_400);

/// Where a run is to stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseAt {
    /// As soon as this shard ...
    pub shard: ShardId,
    /// ... has this height.
    pub height: u64,
}

/// A run that stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The shard.
    pub shard: ShardId,
    /// The height that it was seen to have: a block or two may have come before all nodes stood still.
    pub height: u64,
    /// The containers that were paused.
    pub containers: Vec<String>,
    /// Since when.
    pub since: WallTime,
}

impl Paused {
    /// Where the run stands still, if it does.
    #[must_use]
    pub fn read(directory: &RunDirectory) -> Option<Self> {
        let bytes = std::fs::read(directory.path().join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Asks a run that stands still to go on.
///
/// # Errors
/// When its directory cannot be written.
pub fn ask_to_resume(directory: &RunDirectory) -> Result<(), super::directory::DirectoryError> {
    directory.write(RESUME_REQUEST, b"resume\n")
}

/// Lets a network go on whose owner went away while it stood still: its nodes, and the heals that had been put off.
pub(super) async fn let_go(docker: &Docker, directory: &RunDirectory) {
    let Some(paused) = Paused::read(directory) else {
        return;
    };
    for container in &paused.containers {
        // One that runs, or is gone, needs nothing.
        let _ = docker.unpause(container).await;
    }
    for one in arm::armed(directory.path()) {
        let due = Armed {
            by: RunClock::wall(),
            ..one
        };
        let _ = due.arm(directory.path());
    }
    let _ = std::fs::remove_file(directory.path().join(FILE));
}

impl Conductor {
    /// Where the run is to stand still, as soon as it is there.
    pub(super) fn pause_due(&self) -> Option<(ShardId, u64)> {
        let at = self.pause_at?;
        let shards = self.judge.shards();
        let height = shards.iter().find(|view| view.shard == at.shard)?.height?;
        (height.0 >= at.height).then_some((at.shard, height.0))
    }

    /// Stands still; the reason, if the run is not to go on.
    ///
    /// # Errors
    /// When journal or directory cannot be written.
    pub(super) async fn stand_still(
        &mut self,
        (shard, height): (ShardId, u64),
    ) -> Result<Option<FinishReason>, RunError> {
        self.pause_at = None;
        let elapsed = self.clock.elapsed();
        let paused = self.pause_nodes().await;
        self.record(Event::WatchPaused)?;
        self.observers.pause();
        if let Some(journal) = &mut self.journal {
            journal.flush()?;
        }
        let armed = arm::armed(self.directory.path());
        put_off(self.directory.path(), &armed, PUT_OFF);
        let since = RunClock::wall();
        let told = Paused {
            shard,
            height,
            containers: paused
                .iter()
                .map(|(_, container)| container.clone())
                .collect(),
            since,
        };
        let bytes = serde_json::to_vec(&told).unwrap_or_default();
        self.directory.write(FILE, &bytes)?;
        self.note(&format!(
            "shard {shard} is at height {height}: {} nodes are paused, and so is the run",
            paused.len()
        ));
        let stopped = self.wait_for_a_word().await?;
        self.resume_nodes(&paused).await;
        let lasted = Duration::from_millis(RunClock::wall().0.saturating_sub(since.0));
        put_off(self.directory.path(), &armed, lasted);
        let _ = std::fs::remove_file(self.directory.path().join(FILE));
        let _ = std::fs::remove_file(self.directory.path().join(RESUME_REQUEST));
        // Told during the pause: of nodes that answered nothing, since they could not.
        while self.observations.try_recv().is_ok() {}
        self.clock = RunClock::resume(elapsed.as_duration());
        self.observers.resume();
        self.record(Event::WatchResumed)?;
        self.note("the nodes go on");
        Ok(stopped)
    }

    /// Pauses all nodes at once; those that a fault has paused already stay the fault's.
    async fn pause_nodes(&mut self) -> Vec<(NodeName, String)> {
        let nodes: Vec<(NodeName, String)> = self
            .launched
            .iter()
            .flat_map(|launched| &launched.nodes)
            .map(|(name, node)| (name.clone(), node.container.clone()))
            .collect();
        let docker = &self.docker;
        let requested = self.observers.requested();
        let pauses = nodes.into_iter().map(|(name, container)| async move {
            requested.mark(&name, Operation::Pause);
            let outcome = docker.pause(&container).await;
            if outcome.is_err() {
                requested.unmark(&name, Operation::Pause);
            }
            outcome.is_ok().then_some((name, container))
        });
        join_all(pauses).await.into_iter().flatten().collect()
    }

    async fn resume_nodes(&mut self, paused: &[(NodeName, String)]) {
        let docker = &self.docker;
        let requested = self.observers.requested();
        let resumes = paused.iter().map(|(name, container)| async move {
            requested.mark(name, Operation::Unpause);
            // A person may have let one go on alone.
            docker
                .unpause(container)
                .await
                .err()
                .map(|error| format!("{name}: {}", chain(&error)))
        });
        let failed: Vec<String> = join_all(resumes).await.into_iter().flatten().collect();
        for why in failed {
            self.note(&clean(&why, 300));
        }
    }

    async fn wait_for_a_word(&mut self) -> Result<Option<FinishReason>, RunError> {
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let name = signal.name().to_owned();
                    self.record(Event::Signal { name })?;
                    return Ok(Some(FinishReason::Interrupted));
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            // Nothing is to wait for room in the queue meanwhile.
            while self.observations.try_recv().is_ok() {}
            let there = |name: &str| self.directory.path().join(name).is_file();
            if there(STOP_REQUEST) {
                return Ok(Some(FinishReason::Interrupted));
            }
            if there(RESUME_REQUEST) {
                return Ok(None);
            }
        }
    }
}

/// Arms heals again, due so much later than they were. One that cannot be written is healed when it was due.
fn put_off(directory: &Path, armed: &[Armed], by: Duration) {
    for one in armed {
        let later = Armed {
            by: one.by.plus(by),
            ..one.clone()
        };
        let _ = later.arm(directory);
    }
}
