//! Where snapshots are kept: `.snapshots/NAME/` of the folder of runs.
//!
//! Invariant: a folder under its name is whole. One that is being made or removed has a hidden name and a lock that is
//! gone with its maker.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::{
    FORMAT, Manifest, SnapshotError,
    ladder::{Rung, Standing},
};
use crate::plan::{Begun, snapshots::is_name};

/// Folder of all snapshots in the folder of runs; no plan's folder begins with a dot.
const FOLDER: &str = ".snapshots";
/// The manifest in a snapshot's folder: it is written last.
const MANIFEST: &str = "manifest.json";
/// What became of it since.
const STANDING: &str = "rung.json";
/// Held shared by who reads it, exclusively by who makes or removes it.
const LOCK: &str = "lock";
/// Longest manifest: 239 nodes take some hundred kilobytes.
const LONGEST: u64 = 16 << 20;

/// All snapshots.
#[derive(Debug, Clone)]
pub struct SnapshotFolder {
    root: PathBuf,
}

/// A snapshot on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of its manifest.
    pub identity: String,
    /// What became of it.
    pub standing: Standing,
}

/// Held while a snapshot is read: nobody removes it meanwhile.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

/// A snapshot that is being made; removed again unless it is finished.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    name: String,
    root: PathBuf,
    done: bool,
    _lock: File,
}

impl SnapshotFolder {
    /// In a folder of runs; it need not be there yet.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self {
            root: state.join(FOLDER),
        }
    }

    /// All snapshots, by name; folders that hold none are left out.
    #[must_use]
    pub fn all(&self) -> Vec<Stored> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut all: Vec<Stored> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(is_name))
            .filter_map(|entry| Stored::read(&entry.path()).ok())
            .collect();
        all.sort_by(|one, other| one.manifest.name.cmp(&other.manifest.name));
        all
    }

    /// The rungs of a lineage, as its decisions need them.
    #[must_use]
    pub fn rungs(&self, lineage: &str) -> Vec<Stored> {
        let mut all = self.all();
        all.retain(|stored| stored.manifest.lineage.as_deref() == Some(lineage));
        all
    }

    /// The snapshot of a name, or in the folder of a path.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn find(&self, text: &str) -> Result<Stored, SnapshotError> {
        let path = Path::new(text);
        if text.contains('/') && path.join(MANIFEST).is_file() {
            return Stored::read(
                &std::path::absolute(path).map_err(SnapshotError::io("find", path))?,
            );
        }
        let path = self.root.join(text);
        if !is_name(text) || !path.join(MANIFEST).is_file() {
            return Err(SnapshotError::NotFound(text.chars().take(200).collect()));
        }
        Stored::read(&path)
    }

    /// Begins a snapshot, and removes what makers that are gone have left.
    ///
    /// # Errors
    /// When the name is none, is taken, or the folder cannot be made.
    pub fn begin(&self, name: &str) -> Result<Partial, SnapshotError> {
        if !is_name(name) {
            return Err(SnapshotError::Name(name.to_owned()));
        }
        fs::create_dir_all(&self.root).map_err(SnapshotError::io("create", &self.root))?;
        self.sweep();
        if self.root.join(name).exists() {
            return Err(SnapshotError::Taken(name.to_owned()));
        }
        let path = self.root.join(format!(".making-{name}"));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(SnapshotError::InUse(name.to_owned()));
            }
            other => other.map_err(SnapshotError::io("create", &path))?,
        }
        let lock = lock(&path, FlockOperation::NonBlockingLockExclusive)?
            .ok_or_else(|| SnapshotError::InUse(name.to_owned()))?;
        Ok(Partial {
            path,
            name: name.to_owned(),
            root: self.root.clone(),
            done: false,
            _lock: lock,
        })
    }

    /// Removes what was being made or removed by somebody who is gone. What cannot be removed is tried again next time.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".making-")
                || name.as_encoded_bytes().starts_with(b".removed-");
            if hidden
                && let Ok(Some(_held)) =
                    lock(&entry.path(), FlockOperation::NonBlockingLockExclusive)
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// When it is pinned and not forced, somebody reads it, or it cannot be removed.
    pub fn remove(&self, stored: &Stored, force: bool) -> Result<(), SnapshotError> {
        let name = &stored.manifest.name;
        if let Some(finding) = stored.standing.pinned.as_ref().filter(|_| !force) {
            return Err(SnapshotError::Pinned {
                name: name.clone(),
                finding: finding.clone(),
            });
        }
        let Some(_held) = lock(&stored.path, FlockOperation::NonBlockingLockExclusive)? else {
            return Err(SnapshotError::InUse(name.clone()));
        };
        let aside = self.root.join(format!(".removed-{name}"));
        fs::rename(&stored.path, &aside).map_err(SnapshotError::io("rename", &stored.path))?;
        fs::remove_dir_all(&aside).map_err(SnapshotError::io("remove", &aside))
    }
}

/// Takes the lock of a folder; `None` when somebody else has it.
fn lock(path: &Path, how: FlockOperation) -> Result<Option<File>, SnapshotError> {
    let path = path.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(SnapshotError::io("open", &path))?;
    Ok(flock(&file, how).is_ok().then_some(file))
}

impl Stored {
    /// Reads what is in a folder.
    ///
    /// # Errors
    /// When it is no snapshot that this version understands.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        let file = path.join(MANIFEST);
        let length = fs::metadata(&file)
            .map_err(SnapshotError::io("read", &file))?
            .len();
        if length > LONGEST {
            let long = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is too long");
            return Err(SnapshotError::io("read", &file)(long));
        }
        let text = fs::read(&file).map_err(SnapshotError::io("read", &file))?;
        let damaged = |source| SnapshotError::Damaged {
            path: file.clone(),
            source,
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(damaged)?;
        if manifest.format > FORMAT {
            return Err(SnapshotError::Format {
                name: manifest.name,
                format: manifest.format,
            });
        }
        if !manifest.is_sound() {
            return Err(damaged(serde::de::Error::custom(
                "a part names a file elsewhere",
            )));
        }
        let standing = fs::read(path.join(STANDING)).ok();
        let standing = standing.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self {
            path: path.to_owned(),
            manifest,
            identity: hex::encode(Sha256::digest(&text)),
            standing: standing.unwrap_or_default(),
        })
    }

    /// Keeps it from being removed.
    ///
    /// # Errors
    /// When somebody is removing it.
    pub fn hold(&self) -> Result<Held, SnapshotError> {
        let name = || self.manifest.name.clone();
        let lock = lock(&self.path, FlockOperation::NonBlockingLockShared)?;
        let lock = lock.ok_or_else(|| SnapshotError::InUse(name()))?;
        if !self.path.join(MANIFEST).is_file() {
            return Err(SnapshotError::NotFound(name()));
        }
        Ok(Held { _lock: lock })
    }

    /// Writes down what became of it, in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stand(&mut self, standing: Standing) -> Result<(), SnapshotError> {
        let file = self.path.join(STANDING);
        let text =
            serde_json::to_vec_pretty(&standing).map_err(|source| SnapshotError::Damaged {
                path: file.clone(),
                source,
            })?;
        let aside = self.path.join(".rung.tmp");
        fs::write(&aside, text).map_err(SnapshotError::io("write", &aside))?;
        fs::rename(&aside, &file).map_err(SnapshotError::io("rename", &aside))?;
        self.standing = standing;
        Ok(())
    }

    /// As the ladder's decisions need it.
    #[must_use]
    pub fn rung(&self) -> Rung {
        Rung {
            name: self.manifest.name.clone(),
            height: self.manifest.height().0,
            made: self.manifest.made,
            bytes: self.manifest.packed(),
            standing: self.standing.clone(),
        }
    }

    /// As the beginning of a chain.
    #[must_use]
    pub fn begun(&self) -> Begun {
        Begun {
            name: self.manifest.name.clone(),
            folder: self.path.clone(),
            identity: self.identity.clone(),
            seed: self.manifest.seed.clone(),
            heights: self.manifest.heights.clone(),
            age: self.manifest.age,
        }
    }
}

impl Partial {
    /// Its name, once it is finished.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its parts are written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the manifest, sees to it that all of it is on the disk, and gives it its name.
    ///
    /// # Errors
    /// When that fails; then there is no snapshot.
    pub fn finish(mut self, manifest: &Manifest) -> Result<Stored, SnapshotError> {
        let file = self.path.join(MANIFEST);
        let text =
            serde_json::to_vec_pretty(manifest).map_err(|source| SnapshotError::Damaged {
                path: file.clone(),
                source,
            })?;
        File::create(&file)
            .and_then(|mut out| out.write_all(&text))
            .map_err(SnapshotError::io("write", &file))?;
        let parts = manifest.nodes.values().chain(&manifest.shared);
        let files = parts.map(|part| self.path.join(&part.file)).chain([file]);
        for path in files.chain([self.path.clone()]) {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(SnapshotError::io("sync", &path))?;
        }
        let path = self.root.join(&self.name);
        fs::rename(&self.path, &path).map_err(SnapshotError::io("rename", &self.path))?;
        self.done = true;
        // It is there; a machine that fails this very moment may lose it whole, and nothing else.
        let _ = File::open(&self.root).and_then(|root| root.sync_all());
        Stored::read(&path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // What stays is swept away by the next one.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::snapshot::manifest::tests::{manifest, plan};

    fn make(folder: &SnapshotFolder, name: &str, height: u64) -> Stored {
        store(folder, &manifest(&plan(), name, height))
    }

    pub(crate) fn store(folder: &SnapshotFolder, manifest: &Manifest) -> Stored {
        let partial = folder.begin(&manifest.name).unwrap();
        for part in manifest.nodes.values() {
            fs::write(partial.path().join(&part.file), b"x").unwrap();
        }
        partial.finish(manifest).unwrap()
    }

    #[test]
    fn a_snapshot_is_there_whole_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::of(state.path());
        assert!(folder.all().is_empty());
        let partial = folder.begin("one").unwrap();
        assert!(matches!(folder.begin("one"), Err(SnapshotError::InUse(_))));
        assert!(folder.all().is_empty() && folder.find("one").is_err());
        drop(partial);
        let left = fs::read_dir(state.path().join(FOLDER)).unwrap().count();
        assert_eq!(left, 0);
        // A part that is missing: nothing is there.
        let partial = folder.begin("one").unwrap();
        assert!(partial.finish(&manifest(&plan(), "one", 7)).is_err());
        assert!(folder.all().is_empty());
        let made = make(&folder, "one", 7);
        assert_eq!(folder.find("one").unwrap(), made);
        assert_eq!(folder.find(made.path.to_str().unwrap()).unwrap(), made);
        assert!(matches!(folder.begin("one"), Err(SnapshotError::Taken(_))));
        for bad in ["", "..", "two", "../one", "/"] {
            assert!(folder.find(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_somebody_reads_or_needs_is_not_removed() {
        let state = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::of(state.path());
        let mut made = make(&folder, "one", 7);
        let held = made.hold().unwrap();
        assert!(matches!(
            folder.remove(&made, true),
            Err(SnapshotError::InUse(_))
        ));
        drop(held);
        made.stand(Standing {
            pinned: Some("stall-1".to_owned()),
            ..Standing::default()
        })
        .unwrap();
        let made = folder.find("one").unwrap();
        assert!(matches!(
            folder.remove(&made, false),
            Err(SnapshotError::Pinned { .. })
        ));
        folder.remove(&made, true).unwrap();
        assert!(folder.all().is_empty());
        assert!(made.hold().is_err());
    }

    #[test]
    fn what_a_lost_maker_left_is_swept_away() {
        let state = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::of(state.path());
        let partial = folder.begin("one").unwrap();
        let path = partial.path().to_owned();
        // As after a kill: the lock is gone, the folder is not.
        let lost = state.path().join(FOLDER).join(".making-lost");
        fs::create_dir(&lost).unwrap();
        let _two = folder.begin("two").unwrap();
        assert!(!lost.exists());
        assert!(path.exists(), "its maker lives");
    }
}
