//! July 2019 in one shard: it stops as it did, in time, and the cause is named without being told.

use std::time::Duration;

use canarynet::{
    detect::{Finding, Judge, plan_of},
    journal::{Event, Reader, event::FaultStep},
    time::Elapsed,
};
use serde_json::Value;

use crate::harness::{Machine, json, newest, text};

/// The scraper of the whole replay, on one shard and in little time.
const PLAN: &str = "profile = \"incident-2019-07\"\nseed = \"2019-07-23\"\nspeedup = 40\nwarm_up = \"20 blocks\"\nuntil = \"30s\"\nsettle = \"10 blocks\"\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\nallow_helper = true\n[[fault]]\nkind = \"log-scraper\"\ntarget = \"leader\"\nat = \"5s\"\nfor = \"12s\"\nrate = \"16 MiB\"\n";

/// All findings of a journal that is judged with the faults hidden, and what was hidden: when the scraper was asked for,
/// and on which node.
fn judged_blindly(journal: &std::path::Path) -> (Vec<Finding>, (Elapsed, String)) {
    let mut judge = None;
    let mut scraper = None;
    for entry in Reader::open(journal).expect("journal") {
        let entry = entry.expect("entry");
        if let Some(plan) = plan_of(&entry).expect("plan") {
            judge = Some(Judge::new(&plan));
        }
        if let Event::Fault { step, .. } = &entry.event {
            if let FaultStep::Requested { targets, .. } = step {
                scraper = Some((entry.elapsed, targets[0].to_string()));
            }
            continue;
        }
        judge.as_mut().expect("the plan comes first").step(&entry);
    }
    let judgement = judge.expect("entries").finish();
    (judgement.findings, scraper.expect("a scraper"))
}

fn micros(value: &Value) -> Duration {
    Duration::from_micros(value.as_u64().expect("microseconds"))
}

#[test]
fn the_incident_stops_its_shard_and_its_cause_is_named() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let path = machine.state().join("incident.toml");
    std::fs::write(&path, PLAN).expect("plan");
    let plan = path.display().to_string();
    let run = machine.run(&["soak", &plan, "--set", "profile.shards=1"]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    let directory = newest(machine.state()).expect("run directory");
    let file = |name: &str| json(&directory.join(name)).unwrap_or_else(|| panic!("no {name}"));
    let findings = file("findings.json");
    let stall = findings["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|told| &told["finding"])
        .find(|finding| finding["kind"] == "stall" && finding["severity"] == "critical")
        .unwrap_or_else(|| panic!("no stall: {}", text(&run.stdout)));
    assert_eq!(stall["excused_by"], Value::Null);

    // In time: suspected, paged, critical.
    let plan = file("plan.json");
    let (window, interval) = (
        &plan["thresholds"],
        micros(&plan["clocks"]["block_interval"]),
    );
    let start = micros(&stall["start"]);
    let pages = file("verdict.json")["pages"].clone();
    let page = pages
        .as_array()
        .expect("pages")
        .iter()
        .find(|page| page["finding"] == stall["id"])
        .unwrap_or_else(|| panic!("no page: {pages}"));
    let paged = micros(&page["after"]);
    let critical = micros(&stall["raised"]) - start;
    eprintln!(
        "suspected after {:?}, paged after {paged:?}, critical after {critical:?}",
        micros(&stall["noticed"]) - start
    );
    assert!(paged <= micros(&window["page"]) + interval, "{paged:?}");
    assert!(
        critical <= micros(&window["stall"]) + interval,
        "{critical:?}"
    );

    // The story in its order, from the scraper on.
    let steps: Vec<&str> = stall["chain"]
        .as_array()
        .expect("a chain")
        .iter()
        .filter_map(|cause| cause["kind"].as_str())
        .collect();
    let place = |kind: &str| {
        let place = steps.iter().position(|step| *step == kind);
        place.unwrap_or_else(|| panic!("no {kind} in {steps:?}"))
    };
    assert_eq!(place("fault"), 0, "{steps:?}");
    assert!(place("ghost-bytes") < place("failed-write"), "{steps:?}");
    assert!(place("failed-write") < place("view-change"), "{steps:?}");
    let report = std::fs::read_to_string(directory.join("report.md")).expect("report.md");
    assert!(report.contains("## How it came about"), "{report}");

    // With all faults hidden the first cause is still the ghost bytes on that leader's disk.
    let (blind, (asked, leader)) = judged_blindly(&directory.join("journal"));
    let stall = blind
        .iter()
        .find(|finding| finding.kind == "stall")
        .expect("a stall");
    let first = stall.chain.first().expect("a cause");
    assert_eq!(first.kind, "ghost-bytes", "{:?}", stall.chain);
    assert_eq!(first.node.as_ref().map(ToString::to_string), Some(leader));
    let late = first.at.since(asked);
    eprintln!("ghost bytes named {late:?} after the scraper was asked for");
    assert!(
        first.at >= asked && late <= Duration::from_secs(2),
        "{late:?}"
    );
    let told = machine.run(&["judge", "latest", "--without-faults"]);
    assert_eq!(told.status.code(), Some(1));
    let told = text(&told.stdout);
    let cause = told.lines().find(|line| line.contains("  cause  "));
    assert!(
        cause.is_some_and(
            |line| line.contains("files that nobody can see") && !line.contains("log-scraper")
        ),
        "{told}"
    );
    machine.assert_nothing_left();
}
