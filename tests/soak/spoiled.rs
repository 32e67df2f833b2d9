//! `--on-infra retry=N`: a run that its machine spoiled is cleaned up and made again, and the last try decides.

use std::time::Duration;

use crate::harness::{Machine, docker, json};

#[test]
fn a_spoiled_run_is_made_again_and_the_last_try_decides() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.plan(
        "spoiled",
        "warm_up = \"5 blocks\"\nuntil = \"6s\"\nsettle = \"2 blocks\"\nallow_helper = true\n",
    );
    let mut soak = machine.soak(&[
        &plan,
        "--set",
        "profile.disk.kind=\"faulty\"",
        "--on-infra",
        "retry=1",
    ]);
    let first = soak.directory().expect("a run");
    docker(&["kill", &soak.container("s0-n00-disk")]);
    soak.wait_for("the second try", Duration::from_secs(120), |soak| {
        soak.directory().is_some_and(|newest| newest != first)
    });
    let ended = soak.end();
    assert_eq!(ended.code, Some(0));
    let record = json(&first.join("run.json")).expect("run.json");
    assert_eq!(record["exit"], 3, "the first try is kept, as what it was");
    machine.assert_nothing_left();
}
