//! What a killed canary has left: whose it is, and that it goes also where the image that works on disks is gone.

use std::process::Command;

use crate::harness::{Machine, PROGRAM, docker, text};

/// A volume of a run that nobody owns, whose time to live passed long ago.
fn leave_behind() -> String {
    let run = format!("left-1-{:05x}", std::process::id() & 0xf_ffff);
    let labels = [
        ("run", run.as_str()),
        ("role", "toolbox"),
        ("owner-pid", "1"),
        ("boot-id", "elsewhere"),
        ("created", "1000"),
        ("ttl", "600"),
        ("state", "/nowhere/left/1"),
    ];
    let labels = labels.map(|(key, value)| format!("--label=canarynet.{key}={value}"));
    let name = format!("{run}-toolbox");
    let mut words = vec!["volume", "create"];
    words.extend(labels.iter().map(String::as_str));
    words.push(&name);
    docker(&words);
    run
}

#[test]
fn a_killed_run_goes_without_its_helpers_image_and_only_when_it_is_ones_own() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let left = leave_behind();
    let plan = machine.plan("cleaning", "warm_up = \"3 blocks\"\nuntil = \"5m\"\n");
    let words = [
        plan.as_str(),
        "--allow-helper",
        "--set",
        "profile.disk.kind=ext4",
        "--set",
        "speedup=16",
    ];
    let soak = machine.soak(&words);
    let said = std::fs::read_to_string(machine.state().join("soak.txt")).expect("output");
    assert!(
        said.contains(&format!(
            "{left}: its owner is gone and its time to live has passed"
        )),
        "{said}"
    );
    assert!(!docker(&["volume", "ls", "--format", "{{.Name}}"]).contains(&left));
    let run = soak.run();
    soak.signal("KILL");
    soak.end();

    let disks = format!("{run}-disks");
    let label = "{{index .Labels \"canarynet.helper-image\"}}";
    let image = docker(&["volume", "inspect", "--format", label, &disks]);
    // Only this one: its name is made of what is in it.
    docker(&["rmi", image.trim()]);

    // Another folder of runs is somebody else's.
    let elsewhere = tempfile::tempdir().expect("folder");
    let other = Command::new(PROGRAM)
        .arg("--state")
        .arg(elsewhere.path())
        .arg("clean")
        .output()
        .expect("canarynet clean");
    assert_eq!(other.status.code(), Some(0));
    assert!(
        text(&other.stderr).contains("canarynet clean --all"),
        "{}",
        text(&other.stderr)
    );
    assert!(docker(&["volume", "ls", "--format", "{{.Name}}"]).contains(&disks));

    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0));
    assert!(text(&cleaned.stdout).contains("cleaning/1  removed:"));
    machine.assert_nothing_left();
}
