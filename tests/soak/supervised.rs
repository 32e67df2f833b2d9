//! A supervised run has its verdict whatever ends its owners, and a supervisor that is killed takes nothing along.
//!
//! `CANARYNET_KILLS=50` kills fifty owners of one run, at moments drawn from `CANARYNET_KILL_SEED`.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use canarynet::{
    detect::Judge,
    journal::{Entry, Event, Reader, event::Stage},
    plan::Plan,
    run::directory::RunDirectory,
};

use crate::harness::{Machine, docker, json, newest};

/// Longest wait for anything: other tests and soaks may have the processors.
const LONG: Duration = Duration::from_secs(300);

/// A supervisor, ended with its run when a test fails.
struct Supervisor<'a> {
    machine: &'a Machine,
    child: Child,
    output: PathBuf,
}

impl<'a> Supervisor<'a> {
    fn start(machine: &'a Machine, name: &str, arguments: &[&str]) -> Self {
        let output = machine.state().join(format!("{name}.txt"));
        let file = File::create(&output).expect("output file");
        let child = machine
            .canarynet(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("output file"))
            .stderr(file)
            .spawn()
            .expect("canarynet");
        Self {
            machine,
            child,
            output,
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn directory(&self) -> Option<PathBuf> {
        newest(self.machine.state())
    }

    fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("child");
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().expect("child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it never ended:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits, and fails when the supervisor ends instead.
    fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().expect("child");
            assert!(
                ended.is_none(),
                "it ended ({ended:?}) before {what}:\n{}",
                self.said()
            );
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The owner of its run, as soon as there is another one than this.
    fn next_owner(&mut self, before: Option<u32>) -> u32 {
        self.wait_for("an owner", |this| {
            owner(&this.directory()?).filter(|owner| Some(*owner) != before)
        })
    }

    fn wait_for_stage(&mut self, stage: &str) {
        self.wait_for(stage, |this| {
            let live = json(&this.directory()?.join("live.json"))?;
            (live["stage"]["stage"] == stage).then_some(())
        });
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(self.child.id(), "TERM");
            let _ = self.child.wait();
        }
    }
}

fn owner(directory: &Path) -> Option<u32> {
    // Nobody knows yet which process it is: a signal to "0" would be one to this test.
    let owner = RunDirectory::at(directory.to_owned()).owner();
    owner.filter(|process| *process != 0)
}

fn signal(process: u32, name: &str) {
    // One that has ended meanwhile is as well.
    let _ = std::process::Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .stderr(Stdio::null())
        .status();
}

fn entries(directory: &Path) -> Vec<Entry> {
    match Reader::open(&directory.join("journal")) {
        Ok(entries) => entries.map(|entry| entry.expect("entry")).collect(),
        Err(_) => Vec::new(),
    }
}

/// What the journal so far makes of the network: kind and place of each finding.
fn findings(entries: &[Entry]) -> BTreeSet<String> {
    let Some(Event::RunStarted { plan, .. }) = entries.first().map(|entry| &entry.event) else {
        return BTreeSet::new();
    };
    let plan: Plan = serde_json::from_value(plan.clone()).expect("plan");
    let mut judge = Judge::new(&plan);
    for entry in entries {
        judge.step(entry);
    }
    let told = judge.findings().iter();
    told.map(|finding| format!("{} {:?}", finding.fingerprint(), finding.noticed))
        .collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Numbers that are the same for the same seed.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A plan of slow blocks, so that owners come back to a network that a busy machine still carries.
fn plan(machine: &Machine, soak: u64) -> String {
    let path = machine.state().join("case.toml");
    let text = format!(
        "profile = \"reference-small\"\nseed = \"kills\"\nspeedup = 16\nwarm_up = \"5 blocks\"\nuntil = \"{soak}s\"\n\
         settle = \"10 blocks\"\nload = {{ rate = \"5 tx/s per shard\", cross_shard = \"0 %\" }}\n\
         gate = {{ coverage = {{ blind = \"50 %\", blocks = 10 }} }}\n"
    );
    std::fs::write(&path, text).expect("plan");
    path.display().to_string()
}

/// Where an owner is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before its journal begins, or just after.
    Prepare,
    /// While the network is launched.
    Start,
    /// Whenever.
    Any,
    /// In the last stage.
    Settle,
    /// With the verdict on disk, and the network half removed.
    TearDown,
}

fn moments(kills: u64) -> Vec<Moment> {
    let first = [Moment::Prepare, Moment::Start];
    let last = [Moment::Settle, Moment::TearDown];
    match kills {
        0..=3 => [Moment::Start, Moment::Any, Moment::Settle]
            .into_iter()
            .take(usize::try_from(kills).unwrap_or(3))
            .collect(),
        _ => {
            let any = usize::try_from(kills).unwrap_or(4) - 4;
            let any = std::iter::repeat_n(Moment::Any, any);
            first.into_iter().chain(any).chain(last).collect()
        }
    }
}

#[test]
fn a_supervised_run_has_its_verdict_however_often_its_owner_is_killed() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let kills = number("CANARYNET_KILLS").unwrap_or(2);
    let seed = number("CANARYNET_KILL_SEED").unwrap_or(2019);
    eprintln!("{kills} kills, CANARYNET_KILL_SEED={seed}");
    let mut drawn = Drawn(seed);
    let plan = plan(&machine, 6 + kills * 3);
    let arguments = [
        "soak",
        &plan,
        "--supervise=1000",
        "--set",
        "profile.disk.kind=tmpfs",
    ];
    let mut run = Supervisor::start(&machine, "supervisor", &arguments);
    let mut last = None;
    let mut told = BTreeSet::new();
    let mut lengths = Vec::new();
    let mut crashed = false;
    for moment in moments(kills) {
        let after = match moment {
            Moment::Prepare => 1_500,
            Moment::Start => 2_500,
            Moment::Any => 6_000,
            Moment::Settle | Moment::TearDown => 800,
        };
        let owner = match moment {
            Moment::Prepare | Moment::Any => run.next_owner(last),
            Moment::Start => {
                run.wait_for("the journal", |this| {
                    let begun = entries(&this.directory()?);
                    (!begun.is_empty()).then_some(())
                });
                run.next_owner(last)
            }
            Moment::Settle => {
                run.wait_for_stage("settle");
                run.next_owner(last)
            }
            Moment::TearDown => {
                let owner = run.next_owner(last);
                run.wait_for("the verdict", |this| {
                    this.directory()?
                        .join("verdict.json")
                        .is_file()
                        .then_some(())
                });
                owner
            }
        };
        std::thread::sleep(Duration::from_millis(drawn.below(after)));
        let directory = run.directory().expect("run directory");
        // Something to be found, so that there is something to be lost.
        if !crashed && moment == Moment::Any {
            run.wait_for_stage("soak");
            outside_hand(&directory);
            run.wait_for("the finding", |_| {
                (!findings(&entries(&directory)).is_empty()).then_some(())
            });
            crashed = true;
        }
        let stage = json(&directory.join("live.json")).map(|live| live["stage"]["stage"].clone());
        signal(owner, "KILL");
        run.wait_for("its end", |_| {
            (self::owner(&directory) != Some(owner)).then_some(())
        });
        last = Some(owner);
        let journal = entries(&directory);
        lengths.push(journal.len() as u64);
        let now = findings(&journal);
        eprintln!(
            "kill {} ({moment:?}): {stage:?}, {} findings",
            lengths.len(),
            now.len()
        );
        assert!(now.is_superset(&told), "lost: {told:?} {now:?}");
        told = now;
    }
    let status = run.end();
    eprintln!("{}", run.said());
    let directory = run.directory().expect("run directory");
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(status.code().map(i64::from), record["exit"].as_i64());
    assert_eq!(record["state"], "finished");
    assert_eq!(status.code(), Some(0), "nothing was wrong with the network");
    assert!(
        !run.said().contains("before the soak"),
        "what was measured of the soak goes on from owner to owner"
    );
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    assert_eq!(
        verdict["coverage"]["restarts"].as_u64(),
        Some(u64::from(crashed)),
        "a second launch is none"
    );
    check_journal(&machine, &directory, &told);
    let journal = entries(&directory);
    let places = |wanted: fn(&Event) -> bool| -> Vec<u64> {
        let entries = journal.iter().filter(|entry| wanted(&entry.event));
        entries.map(|entry| entry.seq.0).collect()
    };
    let attached = places(|event| matches!(event, Event::Attached { .. }));
    let over = places(|event| matches!(event, Event::RunFinished { .. }));
    // An owner may be killed before it has taken the run over, and one that finds it finished writes no more facts: then
    // the one after it took it over, or the run was over already and only its reports were to be written.
    let followed = |length: &&u64| {
        attached.iter().any(|place| place >= *length) || over.iter().any(|place| place < *length)
    };
    let followed = lengths.iter().filter(followed).count();
    eprintln!(
        "{kills} kills, {followed} with the run taken over after it; {} owners attached; {} entries",
        attached.len(),
        journal.len()
    );
    assert_eq!(followed, lengths.len(), "{lengths:?} {attached:?} {over:?}");
    let said = run.said();
    let others = said.matches("ended without a verdict").count() as u64;
    assert_eq!(others, kills, "{said}");
    machine.assert_nothing_left();
    assert_no_process_left(&directory);
}

/// A node is ended by somebody else, and started again.
fn outside_hand(directory: &Path) {
    let record = json(&directory.join("run.json")).expect("run.json");
    let container = format!("{}-s0-n01", record["run"].as_str().expect("run id"));
    docker(&["kill", &container]);
    std::thread::sleep(Duration::from_millis(800));
    docker(&["start", &container]);
}

/// One history: every place once, time never backwards, and what it says is what was reported.
fn check_journal(machine: &Machine, directory: &Path, told: &BTreeSet<String>) {
    let journal = entries(directory);
    for (place, entry) in journal.iter().enumerate() {
        assert_eq!(entry.seq.0, place as u64, "a gap before {entry:?}");
    }
    for pair in journal.windows(2) {
        assert!(
            pair[0].elapsed <= pair[1].elapsed,
            "{:?} {:?}",
            pair[0],
            pair[1]
        );
    }
    let stage = |wanted: Stage| {
        let is = |entry: &&Entry| matches!(entry.event, Event::Stage { stage } if stage == wanted);
        journal.iter().filter(is).count()
    };
    assert!(stage(Stage::Soak) > 0);
    let now = findings(&journal);
    assert!(now.is_superset(told), "{told:?} {now:?}");
    let reported = json(&directory.join("findings.json")).expect("findings.json");
    let reported = reported["findings"].as_array().expect("findings").len();
    assert_eq!(reported, now.len(), "{now:?}");
    let judged = machine.run(&["judge", &directory.display().to_string(), "--json"]);
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(
        judged.status.code().map(i64::from),
        record["exit"].as_i64(),
        "judging offline gives the same"
    );
}

/// Owners, guard and supervisors are gone.
fn assert_no_process_left(directory: &Path) {
    let path = directory.display().to_string();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let left: Vec<String> = entries
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&path))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_supervisor_that_is_killed_takes_nothing_along_and_the_next_one_goes_on() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = plan(&machine, 600);
    let arguments = [
        "soak",
        &plan,
        "--supervise",
        "--set",
        "profile.disk.kind=tmpfs",
    ];
    let mut first = Supervisor::start(&machine, "first", &arguments);
    first.wait_for_stage("soak");
    let owner = first.next_owner(None);
    let directory = first.directory().expect("run directory");
    first.kill();
    let before = entries(&directory).len();
    let mut second = Supervisor::start(&machine, "second", &arguments);
    second.wait_for("its word", |this| {
        this.said().contains("as before").then_some(())
    });
    second.wait_for("more of the journal", |_| {
        (entries(&directory).len() > before).then_some(())
    });
    assert_eq!(
        self::owner(&directory),
        Some(owner),
        "the same owner goes on"
    );

    // Nobody is left: what is left of the run is adopted, and a signal ends it in order.
    second.kill();
    signal(owner, "KILL");
    let mut adopting = Supervisor::start(&machine, "adopting", &["runs", "adopt"]);
    adopting.next_owner(Some(owner));
    let attached = |entry: &Entry| matches!(entry.event, Event::Attached { .. });
    adopting.wait_for("the next owner", |_| {
        entries(&directory).iter().any(attached).then_some(())
    });
    signal(adopting.child.id(), "TERM");
    let status = adopting.end();
    assert_eq!(status.code(), Some(0), "{}", adopting.said());
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(record["exit"], 143, "{record}");
    assert!(directory.join("verdict.json").is_file());
    let again = machine.run(&["runs", "adopt"]);
    assert_eq!(again.status.code(), Some(0));
    machine.assert_nothing_left();
    assert_no_process_left(&directory);
}
