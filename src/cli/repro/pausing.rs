//! `repro --pause-at`: one repetition that stands still at a height, for a person to look at.

use std::{path::Path, process::ExitCode, time::Duration};

use super::super::{
    Failure,
    arguments::{Common, ReproArguments},
    print_json, print_line,
};
use super::{Build, Sought, try_failed};
use crate::{
    exit::Exit,
    ids::ShardId,
    repro::{
        comparison::Try,
        tries::{Bench, TryError},
    },
    run::{
        directory::StateFolder,
        pause::{PauseAt, Paused},
    },
};

/// How often it is asked whether the run stands still.
const LOOK: Duration = Duration::from_millis(200);

/// What the child is told.
pub(super) fn option(shard: ShardId, height: u64) -> Result<std::ffi::OsString, Failure> {
    let at = serde_json::to_string(&PauseAt { shard, height })
        .map_err(|error| Failure::infra("cannot write JSON").because(&error))?;
    Ok(format!("--pause-at={at}").into())
}

/// One try, which stands still at the height; until somebody lets it go on, or ends it.
pub(super) async fn pause(
    common: &Common,
    verb: &ReproArguments,
    bench: &mut Bench,
    sought: &Sought,
    mut build: Build,
) -> Result<ExitCode, Failure> {
    // However long a person looks.
    build.plan.deadline = None;
    let folder = bench.folder().join("1");
    let mut stood_still = false;
    let attempt = bench.attempt(&build.plan, sought);
    tokio::pin!(attempt);
    let outcome = loop {
        tokio::select! {
            outcome = &mut attempt => break outcome,
            () = tokio::time::sleep(LOOK), if !stood_still => {
                stood_still = tell(common, &folder)?;
            }
        }
    };
    let one = match outcome {
        // That is how it is ended.
        Err(TryError::Interrupted(_)) if stood_still => return Ok(Exit::Pass.into()),
        outcome => outcome.map_err(|error| try_failed(&error))?,
    };
    if common.json {
        print_json(&serde_json::json!({ "stood_still": stood_still, "outcome": one }))?;
    } else {
        let height = verb.pause_at.unwrap_or_default();
        let said = match (&one, stood_still) {
            (Try::Shown { .. }, true) => "it went on, and the finding came".to_owned(),
            (Try::Shown { .. }, false) => {
                format!("the finding came before height {height}: nothing stands still")
            }
            (Try::Clean { .. }, true) => "ended without the finding".to_owned(),
            (Try::Clean { .. }, false) => {
                format!("height {height} was never reached: nothing stood still")
            }
            (Try::Void { why }, _) => format!("does not count: {why}"),
        };
        print_line(&crate::report::text::plain(&said, 400))?;
    }
    Ok(match (&one, stood_still) {
        (Try::Void { .. }, false) => Exit::Infra,
        (_, true) => Exit::Pass,
        (_, false) => Exit::Inconclusive,
    }
    .into())
}

/// Says how to look, go on and clean, once the run stands still; whether it does.
fn tell(common: &Common, folder: &Path) -> Result<bool, Failure> {
    let run = StateFolder::open(Some(folder)).and_then(|state| state.find("latest"));
    let Some((paused, record)) = run
        .ok()
        .and_then(|(directory, record)| Some((Paused::read(&directory)?, record)))
    else {
        return Ok(false);
    };
    if common.json {
        print_json(&serde_json::json!({
            "paused": paused, "run": record.run, "name": record.name, "state": folder,
        }))?;
        return Ok(true);
    }
    let state = format!("canarynet --state {}", folder.display());
    let name = &record.name;
    let one = paused
        .containers
        .first()
        .map_or("CONTAINER", String::as_str);
    for line in [
        format!(
            "shard {} is at height {}: {} nodes are paused, and the run's clock with them",
            paused.shard,
            paused.height,
            paused.containers.len()
        ),
        format!("  nodes    {}", paused.containers.join(" ")),
        format!(
            "  look     {state} logs s{}-n00; docker top {one}; docker cp {one}:PATH .",
            paused.shard
        ),
        format!("  one      docker unpause {one}, and it goes on alone"),
        format!("  go on    {state} runs resume {name}"),
        format!("  clean    Ctrl-C here, or {state} stop {name}"),
    ] {
        print_line(&line)?;
    }
    Ok(true)
}
