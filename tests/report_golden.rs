//! Golden reports: what people and machines get for a pass, the incident, a broken host and thin evidence.
//!
//! `UPDATE_GOLDEN=1 cargo test --test report_golden` writes them anew; read the difference before it is committed.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use std::{fs, path::PathBuf};

use canarynet::report::{Look, REPORTERS, ReportInput, json, status, terminal};

#[path = "report_golden/input.rs"]
mod input;

fn check(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/report_golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{file} differs from what was agreed:\n{text}\n---- agreed:\n{golden}"
    );
}

fn check_all(name: &str, input: &ReportInput) {
    check(
        &format!("{name}.txt"),
        &terminal::render(input, Look::PLAIN),
    );
    for reporter in REPORTERS {
        let text = (reporter.render)(input).unwrap();
        check(&format!("{name}-{}", reporter.file), &text);
    }
}

#[test]
fn a_pass() {
    check_all("pass", &input::pass());
}

#[test]
fn the_incident() {
    check_all("stall", &input::stall());
}

#[test]
fn a_broken_host() {
    check_all("infra", &input::infra());
}

#[test]
fn thin_evidence() {
    check_all("inconclusive", &input::inconclusive());
}

#[test]
fn the_summary_of_one_failure_is_about_fifteen_lines() {
    for input in [input::pass(), input::infra(), input::inconclusive()] {
        assert!(terminal::render(&input, Look::PLAIN).lines().count() <= 15);
    }
    assert!(
        terminal::render(&input::stall(), Look::PLAIN)
            .lines()
            .count()
            <= 18
    );
}

#[test]
fn colours_change_nothing_but_colours() {
    let look = Look {
        colour: true,
        width: None,
    };
    let input = input::stall();
    let coloured = terminal::render(&input, look);
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(
        console::strip_ansi_codes(&coloured),
        terminal::render(&input, Look::PLAIN)
    );
}

#[test]
fn the_status_of_a_run_that_goes_on() {
    let mut input = input::stall();
    input.judgement.stages.truncate(4);
    input.judgement.last = canarynet::time::Elapsed::from_secs(118);
    let run = input.run.clone();
    let live = status::Live::of(&input.plan, &run, &input.judgement);
    let mut text = status::render(&live, &input.plan, Look::PLAIN);
    text.push_str(&status::plain_line(&live, 16));
    text.push('\n');
    check("status.txt", &text);
    assert!(serde_json::to_value(&live).unwrap()["soak"] == 300_000_000_u64);
}

#[test]
fn machines_can_read_the_files_back() {
    let input = input::stall();
    let verdict: json::VerdictFile = serde_json::from_str(&json::verdict(&input).unwrap()).unwrap();
    assert_eq!(verdict, json::verdict_file(&input));
    assert_eq!(verdict.findings.failing, 2);
    assert_eq!(verdict.findings.waived, 1);
    let findings: json::FindingsFile =
        serde_json::from_str(&json::findings(&input).unwrap()).unwrap();
    assert_eq!(findings.findings.len(), 4);
    assert_eq!(findings.findings[1].finding, input.judgement.findings[1]);
    let again: ReportInput = serde_json::from_value(serde_json::to_value(&input).unwrap()).unwrap();
    assert_eq!(again, input);
}
