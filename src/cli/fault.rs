//! `canarynet fault`: one fault by hand, injected, journalled and healed like those of a schedule.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;

use super::{
    Failure,
    arguments::{Common, FaultArguments},
    print_json, print_line, state_folder,
};
use crate::{
    exit::Exit,
    fault::kinds::{KINDS, kind},
    plan::{
        Plan,
        error::did_you_mean,
        faults::{PlannedFault, Trigger},
    },
    run::by_hand,
};

/// How often the answer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
struct KindLine {
    kind: &'static str,
    summary: &'static str,
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
    let Some(info) = kind(name) else {
        let hint = did_you_mean(name, KINDS.iter().map(|info| info.kind));
        return Err(Failure::usage(format!(
            "{name:?} is no kind of fault{hint}; `canarynet fault` lists all"
        )));
    };
    let mut parameters = serde_json::Map::new();
    for setting in &verb.set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--set {setting}: write key=value")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        parameters.insert(key.to_owned(), value);
    }
    let parameters = serde_json::Value::Object(parameters);
    (info.parse)(&parameters)
        .map_err(|error| Failure::usage(format!("parameters of {name}")).because(&error))?;
    let target = verb
        .target
        .parse()
        .map_err(|error: crate::plan::faults::TargetError| Failure::usage(error.to_string()))?;
    let plan = std::fs::read(directory.path().join("plan.json"))
        .map_err(|error| Failure::infra("cannot read the run's plan").because(&error))?;
    let plan: Plan = serde_json::from_slice(&plan)
        .map_err(|error| Failure::infra("cannot read the run's plan").because(&error))?;
    let clocks = &plan.clocks;
    let lasts = verb
        .lasts
        .unwrap_or_else(|| clocks.blocks(40).max(clocks.view_change_timeout * 2));
    let planned = PlannedFault {
        id: String::new(),
        kind: name.clone(),
        parameters,
        trigger: Trigger::After(Duration::ZERO),
        lasts,
        target,
        seed: u64::from(std::process::id()),
        drawn: false,
    };
    let asked = by_hand::ask(directory.path(), &planned)
        .map_err(|error| Failure::infra("cannot ask the run").because(&error))?;
    let mut shown = 0;
    loop {
        let told = by_hand::told(directory.path(), &asked);
        let lines: Vec<&str> = told.lines().collect();
        for line in lines.iter().skip(shown) {
            print_line(line)?;
        }
        shown = lines.len();
        if let Some(last) = lines.last() {
            if last.ends_with(" healed") {
                let effective = lines.iter().any(|line| line.contains(" is effective"));
                let exit = if effective { Exit::Pass } else { Exit::Infra };
                return Ok(exit.into());
            }
            if last.contains(" skipped: ") || last.contains(" not healed: ") {
                return Ok(Exit::Infra.into());
            }
        }
        if directory.owner().is_none() {
            return Err(Failure::infra(
                "the run ended; its guard or its teardown heals what was broken",
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn list(common: &Common) -> Result<ExitCode, Failure> {
    let lines: Vec<KindLine> = KINDS
        .iter()
        .map(|info| KindLine {
            kind: info.kind,
            summary: info.summary,
        })
        .collect();
    if common.json {
        return print_json(&lines);
    }
    for line in lines {
        print_line(&format!("{:<17} {}", line.kind, line.summary))?;
    }
    Ok(ExitCode::SUCCESS)
}
