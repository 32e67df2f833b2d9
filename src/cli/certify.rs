//! `certify`: a statement of what a run showed, bound by hashes; and the check of one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::Path,
    process::ExitCode,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Failure,
    arguments::{CertifyArguments, Common},
    bundle, judge, print_json, print_line, state_folder,
};
use crate::{
    certificate::{Certificate, Checked, FORMAT, Requirement, Statement},
    detect::Severity,
    exit::Exit,
    report::{ReportInput, json::VerdictFile, text::plain},
    run::{directory::RunDirectory, machine::Machine},
    time::RunClock,
};

/// How certificates are called.
const EXTENSION: &str = "cert.json";

/// Longest certificate that is read.
const LONGEST: u64 = 16 << 20;

/// Files that are hashed, where they are there; beside them all segments of the journal.
const FILES: [&str; 5] = [
    "plan.json",
    "layers.json",
    "machine.json",
    "verdict.json",
    "findings.json",
];

pub(super) fn certify(common: &Common, verb: &CertifyArguments) -> Result<ExitCode, Failure> {
    match &verb.check {
        Some(path) => check(common, verb, path),
        None => make(common, verb),
    }
}

fn make(common: &Common, verb: &CertifyArguments) -> Result<ExitCode, Failure> {
    let (directory, record) = state_folder(common)?
        .find(&verb.certified)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    if let Some(owner) = directory.owner() {
        return Err(Failure::usage(format!(
            "{} still runs (process {owner}); `canarynet wait {}` first",
            record.name, record.name
        )));
    }
    let path = directory.path().display().to_string();
    let input = judge::judge_run(common, &path, false, None)?;
    same_as_then(&directory, &input)?;
    let machine = Machine::read(&directory);
    let statement = Statement {
        format: FORMAT,
        canarynet: input.judgement.canarynet.clone(),
        certified_by: env!("CARGO_PKG_VERSION").to_owned(),
        certified: RunClock::wall(),
        run: input.run.clone(),
        name: record.name.clone(),
        started: input.judgement.started,
        plan: input.plan.name.clone(),
        profile: input.plan.profile.clone(),
        seed: input.plan.seed.clone(),
        program: input.program.clone(),
        versions: machine.as_ref().map(Machine::others).unwrap_or_default(),
        image: machine.map(|machine| machine.image),
        heights: input
            .judgement
            .shards
            .iter()
            .map(|shard| (shard.shard, (shard.first_height, shard.height)))
            .collect(),
        acceleration: input.judgement.acceleration,
        coverage: input.judgement.coverage.clone(),
        outcome: input.verdict.outcome,
        gates: input.verdict.gates.clone(),
        findings: by_severity(&input),
        files: hashes(directory.path())?,
    };
    let output = verb
        .output
        .clone()
        .unwrap_or_else(|| bundle::file_name(&record.name, EXTENSION));
    let certificate = Certificate::seal(&statement)
        .and_then(|certificate| serde_json::to_vec(&certificate))
        .map_err(|error| Failure::infra("cannot write the certificate").because(&error))?;
    fs::write(&output, certificate)?;
    if common.json {
        return print_json(&statement);
    }
    print_line(&format!(
        "{}  {}, {} blocks, {} files bound by SHA-256",
        output.display(),
        crate::report::terminal::outcome_word(statement.outcome),
        statement.coverage.blocks,
        statement.files.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What was decided live and what is decided now must agree: a certificate of a run of which they do not is worth nothing.
fn same_as_then(directory: &RunDirectory, input: &ReportInput) -> Result<(), Failure> {
    let path = directory.path().join("verdict.json");
    let bytes = fs::read(&path).map_err(|error| {
        Failure::usage("the run has no verdict, so that there is nothing to certify")
            .because(&error)
    })?;
    let then: VerdictFile = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::infra("verdict.json is damaged").because(&error))?;
    if then.outcome == input.verdict.outcome {
        return Ok(());
    }
    Err(Failure::infra(format!(
        "verdict.json says {:?}, and the journal, judged again, {:?}: this run cannot be certified",
        then.outcome, input.verdict.outcome
    )))
}

fn by_severity(input: &ReportInput) -> BTreeMap<String, u64> {
    let names = [
        (Severity::Info, "info"),
        (Severity::Minor, "minor"),
        (Severity::Major, "major"),
        (Severity::Critical, "critical"),
    ];
    let count = |severity| {
        let findings = input.judgement.findings.iter();
        findings
            .filter(|finding| finding.excused_by.is_none() && finding.waived.is_none())
            .filter(|finding| finding.severity == severity)
            .count() as u64
    };
    names
        .map(|(severity, name)| (name.to_owned(), count(severity)))
        .into()
}

fn hashes(directory: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut paths: Vec<String> = FILES
        .iter()
        .filter(|name| directory.join(name).is_file())
        .map(|name| (*name).to_owned())
        .collect();
    for entry in fs::read_dir(directory.join("journal"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            paths.push(format!("journal/{}", entry.file_name().to_string_lossy()));
        }
    }
    let mut hashes = BTreeMap::new();
    for path in paths {
        let hash = hash(&directory.join(&path))?;
        hashes.insert(path, hash);
    }
    Ok(hashes)
}

fn hash(path: &Path) -> Result<String, Failure> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn check(common: &Common, verb: &CertifyArguments, path: &Path) -> Result<ExitCode, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|error| {
            Failure::usage(format!("cannot read {}", path.display())).because(&error)
        })?;
    let statement = Certificate::open(&bytes).map_err(|error| {
        Failure::usage(format!("{} says nothing", path.display())).because(&error)
    })?;
    let requirements = verb
        .require
        .iter()
        .map(|text| text.parse::<Requirement>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(Failure::usage)?;
    let now = RunClock::wall();
    let mut checked: Vec<Checked> = requirements
        .iter()
        .map(|requirement| requirement.check(&statement, now))
        .collect();
    if let Some(run) = &verb.run {
        checked.push(files(common, run, &statement)?);
    }
    let holds = checked.iter().all(|checked| checked.holds);
    if common.json {
        print_json(
            &serde_json::json!({ "holds": holds, "checked": checked, "statement": statement }),
        )?;
    } else {
        for one in &checked {
            print_line(&format!(
                "{:<6} {}  ({})",
                if one.holds { "holds" } else { "FAILS" },
                plain(&one.asked, 200),
                plain(one.said.as_deref().unwrap_or("it says nothing of it"), 200)
            ))?;
        }
        let of = |key: &str| plain(statement[key].as_str().unwrap_or("-"), 100);
        print_line(&format!(
            "{}  {} of {} on {}, seed {}: whole, not signed",
            if holds { "HOLDS" } else { "FAILS" },
            of("outcome"),
            of("name"),
            of("profile"),
            of("seed")
        ))?;
    }
    Ok(if holds { Exit::Pass } else { Exit::Fail }.into())
}

/// Whether a run's files are those that were certified.
fn files(common: &Common, run: &str, statement: &Value) -> Result<Checked, Failure> {
    let directory = judge::locate(common, run)?;
    let now = hashes(&directory)?;
    let then: BTreeMap<String, String> = statement
        .get("files")
        .and_then(|files| serde_json::from_value(files.clone()).ok())
        .unwrap_or_default();
    let changed: Vec<String> = then
        .iter()
        .filter(|(path, hash)| now.get(*path) != Some(hash))
        .map(|(path, _)| path.clone())
        .chain(now.keys().filter(|path| !then.contains_key(*path)).cloned())
        .collect();
    Ok(Checked {
        asked: format!("the files of {run} are the certified ones"),
        holds: changed.is_empty() && !then.is_empty(),
        said: Some(if changed.is_empty() {
            format!("{} files are", then.len())
        } else {
            format!("changed: {}", changed.join(", "))
        }),
    })
}
