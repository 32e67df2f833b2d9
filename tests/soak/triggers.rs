//! What fires a fault: again and again with jitter, a height, a line that a node says.

use serde_json::Value;

use crate::harness::{Machine, json, newest, text};

const PLAN: &str = "warm_up = \"10 blocks\"\nuntil = \"50s\"\nsettle = \"5 blocks\"\n\
gate = { coverage = { blind = \"10 %\" } }\n\
[[fault]]\nkind = \"cpu-hog\"\ntarget = \"s0-n03\"\nevery = \"12s\"\njitter = \"2s\"\nfor = \"1s\"\n\
[[fault]]\nkind = \"pause\"\ntarget = \"s0-n01\"\nat = \"height 120\"\nfor = \"1s\"\n\
[[fault]]\nkind = \"freeze-main\"\ntarget = \"leader\"\nat = \"log [Announce] Sent Announce Message\"\nfor = \"1s\"\n";

/// The journal's faults: seconds after the soak began, id, step.
fn steps(lines: &str) -> Vec<(f64, String, Value)> {
    let mut soak = 0.0;
    let mut steps = Vec::new();
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).expect("an entry");
        let at = entry["t"].as_f64().expect("elapsed") / 1e6;
        if entry["e"]["stage"]["stage"] == "soak" {
            soak = at;
        }
        if let Some(fault) = entry["e"].get("fault") {
            let id = fault["id"].as_str().expect("id").to_owned();
            steps.push((at - soak, id, fault["step"].clone()));
        }
    }
    steps
}

#[test]
fn faults_fire_at_their_times_at_a_height_and_on_a_line() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.plan("case", PLAN);
    let schedule = text(&machine.run(&["plan", "check", &plan, "--schedule"]).stdout);
    let run = machine.run(&["soak", &plan]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("effective"), "{said}");
    let directory = newest(machine.state()).expect("run directory");
    let plan = json(&directory.join("plan.json")).expect("plan.json");
    let journal = crate::harness::journal(&directory);
    let steps = steps(&journal);
    let requested = |id: &str| {
        steps
            .iter()
            .find(|(_, of, step)| of == id && step.get("requested").is_some())
            .unwrap_or_else(|| panic!("{id} never fired: {schedule}"))
    };
    let planned = plan["schedule"].as_array().expect("schedule");
    let mut hogs = 0;
    for fault in planned {
        let id = fault["id"].as_str().expect("id");
        let (at, _, step) = requested(id);
        match &fault["trigger"] {
            Value::Object(trigger) if trigger.contains_key("after") => {
                let due = trigger["after"].as_f64().expect("micros") / 1e6;
                // The journal's stamp of the stage comes some moments after its beginning.
                assert!(
                    (due - 0.1..due + 0.5).contains(at),
                    "{id} at {at}, due {due}"
                );
                // Every twelve seconds, two earlier or later.
                hogs += 1;
                let off = due - 12.0 * f64::from(hogs);
                assert!(off.abs() <= 2.0 && off != 0.0, "{id} is {off} off");
            }
            Value::Object(trigger) if trigger.contains_key("height") => {
                let best = best_block_before(&journal, id);
                assert!((120..=123).contains(&best), "{id} fired at height {best}");
            }
            _ => {
                // The leader, just when it had announced.
                assert!(*at < 3.0, "{id} at {at}");
                let target = step["requested"]["targets"][0].as_str().expect("target");
                assert_eq!(last_word_before(&journal, id), target);
            }
        }
    }
    assert_eq!(hogs, 4, "{schedule}");
    assert_eq!(planned.len(), 6);
    machine.assert_nothing_left();
}

fn entries_before<'a>(journal: &'a str, id: &str) -> impl Iterator<Item = Value> + 'a {
    let mark = format!("\"fault\":{{\"id\":\"{id}\"");
    let end = journal.find(&mark).expect("the fault");
    journal[..end]
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn best_block_before(journal: &str, id: &str) -> u64 {
    entries_before(journal, id)
        .filter_map(|entry: Value| entry["e"]["block"]["height"].as_u64())
        .max()
        .unwrap_or(0)
}

/// Who said the line last.
fn last_word_before(journal: &str, id: &str) -> String {
    let said = entries_before(journal, id).filter_map(|entry: Value| {
        let log = &entry["e"]["log"];
        let message = log["message"].as_str()?;
        message
            .contains("Sent Announce Message")
            .then(|| log["node"].as_str().map(str::to_owned))?
    });
    said.last().expect("somebody said it")
}

#[test]
fn a_line_that_never_comes_is_told() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let rest = "warm_up = \"10 blocks\"\nuntil = \"12s\"\nsettle = \"5 blocks\"\ngate = { coverage = { blind = \"10 %\" } }\n[[fault]]\nkind = \"cpu-hog\"\nat = \"log nobody ever says this\"\nfor = \"1s\"\n";
    let plan = machine.plan("case", rest);
    let run = machine.run(&["soak", &plan]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(4), "{said}");
    assert!(said.contains("1 never fired"), "{said}");
    machine.assert_nothing_left();
}
