//! Nobody is attached for a while: the watcher goes on into its spool, and the next owner judges what it kept.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use canarynet::{
    journal::{Entry, Event, Reader, unattended::Unattended},
    plan::Plan,
};
use serde_json::Value;

use crate::harness::{Machine, docker, json, text};

/// How long nobody is attached before and after what happens then.
const AROUND: Duration = Duration::from_secs(2);

fn entries(directory: &Path) -> Vec<Entry> {
    let entries = Reader::open(&directory.join("journal")).expect("journal");
    entries.map(|entry| entry.expect("entry")).collect()
}

fn plan_of(entries: &[Entry]) -> Plan {
    match &entries[0].event {
        Event::RunStarted { plan, .. } => serde_json::from_value(plan.clone()).expect("plan"),
        other => panic!("{other:?}"),
    }
}

/// A run whose owner is killed in the soak; `meanwhile` is what happens while nobody is attached. Its directory, when
/// the next owner has brought it to its end.
fn without_owner(machine: &Machine, meanwhile: impl FnOnce(&Plan, &str)) -> PathBuf {
    // Slow blocks, so that the next owner comes to a network that a busy machine still carries.
    let plan = machine.plan(
        "case",
        "warm_up = \"5 blocks\"\nuntil = \"15s\"\nsettle = \"10 blocks\"\n\
         gate = { coverage = { blind = \"50 %\", blocks = 10 } }\n",
    );
    let options = ["--set", "speedup=16", "--set", "profile.disk.kind=tmpfs"];
    let soak = machine.soak(&[&[plan.as_str()], &options[..]].concat());
    std::thread::sleep(Duration::from_secs(4));
    let (directory, run) = (soak.directory().expect("run directory"), soak.run());
    soak.signal("KILL");
    soak.end();
    let before = entries(&directory);
    std::thread::sleep(AROUND);
    meanwhile(&plan_of(&before), &run);
    std::thread::sleep(AROUND);
    let attached = machine.run(&["runs", "attach", "latest"]);
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(record["state"], "finished", "{}", text(&attached.stderr));
    machine.assert_nothing_left();
    directory
}

/// The one entry that tells of the shard while nobody was attached, and its place.
fn unattended(entries: &[Entry]) -> (Unattended, u64) {
    let told = |entry: &Entry| match &entry.event {
        Event::Unattended(told) => Some((told.as_ref().clone(), entry.seq.0)),
        _ => None,
    };
    let mut all: Vec<_> = entries.iter().filter_map(told).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Every height of the shard is told once: by its own entry, or among those of that time.
fn check_heights(entries: &[Entry], told: &Unattended) {
    let mut next = None;
    for entry in entries {
        match &entry.event {
            Event::Block { height, .. } => {
                assert!(
                    next.is_none_or(|next| next == height.0),
                    "{height} comes, {next:?} was to come: {told:?}"
                );
                next = Some(height.0 + 1);
            }
            Event::Unattended(told) => {
                if let Some(newest) = &told.newest {
                    let known = next.expect("blocks before");
                    assert_eq!(told.blocks, newest.height.0 + 1 - known, "{told:?}");
                    next = Some(newest.height.0 + 1);
                }
            }
            _ => {}
        }
    }
}

fn findings(directory: &Path) -> Vec<Value> {
    let file = json(&directory.join("findings.json")).expect("findings.json");
    let told = file["findings"].as_array().expect("findings");
    told.iter().map(|told| told["finding"].clone()).collect()
}

/// Judging the journal again gives the same.
fn check_offline(machine: &Machine, directory: &Path) {
    let live = findings(directory);
    machine.run(&["judge", "latest", "--write"]);
    assert_eq!(findings(directory), live);
}

#[test]
fn a_stall_that_is_over_before_anybody_comes_is_found_with_its_evidence() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let mut frozen = Duration::ZERO;
    let directory = without_owner(&machine, |plan, run| {
        frozen = plan.thresholds.stall + Duration::from_secs(1);
        let nodes = plan.network.nodes.iter();
        let nodes: Vec<String> = nodes.map(|node| format!("{run}-{}", node.name)).collect();
        let hand = |what: &str| {
            let names = nodes.iter().map(String::as_str);
            docker(&std::iter::once(what).chain(names).collect::<Vec<_>>());
        };
        hand("pause");
        std::thread::sleep(frozen);
        hand("unpause");
    });
    let journal = entries(&directory);
    let (told, place) = unattended(&journal);
    eprintln!("{told:?}");
    check_heights(&journal, &told);
    assert!(told.is_whole(), "{told:?}");
    assert!(told.watched >= frozen + AROUND * 2, "{told:?}");
    let longest = told.longest.expect("a wait").lasted;
    assert!(longest >= frozen - Duration::from_secs(1), "{told:?}");
    let found = findings(&directory);
    let stalls: Vec<_> = found.iter().filter(|one| one["kind"] == "stall").collect();
    assert_eq!(stalls.len(), 1, "{found:#?}");
    assert_eq!(stalls[0]["severity"], "critical");
    assert_eq!(stalls[0]["excused_by"], Value::Null);
    let evidence = stalls[0]["evidence"].as_array().expect("evidence");
    assert!(evidence.contains(&place.into()), "{:#?}", stalls[0]);
    assert!(
        directory
            .join("evidence")
            .join(stalls[0]["id"].as_str().expect("id"))
            .is_dir(),
        "what it cites was copied"
    );
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(record["exit"], 1, "a stall fails a run");
    check_offline(&machine, &directory);
}

#[test]
fn a_healthy_network_without_an_owner_is_no_finding() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let directory = without_owner(&machine, |_, _| std::thread::sleep(AROUND));
    let journal = entries(&directory);
    let (told, _) = unattended(&journal);
    eprintln!("{told:?}");
    check_heights(&journal, &told);
    assert!(told.is_whole(), "{told:?}");
    assert!(told.blocks >= 5, "{told:?}");
    assert_eq!(findings(&directory), [Value::Null; 0]);
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let doubts = verdict["doubts"].as_array().cloned().unwrap_or_default();
    let attached = |doubt: &&Value| {
        doubt["why"]
            .as_str()
            .is_some_and(|why| why.contains("attached"))
    };
    assert_eq!(doubts.iter().filter(attached).count(), 0, "{doubts:#?}");
    let record = json(&directory.join("run.json")).expect("run.json");
    assert_eq!(record["exit"], 0);
    check_offline(&machine, &directory);
}
