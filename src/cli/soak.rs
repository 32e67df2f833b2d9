//! `soak`, `up`, `runs attach`: a run from its plan to its exit code.

use std::{
    ffi::OsString,
    io::Write as _,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;

use super::{
    Failure,
    arguments::{AttachArguments, Common, PlanOptions, RunArgument, SoakArguments, UpArguments},
    clean, gate, network, plan, print, print_json, print_line, retry, runtime, snapshot,
    state_folder, supervise,
};
use crate::{
    engine::{
        Docker,
        pack::{check_executable, find_program},
    },
    exit::Exit,
    plan::{Keep, Plan, Program, Recorded},
    repro::case::read_plan,
    run::{
        self, AttachRequest, Conclusion, RunError, SoakRequest,
        directory::{RunDirectory, RunRecord, RunState},
        live::LiveStatus,
        secrets::SecretError,
    },
    serve::{Metrics, Page},
};

/// Wait before a spoiled run is made again.
const BEFORE_AGAIN: Duration = Duration::from_secs(5);

/// Longest wait for a detached run to have taken its directory over.
const DETACH_DEADLINE: Duration = Duration::from_secs(20);

pub(super) fn soak(common: &Common, mut verb: SoakArguments) -> Result<ExitCode, Failure> {
    if verb.observer_ab {
        // As any other value of a plan, so that a run in the background has it too.
        verb.options.set.push("observer_ab=true".to_owned());
    }
    let (mut plan, layers) = match &verb.resolved {
        Some(path) => (resolved(path, &verb.options)?, None),
        None => {
            let sources = plan::sources(common, &verb.plan, &verb.options, verb.duration)?;
            (plan::resolved(&sources)?, Some(Recorded::of(&sources)))
        }
    };
    plan::locked(&plan, &verb.options)?;
    let sought = verb
        .sought
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| Failure::usage("--sought is no finding").because(&error))?;
    let pause_at = verb
        .pause_at
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| Failure::usage("--pause-at is no height of a shard").because(&error))?;
    if let Some(keep) = verb.keep {
        plan.keep = keep;
    }
    if verb.endless {
        plan.deadline = None;
    }
    let chosen = run::start::choose(&mut plan, &snapshot::folder(common)?, verb.from.as_deref())
        .map_err(|error| snapshot::unusable(&error))?;
    if let Some(line) = chosen
        && !common.json
    {
        print_line(&line)?;
    }
    if let Some(owners) = verb.supervise {
        let mut begin = background(common, &verb);
        if common.json {
            begin.push("--json".into());
        }
        return supervise::soak(common, &plan, owners, begin, watched(&verb));
    }
    if verb.detach {
        let (directory, record) = detach(common, &plan, background(common, &verb))?;
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
    let quiet = verb.detached_as.is_some();
    runtime()?.block_on(async {
        let docker = network::connect(common, None).await?;
        // Bad input, and told as such: from here on what goes wrong is the machine's.
        if let Program::Binary(path) = &plan.network.program {
            check_executable(&find_program(path), &docker.info().architecture).map_err(
                |error| Failure::usage("the node's program cannot be used").because(&error),
            )?;
        }
        if let Some(orphan) = clean::orphans(common, &docker).await? {
            let page = page(common, verb.serve, quiet)?;
            let taken = take_over(common, docker, orphan.known, (None, page)).await;
            return finish(common, taken, verb.artifacts.as_deref());
        }
        let directory = match &verb.detached_as {
            Some(path) => Some(taken(path)?),
            None => None,
        };
        let metrics = match verb.metrics {
            Some(address) => Some(serve(common, address).await?),
            None => None,
        };
        let page = page(common, verb.serve, quiet)?;
        let request = SoakRequest {
            metrics,
            page,
            plan,
            docker,
            engine: common.engine.clone(),
            state: state_folder(common)?,
            directory,
            linux_binary: verb.options.linux_binary.clone(),
            json: common.json,
            endless: verb.endless,
            layers,
            sought,
            pause_at,
        };
        let outcome = run::soak(request).await;
        let spoiled = match &outcome {
            Ok(conclusion) => conclusion.exit == Exit::Infra,
            Err(error) => matches!(error, RunError::Engine(_)),
        };
        match verb.on_infra.retries.checked_sub(1) {
            Some(left) if spoiled => Err(again(common, outcome, &verb, left).await),
            _ => finish(common, outcome, verb.artifacts.as_deref()),
        }
    })
}

/// Tells what a spoiled run came to, removes what is left of it, and becomes the next try.
async fn again(
    common: &Common,
    outcome: Result<Conclusion, RunError>,
    verb: &SoakArguments,
    left: u32,
) -> Failure {
    let directory = outcome.as_ref().ok();
    let directory = directory.map(|conclusion| conclusion.directory.clone());
    if let Err(failure) = finish(common, outcome, verb.artifacts.as_deref()) {
        let _ = std::io::stderr().write_all(failure.render().as_bytes());
    }
    if let Some(path) = directory {
        let directory = RunDirectory::at(path);
        let cleaned = match directory.record() {
            Ok(record) if !record.kept && record.state == RunState::Finished => {
                Ok(ExitCode::SUCCESS)
            }
            Ok(record) => clean::clean_one(common, &directory, &record).await,
            Err(error) => Err(Failure::infra("cannot read the run").because(&error)),
        };
        if let Err(failure) = cleaned {
            let _ = std::io::stderr().write_all(failure.render().as_bytes());
        }
    }
    let further = match left {
        0 => "for the last time".to_owned(),
        left => format!("and {left} times more at most"),
    };
    let line = format!("infra: the run is made again, {further}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    // An engine that is being restarted needs a moment.
    tokio::time::sleep(BEFORE_AGAIN).await;
    retry::become_again(left)
}

/// Begins to serve metrics; a port that was left to the system is told.
async fn serve(common: &Common, address: SocketAddr) -> Result<Metrics, Failure> {
    let metrics = Metrics::serve(address)
        .await
        .map_err(|error| Failure::usage("cannot serve metrics").because(&error))?;
    if address.port() == 0 && !common.json {
        print_line(&format!("metrics on http://{}/metrics", metrics.address()))?;
    }
    Ok(metrics)
}

/// Begins to serve the live page; its link holds a secret, so that only here it can be known.
fn page(
    common: &Common,
    address: Option<SocketAddr>,
    quiet: bool,
) -> Result<Option<Page>, Failure> {
    let Some(address) = address else {
        return Ok(None);
    };
    let page = Page::serve(address)
        .map_err(|error| Failure::usage("cannot serve the live page").because(&error))?;
    if quiet {
        // `status` tells it: what a run in the background prints is kept in a file that may travel.
    } else if common.json {
        print_json(&serde_json::json!({ "page": page.link() }))?;
    } else {
        print_line(&format!("live page on {}", page.link()))?;
    }
    Ok(Some(page))
}

/// A resolved plan, with the program that the options name.
fn resolved(path: &Path, options: &PlanOptions) -> Result<Plan, Failure> {
    let mut plan = read_plan(path)
        .map_err(|error| Failure::usage("the plan cannot be used").because(&error))?;
    match (&options.binary, &options.image) {
        (Some(binary), _) => plan.network.program = Program::Binary(binary.clone()),
        (None, Some(image)) => plan.network.program = Program::Image(image.clone()),
        (None, None) => {}
    }
    plan.allow_helper |= options.allow_helper;
    Ok(plan)
}

pub(super) fn secrets_failed(why: &SecretError) -> Failure {
    Failure::usage("the secrets of the nodes cannot be used").because(why)
}

/// Prints what a run came to, once.
fn finish(
    common: &Common,
    outcome: Result<Conclusion, RunError>,
    artifacts: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let conclusion = match outcome {
        Ok(conclusion) => conclusion,
        Err(error @ RunError::Interrupted(interrupt)) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return Ok(interrupt.exit().into());
        }
        Err(RunError::Secret(why)) => return Err(secrets_failed(&why)),
        Err(error) => return Err(Failure::infra("the run could not be done").because(&error)),
    };
    if common.json {
        print_json(&conclusion.verdict)?;
    } else {
        print(conclusion.summary.as_bytes())?;
    }
    gate::leave(&conclusion, artifacts, common.json)?;
    Ok(conclusion.exit.into())
}

pub(super) fn attach(common: &Common, verb: &AttachArguments) -> Result<ExitCode, Failure> {
    let known = state_folder(common)?
        .find(&verb.run)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    if verb.background {
        let _ = rustix::process::setsid();
    }
    runtime()?.block_on(async {
        let docker = network::connect(common, Some(&known.1)).await?;
        let page = page(common, verb.serve, verb.background)?;
        let metrics = match verb.metrics {
            Some(address) => Some(serve(common, address).await?),
            None => None,
        };
        let taken = take_over(common, docker, Some(known), (metrics, page)).await;
        finish(common, taken, verb.artifacts.as_deref())
    })
}

async fn take_over(
    common: &Common,
    docker: Docker,
    known: Option<(RunDirectory, RunRecord)>,
    (metrics, page): (Option<Metrics>, Option<Page>),
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
        metrics,
        page,
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

/// The command line of a soak in the background.
fn background(common: &Common, verb: &SoakArguments) -> Vec<OsString> {
    let mut line = beginning(common, &verb.plan, &verb.options);
    if let Some(duration) = verb.duration {
        line.push(format!("--for={}", humantime::format_duration(duration)).into());
    }
    if let Some(name) = &verb.from {
        line.push(format!("--from={name}").into());
    }
    if let Some(keep) = verb.keep.and_then(|keep| keep.to_possible_value()) {
        line.push(format!("--keep={}", keep.get_name()).into());
    }
    line.extend(watched(verb));
    line
}

/// Where a run is watched and what is kept of it: for whoever takes it over, too.
fn watched(verb: &SoakArguments) -> Vec<OsString> {
    let mut line: Vec<OsString> = Vec::new();
    if let Some(address) = verb.metrics {
        line.push(format!("--metrics={address}").into());
    }
    if let Some(address) = verb.serve {
        line.push(format!("--serve={address}").into());
    }
    if let Some(folder) = &verb.artifacts {
        let mut word = OsString::from("--artifacts=");
        word.push(folder);
        line.push(word);
    }
    line
}

/// The plan of a process in the background, and how it is to be run.
fn beginning(common: &Common, plan: &str, options: &PlanOptions) -> Vec<OsString> {
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
    if options.locked {
        line.push("--locked".into());
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
    let mut plan = plan::load(common, &verb.plan, &verb.options, None)?;
    plan.keep = Keep::Never;
    let mut arguments = beginning(common, &verb.plan, &verb.options);
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
