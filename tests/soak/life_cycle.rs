//! The life cycle of disks: filled to the last byte, held, freed, and judged for what happens after there is room again;
//! on all nodes of a shard at once, which is what identical disks really do.

use crate::harness::{Machine, json, newest, text};

fn fill_all_disks_of_a_shard(kind: &str, more: &[&str]) {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest = "warm_up = \"10 blocks\"\nuntil = \"45s\"\nsettle = \"5 blocks\"\n\
        gate = { coverage = { blind = \"10 %\", blocks = 60 }, limits = { \"recovery.disk-fill.p99\" = \"< 27 blocks\", \"catch-up.p99\" = \"< 81 blocks\" } }\n\
        [[fault]]\nkind = \"disk-fill\"\ntarget = \"s0-n01\"\nat = \"3s\"\nfor = \"5s\"\n\
        [[fault]]\nkind = \"disk-fill\"\ntarget = \"all shard:0\"\nat = \"20s\"\nfor = \"8s\"\n";
    let plan = machine.plan("case", rest);
    let disk = format!("profile.disk.kind={kind}");
    let run = machine.run(&[&["soak", &plan, "--set", &disk], more].concat());
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("2 of 2 effective, 2 recovered"), "{said}");
    let directory = newest(machine.state()).expect("run directory");
    let findings = json(&directory.join("findings.json")).expect("findings.json");
    let faults = findings["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 2);
    for fault in faults {
        assert!(fault["first_block"].as_u64().is_some(), "{fault}");
        assert!(fault["caught_up"].as_u64().is_some(), "{fault}");
    }
    // All disks were really full, and the stall that this makes is excused, not missed.
    let told = findings["findings"].as_array().expect("findings");
    let of = |kind: &str| -> Vec<&serde_json::Value> {
        let mut found: Vec<_> = told
            .iter()
            .filter(|told| told["finding"]["kind"] == kind)
            .collect();
        found.sort_by_key(|told| told["finding"]["noticed"].as_u64());
        found
    };
    let full: std::collections::BTreeSet<&str> = of("disk-full")
        .iter()
        .filter_map(|told| told["finding"]["nodes"][0].as_str())
        .collect();
    assert_eq!(full.len(), 4, "{full:?}");
    let stalls = of("stall");
    assert!(
        !stalls.is_empty(),
        "a shard without any disk makes no blocks"
    );
    for stall in stalls {
        assert_eq!(stall["standing"], "excused", "{stall}");
        assert!(!stall["finding"]["end"].is_null(), "{stall}");
    }
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    for name in ["recovery.disk-fill.p99", "catch-up.disk-fill.max"] {
        assert!(
            verdict["measures"][name]["value"].as_f64().is_some(),
            "{name}"
        );
    }
    assert_eq!(verdict["faults"][0]["first_block"]["count"], 2);
    machine.assert_nothing_left();
}

#[test]
fn all_tmpfs_disks_of_a_shard_are_filled_and_it_comes_back() {
    fill_all_disks_of_a_shard("tmpfs", &[]);
}

#[test]
fn all_ext4_disks_of_a_shard_are_filled_and_it_comes_back() {
    fill_all_disks_of_a_shard("ext4", &["--allow-helper"]);
}
