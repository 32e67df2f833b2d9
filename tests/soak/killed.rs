//! The canary is killed in the middle of a fault, for every kind there is: the guard heals, the next command removes the
//! network, and nothing is left behind.
//!
//! Four faults at a time, one on each node; which kinds a network permits is asked of the program itself.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Machine, docker, json, text};

/// How long each fault lasts: its heal comes only after the kill.
const LASTS: &str = "12s";

/// Kinds and what each needs.
fn kinds(machine: &Machine) -> Vec<(String, Vec<String>)> {
    let listed = machine.run(&["--json", "fault"]);
    let kinds: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("kinds");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    kinds
        .iter()
        .map(|kind| {
            let needs = kind["needs"].as_array().expect("needs");
            (word(&kind["kind"]), needs.iter().map(word).collect())
        })
        .collect()
}

/// Heals of this run that are still armed, by fault.
fn armed(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("faults"))
        .into_iter()
        .flatten();
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(name.strip_suffix(".armed.json")?.to_owned())
        })
        .collect()
}

/// Four kinds on one network: all in force, the canary killed, all healed by the guard.
fn kill_in_the_middle(machine: &Machine, kinds: &[String], options: &[&str]) {
    let plan = machine.plan("case", "warm_up = \"10 blocks\"\nuntil = \"5m\"\n");
    let mut soak = machine.soak(&[&[plan.as_str()], options].concat());
    let directory = soak.directory().expect("run directory");
    let mut asking: BTreeMap<String, std::process::Child> = BTreeMap::new();
    for (index, kind) in kinds.iter().enumerate() {
        let target = format!("s0-n{index:02}");
        let child = machine
            .canarynet(&["fault", "latest", kind, "--target", &target, "--for", LASTS])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("canarynet fault");
        asking.insert(kind.clone(), child);
    }
    soak.wait_for("all faults", Duration::from_secs(30), |_| {
        let told = std::fs::read_dir(directory.join("faults"))
            .into_iter()
            .flatten()
            .flatten();
        let texts: Vec<String> = told
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".told"))
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .collect();
        kinds.iter().all(|kind| {
            texts.iter().any(|text| {
                text.contains(&format!("-{kind} is effective"))
                    || text.contains(&format!("-{kind} had no effect"))
                    || text.contains(&format!("-{kind} skipped"))
            })
        })
    });
    assert_eq!(
        armed(&directory).len(),
        kinds.len(),
        "all are in force: {:?}",
        armed(&directory)
    );
    soak.signal("KILL");
    for (kind, child) in asking {
        let output = child.wait_with_output().expect("canarynet fault");
        let said = text(&output.stdout);
        assert!(said.contains("is effective"), "{kind}: {said}");
        assert!(
            !said.contains("healed"),
            "{kind} was healed before the kill: {said}"
        );
        assert_eq!(output.status.code(), Some(3), "{kind}: the run is gone");
    }
    soak.end();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !armed(&directory).is_empty() {
        let left = armed(&directory);
        assert!(
            Instant::now() < deadline,
            "the guard has not healed {left:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", text(&cleaned.stderr));
    machine.assert_nothing_left();
    assert_no_process_left(&directory);
}

/// Ids of the findings whose evidence was copied.
fn found(directory: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(directory.join("evidence"));
    let folders = folders.into_iter().flatten().flatten();
    folders
        .map(|folder| folder.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_killed_run_is_judged_on_from_its_checkpoint_and_what_was_found_stays() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.plan("case", "warm_up = \"5 blocks\"\nuntil = \"5m\"\n");
    let mut soak = machine.soak(&[&plan, "--set", "speedup=16"]);
    let directory = soak.directory().expect("run directory");
    let checkpoint = directory.join("checkpoint");
    docker(&["kill", &soak.container("s0-n01")]);
    soak.wait_for("a finding", Duration::from_secs(60), |_| {
        !found(&directory).is_empty()
    });
    // One that knows of the finding.
    let _ = std::fs::remove_file(&checkpoint);
    soak.wait_for("a checkpoint", Duration::from_secs(120), |_| {
        checkpoint.is_file()
    });
    let known = found(&directory);
    soak.signal("KILL");
    soak.end();

    let attached = machine
        .canarynet(&["runs", "attach", "latest"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("canarynet runs attach");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !crate::harness::journal(&directory).contains("{\"attached\":") {
        assert!(Instant::now() < deadline, "nobody took the run over");
        std::thread::sleep(Duration::from_millis(200));
    }
    let stopped = machine.run(&["stop", "latest"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", text(&stopped.stderr));
    let attached = attached.wait_with_output().expect("canarynet runs attach");
    let said = text(&attached.stdout) + &text(&attached.stderr);
    assert!(
        said.contains("judged on from the checkpoint at entry "),
        "{said}"
    );
    let told = json(&directory.join("findings.json")).expect("findings.json");
    let told = told["findings"].as_array().expect("findings");
    for id in known {
        let same = |told: &&Value| told["finding"]["id"] == id.as_str();
        assert_eq!(told.iter().filter(same).count(), 1, "{id}: {told:?}");
    }
    assert!(!checkpoint.exists(), "nobody takes over what is over");
    // What was concluded through the checkpoint is what the journal says from its start.
    let verdict = || json(&directory.join("verdict.json")).expect("verdict.json");
    let live = verdict();
    machine.run(&["judge", "latest", "--write"]);
    let judged = verdict();
    for part in [
        "outcome", "reasons", "gates", "measures", "coverage", "shards", "nodes", "cost",
    ] {
        assert_eq!(judged[part], live[part], "{part}");
        assert!(!live[part].is_null(), "{part}");
    }
    let judged = json(&directory.join("findings.json")).expect("findings.json");
    assert_eq!(judged["findings"].as_array(), Some(told));
    machine.assert_nothing_left();
}

/// The guard ends when nothing is armed and nobody owns the run.
fn assert_no_process_left(directory: &Path) {
    let path = directory.display().to_string();
    let deadline = Instant::now() + Duration::from_secs(5);
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

/// What a network on this kind of disk permits and none before it did.
fn all_of(disk: &str, options: &[&str], wanted: impl Fn(&[String]) -> bool) {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let kinds: Vec<String> = kinds(&machine)
        .into_iter()
        .filter(|(_, needs)| wanted(needs))
        .map(|(kind, _)| kind)
        .collect();
    let disk = format!("profile.disk.kind={disk}");
    let options = [&["--set", disk.as_str()], options].concat();
    for four in kinds.chunks(4) {
        kill_in_the_middle(&machine, four, &options);
    }
}

fn needs_a_disk(needs: &[String]) -> bool {
    needs.iter().any(|need| need.ends_with("-disk"))
}

#[test]
fn kinds_that_need_nothing_are_healed_though_the_canary_was_killed() {
    all_of("tmpfs", &[], <[String]>::is_empty);
}

#[test]
fn kinds_that_need_the_helper_are_healed_though_the_canary_was_killed() {
    let wanted = |needs: &[String]| !needs.is_empty() && !needs_a_disk(needs);
    all_of("tmpfs", &["--allow-helper"], wanted);
}

#[test]
fn kinds_that_need_a_block_disk_are_healed_though_the_canary_was_killed() {
    let wanted = |needs: &[String]| needs.iter().any(|need| need == "block-disk");
    // A device can only run dry where it has been promised more than there is.
    let options = ["--allow-helper", "--set", "profile.disk.thin=true"];
    all_of("ext4", &options, wanted);
}

#[test]
fn kinds_that_need_the_fuse_disk_are_healed_though_the_canary_was_killed() {
    let wanted = |needs: &[String]| needs.iter().any(|need| need == "faulty-disk");
    all_of("faulty", &["--allow-helper"], wanted);
}
