//! Secrets: files in memory that the nodes read, and nothing else that stays anywhere.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::harness::{Machine, PROGRAM, docker, journal, json, newest, text};

const TOKEN: &str = "s3cret-value-0815";
const KEY: &str = "first line of the key\nsecond line of the key\n";

/// A node that prints what it was given before it does its work.
const SAYS: &str = "read -r token < {{ secrets.TOKEN }}; read -r key < {{ secrets.KEY }}; \
    echo \"it is $token and $key\"; [ -w {{ secrets.TOKEN }} ] || echo \"it cannot be written\"; \
    exec /bin/canarynet \"$@\"";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What a file holds, unpacked.
fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("file");
    let mut unpacked = Vec::new();
    let done = match path.extension().and_then(|ending| ending.to_str()) {
        Some("zst") => zstd::stream::copy_decode(bytes.as_slice(), &mut unpacked),
        Some("gz") => flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut unpacked)
            .map(drop),
        _ => return bytes,
    };
    done.expect("packed file");
    unpacked
}

fn holds_a_secret(bytes: &[u8]) -> bool {
    let said = String::from_utf8_lossy(bytes);
    [TOKEN]
        .into_iter()
        .chain(KEY.lines())
        .any(|secret| said.contains(secret))
}

#[test]
fn secrets_reach_nodes_as_files_and_are_in_nothing_that_is_kept() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let known = machine.run(&[
        "plan",
        "check",
        "smoke",
        "--profile",
        "reference-small",
        "--resolved",
    ]);
    let known: serde_json::Value = serde_json::from_slice(&known.stdout).expect("a plan");
    let own = known["network"]["command"]
        .as_array()
        .expect("command")
        .iter()
        .cloned();
    let words = ["-c", SAYS, "sh"].map(serde_json::Value::from).into_iter();
    let command: Vec<serde_json::Value> = words.chain(own).collect();
    fs::write(machine.state().join("key"), KEY).expect("key");
    let profile = machine.state().join("telling.toml");
    let text_of = format!(
        "extends = \"reference-small\"\nbinary = \"sh\"\nprograms = [{PROGRAM:?}]\ncommand = {}\n\
         secrets = {{ TOKEN = {{ env = \"SOAK_TEST_TOKEN\" }}, KEY = {{ file = \"key\" }} }}\n\
         [[log]]\nname = \"told\"\nmessage = \"it is\"\nclass = \"note\"\n",
        serde_json::Value::from(command)
    );
    fs::write(&profile, text_of).expect("profile");
    let rest = "warm_up = \"5 blocks\"\nuntil = \"6s\"\nsettle = \"5 blocks\"\nbudget = { memory = \"128 MiB\", cpu = \"50 %\" }\ngate = { coverage = { blind = \"40 %\", blocks = 5 } }\n";
    let plan = machine.plan("case", rest);
    let profile = profile.display().to_string();
    let arguments = [
        "soak",
        &plan,
        "--profile",
        &profile,
        "--set",
        "profile.disk.kind=tmpfs",
    ];

    let refused = machine.run(&arguments);
    assert_eq!(refused.status.code(), Some(2), "without the variable");
    let said = text(&refused.stderr);
    assert!(
        said.contains("TOKEN") && said.contains("no SOAK_TEST_TOKEN"),
        "{said}"
    );

    let child = machine
        .canarynet(&arguments)
        .env("SOAK_TEST_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("canarynet soak");
    machine.wait_for_stage("soak");
    let run = machine.newest_run();
    let node = format!("{run}-s0-n00");
    let seen = docker(&["inspect", &node, &format!("{run}-watcher")]);
    let image = seen
        .split("canarynet/sh:")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let image = format!("canarynet/sh:{}", image.expect("the packed image"));
    let seen = [seen, docker(&["image", "inspect", &image])].concat();
    let output = child.wait_with_output().expect("canarynet soak");
    docker(&["image", "rm", &image]);
    assert!(
        !holds_a_secret(seen.as_bytes()),
        "the engine was told a secret"
    );
    assert!(seen.contains("/run/secrets"), "{seen}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(!holds_a_secret(&[output.stdout, output.stderr].concat()));

    let directory = newest(machine.state()).expect("run directory");
    let mut kept = Vec::new();
    files(&directory, &mut kept);
    assert!(kept.len() > 10, "{kept:?}");
    for path in &kept {
        assert!(!holds_a_secret(&content(path)), "{}", path.display());
    }
    // The nodes did read them, and said so: it was taken out on its way.
    let masked = "it is [secret TOKEN] and [secret KEY]";
    let entries = journal(&directory);
    assert!(entries.contains(masked), "the journal has the line");
    let logs: Vec<u8> = kept
        .iter()
        .filter(|path| path.starts_with(directory.join("logs")))
        .flat_map(|path| content(path))
        .collect();
    let logs = text(&logs);
    assert!(
        logs.contains(masked) && logs.contains("it cannot be written"),
        "{logs}"
    );
    let resolved = json(&directory.join("plan.json")).expect("plan.json");
    assert_eq!(
        resolved["network"]["secrets"][1]["from"]["env"],
        "SOAK_TEST_TOKEN"
    );
    machine.assert_nothing_left();
}
