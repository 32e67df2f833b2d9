//! `judge` and `report`: the same conclusions again, from the journal alone.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    Failure,
    arguments::{Common, JudgeArguments, PlanOptions, ReportArguments, ReportFormat},
    plan, print, print_json, state_folder, why_not,
};
use crate::{
    detect::{Judge, Judgement},
    ids::RunId,
    journal::{Entry, Event, ReadAhead, Reader},
    plan::Plan,
    report::{Curves, Fact, Look, REPORTERS, ReportInput, html, terminal, timeline},
    run::{self, directory::RunDirectory},
    verdict,
};

pub(super) fn judge(common: &Common, verb: &JudgeArguments) -> Result<ExitCode, Failure> {
    if let (Some(kind), Some(at)) = (&verb.why_not, &verb.at) {
        return why_not::why_not(common, verb, kind, at);
    }
    let other = other_plan(common, verb)?;
    let input = judge_run(common, &verb.run, verb.without_faults, other.as_ref())?;
    if verb.write {
        let directory = RunDirectory::at(PathBuf::from(&input.run_directory));
        for reporter in REPORTERS {
            let failed = |error: &dyn std::error::Error| {
                Failure::infra("cannot write the report").because(error)
            };
            let text = (reporter.render)(&input).map_err(|error| failed(&error))?;
            directory
                .write(reporter.file, text.as_bytes())
                .map_err(|error| failed(&error))?;
        }
    }
    if common.json {
        print_json(&input.verdict)?;
    } else {
        print(terminal::render(&input, Look::of(&console::Term::stdout())).as_bytes())?;
    }
    Ok(input.verdict.exit().into())
}

pub(super) fn report(common: &Common, verb: &ReportArguments) -> Result<ExitCode, Failure> {
    let file = match verb.format {
        ReportFormat::Terminal if common.json => "verdict.json",
        ReportFormat::Terminal => {
            let input = judge_run(common, &verb.run, false, None)?;
            return print(terminal::render(&input, Look::of(&console::Term::stdout())).as_bytes());
        }
        ReportFormat::Html => {
            let input = judge_run(common, &verb.run, false, None)?;
            let page = html::render(&input)
                .map_err(|error| Failure::infra("cannot write the report").because(&error))?;
            return print(page.as_bytes());
        }
        ReportFormat::Markdown => "report.md",
        ReportFormat::Verdict => "verdict.json",
        ReportFormat::Findings => "findings.json",
        ReportFormat::Junit => "junit.xml",
    };
    let directory = locate(common, &verb.run)?;
    let path = directory.join(file);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::usage(format!(
            "{} has no {file}; `canarynet judge {} --write` makes it",
            directory.display(),
            verb.run
        ))
        .because(&error)
    })?;
    print(&bytes)
}

/// The run's directory: by what people type, or as a path (of the directory, or of the journal in it).
pub(super) fn locate(common: &Common, text: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(text);
    if path.join("journal").is_dir() {
        return Ok(path.to_owned());
    }
    if path.is_dir() && path.file_name().is_some_and(|name| name == "journal") {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        return Ok(parent.to_owned());
    }
    let (directory, _) = state_folder(common)?
        .find(text)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    Ok(directory.path().to_owned())
}

/// The plan under which a run is to be judged, if not its own.
fn other_plan(common: &Common, verb: &JudgeArguments) -> Result<Option<Plan>, Failure> {
    let Some(name) = &verb.plan else {
        return Ok(None);
    };
    let options = PlanOptions {
        profile: verb.profile.clone(),
        set: verb.set.clone(),
        ..PlanOptions::default()
    };
    // Whether it could be run here does not matter: nothing is started.
    let sources = plan::sources(common, name, &options, None)?;
    crate::plan::resolve::resolve(&sources)
        .map(Some)
        .map_err(|error| Failure::usage("the plan cannot be used").because(&error))
}

pub(super) fn judge_run(
    common: &Common,
    text: &str,
    hide_faults: bool,
    other: Option<&Plan>,
) -> Result<ReportInput, Failure> {
    let directory = locate(common, text)?;
    let unreadable = |error: &dyn std::error::Error| {
        Failure::infra(format!(
            "cannot read the journal in {}",
            directory.display()
        ))
        .because(error)
    };
    let mut reader =
        Reader::open(&directory.join("journal")).map_err(|error| unreadable(&error))?;
    let first = match reader.next() {
        Some(entry) => entry.map_err(|error| unreadable(&error))?,
        None => {
            return Err(Failure::infra(format!(
                "the journal in {} is empty",
                directory.display()
            )));
        }
    };
    let (run, plan) = opening(&first.event)
        .ok_or_else(|| Failure::infra("the journal does not begin with its plan"))?;
    let mut plan: Plan = plan.map_err(|error| {
        Failure::infra("the journal's plan is not one that this version understands")
            .because(&error)
    })?;
    let mut facts = vec![Fact::new(
        "judged by",
        format!("canarynet {}", env!("CARGO_PKG_VERSION")),
    )];
    if let Some(other) = other {
        plan = plan.under(other).map_err(|misfit| {
            let name = &other.name;
            Failure::usage(format!("the run cannot be judged under {name}: {misfit}"))
        })?;
        facts.push(Fact::new("judged under", other.name.clone()));
    }
    if hide_faults {
        (plan.schedule, plan.drill) = (Vec::new(), None);
    }
    let hidden =
        |event: &Event| hide_faults && matches!(event, Event::Fault { .. } | Event::Drill { .. });
    let mut judge = Judge::new(&plan);
    let mut curves = Curves::default();
    judge.step(&first);
    let ahead = ReadAhead::start(reader).map_err(|error| unreadable(&error))?;
    for entry in ahead {
        let entry = entry.map_err(|error| unreadable(&error))?;
        if !hidden(&entry.event) {
            let changes = judge.step(&entry);
            curves.step(&entry, judge.world(), &changes);
        }
    }
    let judgement = judge.finish();
    let verdict = verdict::decide(&plan, &judgement);
    Ok(ReportInput {
        run,
        run_directory: directory.display().to_string(),
        entries: cited(&directory, &judgement),
        exit_code: verdict.exit() as u8,
        program: run::program(&plan),
        facts,
        detectors: run::detector_ids(),
        reproduce: run::reproduce(&plan),
        kept: None,
        curves,
        plan,
        judgement,
        verdict,
    })
}

/// The entries that findings rest on, by a second reading: a journal may be longer than memory.
fn cited(directory: &Path, judgement: &Judgement) -> Vec<Entry> {
    let mut wanted = timeline::wanted(judgement);
    let mut entries = Vec::new();
    if wanted.is_empty() {
        return entries;
    }
    for entry in Reader::open(&directory.join("journal"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if wanted.remove(&entry.seq) {
            entries.push(entry);
        }
        if wanted.is_empty() {
            break;
        }
    }
    entries
}

pub(super) fn opening(event: &Event) -> Option<(RunId, Result<Plan, serde_json::Error>)> {
    match event {
        Event::RunStarted { run, plan, .. } => {
            Some((run.clone(), serde_json::from_value(plan.clone())))
        }
        _ => None,
    }
}
