//! The file system of the run directory becomes full in the middle of a soak: raw logs stop, the journal lives on its
//! reserve, and the run ends with a verdict and reports all the same.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Machine, PROGRAM, journal, json, newest};

/// A small file system; gone with it.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=40m", "canarynet-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: this user may not mount a small file system, so nothing was tested here"
            );
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).expect("ballast");
        let bytes = [0_u8; 4096];
        while ballast.write_all(&bytes).is_ok() {}
        for byte in bytes {
            if ballast.write_all(&[byte]).is_err() {
                return;
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn logs_size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory.join("logs"))
        .into_iter()
        .flatten()
        .flatten();
    files
        .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
        .sum()
}

#[test]
fn a_run_directory_that_becomes_full_still_gets_a_verdict() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let Some(small) = Small::mount() else {
        return;
    };
    let rest = "warm_up = \"3 blocks\"\nuntil = \"12s\"\nsettle = \"2 blocks\"\n";
    let plan = machine.plan("full", rest);
    let output = machine.state().join("soak.txt");
    let file = File::create(&output).expect("output file");
    let mut child = Command::new(PROGRAM)
        .arg("--state")
        .arg(small.path())
        .args(["soak", &plan, "--set", "speedup=16"])
        .env_remove("CI")
        .env("NO_COLOR", "1")
        .env("CANARYNET_NO_RESERVE", "true")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("output file"))
        .stderr(file)
        .spawn()
        .expect("canarynet soak");
    let said = || fs::read_to_string(&output).unwrap_or_default();
    wait_for("the soak", || {
        let live = newest(small.path()).and_then(|directory| json(&directory.join("live.json")));
        assert!(child.try_wait().expect("child").is_none(), "{}", said());
        live.is_some_and(|live| live["stage"]["stage"] == "soak")
    });
    let directory = newest(small.path()).expect("run directory");
    small.fill();
    let logged = logs_size(&directory);
    let code = child.wait().expect("child").code();
    eprintln!("{}", said());

    // What is missing counts: this is no pass, and no crash of the canary.
    assert!(matches!(code, Some(3 | 4)), "{code:?}");
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    assert!(verdict["outcome"].is_string(), "{verdict}");
    for name in [
        "findings.json",
        "summary.json",
        "junit.xml",
        "report.md",
        "report.html",
    ] {
        let size = fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
        assert!(size > 0, "{name} is not there");
    }
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(record["state"], "finished");
    let journal = journal(&directory);
    for fact in [
        "the file system of the run directory is full",
        "\"thinned\"",
        "\"run-finished\"",
    ] {
        assert!(journal.contains(fact), "{fact} is not in the journal");
    }
    // A buffer or two may have been on their way.
    let more = logs_size(&directory).saturating_sub(logged);
    assert!(
        more < 1 << 20,
        "{more} bytes of raw logs were written after the disk was full"
    );
    let mut states = fs::read_dir(small.path()).expect("state").flatten();
    assert!(states.any(|entry| entry.file_name() == "full"));
    let judged = Command::new(PROGRAM).arg("judge").arg(&directory).output();
    let judged = judged.expect("canarynet judge").status.code();
    assert_eq!(judged, code, "live and offline judging differ");
}
