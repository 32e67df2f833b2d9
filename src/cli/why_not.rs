//! `judge RUN --why-not FINDING --at TIME`: why a detector stayed quiet, from the journal up to that moment.

use std::{process::ExitCode, time::Duration};

use super::{
    Failure,
    arguments::{Common, JudgeArguments},
    judge::{locate, opening},
    print, print_json,
};
use crate::{
    detect::{DETECTORS, Judge},
    ids::ShardId,
    journal::Reader,
    plan::{check, error::did_you_mean},
    report,
    time::{Elapsed, WallTime},
};

pub(super) fn why_not(
    common: &Common,
    verb: &JudgeArguments,
    kind: &str,
    at: &str,
) -> Result<ExitCode, Failure> {
    if !DETECTORS.iter().any(|info| info.id == kind) {
        let hint = did_you_mean(kind, DETECTORS.iter().map(|info| info.id));
        return Err(Failure::usage(format!(
            "no finding is called {kind:?}{hint}; `canarynet explain` names all"
        )));
    }
    let directory = locate(common, &verb.run)?;
    let unreadable = |error: &dyn std::error::Error| {
        Failure::infra(format!(
            "cannot read the journal in {}",
            directory.display()
        ))
        .because(error)
    };
    let mut reader =
        Reader::open(&directory.join("journal")).map_err(|error| unreadable(&error))?;
    let first = reader
        .next()
        .ok_or_else(|| Failure::infra("the journal is empty"))?
        .map_err(|error| unreadable(&error))?;
    let (_, plan) = opening(&first.event)
        .ok_or_else(|| Failure::infra("the journal does not begin with its plan"))?;
    let plan = plan.map_err(|error| unreadable(&error))?;
    let mut judge = Judge::new(&plan);
    judge.step(&first);
    let moment = moment(at, judge.world().started).ok_or_else(|| {
        Failure::usage(format!(
            "{at:?} is no time: write the time since the run's start (4m12s) or of the day in UTC (02:58:51)"
        ))
    })?;
    for entry in reader {
        let entry = entry.map_err(|error| unreadable(&error))?;
        if entry.elapsed > moment {
            break;
        }
        judge.step(&entry);
    }
    let report = check::check(&plan);
    let prefix = format!("{kind}.");
    let windows: Vec<(&str, Duration)> = report
        .windows
        .iter()
        .filter(|window| window.key == kind || window.key.starts_with(&prefix))
        .map(|window| (window.key, window.wall))
        .collect();
    let shard = verb.shard.map(ShardId);
    let lines = report::why_not::why_not(judge.world(), judge.findings(), kind, shard, &windows);
    if common.json {
        return print_json(&lines);
    }
    print((lines.join("\n") + "\n").as_bytes())
}

/// A moment of a run: a duration since its start, or a time of the day, the first after the start.
fn moment(text: &str, started: WallTime) -> Option<Elapsed> {
    const DAY_MILLIS: u64 = 24 * 3600 * 1000;
    if let Ok(since) = humantime::parse_duration(text) {
        return Some(Elapsed(u64::try_from(since.as_micros()).ok()?));
    }
    let day = started.to_string().get(..10)?.to_owned();
    let moment = humantime::parse_rfc3339(&format!("{day}T{text}Z")).ok()?;
    let millis = moment
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())?;
    // Earlier in the day than the start: it means the day after.
    let millis = if millis < started.0 {
        millis + DAY_MILLIS
    } else {
        millis
    };
    Some(Elapsed((millis - started.0).saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_or_times_of_the_day() {
        let started = WallTime(1_795_715_334_000); // 2026-11-26T17:48:54Z
        assert_eq!(moment("90s", started), Some(Elapsed(90_000_000)));
        assert_eq!(moment("17:49:54", started), Some(Elapsed(60_000_000)));
        assert_eq!(
            moment("17:48:53", started),
            Some(Elapsed((86_400 - 1) * 1_000_000))
        );
        for bad in ["", "soon", "25:00:00", "17:49"] {
            assert_eq!(moment(bad, started), None, "{bad}");
        }
    }
}
