//! A chain goes on in another run: from a snapshot by hand, from the newest good rung of its lineage, and not where it
//! does not fit.

use serde_json::Value;

use crate::harness::{Machine, journal, json, text};

const REST: &str = "warm_up = \"10 blocks\"\nsettle = \"5 blocks\"\n";

/// Height of the shard when a run ended.
fn height(directory: &std::path::Path) -> u64 {
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    verdict["shards"][0]["height"].as_u64().expect("height")
}

#[test]
fn a_chain_goes_on_from_a_snapshot() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.plan("aged", &format!("{REST}until = \"14s\"\n"));
    // Old disks: what makes them old is no growth, in no snapshot, and made anew behind what is filled in.
    let old = ["--set", "profile.disk.age.fill=60 %"];
    let soak = machine.soak(&[&[plan.as_str()], old.as_slice()].concat());
    let saved = machine.run(&["snapshot", "latest", "--name", "one"]);
    assert_eq!(saved.status.code(), Some(0));
    assert!(text(&saved.stdout).contains("the network stood still for"));
    let first = soak.end();
    assert_eq!(first.code, Some(0), "a standstill is nobody's fault");
    let told = journal(&first.directory);
    assert!(told.contains("\"id\":\"snapshot-1\",\"kind\":\"snapshot\""));
    assert_eq!(
        told.matches("\"disk-aged\"").count(),
        4,
        "one for each node"
    );

    let shown = machine.run(&["snapshots", "show", "one"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("json");
    let manifest = &shown["manifest"];
    let from = manifest["heights"][0]["height"].as_u64().expect("height");
    // Ten blocks of warm-up are heights 0 to 9, and the snapshot may follow the last of them at once.
    assert!(from >= 9 && from < height(&first.directory));
    let kept = manifest["nodes"]["s0-n00"]["bytes"]
        .as_u64()
        .expect("bytes");
    assert!(kept < 16 << 20, "{kept} of a disk of 64 MiB");
    assert_eq!(
        manifest["nodes"].as_object().map(|nodes| nodes.len()),
        Some(4)
    );

    // Another seed draws other faults; keys and genesis are those of the snapshot.
    let from_one = [plan.as_str(), "--from", "one", "--seed", "another"];
    let soak = machine.soak(&[from_one.as_slice(), old.as_slice()].concat());
    let second = soak.end();
    assert_eq!(second.code, Some(0));
    let told = journal(&second.directory);
    assert_eq!(told.matches("\"disk-aged\"").count(), 4);
    let lowest = told
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).ok()?["e"]["block"]["height"].as_u64()
        })
        .min()
        .expect("a block");
    assert!(
        (from..from + 100).contains(&lowest),
        "{from} and then {lowest}"
    );
    let report = std::fs::read_to_string(second.directory.join("report.md")).expect("report.md");
    assert!(
        report.contains("mainnet time old; it began from snapshot one"),
        "{report}"
    );

    for (arguments, words) in [
        (&["--from", "none"][..], "there is no snapshot \"none\""),
        (
            &["--from", "one", "--profile", "reference-pair"],
            "does not fit the plan",
        ),
    ] {
        let refused = machine.run(&[&["soak", plan.as_str()], arguments].concat());
        assert_eq!(refused.status.code(), Some(2));
        let said = text(&refused.stderr);
        assert!(said.contains(words), "{said}");
    }
    machine.assert_nothing_left();
}
