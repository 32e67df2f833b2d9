//! Armed heals: what must be undone, written down before anything is broken, so that another process can do it.
//!
//! ```text
//!  arm (file, synced) -> guard process runs -> break -> ... -> heal -> disarm
//!                             \-- the owner is gone and the time is over: heals instead, and says so --/
//! ```
//! Invariant: nothing is broken whose heal is not on disk. Healing is idempotent, so that two who heal do no harm.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::directory::{RunDirectory, RunState};
use crate::{
    engine::{Docker, EngineError, inject, inject::Scene, labels::RunLabels, owner::Owner},
    fault::operation::Operation,
    ids::RunId,
    journal::text::clean,
    time::{RunClock, WallTime},
};

/// Folder of the run directory that holds the armed heals.
pub(super) const FOLDER: &str = "faults";
/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(500);
/// An owner that lives is given this long beyond a fault's time before it is taken for hanging.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries of the guard at one heal before it is left to the next command.
const TRIES: u32 = 10;
/// Longest wait for one heal that was left behind.
const LEFT_DEADLINE: Duration = Duration::from_secs(20);
/// Longest text about one.
const LONGEST: usize = 300;
/// Time to live on labels of helpers that the guard makes: they end within minutes.
const LIFE: Duration = Duration::from_secs(3_600);

/// One armed heal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Armed {
    /// The fault.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What heals, in order.
    pub heals: Vec<Operation>,
    /// When, by wall time.
    pub by: WallTime,
    /// The run.
    pub run: RunId,
    /// Where the engine is, if not at its default.
    pub engine: Option<String>,
    /// The helper's image.
    pub helper: Option<String>,
    /// The nodes' user.
    pub user: String,
    /// Where nodes have their disk.
    pub disk_path: String,
}

fn file(directory: &Path, id: &str) -> PathBuf {
    directory.join(FOLDER).join(format!("{id}.armed.json"))
}

fn healed_file(directory: &Path, id: &str) -> PathBuf {
    directory.join(FOLDER).join(format!("{id}.healed"))
}

impl Armed {
    /// Writes it down, durably.
    ///
    /// # Errors
    /// When it cannot be: then nothing may be broken.
    pub fn arm(&self, directory: &Path) -> Result<(), io::Error> {
        fs::create_dir_all(directory.join(FOLDER))?;
        let path = file(directory, &self.id);
        let temporary = path.with_extension("tmp");
        let mut out = fs::File::create(&temporary)?;
        out.write_all(&serde_json::to_vec(self)?)?;
        out.sync_all()?;
        fs::rename(temporary, path)?;
        fs::File::open(directory.join(FOLDER))?.sync_all()
    }

    /// The scene of its heal, found again by labels alone.
    async fn scene(&self) -> Result<Scene, EngineError> {
        let docker = Docker::connect(self.engine.as_deref()).await?;
        let launched = crate::engine::reattach(&docker, &self.run).await?;
        Ok(Scene {
            labels: RunLabels::new(&self.run, &Owner::this_process(), "", LIFE),
            docker,
            launched: Arc::new(launched),
            helper: self.helper.clone(),
            user: self.user.clone(),
            disk_path: self.disk_path.clone(),
            clock_skew: None,
            requested: None,
        })
    }
}

/// It is healed: nothing is left to do.
pub(super) fn disarm(directory: &Path, id: &str) {
    // A file that stays makes the guard heal once more, which does no harm.
    let _ = fs::remove_file(file(directory, id));
}

/// All armed heals of a run; what cannot be read is left out.
#[must_use]
pub fn armed(directory: &Path) -> Vec<Armed> {
    let Ok(entries) = fs::read_dir(directory.join(FOLDER)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".armed.json"))
        .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
        .collect()
}

/// Faults that the guard healed, with the moment; told once.
pub(super) fn healed_by_guard(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory.join(FOLDER)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = name.strip_suffix(".healed")?.to_owned();
            fs::remove_file(entry.path()).ok()?;
            Some(id)
        })
        .collect()
}

/// Heals what is still armed of a run whose owner cannot, or could not: all of it, or only what is overdue. Answers what
/// could not be healed; that stays armed.
pub async fn heal_left(directory: &Path, which: Left) -> Vec<String> {
    let now = RunClock::wall();
    let mut failed = Vec::new();
    for one in armed(directory) {
        if which == Left::Overdue && now.0 < one.by.0 {
            continue;
        }
        let work = async {
            let scene = one
                .scene()
                .await
                .map_err(|error| super::conductor::chain(&error))?;
            heal(&scene, &one.heals).await
        };
        let outcome = tokio::time::timeout(LEFT_DEADLINE, work)
            .await
            .unwrap_or_else(|_| Err("it took too long".to_owned()));
        match outcome {
            Ok(()) => {
                // Told to whoever takes the run over.
                let _ = fs::write(healed_file(directory, &one.id), now.to_string());
                disarm(directory, &one.id);
            }
            Err(why) => failed.push(format!("{}: {}", one.id, clean(&why, LONGEST))),
        }
    }
    failed
}

/// Which of the armed heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All.
    All,
    /// Those whose time is over.
    Overdue,
}

/// Nothing is left that could be healed: the network is gone.
pub fn forget(directory: &Path) {
    for one in armed(directory) {
        disarm(directory, &one.id);
    }
}

/// Does all heals in order, each even if one before failed.
///
/// # Errors
/// What failed, in one line.
pub(super) async fn heal(scene: &Scene, heals: &[Operation]) -> Result<(), String> {
    let mut failures = Vec::new();
    for operation in heals {
        if let Err(error) = inject::perform(scene, operation).await {
            failures.push(format!(
                "{}: {}",
                operation.node(),
                super::conductor::chain(&error)
            ));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    }
}

/// Starts the guard of a run: a process of its own group that outlives this one.
///
/// # Errors
/// When it cannot be started: then nothing may be broken.
pub(super) fn start_guard(directory: &Path) -> Result<(), io::Error> {
    use std::os::unix::process::CommandExt as _;
    Command::new(std::env::current_exe()?)
        .arg("heal-guard")
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
}

/// The guard: `canarynet heal-guard RUN-DIRECTORY`, hidden from people. It ends when nothing is armed and nobody owns
/// the run any more, or when the run is over.
pub async fn guard(directory: PathBuf) {
    let run = RunDirectory::at(directory.clone());
    let mut tries = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let owned = run.owner().is_some();
        let over = run
            .record()
            .map_or(true, |record| record.state == RunState::Finished);
        let armed = armed(&directory);
        if over || (armed.is_empty() && !owned) || tries >= TRIES {
            return;
        }
        let patience = if owned { PATIENCE } else { Duration::ZERO };
        let now = RunClock::wall();
        for one in armed.iter().filter(|one| now.0 >= one.by.plus(patience).0) {
            let healed = match one.scene().await {
                Ok(scene) => heal(&scene, &one.heals).await.is_ok(),
                // Its containers are gone, and with them what was broken; what is not, teardown finds by labels.
                Err(_) => false,
            };
            if healed {
                let _ = fs::write(healed_file(&directory, &one.id), now.to_string());
                disarm(&directory, &one.id);
            } else {
                tries += 1;
            }
        }
    }
}
