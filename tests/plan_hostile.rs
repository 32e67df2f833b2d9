//! No plan, profile or setting makes the program panic, however broken it is.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its own preparation fails"
)]

use std::{fs, path::Path};

use canarynet::{
    plan::{PlanRequest, check::check, load},
    profile::shipped::{PLANS, PROFILES},
};
use proptest::prelude::*;

fn request(plan: &str) -> PlanRequest {
    PlanRequest {
        plan: plan.to_owned(),
        date: "2026-11-22".to_owned(),
        ..PlanRequest::default()
    }
}

/// Whatever is accepted can also be checked and shown.
fn try_load(request: &PlanRequest) {
    if let Ok(plan) = load(request) {
        let _ = check(&plan).to_string();
    }
}

fn try_files(directory: &Path, plan: &[u8], profile: &[u8]) {
    let (plan_file, profile_file) = (directory.join("plan.toml"), directory.join("net.toml"));
    fs::write(&plan_file, plan).unwrap();
    fs::write(&profile_file, profile).unwrap();
    let profile = Some(profile_file.to_str().unwrap().to_owned());
    try_load(&PlanRequest {
        profile,
        ..request(plan_file.to_str().unwrap())
    });
}

/// A shipped text with a few stretches replaced.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let with = prop_oneof![
        "[\\[\\]{}=\"#.,0-9eE+-]{0,6}",
        "\\PC{0,6}",
        Just("99999999999999999999".to_owned()),
        Just("1e308".to_owned()),
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..12, with);
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, length, with) in edits {
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, with.bytes());
        }
        bytes
    })
}

const KEYS: [&str; 14] = [
    "speedup",
    "block_interval",
    "until",
    "deadline",
    "warm_up",
    "load.rate",
    "profile.shards",
    "profile.nodes.validator",
    "profile.disk.size",
    "profile.disk.bytes_per_block",
    "profile.disk.retention",
    "profile.mainnet.block_interval",
    "detectors.stall.after",
    "profile.accelerate.view_change.mainnet",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        plan in prop::collection::vec(any::<u8>(), 0..400),
        profile in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let directory = tempfile::tempdir().unwrap();
        try_files(directory.path(), &plan, PROFILES[0].text.as_bytes());
        try_files(directory.path(), PLANS[0].text.as_bytes(), &profile);
    }

    #[test]
    fn no_mutation_of_the_shipped_files_makes_it_panic(
        plan in mutated(PLANS[0].text),
        profile in mutated(PROFILES[0].text),
    ) {
        let directory = tempfile::tempdir().unwrap();
        try_files(directory.path(), &plan, PROFILES[0].text.as_bytes());
        try_files(directory.path(), PLANS[0].text.as_bytes(), &profile);
    }

    #[test]
    fn no_setting_makes_it_panic(
        key in "(profile\\.)?[a-z_.\"]{0,20}",
        value in "\\PC{0,20}",
        known in prop::sample::select(KEYS.as_slice()),
        number in prop_oneof!["[0-9]{1,20}", "[0-9]{1,12} (blocks|s|h|years|mainnet|us|GiB|%|tx/s)", "-?[0-9]e[0-9]{1,3}"],
        other in prop::sample::select(KEYS.as_slice()),
        other_number in "[0-9]{1,14}( (blocks|s|years|B))?",
    ) {
        for set in [format!("{key}={value}"), format!("{known}={number}"), format!("{known}={value}")] {
            try_load(&PlanRequest { set: vec![set, format!("{other}={other_number}")], ..request("smoke") });
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let deep = format!("profile = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    try_files(directory.path(), deep.as_bytes(), b"");
    let keys = format!("{}b = 1", "a.".repeat(50_000));
    try_files(directory.path(), keys.as_bytes(), b"");
    try_load(&PlanRequest {
        set: vec![format!("{}b=1", "a.".repeat(50_000))],
        ..request("smoke")
    });
    let environment = [(
        format!("CANARYNET_SET_{}B", "A__".repeat(50_000)),
        "1".to_owned(),
    )];
    try_load(&PlanRequest {
        environment: environment.into(),
        ..request("smoke")
    });
}
