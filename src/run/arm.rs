//! Armed heals: what must be undone, written down before anything is broken, so that another process can do it.
//!
//! ```text
//!  arm (file, synced) -> guard process runs -> break -> ... -> heal -> disarm
//!                             \-- the owner is gone and the time is over: heals instead, and says so --/
//! ```
//! Invariant: nothing is broken whose heal is not on disk. Healing is idempotent, so that two who heal do no harm.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    conductor::chain,
    directory::{RunDirectory, RunState},
    faults::carry_out::heal_all,
};
use crate::{
    engine::{Docker, EngineError, inject::Scene, labels::RunLabels, owner::Owner},
    fault::operation::Operation,
    ids::RunId,
    journal::text::clean,
    time::{Elapsed, RunClock, WallTime},
};

/// Folder of the run directory that holds the armed heals.
pub(super) const FOLDER: &str = "faults";
/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(500);
/// An owner that lives is given this long beyond a fault's time before it is taken for hanging.
const PATIENCE: Duration = Duration::from_secs(30);
/// ... and so much longer while it is still being broken: that ends by its deadline, and then its time begins.
const PATIENCE_BREAKING: Duration = super::faults::BREAK_DEADLINE;
/// Tries of the guard at one heal before it is left to the next command: with the waits between them some eight
/// minutes, in which an engine that was ended is back.
const TRIES: u32 = 20;
/// Longest wait of the guard between two tries at one heal; the first is as long as a look, and each is twice the last.
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// The guard gives one try so long.
const TRY_DEADLINE: Duration = Duration::from_secs(60);
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
    /// It is still being broken: its time begins when that is done, and `by` is moved then.
    #[serde(default)]
    pub breaking: bool,
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

    /// When a guard takes its owner for hanging, or for gone.
    fn overdue(&self, owned: bool) -> WallTime {
        let patience = match (owned, self.breaking) {
            (false, _) => Duration::ZERO,
            (true, false) => PATIENCE,
            (true, true) => PATIENCE + PATIENCE_BREAKING,
        };
        self.by.plus(patience)
    }

    /// Heals it from wherever this process is.
    async fn heal(&self) -> Result<(), String> {
        // Where its containers are gone, so is what was broken; what is not, teardown finds by labels.
        let scene = self.scene().await.map_err(|error| chain(&error))?;
        heal_all(&scene, &self.heals).await
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

/// All of it is broken: its time begins now. One that cannot be written is healed when it was due.
pub(super) fn broken(directory: &Path, id: &str, by: WallTime) {
    // Where the file is gone, somebody has healed it.
    for one in armed(directory).into_iter().filter(|one| one.id == id) {
        let lasts = Armed {
            by,
            breaking: false,
            ..one
        };
        let _ = lasts.arm(directory);
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
        let outcome = tokio::time::timeout(LEFT_DEADLINE, one.heal())
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

/// Starts the guard of a run: a process of its own group that outlives this one.
///
/// # Errors
/// When it cannot be started: then nothing may be broken.
pub(super) fn start_guard(directory: &Path) -> Result<Child, io::Error> {
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
}

/// What a guard tried in vain. Pure.
#[derive(Debug, Default)]
struct Tries(BTreeMap<String, Tried>);

#[derive(Debug, Clone, Copy)]
struct Tried {
    times: u32,
    /// Not again before.
    next: Elapsed,
}

impl Tries {
    /// Whether this heal is to be tried now.
    fn is_due(&self, id: &str, now: Elapsed) -> bool {
        self.0
            .get(id)
            .is_none_or(|tried| tried.times < TRIES && now >= tried.next)
    }

    /// Whether it is left to the next command.
    fn gave_up(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|tried| tried.times >= TRIES)
    }

    fn failed(&mut self, id: &str, now: Elapsed) {
        let times = self.0.get(id).map_or(0, |tried| tried.times);
        let pause = LOOK.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
        let tried = Tried {
            times: times + 1,
            next: now + pause.min(PAUSE_MOST),
        };
        self.0.insert(id.to_owned(), tried);
    }

    /// Forgets heals that are not armed any more.
    fn keep(&mut self, armed: &[Armed]) {
        self.0.retain(|id, _| armed.iter().any(|one| one.id == *id));
    }
}

/// The guard: `canarynet heal-guard RUN-DIRECTORY`, hidden from people. It ends when nobody owns the run any more and
/// nothing is armed that it could still heal, or when the run is over.
pub async fn guard(directory: PathBuf) {
    let run = RunDirectory::at(directory.clone());
    let clock = RunClock::start();
    let mut tries = Tries::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let owned = run.owner().is_some();
        let over = run
            .record()
            .map_or(true, |record| record.state == RunState::Finished);
        let armed = armed(&directory);
        let left = armed.iter().any(|one| !tries.gave_up(&one.id));
        if over || !(owned || left) {
            return;
        }
        tries.keep(&armed);
        let (wall, now) = (RunClock::wall(), clock.elapsed());
        let due = armed
            .iter()
            .filter(|one| wall.0 >= one.overdue(owned).0 && tries.is_due(&one.id, now));
        // Side by side: one that hangs holds up no other.
        let heals = due.map(|one| async move {
            let healed = tokio::time::timeout(TRY_DEADLINE, one.heal()).await;
            (one, matches!(healed, Ok(Ok(()))))
        });
        for (one, healed) in join_all(heals).await {
            if healed {
                let _ = fs::write(healed_file(&directory, &one.id), wall.to_string());
                disarm(&directory, &one.id);
            } else {
                tries.failed(&one.id, clock.elapsed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed_heal(id: &str, by: WallTime, breaking: bool) -> Armed {
        Armed {
            id: id.to_owned(),
            kind: "pause".to_owned(),
            heals: Vec::new(),
            by,
            breaking,
            run: "tested".parse().unwrap(),
            engine: None,
            helper: None,
            user: "1:1".to_owned(),
            disk_path: "/data".to_owned(),
        }
    }

    #[test]
    fn a_heal_that_fails_takes_no_try_from_another_and_outlasts_an_engine() {
        let mut tries = Tries::default();
        let (mut now, mut times) = (Elapsed::default(), 0);
        while !tries.gave_up("f1") {
            assert!(tries.is_due("f1", now));
            tries.failed("f1", now);
            assert!(!tries.is_due("f1", now), "not at once");
            now = now + PAUSE_MOST;
            times += 1;
            assert!(times <= TRIES);
        }
        assert!(!tries.is_due("f1", now), "left to the next command");
        assert!(tries.is_due("f2", now) && !tries.gave_up("f2"));
        // The waits alone survive an engine that is away for five minutes.
        let mut tries = Tries::default();
        let mut now = Elapsed::default();
        while !tries.gave_up("f1") {
            tries.failed("f1", now);
            now = tries.0["f1"].next;
        }
        assert!(now > Elapsed::from_secs(300), "{now:?}");
        tries.keep(&[armed_heal("f2", WallTime(0), false)]);
        assert!(
            !tries.gave_up("f1"),
            "healed by somebody else, and armed anew"
        );
    }

    #[test]
    fn an_owner_that_still_breaks_is_not_taken_for_hanging() {
        let by = WallTime(1_000_000);
        let lasting = armed_heal("f1", by, false);
        let breaking = armed_heal("f1", by, true);
        assert_eq!(lasting.overdue(false), by);
        assert_eq!(breaking.overdue(false), by, "nobody breaks any more");
        assert_eq!(lasting.overdue(true), by.plus(PATIENCE));
        let longest = by.plus(super::super::faults::BREAK_DEADLINE);
        assert!(breaking.overdue(true) > longest);
    }

    #[test]
    fn the_time_of_a_fault_begins_when_all_of_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let (path, later) = (folder.path(), WallTime(99_000));
        armed_heal("f1", WallTime(5_000), true).arm(path).unwrap();
        armed_heal("f2", WallTime(5_000), true).arm(path).unwrap();
        broken(path, "f1", later);
        let mut found = armed(path);
        found.sort_by(|one, other| one.id.cmp(&other.id));
        assert_eq!((found[0].by, found[0].breaking), (later, false));
        assert_eq!((found[1].by, found[1].breaking), (WallTime(5_000), true));
        disarm(path, "f1");
        broken(path, "f1", later);
        assert_eq!(armed(path).len(), 1, "what was healed stays so");
    }
}
