//! The verbs of `profile`, as typed.

use std::{fs, path::Path, process::Output};

use assert_cmd::Command;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canarynet"));
    command
        .current_dir(folder)
        .env("CANARYNET_STATE", folder.join("state"));
    command.arg("profile").args(arguments).output().unwrap()
}

/// What it printed, when it ended with this code.
#[track_caller]
fn said(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_first_profile_is_written_checked_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    has(
        &said(folder, 0, &["new", "mychain", "--extends", "reference"]),
        &["wrote mychain.toml", "profile check ./mychain.toml"],
    );
    let text = fs::read_to_string(folder.join("mychain.toml")).unwrap();
    has(
        &text,
        &[
            "#:schema canarynet://schema/profile/1",
            "extends = \"reference\"",
            "name = \"mychain\"",
            "# shards = 4",
            "# [limits]\n# cpus = 0.5",
        ],
    );
    // What is a comment there is what is in force.
    has(
        &said(folder, 0, &["check", "./mychain.toml"]),
        &["profile  mychain: canarynet, 4 shards, 16 nodes"],
    );
    has(
        &said(folder, 2, &["new", "mychain", "--extends", "reference"]),
        &["there is a mychain.toml here already"],
    );
    has(
        &said(folder, 2, &["new", "other", "--extends", "refrence"]),
        &["did you mean `reference`?"],
    );
    has(
        &said(folder, 2, &["new", "Bad Name", "--extends", "reference"]),
        &["small letters"],
    );
    assert!(!folder.join("other.toml").exists());

    let mut text = text;
    text.push_str("\nshards = 1\n[environment]\nWHO = \"${PROFILE_TEST_WHO}\"\n");
    fs::write(folder.join("mychain.toml"), text).unwrap();
    has(
        &said(folder, 2, &["check", "./mychain.toml"]),
        &[
            "mychain.toml:",
            "variable ${PROFILE_TEST_WHO} is not defined",
        ],
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_canarynet"));
    let output = command
        .current_dir(folder)
        .env("PROFILE_TEST_WHO", "me")
        .env("CANARYNET_SET_PROFILE__STOP_TIMEOUT", "7s")
        .args([
            "profile",
            "show",
            "./mychain.toml",
            "--origin",
            "--set",
            "profile.user=7:7",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in:\n{text}"))
    };
    has(line("user = "), &["7:7", "--set profile.user=7:7"]);
    has(
        line("stop_timeout = "),
        &["7s", "environment CANARYNET_SET_PROFILE__STOP_TIMEOUT"],
    );
    has(
        line("environment.WHO = "),
        &["\"me\"", "mychain.toml:", "with ${PROFILE_TEST_WHO}"],
    );
    has(line("shards = "), &["1", "./mychain.toml:"]);
    has(
        line("limits.memory = "),
        &["48 MiB", "profiles/reference.toml (shipped):"],
    );
    has(
        line("log[0].name = "),
        &[
            "commit-signatures-lost",
            "profiles/reference.toml (shipped):",
        ],
    );
}

#[test]
fn a_check_prints_what_would_run_and_refuses_what_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = said(folder, 0, &["check", "reference", "--set", "speedup=40"]);
    has(
        &text,
        &[
            "clock    block_interval 200 ms (mainnet 8.0 s), set by flag --block-interval",
            "s0-n00 validator of shard 0, one of 4",
            "--block-interval 200ms",
            "s3-n00 validator",
        ],
    );
    let text = said(
        folder,
        0,
        &["check", "reference", "--node", "s1-n02", "--json"],
    );
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let nodes = json["rendered"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0]["node"], "s1-n02");
    assert_eq!(nodes[0]["command"][0], "reference-node");
    assert_eq!(json["refusals"], serde_json::json!([]));
    has(
        &said(folder, 2, &["check", "reference", "--node", "s9-n00"]),
        &["no node \"s9-n00\""],
    );
    has(
        &said(folder, 2, &["check", "harmny"]),
        &["did you mean `harmony`?"],
    );
    has(
        &said(folder, 0, &["check", "reference", "--plan", "smoke"]),
        &["profile  reference: canarynet, "],
    );
    for name in ["harmony", "cometbft", "ethereum-json-rpc"] {
        has(&said(folder, 0, &["list"]), &[name]);
        has(&said(folder, 0, &["check", name]), &["command", "logs "]);
    }
}

#[test]
fn the_schema_knows_the_whole_rule() {
    let folder = tempfile::tempdir().unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&said(folder.path(), 0, &["schema"])).unwrap();
    let rule = &schema["$defs"]["LogRule"]["properties"];
    for key in [
        "name", "message", "error", "fields", "pattern", "level", "class",
    ] {
        assert!(rule[key].is_object(), "{key}: {rule}");
    }
    assert_eq!(schema["$id"], "canarynet://schema/profile/1");
}
