//! `runs prune`: what is old goes, by tiers, and a budget is kept.

use std::{collections::BTreeMap, process::ExitCode};

use super::{
    Failure,
    arguments::{Common, PruneArguments},
    print_json, print_line, state_folder,
};
use crate::{
    exit::Exit,
    plan::values::human_size,
    report::text::plain,
    run::{
        directory::RunDirectory,
        prune::{self, Held, Retention, Tier},
    },
    time::RunClock,
};

pub(super) fn prune(common: &Common, verb: &PruneArguments) -> Result<ExitCode, Failure> {
    let retention = Retention {
        logs: verb.logs,
        journals: verb.journals,
        forget: verb.forget,
        budget: verb.budget.map(|size| size.0),
    };
    let state = state_folder(common)?;
    let (directories, held): (Vec<RunDirectory>, Vec<Held>) =
        prune::held(&state).into_iter().unzip();
    let by_name: BTreeMap<&str, &RunDirectory> = held
        .iter()
        .map(|run| run.name.as_str())
        .zip(&directories)
        .collect();
    let mut problems = Vec::new();
    let mut freed = 0;
    let removals = prune::decide(&held, &retention, RunClock::wall());
    for removal in &removals {
        let Some(directory) = by_name.get(removal.run.as_str()) else {
            continue;
        };
        if !verb.dry_run
            && let Err((path, error)) = prune::remove(directory, removal.tier)
        {
            problems.push(format!("{}: {error}", path.display()));
            continue;
        }
        freed += removal.bytes;
        if common.json {
            print_json(removal)?;
            continue;
        }
        let what = match removal.tier {
            Tier::Logs => "logs and evidence",
            Tier::Journal => "journal",
            Tier::Record => "all the rest",
        };
        print_line(&format!(
            "{:>10}  {}  {what} ({})",
            human_size(removal.bytes),
            plain(&removal.run, 60),
            removal.because
        ))?;
    }
    let tries = prune::old_tries(&state, verb.logs);
    for path in &tries {
        if !verb.dry_run
            && let Err(error) = prune::remove_tries(path)
        {
            problems.push(format!("{}: {error}", path.display()));
        }
    }
    if !common.json {
        print_line(&format!(
            "{} {} of {} runs, and {} folders of repetitions",
            if verb.dry_run { "would free" } else { "freed" },
            human_size(freed),
            held.len(),
            tries.len()
        ))?;
    }
    for problem in &problems {
        print_line(&format!("not removed: {}", plain(problem, 300)))?;
    }
    Ok(if problems.is_empty() {
        Exit::Pass
    } else {
        Exit::Infra
    }
    .into())
}
