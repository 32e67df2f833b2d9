//! `canarynet watch RUN`: a run on the whole screen.

use std::process::ExitCode;

use console::Term;

use super::{
    Failure,
    arguments::{Common, RunArgument},
    state_folder,
};
use crate::{
    run::directory::{RunDirectory, RunState},
    watch::{self, Source},
};

pub(super) fn watch(common: &Common, verb: &RunArgument) -> Result<ExitCode, Failure> {
    let (directory, record) = state_folder(common)?
        .find(&verb.run)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    if common.json || !Term::stdout().features().is_attended() {
        return Err(Failure::usage(format!(
            "`watch` needs a terminal; `canarynet status {}` says the same once, with --json for machines",
            record.name
        )));
    }
    let source = Source {
        directory: directory.path().to_owned(),
        name: record.name,
        state: Box::new(move || state(&directory)),
    };
    watch::watch(source, console::colors_enabled())
        .map_err(|error| Failure::infra("the terminal cannot be used").because(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// How the run stands, in words.
fn state(directory: &RunDirectory) -> String {
    let Ok(record) = directory.record() else {
        return "its run.json cannot be read".to_owned();
    };
    match (record.state, directory.owner()) {
        (RunState::Finished, _) => format!(
            "finished: {}",
            record.verdict.as_deref().unwrap_or("no verdict")
        ),
        (_, None) => "ownerless".to_owned(),
        (RunState::Starting, _) => "starting".to_owned(),
        (RunState::Running, _) => "running".to_owned(),
        (RunState::TearingDown, _) => "ending".to_owned(),
    }
}
