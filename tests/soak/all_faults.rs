//! The table of all faults, and endurance, in the reduced form that CI runs. The longest test of all: by its name it begins
//! first, and others run beside it.

use serde_json::Value;

use crate::harness::{Machine, text};

fn rows(output: &[u8]) -> Vec<Value> {
    text(output)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn one_fault_of_each_back_end_is_effective_excused_and_the_shard_is_back_in_time() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let output = machine.run(&["--json", "faults", "--reduced", "--allow-helper"]);
    let rows: Vec<Value> = rows(&output.stdout)
        .into_iter()
        .filter(|row| row.get("budget").is_some())
        .collect();
    assert!(rows.iter().any(|row| row["kind"] == "kill"), "{rows:#?}");
    for row in &rows {
        // What this machine does not have is told, and is no failure of the network.
        if row["not_done"].is_null() {
            assert_eq!(row["effective"], true, "{row:#}");
            assert_eq!(row["findings"].as_array().map(Vec::len), Some(0), "{row:#}");
            let first = row["first_block"].as_u64().expect("a first block");
            assert!(
                first <= row["budget"].as_u64().expect("a budget"),
                "{row:#}"
            );
        }
    }
    let not_done = rows.iter().any(|row| !row["not_done"].is_null());
    let expected = if not_done { 4 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{rows:#?}");
    machine.assert_nothing_left();
}

#[test]
fn faults_without_the_helper_are_a_table_too() {
    let Some(machine) = Machine::take_if_asked("takes many minutes") else {
        return;
    };
    let output = machine.run(&["faults", "--kind", "kill,disk-fill", "--disk", "tmpfs"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for (kind, proof) in [
        ("kill", "ended, exit"),
        ("disk-fill", "bytes free after a ballast"),
    ] {
        let row = said.lines().find(|line| line.starts_with(kind));
        let row = row.unwrap_or_else(|| panic!("no {kind} in {said}"));
        assert!(row.contains(" yes ") && row.contains(proof), "{row}");
    }
    let refused = machine.run(&["faults", "--kind", "kil"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("did you mean `kill`"));
    machine.assert_nothing_left();
}

#[test]
fn faults_in_a_row_leave_nothing_behind() {
    let Some(machine) = Machine::take_if_asked("takes many minutes") else {
        return;
    };
    let output = machine.run(&["--json", "faults", "--allow-helper", "--times", "3"]);
    let rows: Vec<Value> = rows(&output.stdout)
        .into_iter()
        .filter_map(|row| row.get("endured").cloned())
        .collect();
    assert!(rows.len() >= 12, "{rows:#?}");
    for row in &rows {
        if row["times"] != 0 {
            assert_eq!(row["times"], 3, "{row:#}");
            for none in ["ineffective", "unhealed"] {
                assert_eq!(row[none], 0, "{row:#}");
            }
            assert_eq!(row["left"].as_array().map(Vec::len), Some(0), "{row:#}");
        }
    }
    machine.assert_nothing_left();
}
