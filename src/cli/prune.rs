//! `runs prune`: what is old goes, by tiers, and a budget is kept; after a run too, where the folder of runs says so.

use std::{io::Write as _, process::ExitCode};

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
        prune::{self, Removal, Retention, Tier},
        retention::{self, Typed},
    },
};

/// What the folder of runs says of its retention.
///
/// # Errors
/// Its file is bad input.
fn typed(common: &Common) -> Result<Typed, Failure> {
    retention::of(&state_folder(common)?).map_err(|error| {
        Failure::usage("the retention of this folder cannot be used").because(&error)
    })
}

pub(super) fn prune(common: &Common, verb: &PruneArguments) -> Result<ExitCode, Failure> {
    let kept = typed(common)?.retention();
    let retention = Retention {
        logs: verb.logs.unwrap_or(kept.logs),
        rungs: verb.rungs.unwrap_or(kept.rungs),
        journals: verb.journals.unwrap_or(kept.journals),
        forget: verb.forget.or(kept.forget),
        budget: verb.budget.map(|size| size.0).or(kept.budget),
    };
    let done = prune::prune(&state_folder(common)?, &retention, verb.dry_run);
    for removal in &done.removals {
        if common.json {
            print_json(removal)?;
        } else {
            print_line(&line(removal))?;
        }
    }
    if !common.json {
        let of = |tier| {
            done.removals
                .iter()
                .filter(|gone| gone.tier == tier)
                .count()
        };
        print_line(&format!(
            "{} {} of {} runs, {} folders of repetitions and {} rungs",
            if verb.dry_run { "would free" } else { "freed" },
            human_size(done.freed()),
            done.runs,
            of(Tier::Tries),
            of(Tier::Rung),
        ))?;
    }
    for problem in &done.problems {
        print_line(&format!("not removed: {}", plain(problem, 300)))?;
    }
    Ok(if done.problems.is_empty() {
        Exit::Pass
    } else {
        Exit::Infra
    }
    .into())
}

fn line(removal: &Removal) -> String {
    let what = match removal.tier {
        Tier::Logs => "logs and evidence",
        Tier::Journal => "journal",
        Tier::Record => "all the rest",
        Tier::Tries => "repetitions",
        Tier::Rung => "rung",
    };
    format!(
        "{:>10}  {}  {what} ({})",
        human_size(removal.bytes),
        plain(&removal.run, 60),
        removal.because
    )
}

/// Whether what is due goes after each run; a file that says something wrong is told before the run.
///
/// # Errors
/// Its file is bad input.
pub(super) fn after_each_run(common: &Common) -> Result<bool, Failure> {
    Ok(typed(common)?.after_each_run)
}

/// Removes what is due after a run. Whatever goes wrong here is told and changes nothing of what the run came to.
pub(super) fn after_run(common: &Common) {
    let tell = |text: String| {
        let _ = std::io::stderr().write_all(text.as_bytes());
    };
    let (state, typed) = match (state_folder(common), typed(common)) {
        (Ok(state), Ok(typed)) => (state, typed),
        (Err(failure), _) | (_, Err(failure)) => return tell(failure.render()),
    };
    let done = prune::prune(&state, &typed.retention(), false);
    if !done.removals.is_empty() {
        tell(format!(
            "pruned: {} freed, by {} of the folder of runs\n",
            human_size(done.freed()),
            retention::FILE
        ));
    }
    for problem in &done.problems {
        tell(format!("not removed: {}\n", plain(problem, 300)));
    }
}
