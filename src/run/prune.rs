//! What may go of old runs, and when: raw logs, repetitions and rungs after days, journals after weeks, verdicts and
//! summaries never by themselves. [`decide`] is pure.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::directory::{RunDirectory, RunState, StateFolder};
use crate::{
    repro::{case, tries},
    snapshot::{SnapshotFolder, Stored, ladder::staying},
    time::{RunClock, WallTime},
};

/// Repetitions of which something changed within this time may be under way, between one try and the next.
const UNDER_WAY: Duration = Duration::from_secs(3_600);

/// What is kept: first of a run, from what is missed least to what is missed most, then beside runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Raw logs, copies of what findings cite, and the checkpoint of a run that did not end in order.
    Logs,
    /// The journal: without it nothing can be judged again.
    Journal,
    /// Plan, verdict, findings, summary, reports.
    Record,
    /// A folder of repetitions, or of an unpacked bundle.
    Tries,
    /// A snapshot that a run made by its plan.
    Rung,
}

impl Tier {
    /// Names in a run directory that belong to it; all that no tier names is the record's.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Logs => &["logs", "evidence", "output.txt", "checkpoint"],
            Self::Journal => &["journal"],
            Self::Record | Self::Tries | Self::Rung => &[],
        }
    }
}

/// How long is kept what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age from which logs and repetitions go.
    pub logs: Duration,
    /// Age from which rungs go that are not kept for a finding, and that no run would go on from.
    pub rungs: Duration,
    /// Age from which journals go.
    pub journals: Duration,
    /// Age from which all goes; `None` for never.
    pub forget: Option<Duration>,
    /// Bytes of all runs and what is beside them together; `None` for as many as there are.
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

/// Something beside runs, as far as this decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Its name.
    pub name: String,
    /// [`Tier::Tries`] or [`Tier::Rung`].
    pub tier: Tier,
    /// When it was made, or last changed.
    pub changed: WallTime,
    /// Bytes.
    pub bytes: u64,
    /// It is in use or kept for something: it stays whatever its age.
    pub stays: bool,
}

/// One thing to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The run, or what is beside runs.
    pub run: String,
    /// What of it.
    pub tier: Tier,
    /// Bytes.
    pub bytes: u64,
    /// Why.
    pub because: &'static str,
}

/// What is to go. By age first; then, while there is more than the budget, the oldest repetitions, logs, rungs and
/// journals, in this order. The newest settled run keeps its journal whatever the budget says: it is the one that people
/// look at.
#[must_use]
pub fn decide(
    runs: &[Held],
    beside: &[Beside],
    retention: &Retention,
    now: WallTime,
) -> Vec<Removal> {
    let mut oldest_first: Vec<&Held> = runs.iter().filter(|run| run.settled).collect();
    oldest_first.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let mut others: Vec<&Beside> = beside.iter().filter(|other| !other.stays).collect();
    others.sort_by(|one, other| (one.changed, &one.name).cmp(&(other.changed, &other.name)));
    let taken = runs.iter().flat_map(|run| run.bytes);
    let mut plan = Removals {
        left: taken.chain(beside.iter().map(|other| other.bytes)).sum(),
        removals: Vec::new(),
    };
    let age = |since: WallTime| Duration::from_millis(now.0.saturating_sub(since.0));
    for run in &oldest_first {
        let age = age(run.created);
        let forget = retention.forget.is_some_and(|forget| age >= forget);
        for (tier, due) in [
            (Tier::Logs, forget || age >= retention.logs),
            (Tier::Journal, forget || age >= retention.journals),
            (Tier::Record, forget),
        ] {
            if due {
                plan.remove_of(run, tier, "age");
            }
        }
    }
    for other in &others {
        let most = match other.tier {
            Tier::Rung => retention.rungs,
            _ => retention.logs,
        };
        if age(other.changed) >= most {
            plan.remove(&other.name, other.tier, other.bytes, "age");
        }
    }
    let budget = retention.budget.unwrap_or(u64::MAX);
    let newest = oldest_first.len().saturating_sub(1);
    for (tier, runs) in [
        (Tier::Tries, &oldest_first[..0]),
        (Tier::Logs, &oldest_first[..]),
        (Tier::Rung, &oldest_first[..0]),
        (Tier::Journal, &oldest_first[..newest]),
    ] {
        for run in runs {
            if plan.left > budget {
                plan.remove_of(run, tier, "budget");
            }
        }
        for other in others.iter().filter(|other| other.tier == tier) {
            if plan.left > budget {
                plan.remove(&other.name, tier, other.bytes, "budget");
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
    fn remove_of(&mut self, run: &Held, tier: Tier, because: &'static str) {
        if let Some(bytes) = run.bytes.get(tier as usize) {
            self.remove(&run.name, tier, *bytes, because);
        }
    }

    fn remove(&mut self, name: &str, tier: Tier, bytes: u64, because: &'static str) {
        let known = |removal: &Removal| removal.run == name && removal.tier == tier;
        if bytes > 0 && !self.removals.iter().any(known) {
            self.left = self.left.saturating_sub(bytes);
            self.removals.push(Removal {
                run: name.to_owned(),
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

/// Something beside runs, and how it is removed.
enum Place {
    Folder(PathBuf),
    Snapshot(Box<Stored>),
}

/// What is kept beside runs: repetitions, unpacked bundles, rungs. A snapshot that was made by hand is nobody's but
/// theirs who made it.
fn beside(state: &StateFolder) -> Vec<(Place, Beside)> {
    let mut all = Vec::new();
    for folder in [tries::FOLDER, case::BUNDLES] {
        let entries = fs::read_dir(state.root().join(folder));
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            let modified = fs::symlink_metadata(&path).and_then(|kind| kind.modified());
            let Ok(modified) = modified else { continue };
            let since = modified.duration_since(std::time::UNIX_EPOCH);
            let young = modified.elapsed().map_or(true, |age| age < UNDER_WAY);
            all.push((
                Place::Folder(path.clone()),
                Beside {
                    name: format!("{folder}/{}", entry.file_name().to_string_lossy()),
                    tier: Tier::Tries,
                    changed: WallTime(since.map_or(0, |since| since.as_millis() as u64)),
                    bytes: size(&path),
                    stays: young || is_owned(&path),
                },
            ));
        }
    }
    let folder = SnapshotFolder::of(state.root());
    let mut snapshots = folder.all();
    snapshots.retain(|stored| stored.manifest.lineage.is_some());
    let lineage = |stored: &Stored| stored.manifest.lineage.clone();
    snapshots.sort_by_key(lineage);
    for rungs in snapshots.chunk_by(|one, other| lineage(one) == lineage(other)) {
        let known: Vec<_> = rungs.iter().map(Stored::rung).collect();
        let stays = staying(&known);
        for (stored, rung) in rungs.iter().zip(&known) {
            all.push((
                Place::Snapshot(Box::new(stored.clone())),
                Beside {
                    name: rung.name.clone(),
                    tier: Tier::Rung,
                    changed: rung.made,
                    bytes: rung.bytes,
                    stays: stays(rung),
                },
            ));
        }
    }
    all
}

/// Whether a run in a folder of repetitions is under way.
fn is_owned(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let tries = entries.filter_map(|entry| StateFolder::open(Some(&entry.path())).ok());
    let mut runs = tries.flat_map(|state| state.all());
    runs.any(|(directory, _)| directory.owner().is_some())
}

/// What a pruning did, or would do.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What is gone.
    pub removals: Vec<Removal>,
    /// What could not be removed, with the reason.
    pub problems: Vec<String>,
    /// Runs that there were.
    pub runs: usize,
}

impl Pruned {
    /// Bytes that became free.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.removals.iter().map(|removal| removal.bytes).sum()
    }
}

/// Removes what is due in a folder of runs; `dry_run` only says what that is.
#[must_use]
pub fn prune(state: &StateFolder, retention: &Retention, dry_run: bool) -> Pruned {
    let (directories, held): (Vec<RunDirectory>, Vec<Held>) = held(state).into_iter().unzip();
    let (places, others): (Vec<Place>, Vec<Beside>) = beside(state).into_iter().unzip();
    let mut done = Pruned {
        runs: held.len(),
        ..Pruned::default()
    };
    for removal in decide(&held, &others, retention, RunClock::wall()) {
        let gone = if dry_run {
            Ok(())
        } else {
            let of_run = || held.iter().position(|run| run.name == removal.run);
            let of_other = || {
                let same = |other: &Beside| other.name == removal.run && other.tier == removal.tier;
                others.iter().position(same)
            };
            match removal.tier {
                Tier::Tries | Tier::Rung => {
                    of_other().map_or(Ok(()), |place| remove_beside(state, &places[place]))
                }
                tier => of_run().map_or(Ok(()), |place| remove(&directories[place], tier)),
            }
        };
        match gone {
            Ok(()) => done.removals.push(removal),
            Err((path, error)) => done.problems.push(format!("{}: {error}", path.display())),
        }
    }
    done
}

fn remove_beside(state: &StateFolder, place: &Place) -> Result<(), (PathBuf, io::Error)> {
    match place {
        Place::Folder(path) => remove_path(path).map_err(|error| (path.clone(), error)),
        Place::Snapshot(stored) => SnapshotFolder::of(state.root())
            .remove(stored, false)
            .map_err(|error| (stored.path.clone(), io::Error::other(error))),
    }
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
            rungs: days(14),
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
            words(&decide(&runs, &[], &rule(None), now)),
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
            words(&decide(&runs, &[], &forget, now))[..3],
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
        let within = |budget| words(&decide(&runs, &[], &rule(Some(budget)), now));
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
    fn repetitions_and_rungs_go_too_unless_they_are_needed() {
        let other = |name: &str, tier, day, stays| Beside {
            name: name.to_owned(),
            tier,
            changed: WallTime(day * DAY),
            bytes: 10,
            stays,
        };
        let others = [
            other("old-try", Tier::Tries, 0, false),
            other("young-try", Tier::Tries, 95, false),
            other("running-try", Tier::Tries, 0, true),
            other("old-rung", Tier::Rung, 86, false),
            other("young-rung", Tier::Rung, 87, false),
            other("pinned-rung", Tier::Rung, 0, true),
        ];
        let runs = [run("a/1", 96, [10, 10, 1]), run("a/2", 97, [0, 10, 1])];
        let now = WallTime(100 * DAY);
        let aged = ["old-try Tries age", "old-rung Rung age"];
        assert_eq!(words(&decide(&runs, &others, &rule(None), now)), aged);
        let within = |budget| words(&decide(&runs, &others, &rule(Some(budget)), now));
        // 92 bytes in all, 20 of them gone by age.
        assert_eq!(within(72), aged);
        assert_eq!(within(71)[2..], ["young-try Tries budget"]);
        assert_eq!(
            within(0)[2..],
            [
                "young-try Tries budget",
                "a/1 Logs budget",
                "young-rung Rung budget",
                "a/1 Journal budget"
            ]
        );
    }

    #[test]
    fn a_folder_is_pruned_of_repetitions_and_of_rungs_that_nobody_needs() {
        use crate::snapshot::{
            folder::tests::store,
            manifest::tests::{manifest, plan},
        };
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        for (folder, days) in [(".repro/old", 9), (".repro/young", 0), (".bundles/old", 9)] {
            let path = root.path().join(folder);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("x"), b"12345").unwrap();
            let changed = std::time::SystemTime::now() - Duration::from_secs(days * 86_400);
            let folder = fs::File::open(&path).unwrap();
            folder.set_modified(changed).unwrap();
        }
        let folder = SnapshotFolder::of(root.path());
        for (name, height, lineage) in [
            ("by-hand", 5, None),
            ("rung-1", 10, Some("nightly")),
            ("rung-2", 20, Some("nightly")),
            ("rung-3", 30, Some("nightly")),
        ] {
            let mut made = manifest(&plan(), name, height);
            made.lineage = lineage.map(str::to_owned);
            made.made = WallTime(height);
            store(&folder, &made);
        }
        let mut pinned = folder.find("rung-1").unwrap();
        pinned
            .stand(crate::snapshot::ladder::Standing {
                pinned: Some("stall-1".to_owned()),
                ..Default::default()
            })
            .unwrap();
        let there = |name: &str| root.path().join(name).exists();
        let would = prune(&state, &rule(None), true);
        assert_eq!(would.removals.len(), 3, "{would:?}");
        assert!(there(".repro/old") && there(".snapshots/rung-2"));
        let done = prune(&state, &rule(None), false);
        assert_eq!(done.removals, would.removals);
        assert!(done.problems.is_empty() && done.freed() > 10, "{done:?}");
        for gone in [".repro/old", ".bundles/old", ".snapshots/rung-2"] {
            assert!(!there(gone), "{gone}");
        }
        for stays in [
            ".repro/young",
            ".snapshots/by-hand",
            ".snapshots/rung-1",
            ".snapshots/rung-3",
        ] {
            assert!(there(stays), "{stays}");
        }
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
