//! Run directories: `<state>/<plan>/<number>/`, each locked by the process that owns the run.
//!
//! Invariant: a run whose lock is held is never touched by anybody else. The lock is an advisory lock of the kernel
//! on `lock`, so it is gone with its owner however that ended, a reboot included.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    ids::RunId,
    plan::Plan,
    time::{RunClock, WallTime},
};

/// What goes wrong with run directories.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Nowhere to put runs.
    #[error("no folder for runs: neither --state nor XDG_STATE_HOME nor HOME says where")]
    NoHome,
    /// Input or output on a path.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A record that cannot be read.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No such run.
    #[error("no run matches {0:?}; `canarynet runs` lists them")]
    NotFound(String),
    /// More than one.
    #[error("{text:?} matches several runs: {}", matches.join(", "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// The first few that match.
        matches: Vec<String>,
    },
    /// Another process owns the run.
    #[error("run {run} belongs to process {pid}, which is alive")]
    Owned {
        /// The run.
        run: String,
        /// Its owner.
        pid: u32,
    },
}

/// How often the lock is tried, and the pause between.
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io {
        action,
        path,
        source,
    }
}

/// What a run directory says of its run without reading the journal (`run.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's id in the engine.
    pub run: RunId,
    /// `plan/number`, the name that people type.
    pub name: String,
    /// The plan.
    pub plan: String,
    /// The profile.
    pub profile: String,
    /// When it was created.
    pub created: WallTime,
    /// The engine's address, if one was given.
    pub engine: Option<String>,
    /// Where it stands.
    pub state: RunState,
    /// Exit code, once it is known.
    pub exit: Option<u8>,
    /// The verdict in one word, once it is known.
    pub verdict: Option<String>,
    /// Objects were left in the engine on purpose (`--keep`).
    #[serde(default)]
    pub kept: bool,
    /// It has no end of its own (`up`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
    /// Faults that could not be healed before its end, each with the reason.
    #[serde(default)]
    pub unhealed: Vec<String>,
    /// ... and a later command has told of them.
    #[serde(default)]
    pub unhealed_told: bool,
}

impl RunRecord {
    /// Of a run that begins now.
    #[must_use]
    pub fn starting(run: RunId, name: String, plan: &Plan, engine: Option<String>) -> Self {
        Self {
            run,
            name,
            plan: plan.name.clone(),
            profile: plan.profile.clone(),
            created: RunClock::wall(),
            engine,
            state: RunState::Starting,
            exit: None,
            verdict: None,
            kept: false,
            unhealed: Vec::new(),
            unhealed_told: false,
            endless: false,
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Images and containers are being made.
    Starting,
    /// It soaks.
    Running,
    /// Verdict and reports are written; what it made is being removed.
    TearingDown,
    /// Over.
    Finished,
}

/// A run's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

/// The lock on a run directory: its owner is alive as long as this exists.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct StateFolder {
    root: PathBuf,
}

impl StateFolder {
    /// From the option, or the user's state folder.
    ///
    /// # Errors
    /// When neither is known.
    pub fn open(option: Option<&Path>) -> Result<Self, DirectoryError> {
        if let Some(root) = option {
            let root = std::path::absolute(root).map_err(io("resolve", root))?;
            return Ok(Self { root });
        }
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        variable("XDG_STATE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
            .map(|base| Self {
                root: base.join("canarynet"),
            })
            .ok_or(DirectoryError::NoHome)
    }

    /// Its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes and locks the directory of a new run, `<plan>/<next number>`.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn create(
        &self,
        plan: &str,
    ) -> Result<(RunDirectory, RunLock, String, RunId), DirectoryError> {
        let plan = folder_name(plan);
        let parent = self.root.join(&plan);
        fs::create_dir_all(&parent).map_err(io("create", &parent))?;
        let mut number = highest_number(&parent) + 1;
        loop {
            let path = parent.join(number.to_string());
            match fs::create_dir(&path) {
                Ok(()) => {
                    let directory = RunDirectory { path };
                    let lock = directory.lock()?;
                    let name = format!("{plan}/{number}");
                    return Ok((directory, lock, name, new_run_id(&plan, number)));
                }
                // Another canary took this number meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(io("create", &path)(error)),
            }
        }
    }

    /// All runs, newest first; directories without a readable record are left out.
    #[must_use]
    pub fn all(&self) -> Vec<(RunDirectory, RunRecord)> {
        let mut runs = Vec::new();
        for plan in read_folder(&self.root) {
            // What a bundle was unpacked to and the tries of a repetition are no runs of this folder.
            if plan.file_name().is_some_and(is_hidden) {
                continue;
            }
            for path in read_folder(&plan) {
                let directory = RunDirectory { path };
                if let Ok(record) = directory.record() {
                    runs.push((directory, record));
                }
            }
        }
        runs.sort_by(|a, b| {
            b.1.created
                .cmp(&a.1.created)
                .then_with(|| b.1.name.cmp(&a.1.name))
        });
        runs
    }

    /// The run that people mean: `latest`, a name, an id, a prefix of either, or a path.
    ///
    /// # Errors
    /// When none or several match.
    pub fn find(&self, text: &str) -> Result<(RunDirectory, RunRecord), DirectoryError> {
        if text.contains('/') && Path::new(text).join("run.json").is_file() {
            // Labels and the guard carry it to where another folder is the current one.
            let path = std::path::absolute(text).map_err(io("resolve", Path::new(text)))?;
            let directory = RunDirectory { path };
            let record = directory.record()?;
            return Ok((directory, record));
        }
        let all = self.all();
        let not_found = || DirectoryError::NotFound(text.to_owned());
        if text == "latest" {
            return all.into_iter().next().ok_or_else(not_found);
        }
        if let Some(exact) = all
            .iter()
            .find(|(_, r)| r.name == text || r.run.as_str() == text)
        {
            return Ok(exact.clone());
        }
        let mut matching = all
            .into_iter()
            .filter(|(_, r)| r.name.starts_with(text) || r.run.as_str().starts_with(text));
        let first = matching.next().ok_or_else(not_found)?;
        let others: Vec<_> = matching.take(5).map(|(_, record)| record.name).collect();
        if others.is_empty() {
            return Ok(first);
        }
        let matches = std::iter::once(first.1.name).chain(others).collect();
        Err(DirectoryError::Ambiguous {
            text: text.to_owned(),
            matches,
        })
    }
}

impl RunDirectory {
    /// The directory at a path that a label or a user named.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn record(&self) -> Result<RunRecord, DirectoryError> {
        let path = self.path.join("run.json");
        let bytes = fs::read(&path).map_err(io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|source| DirectoryError::Damaged { path, source })
    }

    /// Writes `run.json` in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), DirectoryError> {
        let text = serde_json::to_vec_pretty(record).map_err(|source| DirectoryError::Damaged {
            path: self.path.join("run.json"),
            source,
        })?;
        self.write("run.json", &text)
    }

    /// Writes a file of the directory in one step: readers see the old or the new one, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!(".{name}.tmp"));
        let written = fs::write(&temporary, bytes);
        if written.is_err() {
            // A part of it would only take room that others need.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(io("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(io("rename to", &path))
    }

    /// Takes the lock, for as long as the result lives.
    ///
    /// # Errors
    /// [`DirectoryError::Owned`] when another process has it.
    pub fn lock(&self) -> Result<RunLock, DirectoryError> {
        let path = self.path.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open", &path))?;
        // Who only asks whether there is an owner holds it for a moment, too.
        let taken = (0..LOCK_TRIES).any(|number| {
            if number > 0 {
                std::thread::sleep(LOCK_PAUSE);
            }
            flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
        if !taken {
            let run = self
                .record()
                .map_or_else(|_| self.path.display().to_string(), |record| record.name);
            return Err(DirectoryError::Owned {
                run,
                pid: self.owner_pid().unwrap_or(0),
            });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .map_err(io("write", &path))?;
        write!(file, "{}", std::process::id()).map_err(io("write", &path))?;
        Ok(RunLock { _file: file })
    }

    /// The process that holds the lock, if one does; 0 where it cannot be told which, or whether: then it is somebody's.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        let file = match File::open(self.path.join("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            // Another user's.
            Err(_) => return Some(0),
        };
        // A shared lock suffices to find out, and several askers do not take each other for the owner.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => Some(self.owner_pid().unwrap_or(0)),
        }
    }

    fn owner_pid(&self) -> Option<u32> {
        let mut text = String::new();
        File::open(self.path.join("lock"))
            .ok()?
            .take(20)
            .read_to_string(&mut text)
            .ok()?;
        text.trim().parse().ok()
    }
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn read_folder(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn highest_number(parent: &Path) -> u64 {
    let number = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse().ok())
    };
    read_folder(parent)
        .iter()
        .filter_map(number)
        .max()
        .unwrap_or(0)
}

/// A plan's name as a folder and as part of container names.
fn folder_name(plan: &str) -> String {
    let lower = plan.to_ascii_lowercase();
    let mapped: String = lower
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let trimmed = mapped.trim_matches('-');
    let cut: String = trimmed.chars().take(24).collect();
    match cut.trim_matches('-') {
        "" => "plan".to_owned(),
        name => name.to_owned(),
    }
}

/// Several state folders may share an engine, so the number alone would not be unique.
fn new_run_id(plan: &str, number: u64) -> RunId {
    let mut bytes = [0; 4];
    // Without randomness two state folders might choose one name, and then the preflight refuses the second.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let salt = u32::from_ne_bytes(bytes) & 0xf_ffff;
    let text = format!("{plan}-{number}-{salt:05x}");
    RunId::from_str(&text)
        .unwrap_or_else(|_| unreachable!("invariant: {text:?} is made of checked parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, run: &RunId, created: u64) -> RunRecord {
        RunRecord {
            run: run.clone(),
            name: name.to_owned(),
            plan: "smoke".into(),
            profile: "reference".into(),
            created: WallTime(created),
            engine: None,
            state: RunState::Running,
            exit: None,
            verdict: None,
            kept: false,
            unhealed: Vec::new(),
            unhealed_told: false,
            endless: false,
        }
    }

    #[test]
    fn runs_are_numbered_found_and_locked() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let (first, lock, name, run) = state.create("Smoke test!").unwrap();
        assert_eq!(name, "smoke-test/1");
        first.write_record(&record(&name, &run, 1)).unwrap();
        let (second, _second_lock, second_name, second_run) = state.create("Smoke test!").unwrap();
        second
            .write_record(&record(&second_name, &second_run, 2))
            .unwrap();

        // An unpacked bundle has the name and the id of the run that it was made of.
        let bundle = root.path().join(".bundles/0");
        fs::create_dir_all(&bundle).unwrap();
        let copied = first.path().join("run.json");
        fs::copy(copied, bundle.join("run.json")).unwrap();
        assert_eq!(state.all().len(), 2);

        assert_eq!(state.find("latest").unwrap().1.name, "smoke-test/2");
        assert_eq!(state.find("smoke-test/1").unwrap().1.run, run);
        assert_eq!(
            state
                .find(&run.as_str()[..run.as_str().len() - 1])
                .unwrap()
                .1
                .run,
            run
        );
        assert!(matches!(
            state.find("smoke"),
            Err(DirectoryError::Ambiguous { .. })
        ));
        assert!(matches!(
            state.find("nope"),
            Err(DirectoryError::NotFound(_))
        ));

        assert_eq!(first.owner(), Some(std::process::id()));
        assert!(matches!(first.lock(), Err(DirectoryError::Owned { .. })));
        drop(lock);
        assert_eq!(first.owner(), None);
        first.lock().unwrap();
    }
}
