//! Injected faults on a real network: effective, excused, healed, also when nobody is left to heal them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::harness::{Machine, docker, json, text};

/// A node that a fault pauses or stops answers nothing for its time: much of so short a run.
const HEAD: &str = "profile = \"reference-small\"\nseed = \"faults\"\nspeedup = 40\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\ngate = { coverage = { blind = \"5 %\" } }\n";

fn plan(machine: &Machine, rest: &str) -> String {
    let path = machine.state().join("case.toml");
    std::fs::write(&path, format!("{HEAD}{rest}")).expect("plan");
    path.display().to_string()
}

fn fault(kind: &str, target: &str, at: u32, lasts: u32) -> String {
    format!(
        "[[fault]]\nkind = \"{kind}\"\ntarget = \"{target}\"\nat = \"{at}s\"\nfor = \"{lasts}s\"\n"
    )
}

#[test]
fn faults_are_effective_excused_and_healed_and_the_drill_is_found() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let mut rest = "until = \"95s\"\n".to_owned();
    rest += "[drill]\nat = \"78s\"\n";
    rest += &fault("kill", "leader", 2, 3);
    rest += &fault("pause", "leader", 14, 3);
    rest += &fault("disk-fill", "leader", 27, 4);
    rest += &fault("log-scraper", "s0-n01", 42, 8);
    rest += &fault("more", "", 0, 0).replace(
        "kind = \"more\"\ntarget = \"\"\nat = \"0s\"\nfor = \"0s\"",
        "kind = \"stop\"\ntarget = \"more-than-f-of shard:0\"\nat = \"62s\"\nfor = \"6s\"",
    );
    let plan = plan(&machine, &rest);
    let run = machine.run(&["soak", &plan]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    let directory = crate::harness::newest(machine.state()).expect("run directory");
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let gates = verdict["gates"].as_array().expect("gates");
    for name in ["coverage faults", "drill"] {
        let gate = gates
            .iter()
            .find(|gate| gate["gate"] == name)
            .unwrap_or_else(|| panic!("no gate {name}: {verdict}"));
        assert_eq!(gate["outcome"], "pass", "{gate}");
    }
    assert!(said.contains("5 of 5 effective, 5 recovered"), "{said}");
    // Judged again from the journal alone it is the same.
    let again = machine.run(&["judge", "latest"]);
    assert_eq!(again.status.code(), Some(0));
    machine.assert_nothing_left();
}

#[test]
fn a_fault_heals_though_the_canary_was_killed_in_it() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest = format!("until = \"60s\"\n{}", fault("pause", "s0-n01", 1, 5));
    let plan = plan(&machine, &rest);
    let mut soak = machine.soak(&[&plan]);
    let container = soak.container("s0-n01");
    let paused = || docker(&["inspect", "-f", "{{.State.Paused}}", &container]).trim() == "true";
    soak.wait_for("the fault", Duration::from_secs(20), |_| paused());
    soak.signal("KILL");
    soak.end();
    assert!(paused(), "nobody healed yet");
    let deadline = Instant::now() + Duration::from_secs(20);
    while paused() {
        assert!(Instant::now() < deadline, "the guard did not heal");
        std::thread::sleep(Duration::from_millis(100));
    }
    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0));
    machine.assert_nothing_left();
}

/// Processes that guard this run.
fn guards(directory: &Path) -> Vec<u32> {
    let path = directory.display().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let guards = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let guards = line.contains("heal-guard") && line.contains(&path);
        guards.then(|| entry.file_name().to_str()?.parse().ok())?
    });
    guards.collect()
}

#[test]
fn a_guard_that_ended_is_replaced_before_the_next_fault() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let rest = format!(
        "until = \"60s\"\n{}{}",
        fault("pause", "s0-n01", 1, 2),
        fault("pause", "s0-n02", 8, 10)
    );
    let plan = plan(&machine, &rest);
    let mut soak = machine.soak(&[&plan]);
    let paused = |container: &str| {
        docker(&["inspect", "-f", "{{.State.Paused}}", container]).trim() == "true"
    };
    let second = soak.container("s0-n02");
    let directory = soak.directory().expect("run directory");
    let wait = Duration::from_secs(40);
    soak.wait_for("the first guard", wait, |_| !guards(&directory).is_empty());
    let [guard] = guards(&directory)[..] else {
        panic!("one guard: {:?}", guards(&directory))
    };
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &guard.to_string()])
        .status();
    assert!(killed.expect("kill").success());
    soak.wait_for("the second fault", wait, |_| paused(&second));
    let now = guards(&directory);
    assert!(now.len() == 1 && now[0] != guard, "{guard}: {now:?}");
    soak.signal("KILL");
    soak.end();
    let deadline = Instant::now() + wait;
    while paused(&second) {
        assert!(Instant::now() < deadline, "the second guard did not heal");
        std::thread::sleep(Duration::from_millis(100));
    }
    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0));
    machine.assert_nothing_left();
}

#[test]
fn a_heal_that_fails_is_told_at_the_end_in_the_record_and_by_the_next_command() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let rest = format!("until = \"12s\"\n{}", fault("kill", "s0-n01", 1, 4));
    let plan = plan(&machine, &rest);
    let mut soak = machine.soak(&[&plan]);
    let container = soak.container("s0-n01");
    soak.wait_for("the fault", Duration::from_secs(20), |_| {
        docker(&["inspect", "-f", "{{.State.Running}}", &container]).trim() == "false"
    });
    // An outside hand takes away what was to be started again.
    docker(&["rm", "-f", &container]);
    let directory = soak.directory().expect("run directory");
    let said = machine.state().join("soak.txt");
    let ended = soak.end();
    assert_ne!(ended.code, Some(0));
    let said = std::fs::read_to_string(said).expect("output");
    assert!(said.contains("not healed: f1-kill: s0-n01"), "{said}");
    let record = json(&directory.join("run.json")).expect("run.json");
    let told = record["unhealed"][0].as_str().expect("what was not healed");
    assert!(told.starts_with("f1-kill"), "{record}");
    for (words, times) in [(1, "first"), (0, "second")] {
        let next = machine.run(&["clean"]);
        let said = text(&next.stderr);
        let count = said.matches("fault not healed: f1-kill").count();
        assert_eq!(count, words, "the {times} command after it: {said}");
    }
    machine.assert_nothing_left();
}
