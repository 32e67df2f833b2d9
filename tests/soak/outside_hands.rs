//! What an outside hand does to nodes is found, named and judged by its effect on the shard.

use std::time::Duration;

use crate::harness::{Machine, docker};

const SMALL: &[&str] = &["smoke", "--profile", "reference-small"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn one_validator_killed_and_left_down_is_minor() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let soak = machine.soak(&with(&["--for", "45s"]));
    docker(&["kill", &soak.container("s0-n01")]);
    let ended = soak.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.kinds(), ["crash minor", "low-signers minor"]);
    machine.assert_nothing_left();
}

#[test]
fn two_of_four_killed_stall_the_shard_and_it_comes_back() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let mut soak = machine.soak(&with(&["--for", "40s"]));
    let (first, second) = (soak.container("s0-n01"), soak.container("s0-n02"));
    docker(&["kill", &first, &second]);
    soak.wait_for("the stall", Duration::from_secs(15), |soak| {
        soak.live()
            .is_some_and(|live| live["findings"][3].as_u64() == Some(1))
    });
    docker(&["start", &first, &second]);
    let ended = soak.end();
    assert_eq!(ended.code, Some(1));
    let findings = ended.findings();
    let stall = findings
        .iter()
        .find(|finding| finding["kind"] == "stall")
        .expect("a stall");
    assert_eq!(stall["severity"], "critical");
    assert_eq!(stall["shard"], 0);
    let plan = crate::harness::json(&ended.directory.join("plan.json")).unwrap();
    let micros = |value: &serde_json::Value| value.as_u64().expect("microseconds");
    let window = micros(&plan["thresholds"]["stall"]) + micros(&plan["clocks"]["block_interval"]);
    assert!(window < 10_000_000, "{window}");
    assert!(!stall["end"].is_null(), "the shard came back: {stall}");
    assert!(
        !findings
            .iter()
            .any(|finding| finding["kind"] == "no-recovery"),
        "{findings:?}"
    );
    machine.assert_nothing_left();
}

#[test]
fn two_of_four_exiting_by_themselves_are_no_excuse() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let soak = machine.soak(&with(&["--for", "25s"]));
    for node in ["s0-n01", "s0-n02"] {
        // From inside, so that the engine sees an exit without a kill.
        let output = machine.run(&[
            "exec",
            node,
            "--",
            "/.canarynet/canarynet",
            "toolbox",
            "signal",
            "1",
            "TERM",
        ]);
        assert!(output.status.success());
    }
    let ended = soak.end();
    assert_eq!(ended.code, Some(1));
    let kinds = ended.kinds();
    assert!(
        kinds.contains(&"crash major".to_owned()) && kinds.contains(&"stall critical".to_owned()),
        "{kinds:?}"
    );
    assert!(
        ended
            .findings()
            .iter()
            .all(|finding| finding["excused_by"].is_null())
    );
    machine.assert_nothing_left();
}
