//! `canarynet clean [RUN]` and what every verb says of ownerless runs.

use std::{io::Write as _, process::ExitCode};

use super::{
    Failure,
    arguments::{CleanArguments, Common, OnOrphan},
    network::connect,
    print_json, print_line, runtime, state_folder,
};
use crate::{
    engine::{self, Docker},
    exit::Exit,
    run::{
        arm::{self, Left},
        directory::{RunDirectory, RunRecord, RunState},
        ownership::{EngineRun, Standing, engine_runs},
    },
    time::RunClock,
};

pub(super) fn clean(common: &Common, verb: &CleanArguments) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        tell_unhealed(common)?;
        let docker = connect(common, None).await?;
        let runs = look(&docker).await?;
        let chosen = match &verb.run {
            Some(text) => vec![choose(common, &runs, text)?],
            None => {
                let state = state_folder(common)?;
                let (chosen, others): (Vec<_>, Vec<_>) = runs
                    .into_iter()
                    .filter(|run| run.standing == Standing::Ownerless)
                    .partition(|run| verb.all || run.is_in(&state));
                if !others.is_empty() {
                    notice_of_others(&names(&others));
                }
                if chosen.is_empty() && !common.json {
                    print_line(if others.is_empty() {
                        "nothing to clean: no run in the engine is ownerless"
                    } else {
                        "nothing to clean: no run of this folder is ownerless"
                    })?;
                }
                chosen
            }
        };
        let mut exit = Exit::Pass;
        for run in chosen {
            if verb.dry_run {
                say(common, &run, "would be removed")?;
            } else if !remove(common, &docker, &run).await? {
                exit = Exit::Infra;
            }
        }
        Ok(exit.into())
    })
}

async fn look(docker: &Docker) -> Result<Vec<EngineRun>, Failure> {
    engine_runs(docker)
        .await
        .map_err(|error| Failure::infra("cannot list the engine's runs").because(&error))
}

fn choose(common: &Common, runs: &[EngineRun], text: &str) -> Result<EngineRun, Failure> {
    let by_directory = state_folder(common)?
        .find(text)
        .ok()
        .map(|(_, record)| record.run);
    let wanted = |run: &&EngineRun| {
        by_directory.as_ref() == Some(&run.found.run) || run.found.run.as_str() == text
    };
    let run = runs
        .iter()
        .find(wanted)
        .ok_or_else(|| Failure::usage(format!("the engine holds nothing of a run {text:?}")))?;
    // Named by hand, what only its time to live protects may go; what somebody's lock holds may not.
    let locked = run
        .known
        .as_ref()
        .and_then(|(directory, _)| directory.owner());
    match locked {
        Some(pid) => Err(Failure::usage(format!(
            "run {} belongs to process {pid}, which is alive; `canarynet stop {}` ends it",
            run.name(),
            run.name()
        ))),
        None => Ok(run.clone()),
    }
}

fn say(common: &Common, run: &EngineRun, what: &str) -> Result<(), Failure> {
    let found = &run.found;
    if common.json {
        let value = serde_json::json!({
            "run": found.run, "name": run.name(), "what": what, "containers": found.containers,
            "networks": found.networks, "volumes": found.volumes,
        });
        print_json(&value)?;
    } else {
        let counts = format!(
            "{} containers, {} networks, {} volumes",
            found.containers, found.networks, found.volumes
        );
        print_line(&format!("{}  {what}: {counts}", run.name()))?;
    }
    Ok(())
}

/// `false` when something could not be removed.
async fn remove(common: &Common, docker: &Docker, run: &EngineRun) -> Result<bool, Failure> {
    // Held while it is removed, so that nobody attaches to it meanwhile.
    let _lock = match &run.known {
        Some((directory, _)) => Some(
            directory
                .lock()
                .map_err(|error| Failure::usage("cannot clean").because(&error))?,
        ),
        None => None,
    };
    // What is still broken first: a frozen disk would hold the teardown.
    let mut unhealed = Vec::new();
    if let Some((directory, _)) = &run.known {
        unhealed = arm::heal_left(directory.path(), Left::All).await;
    }
    let done = engine::teardown(docker, &run.found.run)
        .await
        .map_err(|error| Failure::infra("cannot clean").because(&error))?;
    if let Some((directory, record)) = &run.known {
        if done.left.is_empty() {
            arm::forget(directory.path());
        }
        mark_cleaned(directory, record)?;
    }
    say(
        common,
        run,
        if done.left.is_empty() {
            "removed"
        } else {
            "partly removed"
        },
    )?;
    for fault in &unhealed {
        print_line(&format!("  not healed: {fault}"))?;
    }
    for left in &done.left {
        print_line(&format!(
            "  left behind: {}",
            crate::journal::text::clean(left, 400)
        ))?;
    }
    Ok(done.left.is_empty())
}

fn mark_cleaned(directory: &RunDirectory, record: &RunRecord) -> Result<(), Failure> {
    let mut record = record.clone();
    record.state = RunState::Finished;
    record.kept = false;
    record
        .verdict
        .get_or_insert_with(|| "none: cleaned".to_owned());
    directory
        .write_record(&record)
        .map_err(|error| Failure::infra("cannot write run.json").because(&error))
}

/// Removes what one run left; for `down` and `stop` of a run without an owner.
pub(super) async fn clean_one(
    common: &Common,
    directory: &RunDirectory,
    record: &RunRecord,
) -> Result<ExitCode, Failure> {
    let docker = connect(common, Some(record)).await?;
    let runs = look(&docker).await?;
    match runs.into_iter().find(|run| run.found.run == record.run) {
        Some(run) => {
            let run = EngineRun {
                known: Some((directory.clone(), record.clone())),
                ..run
            };
            Ok(if remove(common, &docker, &run).await? {
                Exit::Pass
            } else {
                Exit::Infra
            }
            .into())
        }
        None => {
            mark_cleaned(directory, record)?;
            print_line(&format!(
                "{}: nothing of it is left in the engine",
                record.name
            ))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Deals with ownerless runs before a new one starts; gives the run to take over, if that is what was asked.
///
/// # Errors
/// When `--on-orphan fail` was given and there is one.
pub(super) async fn orphans(
    common: &Common,
    docker: &Docker,
) -> Result<Option<EngineRun>, Failure> {
    tell_unhealed(common)?;
    let action = common
        .on_orphan
        .or_else(|| std::env::var_os("CI").map(|_| OnOrphan::Clean));
    let mut ownerless = look(docker).await?;
    ownerless.retain(|run| run.standing == Standing::Ownerless);
    // Who wants to go on with one, or to be told of all, is not forestalled.
    if matches!(action, None | Some(OnOrphan::Clean)) {
        ownerless = reap(common, docker, ownerless).await?;
    }
    if ownerless.is_empty() {
        return Ok(None);
    }
    let listed = names(&ownerless).join(", ");
    let state = state_folder(common)?;
    let (own, others): (Vec<_>, Vec<_>) = ownerless.iter().partition(|run| run.is_in(&state));
    match action {
        Some(OnOrphan::Fail) => Err(Failure::infra(format!(
            "ownerless runs are in the engine: {listed}; `canarynet clean` removes them, `canarynet runs attach RUN` goes on with one"
        ))),
        Some(OnOrphan::Attach) => Ok(ownerless.into_iter().max_by_key(|run| run.found.created)),
        Some(OnOrphan::Clean) => {
            for run in own {
                remove(common, docker, run).await?;
            }
            notice_of_others(&names(others));
            Ok(None)
        }
        None => {
            notice(&names(own));
            notice_of_others(&names(others));
            for run in &ownerless {
                heal_overdue(run).await;
            }
            Ok(None)
        }
    }
}

/// Removes what nobody owns and whose time to live has passed, whoever made it; answers the rest.
async fn reap(
    common: &Common,
    docker: &Docker,
    ownerless: Vec<EngineRun>,
) -> Result<Vec<EngineRun>, Failure> {
    let now = RunClock::wall();
    let (due, rest): (Vec<_>, Vec<_>) = ownerless
        .into_iter()
        .partition(|run| run.is_due_for_removal(now));
    for run in due {
        if !common.json {
            print_line(&format!(
                "{}: its owner is gone and its time to live has passed",
                run.name()
            ))?;
        }
        // Another command that starts at this moment may do it as well.
        if let Err(failure) = remove(common, docker, &run).await {
            let _ = std::io::stderr().write_all(failure.render().as_bytes());
        }
    }
    Ok(rest)
}

fn names<'a>(runs: impl IntoIterator<Item = &'a EngineRun>) -> Vec<String> {
    runs.into_iter().map(EngineRun::name).collect()
}

/// What a lost owner and its guard have left broken beyond its time; the network itself is left alone.
#[expect(clippy::print_stderr, reason = "a notice, as below")]
async fn heal_overdue(run: &EngineRun) {
    let Some((directory, _)) = &run.known else {
        return;
    };
    for fault in arm::heal_left(directory.path(), Left::Overdue).await {
        eprintln!("{}: fault not healed: {fault}", run.name());
    }
}

/// Faults of earlier runs that could not be healed, told once more by the first command after them.
#[expect(clippy::print_stderr, reason = "a notice, as below")]
fn tell_unhealed(common: &Common) -> Result<(), Failure> {
    for (directory, mut record) in state_folder(common)?.all() {
        if record.unhealed.is_empty() || record.unhealed_told || directory.owner().is_some() {
            continue;
        }
        let network = if record.kept {
            format!(
                "its network still stands; `canarynet clean {}` removes it",
                record.name
            )
        } else {
            "its network is gone".to_owned()
        };
        for fault in &record.unhealed {
            let fault = crate::journal::text::clean(fault, 400);
            eprintln!("{}: fault not healed: {fault} ({network})", record.name);
        }
        record.unhealed_told = true;
        directory
            .write_record(&record)
            .map_err(|error| Failure::infra("cannot write run.json").because(&error))?;
    }
    Ok(())
}

/// One line on standard error, for every verb that talks to the engine.
#[expect(
    clippy::print_stderr,
    reason = "a notice beside the verb's own output, also under --json"
)]
pub(super) fn notice(names: &[String]) {
    if !names.is_empty() {
        eprintln!(
            "ownerless runs: {} (canarynet clean, or canarynet runs attach RUN)",
            names.join(", ")
        );
    }
}

/// The same of runs that are not this folder's.
#[expect(clippy::print_stderr, reason = "a notice, as above")]
fn notice_of_others(names: &[String]) {
    if !names.is_empty() {
        eprintln!(
            "ownerless runs of other folders: {} (canarynet clean --all)",
            names.join(", ")
        );
    }
}
