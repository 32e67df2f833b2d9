//! `runs`, `status`, `wait`, `stop` and `down`: runs as their directories tell of them.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Failure,
    arguments::{Common, RunArgument, RunsArguments, RunsVerb, WaitArguments},
    print, print_json, print_line, runtime, soak, state_folder, supervise,
};
use crate::{
    exit::Exit,
    report::{
        Look,
        listing::{self, RunRow},
        status, tally_words,
    },
    run::{
        directory::{RunDirectory, RunRecord, RunState},
        live::{LiveStatus, STOP_REQUEST},
        live_page,
        ownership::engine_runs,
        pause::{self, Paused},
        supervision::is_supervised,
    },
};

/// How often a directory is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Longest wait of `stop` for the verdict, the drain and the teardown.
const STOP_DEADLINE: Duration = Duration::from_secs(180);

/// A run for `runs show` and JSON.
#[derive(Debug, Serialize)]
struct RunLine {
    #[serde(flatten)]
    record: RunRecord,
    owner: Option<u32>,
    directory: String,
}

impl RunLine {
    fn of(directory: &RunDirectory, record: RunRecord) -> Self {
        Self {
            owner: directory.owner(),
            directory: directory.path().display().to_string(),
            record,
        }
    }

    /// The state in a word: what the record says, unless the owner is gone before the end.
    fn state(&self) -> &'static str {
        match (self.record.state, self.owner) {
            (RunState::Finished, _) if self.record.kept => "kept",
            (RunState::Finished, _) => "finished",
            (_, None) => "ownerless",
            (RunState::Starting, _) => "starting",
            (RunState::Running, _) => "running",
            (RunState::TearingDown, _) => "ending",
        }
    }

    /// For the table of runs.
    fn row(&self, live: Option<&LiveStatus>) -> RunRow {
        let state = match (self.record.state, self.owner) {
            (RunState::Finished, _) => listing::RunState::Ended,
            (_, Some(_)) => listing::RunState::Running,
            (_, None) => listing::RunState::Ownerless,
        };
        RunRow {
            run: self.record.run.clone(),
            plan: self.record.name.clone(),
            state,
            outcome: self.record.verdict.clone(),
            started: Some(self.record.created),
            duration: live
                .map(|live| live.elapsed.as_duration())
                .unwrap_or_default(),
            mainnet: live
                .map(|live| live.acceleration.mainnet)
                .unwrap_or_default(),
            findings: live.map_or_else(|| "-".to_owned(), |live| tally_words(live.findings)),
            objects: 0,
            directory: Some(self.directory.clone()),
        }
    }
}

fn find(common: &Common, text: &str) -> Result<(RunDirectory, RunRecord), Failure> {
    state_folder(common)?
        .find(text)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))
}

pub(super) fn runs(common: &Common, verb: RunsArguments) -> Result<ExitCode, Failure> {
    match verb.verb.unwrap_or(RunsVerb::List) {
        RunsVerb::List => list(common),
        RunsVerb::Show(run) => show(common, &run),
        RunsVerb::Attach(run) => soak::attach(common, &run),
        RunsVerb::Adopt(verb) => supervise::adopt(common, &verb),
        RunsVerb::Resume(run) => resume(common, &run),
        RunsVerb::Prune(verb) => super::prune::prune(common, &verb),
    }
}

/// Lets a run go on that stands still.
fn resume(common: &Common, verb: &RunArgument) -> Result<ExitCode, Failure> {
    let (directory, record) = find(common, &verb.run)?;
    if directory.owner().is_none() || Paused::read(&directory).is_none() {
        return Err(Failure::usage(format!(
            "{} does not stand still: only a run of `repro --pause-at` does",
            record.name
        )));
    }
    pause::ask_to_resume(&directory)
        .map_err(|error| Failure::infra("cannot ask the run to go on").because(&error))?;
    print_line(&format!("{} goes on", record.name))?;
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common) -> Result<ExitCode, Failure> {
    let runs = state_folder(common)?.all();
    let mut rows = Vec::new();
    for (directory, record) in runs {
        let line = RunLine::of(&directory, record);
        if common.json {
            print_json(&line)?;
        }
        rows.push(line.row(LiveStatus::read(&directory).as_ref()));
    }
    if common.json {
        return Ok(ExitCode::SUCCESS);
    }
    count_objects(common, &mut rows)?;
    print(listing::runs(&rows, Look::of(&console::Term::stdout())).as_bytes())
}

/// What each run still has in the engine; without an engine the list is printed all the same.
fn count_objects(common: &Common, rows: &mut [RunRow]) -> Result<(), Failure> {
    let held = runtime()?.block_on(async {
        let docker = super::network::connect(common, None).await.ok()?;
        engine_runs(&docker).await.ok()
    });
    for run in held.unwrap_or_default() {
        if let Some(row) = rows.iter_mut().find(|row| row.run == run.found.run) {
            row.objects = (run.found.containers + run.found.networks + run.found.volumes) as u64;
        }
    }
    Ok(())
}

fn show(common: &Common, verb: &RunArgument) -> Result<ExitCode, Failure> {
    let (directory, record) = find(common, &verb.run)?;
    let line = RunLine::of(&directory, record);
    if common.json {
        return print_json(&line);
    }
    let record = &line.record;
    let mut text = format!(
        "run        {} ({})\nplan       {} on profile {}\ncreated    {}\nstate      {}{}\nverdict    {}\ndirectory  {}\n",
        record.name,
        record.run,
        record.plan,
        record.profile,
        record.created,
        line.state(),
        line.owner
            .map(|pid| format!(", owned by process {pid}"))
            .unwrap_or_default(),
        record.verdict.as_deref().unwrap_or("-"),
        line.directory,
    );
    for fault in &record.unhealed {
        text.push_str(&format!(
            "not healed {}\n",
            crate::journal::text::clean(fault, 400)
        ));
    }
    for name in [
        "report.md",
        "verdict.json",
        "findings.json",
        "junit.xml",
        "plan.json",
    ] {
        if directory.path().join(name).is_file() {
            text.push_str(&format!("           {name}\n"));
        }
    }
    print(text.as_bytes())
}

pub(super) fn status(common: &Common, verb: &RunArgument) -> Result<ExitCode, Failure> {
    let (directory, record) = find(common, &verb.run)?;
    let line = RunLine::of(&directory, record);
    let live = LiveStatus::read(&directory);
    if common.json {
        return print_json(&serde_json::json!({ "run": line, "status": live }));
    }
    print_line(&format!(
        "{}  {}  {}",
        line.record.name,
        line.state(),
        line.record.verdict.as_deref().unwrap_or("no verdict yet")
    ))?;
    if let Some(link) = live_page::address(&directory).filter(|_| line.owner.is_some()) {
        print_line(&format!("page  {link}"))?;
    }
    match live {
        Some(live) => {
            let plan = std::fs::read(directory.path().join("plan.json"))?;
            let plan = serde_json::from_slice(&plan)
                .map_err(|error| Failure::infra("plan.json is damaged").because(&error))?;
            print(
                status::render(&live.live(), &plan, Look::of(&console::Term::stdout())).as_bytes(),
            )
        }
        None => print(b"nothing was observed yet\n"),
    }
}

pub(super) fn wait(common: &Common, verb: &WaitArguments) -> Result<ExitCode, Failure> {
    let (directory, _) = find(common, &verb.run)?;
    let deadline = verb.timeout.map(|timeout| Instant::now() + timeout);
    while directory.owner().is_some() || is_supervised(&directory) {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failure::infra(format!(
                "{} has not ended in time",
                verb.run
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    ended(common, &directory)
}

/// What a run whose owner is gone came to.
fn ended(common: &Common, directory: &RunDirectory) -> Result<ExitCode, Failure> {
    let record = directory
        .record()
        .map_err(|error| Failure::infra("cannot read the run").because(&error))?;
    let Some(exit) = record.exit else {
        return Err(Failure::infra(format!(
            "the owner of {} ended without a verdict; `canarynet runs attach {}` goes on, `canarynet clean {}` removes it",
            record.name, record.name, record.name
        )));
    };
    if common.json {
        print_json(&record)?;
    } else {
        print_line(&format!(
            "{}  {}",
            record.name,
            record.verdict.as_deref().unwrap_or("-")
        ))?;
    }
    Ok(ExitCode::from(exit))
}

pub(super) fn stop(common: &Common, verb: &RunArgument) -> Result<ExitCode, Failure> {
    let (directory, record) = find(common, &verb.run)?;
    if directory.owner().is_none() {
        if record.state == RunState::Finished && !record.kept {
            print_line(&format!("{} is over already", record.name))?;
            return Ok(ExitCode::SUCCESS);
        }
        // Nobody is there to be asked: what is left is removed at once.
        let runtime = runtime()?;
        let code = runtime.block_on(super::clean::clean_one(common, &directory, &record))?;
        return Ok(code);
    }
    directory
        .write(STOP_REQUEST, b"stop\n")
        .map_err(|error| Failure::infra("cannot ask the run to stop").because(&error))?;
    let deadline = Instant::now() + STOP_DEADLINE;
    while directory.owner().is_some() {
        if Instant::now() >= deadline {
            return Err(Failure::infra(format!(
                "{} has not ended within {} s",
                record.name,
                STOP_DEADLINE.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    ended(common, &directory)?;
    // The verb did what it was asked, whatever the run came to.
    Ok(Exit::Pass.into())
}
