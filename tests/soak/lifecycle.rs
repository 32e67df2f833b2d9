//! Runs end in order, or are found and taken over or removed by the next command.

use std::time::{Duration, Instant};

use crate::harness::{Machine, json, newest, text};

#[test]
fn the_smoke_plan_passes_on_tmpfs_and_leaves_nothing() {
    smoke(&["--set", "profile.disk.kind=tmpfs"]);
}

#[test]
fn the_smoke_plan_passes_on_ext4_and_leaves_nothing() {
    smoke(&["--set", "profile.disk.kind=ext4", "--allow-helper"]);
}

fn smoke(more: &[&str]) {
    let Some(machine) = Machine::take() else {
        return;
    };
    let output = machine.run(&[&["soak", "smoke"], more].concat());
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    assert!(printed.starts_with("PASS"), "{printed}");
    assert!(
        printed.contains("canary"),
        "the canary's own cost is printed: {printed}"
    );
    let judged = machine.run(&["judge", "latest", "--json"]);
    assert_eq!(
        judged.status.code(),
        Some(0),
        "judging offline gives the same"
    );
    // Sixteen nodes that write logs keep the engine busy also when nobody reads them: zero means that the stretch
    // without watching was not measured.
    let directory = newest(machine.state()).expect("run directory");
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let unwatched = &verdict["cost"]["engine_cpu_share_unwatched"];
    assert!(unwatched.as_f64() > Some(0.0), "{unwatched}");
    machine.assert_nothing_left();
}

#[test]
fn the_first_signal_leaves_verdict_and_findings_within_three_seconds() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let mut soak = machine.soak(&["smoke", "--profile", "reference-small"]);
    let directory = soak.directory().unwrap();
    soak.signal("INT");
    let asked = Instant::now();
    soak.wait_for("the reports", Duration::from_secs(3), |_| {
        ["verdict.json", "findings.json", "junit.xml"]
            .iter()
            .all(|name| directory.join(name).is_file())
    });
    eprintln!(
        "reports {} ms after the signal",
        asked.elapsed().as_millis()
    );
    assert_eq!(soak.end().code, Some(130));
    machine.assert_nothing_left();
}

#[test]
fn a_killed_canary_is_found_and_cleaned_or_taken_over() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let soak = machine.soak(&["smoke", "--profile", "reference-small", "--for", "20s"]);
    soak.signal("KILL");
    soak.end();
    let status = machine.run(&["runs"]);
    assert!(text(&status.stdout).contains("ownerless"));
    let attached = machine.run(&["runs", "attach", "latest"]);
    assert!(
        matches!(attached.status.code(), Some(0 | 4)),
        "{:?}",
        attached.status
    );
    machine.assert_nothing_left();

    let soak = machine.soak(&["smoke", "--profile", "reference-small", "--for", "20s"]);
    soak.signal("KILL");
    soak.end();
    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0));
    machine.assert_nothing_left();
}
