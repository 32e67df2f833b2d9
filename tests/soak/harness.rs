//! A run in the background, its files, and the engine's own command line as the outside hand.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_canarynet");

/// Whether an engine answers; says so loudly where none does.
pub fn engine_answers() -> bool {
    let answers = Command::new("docker")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !answers {
        eprintln!("SKIPPED: no container engine answers, so nothing was tested here");
    }
    answers
}

/// The machine, or half of it, and a folder for its runs.
pub struct Machine {
    _halves: Vec<File>,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Waits for its turn to have the machine to itself; `None` where there is no engine.
    pub fn take() -> Option<Self> {
        Self::take_of(true)
    }

    /// Waits for half of it: for a network of four nodes that nothing but its own faults slows down. Another such test may
    /// run meanwhile.
    pub fn take_half() -> Option<Self> {
        Self::take_of(false)
    }

    fn take_of(whole: bool) -> Option<Self> {
        if !engine_answers() {
            return None;
        }
        let wanted = if whole { 2 } else { 1 };
        let halves = loop {
            let free = free_halves(wanted);
            if free.len() == wanted {
                break free;
            }
            // What is not enough is given back meanwhile, so that two networks of half a machine each run beside each other
            // whenever there are two to run: those who want all of it come last, and there are only so many tests.
            drop(free);
            std::thread::sleep(Duration::from_millis(50));
        };
        let folder = tempfile::tempdir().expect("folder");
        Some(Self {
            _halves: halves,
            folder,
        })
    }

    /// The same, but only where all tests are asked for: for what takes many minutes, or is known not to pass yet.
    pub fn take_if_asked(why: &str) -> Option<Self> {
        if std::env::var_os("CANARYNET_ALL_TESTS").is_none() {
            eprintln!("SKIPPED: {why}; CANARYNET_ALL_TESTS=1 runs it");
            return None;
        }
        Self::take()
    }

    pub fn state(&self) -> &Path {
        self.folder.path()
    }

    pub fn canarynet(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--state")
            .arg(self.state())
            .args(arguments)
            .env_remove("CI")
            // Tests take turns by their lock, and others use the machine on purpose.
            .env("CANARYNET_NO_RESERVE", "true")
            .env("NO_COLOR", "1");
        command
    }

    /// Runs a verb to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.canarynet(arguments).output().expect("canarynet");
        eprintln!(
            "$ canarynet {}\n{}{}",
            arguments.join(" "),
            text(&output.stdout),
            text(&output.stderr)
        );
        output
    }

    /// Starts a soak and waits until it soaks.
    pub fn soak(&self, arguments: &[&str]) -> Soak<'_> {
        let output = File::create(self.state().join("soak.txt")).expect("output file");
        let before = newest(self.state());
        let child = self
            .canarynet(&[&["soak"], arguments].concat())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("output file"))
            .stderr(output)
            .spawn()
            .expect("canarynet soak");
        let mut soak = Soak {
            machine: self,
            child,
            before,
        };
        soak.wait_for("the soak to begin", Duration::from_secs(120), |soak| {
            soak.stage().as_deref() == Some("soak")
        });
        soak
    }

    /// Id of the newest run.
    pub fn newest_run(&self) -> String {
        let directory = newest(self.state()).expect("run directory");
        let record = json(&directory.join("run.json")).expect("run.json");
        record["run"].as_str().expect("run id").to_owned()
    }

    /// Waits until the newest run has come to this stage.
    pub fn wait_for_stage(&self, stage: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let live =
                newest(self.state()).and_then(|directory| json(&directory.join("live.json")));
            if live.is_some_and(|live| live["stage"]["stage"] == stage) {
                return;
            }
            assert!(Instant::now() < deadline, "the run never came to {stage}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes a plan on the smallest profile, accelerated as always; answers its path.
    pub fn plan(&self, name: &str, rest: &str) -> String {
        let head = "profile = \"reference-small\"\nseed = \"faults\"\nspeedup = 40\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\n";
        let path = self.state().join(format!("{name}.toml"));
        fs::write(&path, format!("{head}{rest}")).expect("plan");
        path.display().to_string()
    }

    /// No container, network, volume, loop device or mount of this machine's runs is there any more. Others' objects
    /// may come and go meanwhile, so they are told apart by the runs' ids, which every name carries.
    pub fn assert_nothing_left(&self) {
        let runs = run_ids(self.state());
        assert!(!runs.is_empty(), "no run was made");
        let all = everything();
        let left: Vec<_> = all
            .iter()
            .filter(|object| runs.iter().any(|run| object.contains(run)))
            .collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}

fn lock_file(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("canarynet-tests-{name}.lock"));
    let file = File::options().create(true).append(true).open(path);
    file.expect("lock file")
}

/// Halves of the machine that are free now, so many at most.
fn free_halves(most: usize) -> Vec<File> {
    let halves = ["first", "second"].into_iter().map(lock_file);
    let free = halves.filter(|half| flock(half, FlockOperation::NonBlockingLockExclusive).is_ok());
    free.take(most).collect()
}

/// Ids of all runs in a folder.
fn run_ids(state: &Path) -> Vec<String> {
    let plans = fs::read_dir(state).into_iter().flatten().flatten();
    let runs = plans.flat_map(|plan| fs::read_dir(plan.path()).into_iter().flatten().flatten());
    runs.filter_map(|run| {
        Some(
            json(&run.path().join("run.json"))?["run"]
                .as_str()?
                .to_owned(),
        )
    })
    .collect()
}

/// All objects that a run could leave on this machine, by name.
fn everything() -> Vec<String> {
    let mut all = Vec::new();
    for arguments in [
        &["ps", "-a", "--format", "{{.Names}}"][..],
        &["network", "ls", "--format", "{{.Name}}"],
        &["volume", "ls", "--format", "{{.Name}}"],
    ] {
        all.extend(
            docker(arguments)
                .lines()
                .map(|line| format!("{} {line}", arguments[0])),
        );
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    all.extend(mounts.lines().map(|line| format!("mount {line}")));
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        if let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) {
            all.push(format!(
                "loop {} {}",
                entry.file_name().to_string_lossy(),
                backing.trim()
            ));
        }
    }
    all
}

/// The engine's own command line: the outside hand.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A soak that runs.
pub struct Soak<'a> {
    machine: &'a Machine,
    child: Child,
    /// The newest run's directory before it.
    before: Option<PathBuf>,
}

impl Soak<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its run's directory, as soon as there is one.
    pub fn directory(&self) -> Option<PathBuf> {
        newest(self.machine.state()).filter(|newest| self.before.as_ref() != Some(newest))
    }

    pub fn live(&self) -> Option<Value> {
        json(&self.directory()?.join("live.json"))
    }

    pub fn stage(&self) -> Option<String> {
        Some(self.live()?["stage"]["stage"].as_str()?.to_owned())
    }

    /// The run's id: the prefix of its objects' names.
    pub fn run(&self) -> String {
        let record = self
            .directory()
            .and_then(|directory| json(&directory.join("run.json")))
            .expect("run.json");
        record["run"].as_str().expect("run id").to_owned()
    }

    pub fn container(&self, node: &str) -> String {
        format!("{}-{node}", self.run())
    }

    pub fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) {
        let deadline = Instant::now() + within;
        while !condition(self) {
            let ended = self.child.try_wait().expect("child");
            let said =
                || fs::read_to_string(self.machine.state().join("soak.txt")).unwrap_or_default();
            assert!(
                ended.is_none(),
                "the soak ended ({ended:?}) while waiting for {what}:\n{}",
                said()
            );
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}:\n{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for its end: exit code, what it printed, and its findings.
    pub fn end(mut self) -> Ended {
        let status = self.child.wait().expect("child");
        let output = fs::read_to_string(self.machine.state().join("soak.txt")).unwrap_or_default();
        eprintln!("{output}");
        let directory = self.directory().expect("run directory");
        Ended {
            code: status.code(),
            directory,
        }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args(["-s", signal, &self.pid().to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }
}

impl Drop for Soak<'_> {
    fn drop(&mut self) {
        // A failed test must not leave a network behind.
        if let Ok(None) = self.child.try_wait() {
            self.signal("TERM");
            let _ = self.child.wait();
        }
    }
}

/// A soak that ended.
pub struct Ended {
    pub code: Option<i32>,
    pub directory: PathBuf,
}

impl Ended {
    pub fn findings(&self) -> Vec<Value> {
        let file = json(&self.directory.join("findings.json")).expect("findings.json");
        file["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .map(|told| told["finding"].clone())
            .collect()
    }

    /// Kinds and severities, sorted: `crash minor`.
    pub fn kinds(&self) -> Vec<String> {
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or("?").to_owned();
        let mut kinds: Vec<_> = self
            .findings()
            .iter()
            .map(|f| format!("{} {}", word(f, "kind"), word(f, "severity")))
            .collect();
        kinds.sort();
        kinds
    }
}

pub fn newest(state: &Path) -> Option<PathBuf> {
    let plans = fs::read_dir(state)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let runs = plans
        .flat_map(|plan| fs::read_dir(plan).into_iter().flatten().flatten())
        .map(|entry| entry.path());
    let records = runs.filter_map(|path| {
        Some((
            fs::metadata(path.join("run.json")).ok()?.created().ok()?,
            path,
        ))
    });
    // run.json is replaced as the run goes on; with one run at a time the newest is still the one that runs.
    records.max_by_key(|(time, _)| *time).map(|(_, path)| path)
}

pub fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// All entries of a run's journal, one line each.
pub fn journal(directory: &Path) -> String {
    let entries = canarynet::journal::Reader::open(&directory.join("journal")).expect("journal");
    entries
        .map(|entry| serde_json::to_string(&entry.expect("entry")).expect("json") + "\n")
        .collect()
}
