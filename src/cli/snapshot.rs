//! `snapshot`, `snapshots`: keeps the data disks of a live network, and what is kept.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Failure,
    arguments::{Common, SnapshotArguments, SnapshotsArguments, SnapshotsVerb},
    print_json, print_line, state_folder,
};
use crate::{
    plan::snapshots::is_name,
    report::text::{bytes, count, plain},
    run::{by_hand, snapshots},
    snapshot::{SnapshotError, SnapshotFolder, Stored, ladder::Standing},
    time::human,
};

/// Longest wait: faults in force are healed first, and copying has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// How often the answer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn snapshot(common: &Common, verb: &SnapshotArguments) -> Result<ExitCode, Failure> {
    if let Some(name) = verb.name.as_ref().filter(|name| !is_name(name)) {
        return Err(unusable(&SnapshotError::Name(name.clone())));
    }
    let (directory, record) = state_folder(common)?
        .find(&verb.run)
        .map_err(|error| Failure::usage("no such run").because(&error))?;
    if directory.owner().is_none() {
        return Err(Failure::usage(format!(
            "{} is not running under a canary, so that nobody can hold its nodes still; `canarynet runs attach {}` takes it over",
            record.name, record.name
        )));
    }
    let asked = snapshots::ask(directory.path(), verb.name.clone())
        .map_err(|error| Failure::infra("cannot ask the run").because(&error))?;
    let deadline = Instant::now() + PATIENCE;
    let mut shown = 0;
    while Instant::now() < deadline {
        // Asked before it is read: the last lines of a run that ended are still read.
        let owned = directory.owner().is_some();
        let told = by_hand::told(directory.path(), &asked);
        // A line without its end is still being written.
        let whole = told.rfind('\n').map_or("", |end| &told[..end]);
        let lines: Vec<&str> = whole.lines().collect();
        for line in &lines[shown..] {
            if line.starts_with("no snapshot: ") {
                return Err(Failure::infra((*line).to_owned()));
            }
            if line.starts_with("snapshot ") {
                return saved(common, line);
            }
            if !common.json {
                print_line(line)?;
            }
        }
        shown = lines.len();
        if !owned {
            return Err(Failure::infra(
                "the run ended, and there is no snapshot of it",
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(Failure::infra(
        "the run has not made the snapshot within half an hour; `canarynet status` tells how it is",
    ))
}

/// What was saved: a line for people, the manifest for programs.
fn saved(common: &Common, line: &str) -> Result<ExitCode, Failure> {
    if !common.json {
        print_line(line)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = line.split_whitespace().nth(1).unwrap_or_default();
    let stored = folder(common)?
        .find(name)
        .map_err(|error| unusable(&error))?;
    print_json(&stored.manifest)
}

/// The folder of snapshots.
pub(super) fn folder(common: &Common) -> Result<SnapshotFolder, Failure> {
    Ok(SnapshotFolder::of(state_folder(common)?.root()))
}

/// A snapshot that cannot be used: mostly bad input.
pub(super) fn unusable(error: &SnapshotError) -> Failure {
    match error {
        SnapshotError::Io { .. } => Failure::infra("the snapshot cannot be used").because(error),
        _ => Failure::usage("the snapshot cannot be used").because(error),
    }
}

pub(super) fn snapshots(common: &Common, verb: SnapshotsArguments) -> Result<ExitCode, Failure> {
    let folder = folder(common)?;
    let find = |name: &str| folder.find(name).map_err(|error| unusable(&error));
    match verb.verb {
        None | Some(SnapshotsVerb::List) => list(common, &folder.all()),
        Some(SnapshotsVerb::Show { name }) => {
            let stored = find(&name)?;
            print_json(&Shown {
                path: stored.path.display().to_string(),
                manifest: &stored.manifest,
                standing: &stored.standing,
            })
        }
        Some(SnapshotsVerb::Remove { names, force }) => {
            let all = names.iter().map(|name| find(name));
            for stored in all.collect::<Result<Vec<_>, _>>()? {
                folder
                    .remove(&stored, force)
                    .map_err(|error| unusable(&error))?;
                print_line(&format!(
                    "{} removed, {} free",
                    stored.manifest.name,
                    bytes(stored.manifest.packed())
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(SnapshotsVerb::Release { name }) => {
            let mut stored = find(&name)?;
            let standing = Standing {
                pinned: None,
                ..stored.standing.clone()
            };
            stored.stand(standing).map_err(|error| unusable(&error))?;
            print_line(&format!("{name} is kept for no finding any more"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// One snapshot, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    path: String,
    manifest: &'a crate::snapshot::Manifest,
    standing: &'a Standing,
}

/// One of a list, for programs.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    lineage: Option<&'a str>,
    key: String,
    profile: &'a str,
    run: &'a str,
    height: u64,
    age_seconds: u64,
    bytes: u64,
    made: u64,
    standing: &'a Standing,
}

fn list(common: &Common, all: &[Stored]) -> Result<ExitCode, Failure> {
    if common.json {
        let rows: Vec<Row<'_>> = all
            .iter()
            .map(|stored| Row {
                name: &stored.manifest.name,
                lineage: stored.manifest.lineage.as_deref(),
                key: stored.manifest.shape.key(),
                profile: &stored.manifest.shape.profile,
                run: &stored.manifest.run,
                height: stored.manifest.height().0,
                age_seconds: stored.manifest.age.0.as_secs(),
                bytes: stored.manifest.packed(),
                made: stored.manifest.made.0,
                standing: &stored.standing,
            })
            .collect();
        return print_json(&rows);
    }
    if all.is_empty() {
        print_line("no snapshots; `canarynet snapshot RUN` makes one of a live run")?;
    }
    for stored in all {
        let manifest = &stored.manifest;
        let standing = &stored.standing;
        let mut words = Vec::new();
        if let Some(lineage) = &manifest.lineage {
            words.push(format!("rung of {}", plain(lineage, 80)));
        }
        if standing.good {
            words.push("a healthy stretch followed".to_owned());
        }
        if standing.tainted {
            words.push("made while a finding was open".to_owned());
        }
        if let Some(finding) = &standing.pinned {
            words.push(format!("kept for {}", plain(finding, 80)));
        }
        print_line(&format!(
            "{}  {} of {}, height {}, {} of mainnet old, {}{}{}",
            manifest.name,
            plain(&manifest.shape.profile, 40),
            plain(&manifest.run, 40),
            count(manifest.height().0),
            human(manifest.age.0),
            bytes(manifest.packed()),
            if words.is_empty() { "" } else { "; " },
            words.join(", ")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
