//! `soak`, `up`, `runs attach`: a run from its plan to its exit code.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;

use super::{
    Failure,
    arguments::{Common, PlanOptions, RunArgument, SoakArguments, UpArguments},
    clean, network, plan, print, print_json, print_line, runtime, state_folder,
};
use crate::{
    engine::Docker,
    plan::{Keep, Plan},
    run::{
        self, AttachRequest, Conclusion, RunError, SoakRequest,
        directory::{RunDirectory, RunRecord},
        live::LiveStatus,
    },
};

/// Longest wait for a detached run to have taken its directory over.
const DETACH_DEADLINE: Duration = Duration::from_secs(20);

pub(super) fn soak(common: &Common, verb: SoakArguments) -> Result<ExitCode, Failure> {
    let mut plan = plan::load(&verb.plan, &verb.options, verb.duration)?;
    if let Some(keep) = verb.keep {
        plan.keep = keep;
    }
    if verb.endless {
        plan.deadline = None;
    }
    if verb.detach {
        let mut arguments = background(common, &verb.plan, &verb.options);
        if let Some(duration) = verb.duration {
            arguments.push(format!("--for={}", humantime::format_duration(duration)).into());
        }
        if let Some(keep) = verb.keep.and_then(|keep| keep.to_possible_value()) {
            arguments.push(format!("--keep={}", keep.get_name()).into());
        }
        let (directory, record) = detach(common, &plan, arguments)?;
        if common.json {
            return print_json(&record);
        }
        print_line(&record.name)?;
        print_line(&format!(
            "  canarynet status {}   in {}",
            record.name,
            directory.path().display()
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    if verb.detached_as.is_some() {
        // A session of its own: the terminal's signals are not for a run in the background.
        let _ = rustix::process::setsid();
    }
    runtime()?.block_on(async {
        let docker = network::connect(common, None).await?;
        if let Some(orphan) = clean::orphans(common, &docker).await? {
            return finish(common, take_over(common, docker, orphan.known).await);
        }
        let directory = match &verb.detached_as {
            Some(path) => Some(taken(path)?),
            None => None,
        };
        let request = SoakRequest {
            plan,
            docker,
            engine: common.engine.clone(),
            state: state_folder(common)?,
            directory,
            linux_binary: verb.options.linux_binary.clone(),
            json: common.json,
            endless: verb.endless,
        };
        finish(common, run::soak(request).await)
    })
}

/// Prints what a run came to, once.
fn finish(common: &Common, outcome: Result<Conclusion, RunError>) -> Result<ExitCode, Failure> {
    let conclusion =
        outcome.map_err(|error| Failure::infra("the run could not be done").because(&error))?;
    if common.json {
        print_json(&conclusion.verdict)?;
    } else {
        print(conclusion.summary.as_bytes())?;
    }
    Ok(conclusion.exit.into())
}

pub(super) fn attach(common: &Common, text: &str) -> Result<ExitCode, Failure> {
    let known = state_folder(common)?
        .find(text)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    runtime()?.block_on(async {
        let docker = network::connect(common, Some(&known.1)).await?;
        finish(common, take_over(common, docker, Some(known)).await)
    })
}

async fn take_over(
    common: &Common,
    docker: Docker,
    known: Option<(RunDirectory, RunRecord)>,
) -> Result<Conclusion, RunError> {
    let Some((directory, record)) = known else {
        return Err(RunError::Attach {
            run: "the run".to_owned(),
            why: "its directory is not readable from here".to_owned(),
        });
    };
    run::attach(AttachRequest {
        docker,
        directory,
        record,
        json: common.json,
    })
    .await
}

/// The directory that a detaching parent made for this process.
fn taken(path: &str) -> Result<(RunDirectory, RunRecord), Failure> {
    let directory = RunDirectory::at(PathBuf::from(path));
    let record = directory
        .record()
        .map_err(|error| Failure::usage("not a run directory").because(&error))?;
    Ok((directory, record))
}

/// Starts a soak in the background, in a run directory that is made here so that its name is known.
fn detach(
    common: &Common,
    plan: &Plan,
    mut arguments: Vec<OsString>,
) -> Result<(RunDirectory, RunRecord), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::infra("cannot start the run in the background").because(error)
    };
    let (directory, lock, name, run) = state_folder(common)?
        .create(&plan.name)
        .map_err(|error| failed(&error))?;
    let record = RunRecord::starting(run, name, plan, common.engine.clone());
    directory
        .write_record(&record)
        .map_err(|error| failed(&error))?;
    drop(lock);
    let output = std::fs::File::create(directory.path().join("output.txt"))?;
    arguments.extend(["--detached-as".into(), directory.path().into()]);
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    wait_until_owned(command, &directory)?;
    Ok((directory, record))
}

/// The command line of the process in the background.
fn background(common: &Common, plan: &str, options: &PlanOptions) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["soak".into(), plan.into()];
    let mut add = |flag: &str, value: Option<OsString>| {
        if let Some(value) = value {
            // One word, so that a value that begins with a dash stays a value.
            let mut word = OsString::from(format!("{flag}="));
            word.push(value);
            line.push(word);
        }
    };
    add("--engine", common.engine.clone().map(Into::into));
    add("--state", common.state.clone().map(Into::into));
    add(
        "--on-orphan",
        common
            .on_orphan
            .and_then(|action| action.to_possible_value())
            .map(|value| value.get_name().into()),
    );
    add("--profile", options.profile.clone().map(Into::into));
    add("--binary", options.binary.clone().map(Into::into));
    add("--image", options.image.clone().map(Into::into));
    add("--seed", options.seed.clone().map(Into::into));
    add(
        "--linux-binary",
        options.linux_binary.clone().map(Into::into),
    );
    for set in &options.set {
        add("--set", Some(set.into()));
    }
    if options.allow_helper {
        line.push("--allow-helper".into());
    }
    line
}

/// Waits until the child owns the directory, or tells why it ended.
fn wait_until_owned(mut command: Command, directory: &RunDirectory) -> Result<(), Failure> {
    let mut child = command.process_group(0).spawn()?;
    let deadline = Instant::now() + DETACH_DEADLINE;
    while directory.owner().is_none() {
        let ended = child.try_wait()?.is_some();
        if ended && directory.owner().is_none() || Instant::now() >= deadline {
            let said =
                std::fs::read_to_string(directory.path().join("output.txt")).unwrap_or_default();
            return Err(Failure::infra(format!(
                "the run in the background did not start:\n{}",
                said.trim()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(super) fn up(common: &Common, verb: UpArguments) -> Result<ExitCode, Failure> {
    // Checked here, so that a bad plan is told at once and not in a file.
    let mut plan = plan::load(&verb.plan, &verb.options, None)?;
    plan.keep = Keep::Never;
    let mut arguments = background(common, &verb.plan, &verb.options);
    arguments.extend(["--endless".into(), "--keep=never".into()]);
    let (directory, record) = detach(common, &plan, arguments)?;
    let deadline = Instant::now() + plan.start_deadline + Duration::from_secs(60);
    loop {
        let live = LiveStatus::read(&directory);
        let shards = usize::try_from(plan.network.shards).unwrap_or(usize::MAX);
        let up = live.as_ref().is_some_and(|live| {
            live.shards.len() >= shards
                && live.shards.iter().all(|shard| shard.first_block.is_some())
        });
        if up {
            print_line(&format!(
                "{} is up; `canarynet down {}` ends it",
                record.name, record.name
            ))?;
            return super::runs::status(common, &RunArgument { run: record.name });
        }
        if directory.owner().is_none() || Instant::now() >= deadline {
            let said =
                std::fs::read_to_string(directory.path().join("output.txt")).unwrap_or_default();
            return Err(Failure::infra(format!(
                "{} did not come up:\n{}",
                record.name,
                said.trim()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
