//! Two versions of the program in one network: mixed from the start, rolled from one to the other on the same data, and
//! told apart in the report.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use crate::harness::{Machine, PROGRAM, docker, journal, json, newest, text};

/// Names of the nodes of a version at the end.
fn nodes(version: &Value) -> Vec<&str> {
    let names = version["nodes"].as_array().expect("nodes");
    names.iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_network_of_two_versions_is_rolled_and_told_by_version() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    // The same program under another name: an image of its own.
    let next = machine.state().join("node-next");
    symlink(PROGRAM, &next).expect("link");
    let rest = "warm_up = \"10 blocks\"\nuntil = \"18s\"\nsettle = \"5 blocks\"\n\
        budget = { memory = \"128 MiB\", cpu = \"50 %\" }\n\
        gate = { coverage = { blind = \"40 %\", blocks = 30, faults = \"100 %\" } }\n\
        [[versions]]\nname = \"next\"\nbinary = \"./node-next\"\noptions = { \"--retention\" = \"500\" }\nshare = \"50 %\"\n\
        [[fault]]\nkind = \"upgrade\"\nversion = \"next\"\ntarget = \"s0-n03\"\nat = \"2s\"\nfor = \"3s\"\n\
        [[fault]]\nkind = \"upgrade\"\nversion = \"base\"\nback = true\ntarget = \"s0-n00\"\nat = \"10s\"\nfor = \"3s\"\n";
    let plan = machine.plan("case", rest);
    let checked = machine.run(&["plan", "check", &plan]);
    assert!(text(&checked.stdout).contains("s0-n00, s0-n01"));
    let run = machine.run(&["soak", &plan, "--set", "profile.disk.kind=tmpfs"]);
    let said = text(&run.stdout);
    let directory = newest(machine.state()).expect("run directory");
    let image = json(&directory.join("machine.json")).expect("machine.json");
    let reference = image["versions"]["next"]["reference"].as_str();
    // Packed for this test alone; gone whatever comes out.
    docker(&["image", "rm", reference.expect("the image of the version")]);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("2 of 2 effective, 2 recovered"), "{said}");
    assert_ne!(
        image["versions"]["next"]["digest"],
        image["image"]["digest"]
    );
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let versions = verdict["versions"].as_array().expect("versions");
    assert_eq!(versions.len(), 2, "{versions:#?}");
    let (base, next) = (&versions[0], &versions[1]);
    assert_eq!(
        (&base["version"], &next["version"]),
        (&"base".into(), &"next".into())
    );
    // What was rolled forward stays; what was rolled back to the profile's own is back again.
    assert_eq!(nodes(base), ["s0-n02"]);
    assert_eq!(nodes(next), ["s0-n00", "s0-n01", "s0-n03"]);
    assert_eq!((&base["ever"], &next["ever"]), (&3.into(), &3.into()));
    for version in versions {
        assert_eq!(
            (&version["restarts"], &version["exits"]),
            (&0.into(), &0.into())
        );
        assert!(version["memory"].as_u64() > Some(0), "{version}");
        assert!(version["cpu_share"].as_f64() > Some(0.0), "{version}");
        assert_eq!(
            version["shards"],
            Value::Array(Vec::new()),
            "none had the shard alone"
        );
    }
    let led = |version: &Value| version["led"].as_u64().unwrap_or(0);
    assert!(led(base) + led(next) >= 30, "{versions:#?}");
    let told: Vec<String> = journal(&directory)
        .lines()
        .filter(|line| line.contains("\"version\":{\"node\""))
        .map(str::to_owned)
        .collect();
    // Four at the start, one forward, one back, one forth again.
    assert_eq!(told.len(), 7, "{told:#?}");
    let page = fs::read_to_string(directory.join("report.md")).expect("report.md");
    assert!(
        page.contains("## By version") && page.contains("image of next"),
        "{page}"
    );
    machine.assert_nothing_left();
}
