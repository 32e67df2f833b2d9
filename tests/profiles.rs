//! The shipped profiles of chains whose programs are not here: what they render, what they make of recorded answers and
//! of the log lines that their projects document.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its own preparation fails"
)]

mod profiles {
    mod foreign_lines;
    mod log_lines;
    mod recorded;
    mod rendered;
    mod verbs;
}

use canarynet::plan::{Plan, PlanRequest, load, resolved};

/// The profile alone, with values set.
fn plan(profile: &str, set: &[&str]) -> Plan {
    let request = PlanRequest {
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        date: "2026-11-22".to_owned(),
        ..PlanRequest::default()
    };
    let sources = load::profile_sources(profile, &request).unwrap();
    resolved(&sources).unwrap()
}

/// A file below `tests/`.
fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
