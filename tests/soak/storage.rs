//! A disk that fills is named at once, does not end the node, and heals when there is room.

use std::time::Duration;

use crate::harness::Machine;

fn fill(kind: &str, more: &[&str]) {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let kind = format!("profile.disk.kind={kind}");
    let arguments: Vec<_> = [
        "smoke",
        "--profile",
        "reference-small",
        "--for",
        "30s",
        "--set",
        &kind,
    ]
    .into_iter()
    .chain(more.iter().copied())
    .collect();
    let mut soak = machine.soak(&arguments);
    let program = "/.canarynet/canarynet";
    let filled = machine.run(&[
        "exec",
        "s0-n02",
        "--",
        program,
        "toolbox",
        "fill",
        "/data/ballast",
    ]);
    assert!(filled.status.success());
    soak.wait_for("the finding", Duration::from_secs(10), |soak| {
        soak.live().is_some_and(|live| {
            live["findings"][2].as_u64().unwrap_or(0) + live["findings"][3].as_u64().unwrap_or(0)
                > 0
        })
    });
    let freed = machine.run(&[
        "exec",
        "s0-n02",
        "--",
        program,
        "toolbox",
        "remove",
        "/data/ballast",
    ]);
    assert!(freed.status.success());
    let ended = soak.end();
    assert_eq!(ended.code, Some(1), "a full disk fails the gate");
    let findings = ended.findings();
    let full = findings
        .iter()
        .find(|finding| finding["kind"] == "disk-full")
        .expect("disk-full");
    assert_eq!(full["nodes"][0], "s0-n02");
    assert!(
        !full["end"].is_null(),
        "it goes on when there is room: {full}"
    );
    let kinds = ended.kinds();
    assert!(
        !kinds
            .iter()
            .any(|kind| kind.starts_with("oom-kill") || kind.starts_with("crash")),
        "{kinds:?}"
    );
    machine.assert_nothing_left();
}

#[test]
fn a_full_tmpfs_is_named() {
    fill("tmpfs", &[]);
}

#[test]
fn a_full_ext4_is_named() {
    fill("ext4", &["--allow-helper"]);
}
