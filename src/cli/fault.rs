//! `canarynet fault`: one fault by hand, injected, journalled and healed like those of a schedule.

use std::{
    error::Error as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Failure,
    arguments::{Common, FaultArguments},
    print_json, print_line, state_folder,
};
use crate::{
    exit::Exit,
    fault::kinds::KINDS,
    plan::{Plan, faults::PlannedFault},
    run::{
        by_hand::{self, Wish},
        directory::RunDirectory,
    },
};

/// Beyond its own length a fault takes this long at most: its operations have deadlines.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the answer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One kind, as listed.
#[derive(Debug, Serialize)]
struct KindLine {
    kind: &'static str,
    summary: &'static str,
    parameters: Vec<String>,
    needs: Vec<&'static str>,
}

pub(super) fn fault(common: &Common, verb: &FaultArguments) -> Result<ExitCode, Failure> {
    let (Some(run), Some(name)) = (&verb.run, &verb.kind) else {
        return list(common);
    };
    let (directory, record) = state_folder(common)?
        .find(run)
        .map_err(|error| Failure::usage("no such run").because(&error))?;
    if directory.owner().is_none() {
        return Err(Failure::usage(format!(
            "{} is not running under a canary; `canarynet runs attach {}` takes it over",
            record.name, record.name
        )));
    }
    let plan = std::fs::read(directory.path().join("plan.json"))
        .map_err(|error| Failure::infra("cannot read the run's plan").because(&error))?;
    let plan: Plan = serde_json::from_slice(&plan)
        .map_err(|error| Failure::infra("cannot read the run's plan").because(&error))?;
    let planned = planned(verb, name, &plan)?;
    let asked = by_hand::ask(directory.path(), &planned)
        .map_err(|error| Failure::infra("cannot ask the run").because(&error))?;
    follow(&directory, &asked, planned.lasts + PATIENCE)
}

/// The fault that is asked for; what the run's plan itself rules out is bad input.
fn planned(verb: &FaultArguments, name: &str, plan: &Plan) -> Result<PlannedFault, Failure> {
    let mut parameters = serde_json::Map::new();
    for setting in &verb.set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--set {setting}: write key=value")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        parameters.insert(key.to_owned(), value);
    }
    let wish = Wish {
        kind: name,
        target: &verb.target,
        lasts: verb.lasts,
        parameters: serde_json::Value::Object(parameters),
    };
    by_hand::planned(&wish, plan).map_err(|error| match error.source() {
        Some(source) => Failure::usage(error.to_string()).because(source),
        None => Failure::usage(error.to_string()),
    })
}

/// Prints what becomes of it, step by step, to its end.
fn follow(directory: &RunDirectory, asked: &str, within: Duration) -> Result<ExitCode, Failure> {
    let mut shown = 0;
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        // Asked before it is read: the last lines of a run that ended are still read.
        let owned = directory.owner().is_some();
        let told = by_hand::told(directory.path(), asked);
        // A line without its end is still being written.
        let whole = told.rfind('\n').map_or("", |end| &told[..end]);
        let lines: Vec<&str> = whole.lines().collect();
        for line in lines.iter().skip(shown) {
            print_line(line)?;
        }
        shown = lines.len();
        if let Some(last) = lines.last() {
            if last.ends_with(" healed") {
                let failed = |line: &&str| line.contains(" had no effect: ");
                let exit = if lines.iter().any(failed) {
                    Exit::Infra
                } else {
                    Exit::Pass
                };
                return Ok(exit.into());
            }
            if last.contains(" skipped: ") || last.contains(" not healed: ") {
                return Ok(Exit::Infra.into());
            }
        }
        if !owned {
            return Err(Failure::infra(
                "the run ended; its guard or its teardown heals what was broken",
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(Failure::infra(format!(
        "the run has not told within {} s what became of it; `canarynet status` tells how it is",
        within.as_secs()
    )))
}

fn list(common: &Common) -> Result<ExitCode, Failure> {
    let lines: Vec<KindLine> = KINDS
        .iter()
        .map(|info| KindLine {
            kind: info.kind,
            summary: info.summary,
            parameters: (info.parameters)(),
            needs: info.needs.iter().map(|need| need.id()).collect(),
        })
        .collect();
    if common.json {
        return print_json(&lines);
    }
    for line in lines {
        let mut notes = Vec::new();
        if !line.parameters.is_empty() {
            notes.push(line.parameters.join(", "));
        }
        if !line.needs.is_empty() {
            notes.push(format!("needs {}", line.needs.join(", ")));
        }
        let notes = if notes.is_empty() {
            String::new()
        } else {
            format!(" ({})", notes.join("; "))
        };
        print_line(&format!("{:<17} {}{notes}", line.kind, line.summary))?;
    }
    Ok(ExitCode::SUCCESS)
}
