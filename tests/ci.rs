//! What CI asks of a run that is over: the decision as an exit code, and a step summary that fits.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use std::{fs, path::Path, process::Command};

/// A run directory that holds just this agreed verdict.
fn run(verdict: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("journal")).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/report_golden")
        .join(format!("{verdict}-verdict.json"));
    fs::copy(golden, folder.path().join("verdict.json")).unwrap();
    folder
}

fn gate(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_canarynet"))
        .arg("gate")
        .arg(folder)
        .args(more)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn the_gate_is_the_verdict_and_nothing_more() {
    for (verdict, code, word) in [
        ("pass", 0, "PASS"),
        ("stall", 1, "FAIL"),
        ("infra", 3, "INFRA"),
        ("inconclusive", 4, "INCONCLUSIVE"),
    ] {
        let folder = run(verdict);
        let (exit, text) = gate(folder.path(), &[]);
        assert_eq!(exit, Some(code), "{text}");
        assert!(text.starts_with(word), "{text}");
        let (exit, text) = gate(folder.path(), &["--json"]);
        assert_eq!(exit, Some(code));
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["exit"], code);
    }
}

#[test]
fn too_little_evidence_may_be_a_warning_and_a_failure_may_not() {
    let warn = ["--on-inconclusive", "warn"];
    assert_eq!(gate(run("inconclusive").path(), &warn).0, Some(0));
    assert_eq!(gate(run("stall").path(), &warn).0, Some(1));
    assert_eq!(gate(run("infra").path(), &warn).0, Some(3));
}

#[test]
fn only_a_spoiled_run_is_repeated_and_only_a_few_times() {
    let again = ["--on-infra", "retry=1"];
    // Nothing is started for any of these: the folder has no plan that could be repeated.
    assert_eq!(gate(run("pass").path(), &again).0, Some(0));
    assert_eq!(gate(run("stall").path(), &again).0, Some(1));
    assert_eq!(gate(run("inconclusive").path(), &again).0, Some(4));
    let (exit, text) = gate(run("infra").path(), &again);
    assert_eq!(
        (exit, text.as_str()),
        (Some(3), ""),
        "no plan, no repetition, no decision"
    );
    for wrong in ["retry", "retry=0", "retry=6", "retry=x", "ignore"] {
        let (exit, text) = gate(run("pass").path(), &["--on-infra", wrong]);
        assert_eq!(exit, Some(2), "{wrong}: {text}");
    }
}

#[test]
fn a_run_that_was_interrupted_or_has_no_verdict_passes_nothing() {
    let folder = run("pass");
    let path = folder.path().join("verdict.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"exit_code\": 0", "\"exit_code\": 130"),
    )
    .unwrap();
    let (exit, text) = gate(folder.path(), &["--on-inconclusive", "warn"]);
    assert_eq!(exit, Some(4), "{text}");
    fs::remove_file(&path).unwrap();
    assert_eq!(gate(folder.path(), &[]).0, Some(3));
}
