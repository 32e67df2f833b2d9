//! Of several faults the one that matters is left, in a plan that shows the finding again; and a run that stands still.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::harness::{Machine, PROGRAM, docker, text};

/// A full disk ends a node; nothing else that is done to this network does it any harm.
const PROFILE: &str = "extends = \"reference-small\"\nname = \"brittle\"\ndefects = [\"exit-on-nonfatal\"]\n[disk]\nsize = \"32 MiB\"\n";
const PLAN: &str = r#"
profile = "./profile.toml"
block_interval = "100ms"
warm_up = "10 blocks"
settle = "5 blocks"
until = "10s"
load = { rate = "20 tx/s per shard", cross_shard = "0 %" }
on_failure = { stop = true }
fault = [
    { kind = "pause", target = "s0-n02", at = "200ms", for = "500ms" },
    { kind = "disk-fill", target = "s0-n01", at = "1s", for = "4s" },
    { kind = "pause", target = "s0-n03", at = "7s", for = "500ms" },
    { kind = "restart", target = "s0-n02", at = "8s", for = "1s" },
]
"#;

/// A network of one run that failed.
fn failed_run(machine: &Machine) {
    let folder = machine.state();
    fs::write(folder.join("profile.toml"), PROFILE).expect("profile");
    let plan = folder.join("brittle.toml");
    fs::write(&plan, PLAN).expect("plan");
    let found = machine.run(&["soak", &plan.display().to_string()]);
    assert_eq!(found.status.code(), Some(1));
}

#[test]
fn the_one_fault_that_matters_is_left() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    failed_run(&machine);
    let written = machine.state().join("small.toml").display().to_string();
    let options = ["--tries", "1", "--confirm", "1/1", "--output", &written];
    let shrunk = machine.run(&[&["shrink", "latest", "--finding", "crash"], &options[..]].concat());
    assert_eq!(shrunk.status.code(), Some(0), "{}", text(&shrunk.stdout));
    let plan = fs::read_to_string(&written).expect("the plan");
    let table: toml::Table = plan.parse().expect("TOML");
    let faults = table["fault"].as_array().expect("faults");
    assert_eq!(faults.len(), 1, "{plan}");
    assert_eq!(faults[0]["kind"].as_str(), Some("disk-fill"));
    assert!(
        plan.contains("It showed the finding in 1 of 1 tries."),
        "{plan}"
    );
    let checked = machine.run(&["plan", "check", &written]);
    assert!(checked.status.success(), "it is a plan");
    machine.assert_nothing_left();
}

#[test]
fn a_repetition_stands_still_at_a_height_and_goes_on() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    failed_run(&machine);
    let arguments = [
        "repro",
        "latest",
        "crash",
        "--pause-at",
        "20",
        "--log-level",
        "debug",
        "--json",
    ];
    let output = fs::File::create(machine.state().join("repro.txt")).expect("output file");
    let mut repro = machine
        .canarynet(&arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .spawn()
        .expect("canarynet repro");
    let deadline = Instant::now() + Duration::from_secs(90);
    let said = loop {
        let said = fs::read_to_string(machine.state().join("repro.txt")).unwrap_or_default();
        if said.contains("\"paused\"") {
            break said;
        }
        assert!(Instant::now() < deadline, "it never stood still: {said}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let told: serde_json::Value =
        serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    let run = told["run"].as_str().expect("run");
    let filter = format!("label=canarynet.run={run}");
    let paused = docker(&["ps", "--filter", &filter, "--filter", "status=paused", "-q"]);
    assert_eq!(paused.lines().count(), 4, "{paused}");
    let state = told["state"].as_str().expect("state");
    let name = told["name"].as_str().expect("name");
    let resumed = Command::new(PROGRAM)
        .args(["--state", state, "runs", "resume", name])
        .status()
        .expect("canarynet runs resume");
    assert!(resumed.success());
    assert_eq!(repro.wait().expect("child").code(), Some(0));
    let said = fs::read_to_string(machine.state().join("repro.txt")).unwrap_or_default();
    assert!(said.contains("\"stood_still\":true"), "{said}");
    assert!(!said.contains("\"outcome\":\"void\""), "it went on: {said}");
}
