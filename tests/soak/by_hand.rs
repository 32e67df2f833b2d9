//! Faults by hand, on a network of `up` and in a soak: done at once where they can be, refused with the reason elsewhere.

use std::{process::Stdio, time::Duration};

use crate::harness::{Machine, docker, text};

#[test]
fn a_network_that_is_up_takes_faults_by_hand_in_any_stage() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.plan("case", "warm_up = \"150 blocks\"\nuntil = \"1m\"\n");
    let up = machine.run(&["up", &plan]);
    assert_eq!(up.status.code(), Some(0));
    // Still warming up: 150 blocks take half a minute.
    let fault = |arguments: &[&str]| machine.run(&[&["fault", "latest"], arguments].concat());
    let killed = fault(&["kill", "--target", "s0-n01", "--for", "1s"]);
    let said = text(&killed.stdout);
    assert_eq!(killed.status.code(), Some(0), "{said}");
    for words in ["fault h1-kill on s0-n01", "is effective", "h1-kill healed"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let status = text(&machine.run(&["--json", "status"]).stdout);
    assert!(status.contains("\"stage\":\"warm-up\""), "{status}");

    for (arguments, words) in [
        (&["kil"][..], "did you mean `kill`"),
        (
            &["disk-fill", "--set", "leeve=1 MiB"],
            "did you mean `leave`",
        ),
        (&["kill", "--target", "s0-n77"], "there is no node s0-n77"),
        (
            &["kill", "--target", "leader shard:3"],
            "there is no shard 3",
        ),
        (&["kill", "--target", "boss"], "there is no node boss"),
    ] {
        let refused = fault(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let said = text(&refused.stderr);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }

    // Two that cannot be in force together, and one that can.
    let first = machine
        .canarynet(&[
            "fault", "latest", "pause", "--target", "s0-n02", "--for", "8s",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("canarynet fault");
    let run = machine.newest_run();
    let paused = || {
        docker(&[
            "inspect",
            "-f",
            "{{.State.Paused}}",
            &format!("{run}-s0-n02"),
        ])
    };
    for _ in 0..100 {
        if paused().trim() == "true" {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(paused().trim(), "true");
    let second = fault(&["kill", "--target", "s0-n02", "--for", "1s"]);
    let said = text(&second.stdout);
    assert_eq!(second.status.code(), Some(3));
    assert!(
        said.contains("skipped: h2-pause is in force on the same node"),
        "{said}"
    );
    let inside = fault(&["cpu-hog", "--target", "s0-n02", "--for", "1s"]);
    assert!(text(&inside.stdout).contains("skipped: h2-pause"));
    let third = fault(&["cpu-hog", "--target", "s0-n01", "--for", "1s"]);
    assert_eq!(third.status.code(), Some(0));
    let first = first.wait_with_output().expect("canarynet fault");
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stdout));

    let down = machine.run(&["down"]);
    assert_eq!(down.status.code(), Some(0));
    machine.assert_nothing_left();
}

#[test]
fn a_soak_takes_faults_by_hand_until_it_settles() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest = "warm_up = \"10 blocks\"\nuntil = \"25s\"\nsettle = \"40 blocks\"\ngate = { coverage = { blind = \"10 %\" } }\n";
    let plan = machine.plan("case", rest);
    // Asked before there is a network.
    let detached = machine.run(&["soak", &plan, "--detach"]);
    assert_eq!(detached.status.code(), Some(0));
    let early = machine.run(&["fault", "latest", "kill", "--for", "1s"]);
    let said = text(&early.stdout);
    assert_eq!(early.status.code(), Some(3), "{said}");
    assert!(
        said.contains("skipped: the network does not run yet"),
        "{said}"
    );

    machine.wait_for_stage("soak");
    let filled = machine.run(&[
        "fault",
        "latest",
        "disk-fill",
        "--target",
        "leader",
        "--for",
        "3s",
        "--set",
        "leave=0 B",
    ]);
    let said = text(&filled.stdout);
    assert_eq!(filled.status.code(), Some(0), "{said}");
    assert!(said.contains("h2-disk-fill is effective: s0-n0"), "{said}");

    machine.wait_for_stage("settle");
    let late = machine.run(&["fault", "latest", "kill", "--for", "1s"]);
    assert_eq!(late.status.code(), Some(3));
    let said = text(&late.stdout);
    assert!(said.contains("skipped: the run is about to end"), "{said}");
    // What was refused by hand is no gap of the plan.
    let waited = machine.run(&["wait"]);
    assert_eq!(waited.status.code(), Some(0), "{}", text(&waited.stdout));
    let report = text(&machine.run(&["report", "--format", "markdown"]).stdout);
    assert!(report.contains("| disk-fill | 1 | 1 | 0 | 1 |"), "{report}");
    assert!(report.contains("3 by hand"), "{report}");
    machine.assert_nothing_left();
}

/// Bad input is told as such, and nothing is made of it.
#[test]
fn a_program_that_cannot_be_a_node_is_bad_input() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let text_file = machine.plan("case", "until = \"10s\"\n");
    for (path, words) in [
        ("./no/such/program", "cannot read"),
        (text_file.as_str(), "no executable"),
    ] {
        let refused = machine.run(&["soak", &text_file, "--binary", path]);
        assert_eq!(refused.status.code(), Some(2), "{path}");
        let said = text(&refused.stderr);
        assert!(said.contains(words), "{path}: {said}");
    }
    assert!(crate::harness::newest(machine.state()).is_none());
}
