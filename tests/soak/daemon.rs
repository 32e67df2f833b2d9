//! The engine is restarted in mid-run: on disks that live on the run goes on, else it ends as ours.
//!
//! With an engine of the test's own, in a network namespace of its own: everybody else's is left alone. `CANARYNET_DAEMON_RESTARTS=3` restarts it three times,
//! and tries disks in memory and an engine with live-restore, too.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use canarynet::journal::{Entry, Event, Reader};
use serde_json::Value;

use crate::harness::{Machine, json, newest, text};

const LONG: Duration = Duration::from_secs(300);

/// An engine of the test's own.
struct Engine {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// Holds the namespace: networks and rules of the engine are in it, and outlive the engine.
    network: Child,
    live_restore: bool,
}

impl Engine {
    /// `None`, said loudly, where no second engine can be started.
    fn start(live_restore: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let Some(network) = namespace() else {
            eprintln!("SKIPPED: no network namespace can be made here, so nothing was tested");
            return None;
        };
        let mut engine = Self {
            folder,
            daemon: None,
            network,
            live_restore,
        };
        if engine.run() {
            return Some(engine);
        }
        let log = std::fs::read_to_string(engine.path("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        eprintln!("SKIPPED: no second engine can be started here, so nothing was tested: {last:?}");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts it and waits until it answers.
    fn run(&mut self) -> bool {
        std::fs::write(self.path("daemon.json"), "{}").expect("daemon.json");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("log");
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.network.id()))
            .arg("dockerd")
            .arg("--host")
            .arg(self.address())
            .arg("--config-file")
            .arg(self.path("daemon.json"))
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            // Names of its own, should the machine have one containerd for all.
            .args(["--containerd-namespace", "canarynet-test"])
            .args(["--containerd-plugins-namespace", "canarynet-test-plugins"])
            .args([
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--log-level=warn",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        if let Some(driver) = storage_driver() {
            command.arg("--storage-driver").arg(driver);
        }
        if self.live_restore {
            command.arg("--live-restore");
        }
        let Ok(daemon) = command.spawn() else {
            return false;
        };
        self.daemon = Some(daemon);
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.docker(&["version"]).is_ok() {
                return true;
            }
            let daemon = self.daemon.as_mut().expect("daemon");
            if daemon.try_wait().expect("daemon").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Ends it in order, and waits.
    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        let _ = Command::new("kill").arg(daemon.id().to_string()).status();
        let _ = daemon.wait();
    }

    fn restart(&mut self, away: Duration) {
        self.stop();
        std::thread::sleep(away);
        assert!(self.run(), "the engine does not come back");
    }

    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("docker")
            .arg("--host")
            .arg(self.address())
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    fn assert_empty(&self) {
        for arguments in [
            &["ps", "-aq"][..],
            &["volume", "ls", "-q"],
            &["network", "ls", "--filter", "type=custom", "-q"],
        ] {
            assert_eq!(self.docker(arguments).expect("docker"), "", "{arguments:?}");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        let _ = self.network.kill();
        let _ = self.network.wait();
        // What it mounted would keep the folder.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let below = self.folder.path().display().to_string();
        let mut points: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|point| point.starts_with(&below))
            .collect();
        points.sort_unstable_by_key(|point| std::cmp::Reverse(point.len()));
        for point in points {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

/// A process in a network namespace of its own; `None` where that is not allowed.
fn namespace() -> Option<Child> {
    use std::io::Read as _;
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo; exec sleep 3600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // It says something when it is there.
    let mut said = [0];
    let there = child.stdout.as_mut()?.read_exact(&mut said).is_ok();
    if !there {
        let _ = child.wait();
    }
    there.then_some(child)
}

/// Detaches the loop devices of all images below this folder; answers how many. The kernel tells of their files by number.
fn detach_loops(volumes: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let folders = std::fs::read_dir(volumes).expect("volumes").flatten();
    let files = folders.flat_map(|folder| {
        let files = std::fs::read_dir(folder.path().join("_data"));
        files.into_iter().flatten().flatten()
    });
    let images: Vec<String> = files
        .filter(|file| file.path().extension().is_some_and(|end| end == "img"))
        .map(|file| file.metadata().expect("image").ino().to_string())
        .collect();
    let listed = Command::new("losetup")
        .args([
            "--list",
            "--noheadings",
            "--raw",
            "--output",
            "NAME,BACK-INO",
        ])
        .output()
        .expect("losetup");
    let listed = text(&listed.stdout);
    let devices = listed.lines().filter_map(|line| {
        let (device, inode) = line.split_once(' ')?;
        images
            .iter()
            .any(|image| image == inode.trim())
            .then_some(device)
    });
    let detach = |device: &str| Command::new("losetup").args(["-d", device]).status();
    devices
        .filter(|device| detach(device).is_ok_and(|status| status.success()))
        .count()
}

/// The driver of the engine that is there: another one may not work on this machine.
fn storage_driver() -> Option<String> {
    let output = Command::new("docker")
        .args(["info", "--format", "{{.Driver}}"])
        .output()
        .ok()?;
    let driver = text(&output.stdout).trim().to_owned();
    (!driver.is_empty()).then_some(driver)
}

fn plan(machine: &Machine, soak: u64) -> String {
    let path = machine.state().join("case.toml");
    let rest = format!(
        "profile = \"reference-small\"\nseed = \"engine\"\nspeedup = 16\nwarm_up = \"5 blocks\"\nuntil = \"{soak}s\"\n\
         settle = \"10 blocks\"\nload = {{ rate = \"5 tx/s per shard\", cross_shard = \"0 %\" }}\n\
         gate = {{ coverage = {{ blind = \"50 %\", blocks = 10 }} }}\n"
    );
    std::fs::write(&path, rest).expect("plan");
    path.display().to_string()
}

fn entries(directory: &Path) -> Vec<Entry> {
    let entries = Reader::open(&directory.join("journal")).expect("journal");
    entries.map(|entry| entry.expect("entry")).collect()
}

fn height(live: &Value) -> u64 {
    live["shards"][0]["height"].as_u64().unwrap_or(0)
}

/// A soak in which the engine is restarted; answers its exit code and its directory.
fn restarted(engine: &mut Engine, machine: &Machine, times: u64, more: &[&str]) -> (i32, PathBuf) {
    let address = engine.address();
    let plan = plan(machine, 6 + 8 * times);
    let arguments = [&[plan.as_str(), "--engine", &address], more].concat();
    let mut soak = machine.soak(&arguments);
    let directory = soak.directory().expect("run directory");
    for time in 1..=times {
        let before = soak.live().as_ref().map_or(0, height);
        soak.wait_for("a block", LONG, |soak| {
            soak.live().as_ref().map_or(0, height) > before
        });
        let begun = Instant::now();
        engine.restart(Duration::from_secs(1));
        eprintln!(
            "restart {time}: the engine answers after {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        if more.contains(&"profile.disk.kind=tmpfs") && !engine.live_restore {
            break;
        }
        let before = soak.live().as_ref().map_or(0, height);
        soak.wait_for("blocks after it", LONG, |soak| {
            let returned = |entry: &&Entry| matches!(entry.event, Event::EngineReturned { .. });
            let returned = entries(&directory).iter().filter(returned).count() as u64;
            returned >= time && soak.live().as_ref().map_or(0, height) > before + 1
        });
        eprintln!(
            "restart {time}: blocks after {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        // The one before it has ended with its input.
        let container = format!("{}-watcher", soak.run());
        soak.wait_for("one watcher alone", LONG, |_| {
            let top = engine.docker(&["top", &container, "-o", "pid,args"]);
            top.is_ok_and(|top| {
                top.lines()
                    .filter(|line| line.ends_with(" watcher"))
                    .count()
                    == 1
            })
        });
    }
    let ended = soak.end();
    for finding in ended.findings() {
        eprintln!(
            "{} {} {}",
            finding["kind"], finding["severity"], finding["excused_by"]
        );
    }
    (ended.code.expect("exit code"), ended.directory)
}

/// What the journal says of each absence: its length in seconds, and how many nodes had ended.
fn absences(directory: &Path) -> Vec<(f64, usize)> {
    let told = |entry: Entry| match entry.event {
        Event::EngineReturned { away, ended, .. } => Some((away.as_secs_f64(), ended.len())),
        _ => None,
    };
    entries(directory).into_iter().filter_map(told).collect()
}

fn asked() -> u64 {
    let asked = std::env::var("CANARYNET_DAEMON_RESTARTS");
    asked.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn a_run_on_block_disks_goes_on_after_its_engine_was_restarted() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let Some(mut engine) = Engine::start(false) else {
        return;
    };
    let times = asked().max(1);
    let more = ["--set", "profile.disk.kind=ext4", "--allow-helper"];
    let (code, directory) = restarted(&mut engine, &machine, times, &more);
    eprintln!("{:?}", absences(&directory));
    let nodes: Vec<usize> = absences(&directory)
        .into_iter()
        .map(|(_, ended)| ended)
        .collect();
    assert_eq!(nodes, vec![4; usize::try_from(times).expect("few")]);
    assert_eq!(code, 0, "an engine's restart is no finding");
    let address = engine.address();
    let judged = machine.run(&["judge", "latest", "--engine", &address]);
    assert_eq!(
        judged.status.code(),
        Some(0),
        "judging offline gives the same"
    );
    engine.assert_empty();
    machine.assert_nothing_left();
}

#[test]
fn a_run_in_memory_ends_as_ours_when_its_engine_was_restarted() {
    if asked() == 0 {
        eprintln!("SKIPPED: CANARYNET_DAEMON_RESTARTS=1 restarts an engine under disks in memory");
        return;
    }
    let Some(machine) = Machine::take() else {
        return;
    };
    let Some(mut engine) = Engine::start(false) else {
        return;
    };
    let more = ["--set", "profile.disk.kind=tmpfs"];
    let (code, directory) = restarted(&mut engine, &machine, 1, &more);
    assert_eq!(code, 3);
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let said = verdict.to_string();
    assert!(said.contains("their data is gone"), "{said}");
    engine.assert_empty();
    machine.assert_nothing_left();
}

#[test]
fn containers_that_outlive_their_engine_are_watched_on() {
    if asked() == 0 {
        eprintln!("SKIPPED: CANARYNET_DAEMON_RESTARTS=1 restarts an engine with live-restore");
        return;
    }
    let Some(machine) = Machine::take() else {
        return;
    };
    let Some(mut engine) = Engine::start(true) else {
        return;
    };
    let more = ["--set", "profile.disk.kind=tmpfs"];
    let (code, directory) = restarted(&mut engine, &machine, asked(), &more);
    eprintln!("{:?}", absences(&directory));
    assert!(absences(&directory).iter().all(|(_, ended)| *ended == 0));
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    assert_eq!(verdict["outcome"], "pass", "{verdict}");
    // Engines of today lose count of the volumes of containers that outlived them, and remove them only after another
    // start: the run says what it has left behind, and the next command removes it.
    if code != 0 {
        assert_eq!(code, 3);
        engine.restart(Duration::from_secs(1));
        let address = engine.address();
        let cleaned = machine.run(&["clean", "--engine", &address]);
        assert_eq!(cleaned.status.code(), Some(0));
    }
    engine.assert_empty();
    machine.assert_nothing_left();
}

#[test]
fn a_run_that_lost_owner_engine_and_devices_goes_on_from_its_images() {
    if asked() == 0 {
        eprintln!("SKIPPED: CANARYNET_DAEMON_RESTARTS=1 plays a reboot");
        return;
    }
    let Some(machine) = Machine::take() else {
        return;
    };
    let Some(mut engine) = Engine::start(false) else {
        return;
    };
    let address = engine.address();
    let plan = plan(&machine, 12);
    let more = [
        "--set",
        "profile.disk.kind=ext4",
        "--allow-helper",
        "--engine",
        &address,
    ];
    let soak = machine.soak(&[&[plan.as_str()], &more[..]].concat());
    soak.signal("KILL");
    let directory = soak.end().directory;
    engine.stop();
    // As after a boot: the images are there, and no device is.
    let detached = detach_loops(&engine.path("data/volumes"));
    assert_eq!(detached, 4, "one for each disk");
    assert!(engine.run());
    let attached = machine.run(&["runs", "attach", "latest", "--engine", &address]);
    eprintln!("{:?}", absences(&directory));
    assert_eq!(
        attached.status.code(),
        Some(0),
        "{}",
        text(&attached.stderr)
    );
    assert_eq!(
        absences(&directory).first().map(|(_, ended)| *ended),
        Some(4)
    );
    engine.assert_empty();
    machine.assert_nothing_left();
    assert_eq!(
        newest(machine.state()).as_deref(),
        Some(directory.as_path())
    );
}
