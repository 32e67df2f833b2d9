//! What blocks held, what the load generators did, how epochs began, and how many forms log lines had.

use std::time::Duration;

use super::section::Section;
use crate::{
    report::{
        ReportInput,
        text::{count, percent, plural},
    },
    time::human,
};

pub(super) fn traffic(input: &ReportInput) -> String {
    let shards = &input.judgement.shards;
    let told = |traffic: &crate::detect::judgement::Traffic| {
        traffic.told > 0 || traffic.load.made > 0 || traffic.boundaries.count > 0
    };
    let forms = &input.judgement.templates;
    if !shards.iter().any(|shard| told(&shard.traffic)) && forms.is_empty() {
        return String::new();
    }
    let mut section = Section::new("Traffic", 2_000);
    section.heading(&[
        "shard",
        "transactions",
        "receipts",
        "empty blocks",
        "load made (offered)",
        "inclusion p50/p95/p99",
        "epoch begins p50/max",
    ]);
    section.rows(shards, |shard| {
        let traffic = &shard.traffic;
        let load = &traffic.load;
        let offered = load.offered_share().map_or_else(|| "-".to_owned(), percent);
        vec![
            shard.shard.to_string(),
            count(traffic.transactions),
            count(traffic.receipts),
            count(traffic.empty),
            format!("{} ({offered})", count(load.made)),
            match load.inclusion.count {
                0 => "-".to_owned(),
                _ => spread(&[load.inclusion.p50, load.inclusion.p95, load.inclusion.p99]),
            },
            match traffic.boundaries.count {
                0 => "-".to_owned(),
                _ => spread(&[traffic.boundaries.p50, traffic.boundaries.longest]),
            },
        ]
    });
    let new = forms.iter().filter(|form| form.new).count() as u64;
    let passed_over: u64 = input
        .judgement
        .nodes
        .iter()
        .fold(0, |sum, node| sum.saturating_add(node.lines_passed_over));
    section.line(&format!(
        "\n{} of log lines, {new} of them first seen in the soak; {} were not looked at for their form.",
        plural(forms.len() as u64, "form"),
        plural(passed_over, "line"),
    ));
    section.finish(0, "verdict.json")
}

fn spread(times: &[Duration]) -> String {
    let times: Vec<String> = times
        .iter()
        // Longer than the last step that the node counts.
        .map(|time| match time.as_secs() {
            0..86_400 => human(*time),
            _ => "longer".to_owned(),
        })
        .collect();
    times.join(" / ")
}
