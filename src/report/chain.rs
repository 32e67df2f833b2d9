//! How old the chain is, where it came from, and what stood still for its snapshots.

use std::time::Duration;

use super::{
    ReportInput,
    text::{count, plain, plural},
};
use crate::{snapshot::manifest::age, time::human};

/// Wall and mainnet time of the soak, or how far the run came.
pub(super) fn time_words(input: &ReportInput) -> String {
    let coverage = &input.judgement.coverage;
    if coverage.soak.is_zero() {
        let age = human(input.judgement.last.as_duration());
        return format!("ended after {age}, before the soak");
    }
    let mainnet = human(input.judgement.acceleration.mainnet);
    format!("{} = {mainnet} of mainnet", human(coverage.soak))
}

/// One line on the chain's age and its snapshots; nothing for a run from genesis without any.
pub(super) fn words(input: &ReportInput) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(begun) = input.plan.begun() {
        let shards = input.judgement.shards.iter();
        let shards = shards.filter_map(|view| Some((view.shard, view.first_height?, view.height?)));
        let height = begun.heights.iter().map(|shard| shard.height.0).max();
        parts.push(format!(
            "this chain is {} mainnet time old; it began from snapshot {} at height {}, {} old",
            human(age(&input.plan, shards).0),
            plain(&begun.name, 80),
            count(height.unwrap_or(0)),
            human(begun.age.0)
        ));
    }
    let pauses = input.judgement.standstills.iter();
    let pauses: Vec<Duration> = pauses.filter_map(|pause| pause.length()).collect();
    if let Some(longest) = pauses.iter().max() {
        let all = human(pauses.iter().sum());
        let how = match pauses.len() {
            1 => format!("stood still for {all}"),
            _ => format!("stood still for {all} in all, at most {}", human(*longest)),
        };
        parts.push(format!(
            "{}: the network {how}, excused",
            plural(pauses.len() as u64, "snapshot")
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
