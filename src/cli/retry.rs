//! `--on-infra retry=N`: a run that the host, the engine or the canary spoiled says nothing of the network, and is made
//! again.
//!
//! `soak` goes on as a fresh process in its own place, so that signals and the exit code stay those of one program;
//! `gate` makes a run as its child and hands signals on.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Failure,
    arguments::{Common, OnInfra},
    runtime, state_folder,
};
use crate::{
    repro::case::read_plan,
    run::{
        child::{AROUND, Patience, SoakChild},
        signal::Signals,
    },
};

/// The option's name on the command line.
const OPTION: &str = "--on-infra";

/// A repetition of a run without a deadline.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Becomes the same soak with this many repetitions left; comes back only when that cannot be.
pub(super) fn become_again(left: u32) -> Failure {
    let arguments = repeated(std::env::args_os().skip(1), left);
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let error = Command::new(program).args(arguments).exec();
    Failure::infra("the run cannot be repeated").because(&error)
}

/// The command line with its count of repetitions replaced.
fn repeated(arguments: impl Iterator<Item = OsString>, left: u32) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut value_follows = false;
    for argument in arguments {
        if std::mem::take(&mut value_follows) {
            continue;
        }
        if argument == OPTION {
            value_follows = true;
        } else if !begins(&argument, "--on-infra=") {
            kept.push(argument);
        }
    }
    kept.push(format!("{OPTION}={}", OnInfra { retries: left }).into());
    kept
}

fn begins(argument: &OsStr, with: &str) -> bool {
    argument.as_encoded_bytes().starts_with(with.as_bytes())
}

/// Repeats a run from its resolved plan, and again while it is infra; answers the directory of the last try.
pub(super) fn repeat(common: &Common, run: &Path, retries: u32) -> Result<PathBuf, Failure> {
    let plan = run.join("plan.json");
    if !plan.is_file() {
        return Err(Failure::infra(format!(
            "{} has no plan.json: the run cannot be repeated",
            run.display()
        )));
    }
    let state = state_folder(common)?;
    let before: Vec<PathBuf> = state
        .all()
        .into_iter()
        .map(|(run, _)| run.path().to_owned())
        .collect();
    let resolved = read_plan(&plan)
        .map_err(|error| Failure::infra("the run cannot be repeated").because(&error))?;
    let once = resolved.deadline.map_or(LONGEST, |deadline| deadline.0) + AROUND;
    let patience = Patience::of(once.saturating_mul(retries));
    let with = |command: &mut tokio::process::Command| {
        command.arg("--resolved").arg(&plan);
        command.arg("--keep=never").arg("--no-reserve");
        command.arg("--state").arg(state.root());
        if let Some(engine) = &common.engine {
            command.arg("--engine").arg(engine);
        }
        if let Some(left) = retries.checked_sub(1) {
            command.arg(format!("{OPTION}={}", OnInfra { retries: left }));
        }
        // What the gate prints is its decision alone.
        command.stdout(std::io::stderr());
    };
    let ended = runtime()?.block_on(async {
        let mut signals = Signals::install()?;
        let child = SoakChild::start(with)?;
        child.wait(patience, &mut signals).await
    })?;
    if let Some(interrupt) = ended.interrupt {
        return Err(Failure::interrupted(
            interrupt.exit(),
            format!(
                "ended by {}; the repetition has ended too",
                interrupt.name()
            ),
        ));
    }
    let mut runs = state
        .all()
        .into_iter()
        .map(|(run, _)| run.path().to_owned());
    runs.find(|path| !before.contains(path))
        .ok_or_else(|| Failure::infra("the repetition made no run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_count_of_repetitions_changes() {
        let line = |words: &[&str], left| {
            let words = words.iter().map(|word| OsString::from(*word));
            let words = repeated(words, left).into_iter();
            words
                .map(|word| word.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            line(
                &["soak", "smoke", "--on-infra", "retry=2", "--seed", "x"],
                1
            ),
            ["soak", "smoke", "--seed", "x", "--on-infra=retry=1"]
        );
        assert_eq!(
            line(&["--json", "soak", "--on-infra=retry=1"], 0),
            ["--json", "soak", "--on-infra=fail"]
        );
    }
}
