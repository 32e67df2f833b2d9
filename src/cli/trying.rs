//! `profile try`: one node of a profile for a short time, and what of the profile it bore out.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{
    Failure,
    arguments::{Common, ProfileTryArguments},
    print, print_json, runtime,
};
use crate::{
    exit::Exit,
    journal::Reader,
    plan::{Keep, Plan, SoakTime},
    profile::trial::Trial,
    run::{
        child::{self, Patience, SoakChild},
        signal::Signals,
    },
};

/// Time that a run of one node may need beside what it is tried for: packing, starting, teardown.
const AROUND: Duration = Duration::from_secs(120);

pub(super) fn attempt(
    common: &Common,
    verb: &ProfileTryArguments,
    mut plan: Plan,
) -> Result<ExitCode, Failure> {
    // The start lasts as long if the node makes no block alone; that is nothing against its profile.
    plan.soak = Some(SoakTime(verb.duration));
    plan.start_deadline = verb.duration;
    plan.deadline = Some(SoakTime(verb.duration * 2 + AROUND));
    plan.settle = Duration::ZERO;
    plan.keep = Keep::Never;
    let folder = tempfile::tempdir()?;
    let told = run(common, &plan, folder.path())?;
    let journal = journal(folder.path()).ok_or_else(|| {
        let last = told.trim_end().lines().rev().take(12).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        Failure::infra(format!("the node could not be tried:\n{last}"))
    })?;
    let mut trial = Trial::new(&plan);
    let entries = Reader::open(&journal)
        .map_err(|error| Failure::infra("cannot read what was seen").because(&error))?;
    // What cannot be read of a journal was not seen; the rest tells.
    entries
        .filter_map(Result::ok)
        .for_each(|entry| trial.step(&entry));
    if common.json {
        print_json(&trial)?;
    } else {
        print(trial.to_string().as_bytes())?;
    }
    Ok(if trial.is_good() {
        Exit::Pass
    } else {
        Exit::Fail
    }
    .into())
}

/// The run, as a child of this program with a folder of runs of its own; what it printed.
fn run(common: &Common, plan: &Plan, folder: &Path) -> Result<String, Failure> {
    let path = folder.join("plan.json");
    serde_json::to_writer(File::create(&path)?, plan)
        .map_err(|error| Failure::infra("cannot write the plan").because(&error))?;
    let output = folder.join("output.txt");
    let file = File::create(&output)?;
    let errors = file.try_clone()?;
    let with = |command: &mut tokio::process::Command| {
        // One node for half a minute holds nothing up.
        command.arg("--resolved").arg(&path).arg("--no-reserve");
        command.arg("--state").arg(folder.join("runs"));
        if let Some(engine) = &common.engine {
            command.arg("--engine").arg(engine);
        }
        command.stdout(file).stderr(errors);
    };
    let longest = plan.deadline.map_or(child::AROUND, |deadline| deadline.0);
    let patience = Patience::of(longest.saturating_add(child::AROUND));
    let ended = runtime()?.block_on(async {
        let mut signals = Signals::install()?;
        let child = SoakChild::start(with)?;
        child.wait(patience, &mut signals).await
    })?;
    if let Some(interrupt) = ended.interrupt {
        return Err(Failure::interrupted(
            interrupt.exit(),
            format!(
                "ended by {}; the node that was tried is gone",
                interrupt.name()
            ),
        ));
    }
    Ok(std::fs::read_to_string(&output)?)
}

/// The journal of the only run in a folder of runs.
fn journal(folder: &Path) -> Option<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let plans = folders(&folder.join("runs"));
    let mut journals = plans
        .iter()
        .flat_map(|plan| folders(plan))
        .map(|run| run.join("journal"));
    journals.find(|journal| journal.is_dir())
}
