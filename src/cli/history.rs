//! `history`, `baseline` and `compare`: what many runs say together, from their summaries alone.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{BaselineArguments, BaselineVerb, Common, CompareArguments, HistoryArguments},
    print, print_json, state_folder,
};
use crate::{
    compare,
    exit::Exit,
    plan::{Side, Tolerance},
    report::{Look, history, summary::Summary, text::plain},
    run::{
        baseline::{self, BaselineError},
        directory::StateFolder,
    },
    verdict::Outcome,
};

/// A list of lines on standard output.
fn print_lines(lines: &[String]) -> Result<ExitCode, Failure> {
    print((lines.join("\n") + "\n").as_bytes())
}

fn failed(error: &BaselineError) -> Failure {
    match error {
        BaselineError::Io { .. } => Failure::infra("cannot work with baselines").because(error),
        _ => Failure::usage(error.to_string()),
    }
}

pub(super) fn history(common: &Common, verb: &HistoryArguments) -> Result<ExitCode, Failure> {
    let state = state_folder(common)?;
    let runs: Vec<Summary> = state
        .all()
        .iter()
        .filter(|(_, record)| verb.plan.as_ref().is_none_or(|plan| record.plan == *plan))
        // A run that still goes on, or of an older version, has none.
        .filter_map(|(directory, _)| baseline::summary_of(directory).ok())
        .collect();
    let mut rows = history::history(&runs);
    if let Some(text) = &verb.finding {
        rows.retain(|row| row.fingerprint.contains(text.as_str()));
    }
    if common.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print_lines(&[format!("no finding in {} runs", runs.len())]);
    }
    print_lines(&history::history_lines(
        &rows,
        Look::of(&console::Term::stdout()),
    ))
}

pub(super) fn baseline(common: &Common, verb: &BaselineArguments) -> Result<ExitCode, Failure> {
    let state = state_folder(common)?;
    match &verb.verb {
        Some(BaselineVerb::Save { name, runs }) => {
            let mut summaries = Vec::new();
            for text in runs {
                summaries.push(run_summary(&state, text)?);
            }
            let saved = baseline::save(&state, name, summaries).map_err(|error| failed(&error))?;
            if common.json {
                return print_json(&saved);
            }
            print_lines(&[format!(
                "saved {} with {} runs",
                saved.name,
                saved.runs.len()
            )])
        }
        Some(BaselineVerb::Show { name }) => {
            print_json(&baseline::load(&state, name).map_err(|error| failed(&error))?)
        }
        None => {
            let all = baseline::all(&state);
            if common.json {
                return print_json(&all);
            }
            let lines: Vec<String> = all
                .iter()
                .map(|one| {
                    let program = one.runs.first().map_or("", |run| run.program.as_str());
                    format!(
                        "{}  {} runs  {}  saved {}",
                        one.name,
                        one.runs.len(),
                        plain(program, 60),
                        one.saved
                    )
                })
                .collect();
            print_lines(&lines)
        }
    }
}

pub(super) fn compare(common: &Common, verb: &CompareArguments) -> Result<ExitCode, Failure> {
    let state = state_folder(common)?;
    let tolerances = tolerances(&verb.allow)?;
    let now = sides(&state, &verb.run)?;
    let theirs = sides(&state, &verb.baseline)?;
    let rows = compare::compare(&now, &theirs, &tolerances);
    let worst = rows.iter().map(|row| row.outcome).max();
    if common.json {
        print_json(&rows)?;
    } else {
        print_lines(&history::comparison_lines(
            &rows,
            Look::of(&console::Term::stdout()),
        ))?;
    }
    Ok(match worst {
        Some(Outcome::Fail) => Exit::Fail,
        Some(Outcome::Inconclusive) => Exit::Inconclusive,
        _ => Exit::Pass,
    }
    .into())
}

fn run_summary(state: &StateFolder, text: &str) -> Result<Summary, Failure> {
    let (directory, _) = state
        .find(text)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    baseline::summary_of(&directory).map_err(|error| failed(&error))
}

/// What is compared: runs and baselines, with commas between them; a baseline's name goes before a run's.
fn sides(state: &StateFolder, text: &str) -> Result<Vec<Side>, Failure> {
    let mut sides = Vec::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let summaries = match baseline::load(state, name) {
            Ok(baseline) => baseline.runs,
            Err(BaselineError::NotFound(_) | BaselineError::Name(_)) => {
                vec![run_summary(state, name)?]
            }
            Err(error) => return Err(failed(&error)),
        };
        sides.extend(summaries.iter().map(Summary::side));
    }
    Ok(sides)
}

/// Reads `METRIC=+5 %`.
fn tolerances(texts: &[String]) -> Result<Vec<Tolerance>, Failure> {
    texts
        .iter()
        .map(|text| {
            let (metric, change) = text.split_once('=').unwrap_or((text.as_str(), ""));
            Tolerance::parse(metric.trim(), change)
                .map_err(|message| Failure::usage(format!("--allow {text}: {message}")))
        })
        .collect()
}
