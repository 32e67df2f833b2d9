//! What may go of old runs, and when: raw logs after days, journals after weeks, verdicts and summaries never by
//! themselves. [`decide`] is pure.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::directory::{RunDirectory, RunState, StateFolder};
use crate::{repro::tries, time::WallTime};

/// What a run keeps, from what is missed least to what is missed most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Raw logs, copies of what findings cite, and the checkpoint of a run that did not end in order.
    Logs,
    /// The journal: without it nothing can be judged again.
    Journal,
    /// Plan, verdict, findings, summary, reports.
    Record,
}

impl Tier {
    /// Names in a run directory that belong to it; all that no tier names is the record's.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Logs => &["logs", "evidence", "output.txt", "checkpoint"],
            Self::Journal => &["journal"],
            Self::Record => &[],
        }
    }
}

/// How long is kept what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age from which logs go.
    pub logs: Duration,
    /// Age from which journals go.
    pub journals: Duration,
    /// Age from which all goes; `None` for never.
    pub forget: Option<Duration>,
    /// Bytes of all runs together; `None` for as many as there are.
    pub budget: Option<u64>,
}

/// One run, as far as this decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// When it began.
    pub created: WallTime,
    /// Nobody needs it any more: over, without an owner, nothing of it in the engine.
    pub settled: bool,
    /// Bytes of logs, journal and record.
    pub bytes: [u64; 3],
}

/// One thing to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The run.
    pub run: String,
    /// What of it.
    pub tier: Tier,
    /// Bytes.
    pub bytes: u64,
    /// Why.
    pub because: &'static str,
}

/// What is to go. By age first; then, while there is more than the budget, the oldest logs, then the oldest journals.
/// The newest settled run keeps its journal whatever the budget says: it is the one that people look at.
#[must_use]
pub fn decide(runs: &[Held], retention: &Retention, now: WallTime) -> Vec<Removal> {
    let mut oldest_first: Vec<&Held> = runs.iter().filter(|run| run.settled).collect();
    oldest_first.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let mut plan = Removals {
        left: runs.iter().flat_map(|run| run.bytes).sum(),
        removals: Vec::new(),
    };
    for run in &oldest_first {
        let age = Duration::from_millis(now.0.saturating_sub(run.created.0));
        let forget = retention.forget.is_some_and(|forget| age >= forget);
        for (tier, due) in [
            (Tier::Logs, forget || age >= retention.logs),
            (Tier::Journal, forget || age >= retention.journals),
            (Tier::Record, forget),
        ] {
            if due {
                plan.remove(run, tier, "age");
            }
        }
    }
    let budget = retention.budget.unwrap_or(u64::MAX);
    let newest = oldest_first.len().saturating_sub(1);
    for (tier, runs) in [
        (Tier::Logs, &oldest_first[..]),
        (Tier::Journal, &oldest_first[..newest]),
    ] {
        for run in runs {
            if plan.left > budget {
                plan.remove(run, tier, "budget");
            }
        }
    }
    plan.removals
}

/// What is to go so far, and the bytes that stay.
struct Removals {
    left: u64,
    removals: Vec<Removal>,
}

impl Removals {
    fn remove(&mut self, run: &Held, tier: Tier, because: &'static str) {
        let bytes = run.bytes[tier as usize];
        let known = |removal: &Removal| removal.run == run.name && removal.tier == tier;
        if bytes > 0 && !self.removals.iter().any(known) {
            self.left = self.left.saturating_sub(bytes);
            self.removals.push(Removal {
                run: run.name.clone(),
                tier,
                bytes,
                because,
            });
        }
    }
}

fn size(path: &Path) -> u64 {
    let Ok(kind) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !kind.is_dir() {
        return kind.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// All runs with what they take.
#[must_use]
pub fn held(state: &StateFolder) -> Vec<(RunDirectory, Held)> {
    let of = |tier: Tier, path: &Path| -> u64 {
        tier.names().iter().map(|name| size(&path.join(name))).sum()
    };
    state
        .all()
        .into_iter()
        .map(|(directory, record)| {
            let path = directory.path();
            let (logs, journal) = (of(Tier::Logs, path), of(Tier::Journal, path));
            let rest = size(path).saturating_sub(logs + journal);
            let held = Held {
                name: record.name,
                created: record.created,
                settled: record.state == RunState::Finished
                    && !record.kept
                    && directory.owner().is_none(),
                bytes: [logs, journal, rest],
            };
            (directory, held)
        })
        .collect()
}

fn remove_path(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a part of a run, under the run's lock.
///
/// # Errors
/// When somebody owns the run, or a file cannot be removed; the path is in the error.
pub fn remove(directory: &RunDirectory, tier: Tier) -> Result<(), (PathBuf, io::Error)> {
    let path = directory.path();
    let lock = directory
        .lock()
        .map_err(|error| (path.to_owned(), io::Error::other(error)))?;
    let gone = match tier {
        Tier::Record => remove_path(path).map_err(|error| (path.to_owned(), error)),
        tier => tier.names().iter().try_for_each(|name| {
            let path = path.join(name);
            remove_path(&path).map_err(|error| (path, error))
        }),
    };
    drop(lock);
    gone
}

/// Folders of repetitions that are older than an age, by the time of their last change.
#[must_use]
pub fn old_tries(state: &StateFolder, age: Duration) -> Vec<PathBuf> {
    let old = |path: &PathBuf| {
        let changed = fs::symlink_metadata(path).and_then(|kind| kind.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= age))
    };
    fs::read_dir(state.root().join(tries::FOLDER))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(old)
        .collect()
}

/// Removes a folder of repetitions.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_tries(path: &Path) -> io::Result<()> {
    remove_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn run(name: &str, day: u64, bytes: [u64; 3]) -> Held {
        Held {
            name: name.to_owned(),
            created: WallTime(day * DAY),
            settled: true,
            bytes,
        }
    }

    fn days(count: u64) -> Duration {
        Duration::from_millis(count * DAY)
    }

    fn rule(budget: Option<u64>) -> Retention {
        Retention {
            logs: days(7),
            journals: days(42),
            forget: None,
            budget,
        }
    }

    fn words(removals: &[Removal]) -> Vec<String> {
        let word =
            |removal: &Removal| format!("{} {:?} {}", removal.run, removal.tier, removal.because);
        removals.iter().map(word).collect()
    }

    #[test]
    fn what_is_old_goes_by_tiers_and_what_is_in_use_stays() {
        let mut runs = vec![
            run("a/1", 0, [10, 10, 1]),
            run("a/2", 60, [10, 10, 1]),
            run("a/3", 93, [10, 10, 1]),
            run("a/4", 94, [0, 10, 1]),
            run("a/5", 0, [10, 10, 1]),
        ];
        runs[4].settled = false;
        let now = WallTime(100 * DAY);
        assert_eq!(
            words(&decide(&runs, &rule(None), now)),
            [
                "a/1 Logs age",
                "a/1 Journal age",
                "a/2 Logs age",
                "a/3 Logs age"
            ]
        );
        let forget = Retention {
            forget: Some(days(90)),
            ..rule(None)
        };
        assert_eq!(
            words(&decide(&runs, &forget, now))[..3],
            ["a/1 Logs age", "a/1 Journal age", "a/1 Record age"]
        );
    }

    #[test]
    fn a_budget_takes_the_oldest_logs_first_and_never_a_record() {
        let runs = vec![
            run("a/3", 3, [10, 10, 1]),
            run("a/1", 1, [10, 10, 1]),
            run("a/2", 2, [10, 10, 1]),
        ];
        let now = WallTime(4 * DAY);
        let within = |budget| words(&decide(&runs, &rule(Some(budget)), now));
        assert!(within(63).is_empty());
        assert_eq!(within(62), ["a/1 Logs budget"]);
        assert_eq!(
            within(30),
            [
                "a/1 Logs budget",
                "a/2 Logs budget",
                "a/3 Logs budget",
                "a/1 Journal budget"
            ]
        );
        // The newest keeps its journal, all keep their records.
        assert_eq!(within(0).len(), 5);
    }

    #[test]
    fn only_what_was_decided_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let (directory, lock, ..) = state.create("smoke").unwrap();
        for name in ["logs", "evidence", "journal"] {
            let folder = directory.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("x"), b"12345").unwrap();
        }
        directory.write("verdict.json", b"{}").unwrap();
        directory.write("checkpoint", b"12345").unwrap();
        assert!(remove(&directory, Tier::Logs).is_err(), "it has an owner");
        drop(lock);
        remove(&directory, Tier::Logs).unwrap();
        let there = |name: &str| directory.path().join(name).exists();
        assert!(!there("logs") && !there("evidence") && !there("checkpoint"));
        assert!(there("journal") && there("verdict.json"));
        remove(&directory, Tier::Journal).unwrap();
        assert!(!there("journal") && there("verdict.json"));
        remove(&directory, Tier::Record).unwrap();
        assert!(!directory.path().exists());
    }
}
