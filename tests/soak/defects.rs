//! Every defect of the reference node with the fault that exposes it, and what the judge makes of it: one shard of four
//! at 100 ms a block. A few of them in every run of the tests; all of them, or some by id, by
//! `CANARYNET_DEFECTS=all cargo test --test soak defects` (about a minute each).

use canarynet::matrix::{Case, DEFECTS};

use crate::harness::{Machine, json, newest, text};

/// The plan of a case, with its profile beside it.
fn plan(machine: &Machine, case: &Case) -> String {
    let folder = machine.state();
    std::fs::write(folder.join("profile.toml"), case.profile_text()).expect("profile");
    let path = folder.join(format!("{}.toml", case.id));
    std::fs::write(&path, case.plan_text(None)).expect("plan");
    path.display().to_string()
}

fn wanted(case: &Case) -> bool {
    match std::env::var("CANARYNET_DEFECTS") {
        Ok(ids) => ids == "all" || ids.split(',').any(|id| id.trim() == case.id),
        Err(_) => case.always,
    }
}

#[test]
fn defects_are_found_by_what_they_do() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let mut wrong = Vec::new();
    for case in DEFECTS.iter().filter(|case| wanted(case)) {
        let plan = plan(&machine, case);
        let run = machine.run(&["soak", &plan]);
        let directory = newest(machine.state()).expect("run directory");
        let findings = json(&directory.join("findings.json")).expect("findings.json");
        let found: Vec<&str> = findings["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .filter(|told| told["standing"] == "fails")
            .filter_map(|told| told["finding"]["kind"].as_str())
            .collect();
        let missing: Vec<&&str> = case
            .expected
            .iter()
            .filter(|kinds| !kinds.split('|').any(|kind| found.contains(&kind)))
            .collect();
        eprintln!("{}: {found:?}, exit {:?}", case.id, run.status.code());
        if !missing.is_empty() || run.status.code() != Some(1) {
            wrong.push(format!(
                "{}: {missing:?} not in {found:?}\n{}",
                case.id,
                text(&run.stdout)
            ));
        }
    }
    machine.assert_nothing_left();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
