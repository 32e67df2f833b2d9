//! Whose is what the engine holds: runs whose owner is gone, told from labels and locks alone.

use std::path::{Path, PathBuf};

use crate::{
    engine::{Docker, EngineError, FoundRun},
    time::{RunClock, WallTime},
};

use super::{
    directory::{RunDirectory, RunRecord, RunState, StateFolder},
    supervision::is_supervised,
};

/// What a run in the engine is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody owns it: hands off.
    Owned,
    /// Left on purpose by `--keep`.
    Kept,
    /// Its owner is gone.
    Ownerless,
}

/// A run that the engine holds, with its directory where that can be seen from here.
#[derive(Debug, Clone)]
pub struct EngineRun {
    /// What the labels say.
    pub found: FoundRun,
    /// Its directory and record, if they are readable.
    pub known: Option<(RunDirectory, RunRecord)>,
    /// What it is to us.
    pub standing: Standing,
}

impl EngineRun {
    /// Whether what it reserves is taken: somebody owns it, or containers of it were left. A reservation alone, left by
    /// a canary that was killed while it waited, holds nothing, and neither does what nobody has owned for longer than
    /// it may live.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.standing {
            Standing::Owned => true,
            Standing::Kept => self.found.containers > 0,
            Standing::Ownerless => self.found.containers > 0 && !self.expired(RunClock::wall()),
        }
    }

    /// Whether its time to live has passed.
    #[must_use]
    pub fn expired(&self, now: WallTime) -> bool {
        now.0 >= alive_until(&self.found)
    }

    /// Whether the next command that starts something removes it without being asked: nobody owns it, its time to live
    /// has passed, and where its directory cannot be seen its owner is no process that lives here.
    #[must_use]
    pub fn is_due_for_removal(&self, now: WallTime) -> bool {
        let owner = &self.found.owner;
        let gone = self.known.is_some() || owner.is_gone() || owner.is_of_another_boot();
        self.standing == Standing::Ownerless && self.expired(now) && gone
    }

    /// Whether its directory is, or was, in this folder of runs: then it is one's own.
    #[must_use]
    pub fn is_in(&self, state: &StateFolder) -> bool {
        let directory = Path::new(&self.found.state);
        // The folder may have been named by another path when the run was made.
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        directory.starts_with(state.root())
            || canonical(directory).starts_with(canonical(state.root()))
    }

    /// The name that people type: `smoke/3`, or the id where the directory is not readable.
    #[must_use]
    pub fn name(&self) -> String {
        self.known.as_ref().map_or_else(
            || self.found.run.to_string(),
            |(_, record)| record.name.clone(),
        )
    }
}

/// All runs that the engine holds.
///
/// # Errors
/// When the engine does not answer.
pub async fn engine_runs(docker: &Docker) -> Result<Vec<EngineRun>, EngineError> {
    let found = crate::engine::find_runs(docker).await?;
    Ok(found.into_iter().map(look).collect())
}

fn look(found: FoundRun) -> EngineRun {
    let directory = RunDirectory::at(PathBuf::from(&found.state));
    let known = directory
        .record()
        .ok()
        .map(|record| (directory, record))
        // A stranger's directory may stand at the same path, for example in another container.
        .filter(|(_, record)| record.run == found.run);
    let standing = match &known {
        Some((directory, _)) if directory.owner().is_some() || is_supervised(directory) => {
            Standing::Owned
        }
        Some((_, record)) if record.kept && record.state == RunState::Finished => Standing::Kept,
        Some(_) => Standing::Ownerless,
        None => standing_from_labels(&found, RunClock::wall()),
    };
    EngineRun {
        found,
        known,
        standing,
    }
}

/// In milliseconds since 1970.
fn alive_until(found: &FoundRun) -> u64 {
    let seconds = found.created.saturating_add(found.time_to_live);
    seconds.saturating_mul(1_000)
}

/// Without the run's directory it is taken for somebody's until its time to live has passed: its owner may live where
/// it cannot be seen from here (another host, another container).
fn standing_from_labels(found: &FoundRun, now: WallTime) -> Standing {
    if now.0 < alive_until(found) {
        Standing::Owned
    } else {
        Standing::Ownerless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{owner::Owner, reservation::Reservation};

    fn found(state: &Path, containers: usize) -> FoundRun {
        FoundRun {
            run: "smoke-3-0abcd".parse().unwrap(),
            owner: Owner {
                // Above the kernel's largest process id.
                pid: 0x7fff_fff0,
                ..Owner::this_process()
            },
            created: 1_000,
            time_to_live: 500,
            state: state.display().to_string(),
            containers,
            running: 0,
            networks: 0,
            volumes: 1,
            nodes: containers,
            reservation: Some(Reservation {
                at: 1_000_000,
                reserve: Default::default(),
            }),
        }
    }

    fn run(state: &Path, containers: usize, standing: Standing) -> EngineRun {
        EngineRun {
            found: found(state, containers),
            known: Some((
                RunDirectory::at(state.to_owned()),
                serde_json::from_value(serde_json::json!({
                    "run": "smoke-3-0abcd", "name": "smoke/3", "plan": "smoke", "profile": "reference",
                    "created": 1_000_000, "engine": null, "state": "running", "exit": null, "verdict": null,
                }))
                .unwrap(),
            )),
            standing,
        }
    }

    #[test]
    fn only_what_nobody_owns_is_removed_after_its_time() {
        let path = Path::new("/runs/smoke/3");
        let (early, late) = (WallTime(1_499_999), WallTime(1_500_000));
        let due = |run: &EngineRun, now| run.is_due_for_removal(now);
        let left = run(path, 4, Standing::Ownerless);
        assert!(!due(&left, early) && due(&left, late));
        for standing in [Standing::Owned, Standing::Kept] {
            assert!(!due(&run(path, 4, standing), late), "{standing:?}");
        }
        // Out of sight: only where its owner cannot be a process that lives.
        let mut unseen = run(path, 4, Standing::Ownerless);
        unseen.known = None;
        assert_eq!(due(&unseen, late), !unseen.found.owner.boot_id.is_empty());
        unseen.found.owner = Owner::this_process();
        assert!(!due(&unseen, late));
        unseen.found.owner.boot_id = "another-boot".to_owned();
        assert!(due(&unseen, late));
    }

    #[test]
    fn what_a_lost_owner_left_holds_what_its_containers_use() {
        let path = Path::new("/runs/smoke/3");
        // Its time to live has long passed.
        assert!(run(path, 0, Standing::Owned).holds());
        assert!(run(path, 4, Standing::Kept).holds());
        assert!(!run(path, 0, Standing::Kept).holds());
        assert!(!run(path, 4, Standing::Ownerless).holds());
        let mut young = run(path, 4, Standing::Ownerless);
        young.found.created = RunClock::wall().0 / 1_000;
        assert!(young.holds());
        young.found.containers = 0;
        assert!(
            !young.holds(),
            "a reservation alone, left by one that waited"
        );
    }

    #[test]
    fn ones_own_runs_are_those_of_ones_folder() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let within = root.path().join(".repro/x/smoke/3");
        assert!(run(&within, 1, Standing::Ownerless).is_in(&state));
        let beside = Path::new("/elsewhere/smoke/3");
        assert!(!run(beside, 1, Standing::Ownerless).is_in(&state));
        // The same folder by another path.
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        std::fs::create_dir_all(&within).unwrap();
        let named = StateFolder::open(Some(&link)).unwrap();
        assert!(run(&within, 1, Standing::Ownerless).is_in(&named));
    }
}
