//! FUSE disks on a real network: healthy without faults, errors and torn writes are survived, and a disk that the canary
//! loses is its own fault.

use std::{path::Path, time::Duration};

use serde_json::Value;

use crate::harness::{Ended, Machine, docker, json, text};

const HEAD: &str = "profile = \"reference-small\"\nseed = \"faulty\"\nspeedup = 40\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\nallow_helper = true\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\ngate = { coverage = { blind = \"5 %\" } }\n";

fn plan(machine: &Machine, rest: &str) -> String {
    let path = machine.state().join("case.toml");
    std::fs::write(&path, format!("{HEAD}{rest}")).expect("plan");
    path.display().to_string()
}

const FAULTY: [&str; 2] = ["--set", "profile.disk.kind=\"faulty\""];

/// All entries of a run's journal.
fn journal(directory: &Path) -> Vec<Value> {
    let reader = canarynet::journal::Reader::open(&directory.join("journal")).expect("journal");
    reader
        .map(|entry| serde_json::to_value(entry.expect("entry")).expect("json"))
        .collect()
}

fn findings(directory: &Path) -> Vec<Value> {
    let file = json(&directory.join("findings.json")).expect("findings.json");
    let told = file["findings"].as_array().expect("findings").clone();
    told.into_iter()
        .map(|told| told["finding"].clone())
        .collect()
}

#[test]
fn a_network_on_fuse_disks_survives_errors_and_torn_writes() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let fault = |kind: &str, target: &str, at: u32, lasts: u32, more: &str| {
        format!(
            "[[fault]]\nkind = \"{kind}\"\ntarget = \"{target}\"\nat = \"{at}s\"\nfor = \"{lasts}s\"\n{more}\n"
        )
    };
    let mut rest = "until = \"75s\"\n".to_owned();
    rest += &fault("disk-error", "s0-n01", 10, 4, "");
    rest += &fault("torn-write", "s0-n02", 28, 4, "");
    rest += &fault("torn-write", "leader", 48, 4, "leaves = \"nothing\"");
    let plan = plan(&machine, &rest);
    let run = machine.run(&["soak", &plan, FAULTY[0], FAULTY[1]]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("3 of 3 effective, 3 recovered"), "{said}");
    let directory = crate::harness::newest(machine.state()).expect("run directory");
    let entries = journal(&directory);
    // Nothing was found before the first fault, and the node with errors said so.
    let first = entries
        .iter()
        .find(|entry| entry["e"]["fault"].is_object())
        .expect("a fault")["t"]
        .clone();
    for finding in findings(&directory) {
        assert!(
            finding["start"].as_u64() >= first.as_u64(),
            "a healthy network has no finding: {finding}"
        );
        let harmless = finding["severity"] == "minor" || finding["severity"] == "info";
        assert!(harmless || !finding["excused_by"].is_null(), "{finding}");
    }
    let told = |key: &str, node: &str| {
        entries
            .iter()
            .filter(|entry| entry["e"][key]["node"] == node)
            .count()
    };
    assert!(told("unsynced", "s0-n03") > 0, "what is not synced is told");
    let errors = entries
        .iter()
        .filter(|entry| {
            entry["e"]["log"]["node"] == "s0-n01" && entry["e"]["log"]["class"] == "disk-error"
        })
        .count();
    assert!(errors > 0, "the node says so");
    machine.assert_nothing_left();
}

#[test]
fn a_lost_disk_process_is_the_canarys_fault() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = plan(&machine, "until = \"60s\"\n");
    let soak = machine.soak(&[&plan, FAULTY[0], FAULTY[1]]);
    let disk = format!("{}-disk", soak.container("s0-n01"));
    docker(&["kill", &disk]);
    let ended: Ended = soak.end();
    assert_eq!(ended.code, Some(3), "infra");
    for finding in ended.findings() {
        let harmless = finding["severity"] == "minor" || finding["severity"] == "info";
        assert!(harmless || !finding["excused_by"].is_null(), "{finding}");
    }
    machine.assert_nothing_left();
}

#[test]
fn nothing_is_left_of_fuse_disks_when_their_owner_is_killed() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest = "until = \"60s\"\n[[fault]]\nkind = \"disk-error\"\ntarget = \"s0-n01\"\nat = \"1s\"\nfor = \"20s\"\nafter = \"20s\"\n";
    let plan = plan(&machine, rest);
    let mut soak = machine.soak(&[&plan, FAULTY[0], FAULTY[1]]);
    let run = soak.run();
    soak.wait_for("the fault", Duration::from_secs(20), |soak| {
        let directory = soak.directory().expect("run directory");
        std::fs::read_dir(directory.join("faults")).is_ok_and(|entries| entries.count() > 0)
    });
    soak.signal("KILL");
    soak.end();
    let mounts = || std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    assert!(mounts().contains(&run), "the disks are still mounted");
    let cleaned = machine.run(&["clean", &run]);
    assert_eq!(cleaned.status.code(), Some(0));
    assert!(!mounts().contains(&run), "{}", mounts());
    machine.assert_nothing_left();
}
