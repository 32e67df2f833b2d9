//! The recovery ladder: a shard that only a node with another disk brings back, and one that only another version does. The
//! finding stays what it was.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::harness::{Ended, Machine, Soak, docker, journal, json};

/// Blocks that a busy machine can make, a stall that is certain soon, and a ladder in no hurry to give up a slow one.
const HEAD: &str = "seed = \"ladder\"\nblock_interval = \"400ms\"\nwarm_up = \"5 blocks\"\nuntil = \"5m\"\n\
settle = \"5 blocks\"\nload = { rate = \"10 tx/s per shard\", cross_shard = \"0 %\" }\n\
detectors = { stall = { suspected = \"2s\", after = \"4s\" } }\n";

/// A run is as long as its ladder needs.
const PATIENCE: Duration = Duration::from_secs(240);

fn plan(machine: &Machine, profile: &str, rest: &str) -> String {
    let path = machine.state().join("ladder.toml");
    let text = format!("profile = \"{profile}\"\n{HEAD}{rest}");
    fs::write(&path, text).expect("plan");
    path.display().to_string()
}

/// Waits until something brought the shard back, and ends the run.
fn end_when_back(machine: &Machine, mut soak: Soak<'_>) -> Ended {
    let said = machine.state().join("soak.txt");
    soak.wait_for("the shard to come back", PATIENCE, |_| {
        let said = fs::read_to_string(&said).unwrap_or_default();
        assert!(!said.contains("nothing brought it back"), "{said}");
        said.contains("brought it back")
    });
    machine.run(&["stop", "latest"]);
    soak.end()
}

/// The only ladder of a run: its steps with their outcomes, and what it says at all.
fn ladder(ended: &Ended) -> (Vec<(String, String)>, Value) {
    let verdict = json(&ended.directory.join("verdict.json")).expect("verdict.json");
    assert_eq!(verdict["outcome"], "fail", "{verdict}");
    let ladders = verdict["recovery"].as_array().expect("a ladder");
    assert_eq!(ladders.len(), 1, "{ladders:#?}");
    let word = |step: &Value, key: &str| step[key].as_str().expect("a word").to_owned();
    let steps = ladders[0]["steps"].as_array().expect("steps");
    let steps = steps
        .iter()
        .map(|step| (word(step, "step"), word(step, "outcome")))
        .collect();
    (steps, ladders[0].clone())
}

/// The finding that set the ladder off is as bad as ever, and says what brought the shard back.
fn assert_told(ended: &Ended, ladder: &Value, step: &str) {
    let file = json(&ended.directory.join("findings.json")).expect("findings.json");
    let all = file["findings"].as_array().expect("findings");
    let told = all
        .iter()
        .find(|told| told["finding"]["id"] == ladder["finding"])
        .unwrap_or_else(|| panic!("no finding of {ladder}"));
    assert_eq!(told["recovered_by"], step, "{told}");
    assert_eq!(told["standing"], "fails", "{told}");
    assert_eq!(told["finding"]["kind"], "stall");
    assert_eq!(told["finding"]["severity"], "critical");
    assert_eq!(told["finding"]["excused_by"], Value::Null);
    assert!(told["finding"]["end"].is_u64(), "it is over: {told}");
    // What was done about it excuses the nodes that it was done to, and is no fault of the plan.
    assert_eq!(file["faults"], Value::Array(Vec::new()));
    let kinds = ended.kinds();
    for safety in [
        "crash",
        "fork",
        "height-regression",
        "no-recovery",
        "tx-lost",
    ] {
        let found = kinds
            .iter()
            .any(|kind| kind.starts_with(&format!("{safety} ")) && *kind != "crash minor");
        assert!(!found, "{safety} in {kinds:?}");
    }
    let report = fs::read_to_string(ended.directory.join("report.md")).expect("report.md");
    let words = format!("{step} brought it back");
    assert!(report.contains("## What would bring it back"), "{report}");
    assert!(report.contains(&words), "{report}");
}

fn pairs(steps: &[(String, String)]) -> Vec<(&str, &str)> {
    let words = steps
        .iter()
        .map(|(step, outcome)| (step.as_str(), outcome.as_str()));
    words.collect()
}

#[test]
fn a_shard_without_a_quorum_comes_back_with_the_second_disk_that_is_made_new() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest =
        "[recovery]\nsteps = [\"wait\", \"restore-node\", \"wipe-node\"]\npatience = \"4s\"\n";
    let plan = plan(&machine, "reference-small", rest);
    let mut soak = machine.soak(&[&plan]);
    assert_eq!(
        machine
            .run(&["snapshot", "latest", "--name", "one"])
            .status
            .code(),
        Some(0)
    );
    // Blocks come again after the standstill, or that they do not is a finding of its own.
    let shown = machine.run(&["snapshots", "show", "one"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("json");
    let at = shown["manifest"]["heights"][0]["height"].as_u64();
    let after = at.expect("height") + 2;
    soak.wait_for("blocks after the snapshot", PATIENCE, |soak| {
        let live = soak.live();
        live.and_then(|live| live["shards"][0]["height"].as_u64()) >= Some(after)
    });
    // Three of four go by an outside hand: two must come back.
    let gone = ["s0-n01", "s0-n02", "s0-n03"].map(|node| soak.container(node));
    docker(&[&["kill"], gone.each_ref().map(String::as_str).as_slice()].concat());
    let ended = end_when_back(&machine, soak);
    let (steps, ladder) = ladder(&ended);
    let expected = [
        ("wait", "did-not-help"),
        ("restore-node", "did-not-help"),
        ("wipe-node", "brought-back"),
    ];
    assert_eq!(pairs(&steps), expected, "{ladder:#}");
    let read = |place: usize| {
        ladder["steps"][place]["why"]
            .as_str()
            .expect("what was read")
    };
    assert!(read(1).contains("of snapshot one put back"), "{ladder:#}");
    assert!(
        read(2).contains("entries of its disk removed"),
        "{ladder:#}"
    );
    assert_told(&ended, &ladder, "wipe-node");
    assert!(journal(&ended.directory).contains("\"kind\":\"recovery\""));
    machine.assert_nothing_left();
}

#[test]
fn a_bug_of_a_version_is_cured_by_another_version_and_by_nothing_else() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    // Leaders say heights in 16 bits: at height 65,536 nobody follows, restarted or not.
    let profile = "extends = \"reference-small\"\nname = \"overflow\"\ndefects = [\"height-overflow\"]\n\
        arguments = { \"--initial-height\" = \"65515\" }\n";
    fs::write(machine.state().join("overflow.toml"), profile).expect("profile");
    let rest = "[[versions]]\nname = \"fixed\"\noptions = { \"--defects\" = \"none\" }\n\
        [recovery]\nsteps = [\"restart-shard\", \"restore-node\", \"version:fixed\"]\npatience = \"4s\"\n";
    let plan = plan(&machine, "./overflow.toml", rest);
    let checked = machine.run(&["plan", "check", &plan]);
    let checked = crate::harness::text(&checked.stdout);
    assert!(checked.contains("recovery after stall: restart-shard, restore-node, version:fixed"));
    let soak = machine.soak(&[&plan]);
    let ended = end_when_back(&machine, soak);
    let (steps, ladder) = ladder(&ended);
    let expected = [
        ("restart-shard", "did-not-help"),
        ("restore-node", "skipped"),
        ("version:fixed", "brought-back"),
    ];
    assert_eq!(pairs(&steps), expected, "{ladder:#}");
    assert_eq!(ladder["height"], 65_535);
    assert_eq!(ladder["back_at"], 65_536);
    assert_told(&ended, &ladder, "version:fixed");
    machine.assert_nothing_left();
}
