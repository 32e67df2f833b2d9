//! Rules about the code that would else live only in reviews: sizes, who may use whom, what the core must not do.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its world is not as it should be"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most production lines of a file (up to its first inline test module).
const LINES_MOST: usize = 500;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, usize, &str)] = &[
    (
        "src/journal/event.rs",
        740,
        "the closed enum of facts is read as one list",
    ),
    (
        "src/disk/faulty/server.rs",
        680,
        "the kernel asks of a file system what one trait lists: one short method each",
    ),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    assert!(
        files.len() > 50,
        "the walk found only {} files",
        files.len()
    );
    let name = |path: &Path| {
        path.strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The production part of a file: what stands before its inline tests.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name.contains("/simulation")
}

#[test]
fn files_stay_small_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//!") && !is_test_file(&name) {
            wrong.push(format!("{name}: does not open with a module comment"));
        }
        let most = LONGER
            .iter()
            .find(|(file, ..)| *file == name)
            .map_or(LINES_MOST, |(_, most, _)| *most);
        let lines = production(&text).lines().count();
        if !is_test_file(&name) && lines > most {
            wrong.push(format!(
                "{name}: {lines} production lines, {most} are allowed"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The pure core: no clock, no socket, no file, no runtime.
#[test]
fn the_core_reads_no_clock_and_touches_no_edge() {
    let pure = |name: &str| {
        let folders = [
            "src/detect/",
            "src/matrix/",
            "src/profile/dialect",
            "src/repro/shrink/",
            "src/reference_node/consensus/",
            "src/reference_node/chain/",
        ];
        let files = [
            "src/verdict",
            "src/journal/event.rs",
            "src/journal/generate",
            "src/plan/resolve",
            "src/run/restart.rs",
            "src/snapshot/ladder.rs",
            "src/snapshot/manifest.rs",
            "src/probe/heads",
        ];
        // Copies what a finding cites: the one edge of the judge, and not part of judging.
        let edge = name.ends_with("detect/evidence_files.rs");
        !edge
            && !is_test_file(name)
            && (folders.iter().any(|f| name.starts_with(f))
                || files.iter().any(|f| name.starts_with(f)))
    };
    let banned = [
        "tokio",
        "Instant::now",
        "SystemTime::now",
        "std::fs",
        "std::net",
        "std::env::",
        "bollard",
        "thread_rng",
        "rand::rng()",
        "crate::engine",
        "crate::run",
        "crate::cli",
    ];
    let mut checked = 0;
    let mut wrong = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| pure(name)) {
        checked += 1;
        for (number, line) in production(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for word in banned.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!(
                    "{name}:{}: {word} has no place in the core",
                    number + 1
                ));
            }
        }
    }
    assert!(checked > 20, "only {checked} files were checked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_engine_names_bollard() {
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| {
            !name.starts_with("src/engine/") && production(text).contains("bollard::")
        })
        .map(|(name, _)| name)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The judge reads neither a profile's defects nor any expectation of the plan.
#[test]
fn the_judge_does_not_know_what_was_planted() {
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| {
            (name.starts_with("src/detect/") || name.starts_with("src/verdict"))
                && production(text).contains("defects")
        })
        .map(|(name, _)| name)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Pictures are made by `cargo run --example pictures`.
#[test]
fn the_readme_shows_pictures_that_are_there_and_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let shown: Vec<&str> = readme
        .split("](")
        .filter_map(|rest| rest.split(')').next())
        .filter(|path| path.ends_with(".png"))
        .collect();
    assert!(shown.len() >= 2, "{shown:?}");
    let sizes = shown
        .iter()
        .map(|path| fs::metadata(root.join(path)).unwrap().len());
    let all: u64 = sizes.sum();
    assert!(all < 300 << 10, "{all} bytes");
}

#[test]
fn shipped_files_name_no_machine_and_no_unfinished_work() {
    let mut wrong = Vec::new();
    // Spelled in parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/home", "/"),
    ];
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
