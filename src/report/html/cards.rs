//! Findings as cards, and what stands above all else: which shard, since when, which leader, what came first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Table;
use crate::{
    detect::{Finding, Severity},
    ids::ShardId,
    report::{
        ReportInput, Standing, look, story, subject,
        text::{clock, count, plain, span},
    },
};

/// Findings told at length; the rest is counted.
const MOST_CARDS: usize = 80;
/// Shards that stand above all else.
const MOST_FOREMOST: usize = 4;
/// Stories that are told step by step.
const MOST_STORIES: usize = 8;
/// Steps of a chain shown.
const MOST_STEPS: usize = 12;
/// Entries named.
const MOST_ENTRIES: usize = 8;
/// A text of a node, plan or engine.
const TEXT: usize = 400;

/// A shard's trouble in four lines.
#[derive(Debug, Serialize)]
pub(super) struct Foremost {
    severity: &'static str,
    kind: String,
    place: String,
    since: String,
    lasted: String,
    leader: String,
    cause: String,
    id: String,
    summary: String,
}

/// What a kind of trouble says about the whole shard: the closer to the front, the more.
const OF_A_SHARD: &[&str] = &[
    "no-recovery",
    "stall",
    "never-started",
    "view-change-loop",
    "fork",
];

/// The worst of each shard that fails the gate, by when it began, and how many more shards there are. Of a run that goes
/// on also what is open and only suspected: it may fail the gate in a moment.
pub(super) fn foremost(input: &ReportInput, suspected: bool) -> (Vec<Foremost>, usize) {
    let mut worst: BTreeMap<Option<ShardId>, (usize, &Finding)> = BTreeMap::new();
    for (standing, finding) in input.ranked() {
        let open = finding.end.is_none() && finding.severity >= Severity::Minor;
        let shown = standing == Standing::Fails
            || suspected && open && standing == Standing::Tolerated && finding.shard.is_some();
        if !shown {
            continue;
        }
        let rank = OF_A_SHARD.iter().position(|kind| *kind == finding.kind);
        let rank = rank
            .filter(|_| finding.severity == Severity::Critical)
            .unwrap_or(OF_A_SHARD.len());
        let known = worst.entry(finding.shard).or_insert((rank, finding));
        if rank < known.0 {
            *known = (rank, finding);
        }
    }
    let mut worst: Vec<&Finding> = worst.into_values().map(|(_, finding)| finding).collect();
    worst.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.start));
    let more = worst.len().saturating_sub(MOST_FOREMOST);
    worst.truncate(MOST_FOREMOST);
    worst.sort_by_key(|finding| finding.start);
    (
        worst
            .into_iter()
            .map(|finding| one(input, finding))
            .collect(),
        more,
    )
}

fn one(input: &ReportInput, finding: &Finding) -> Foremost {
    let leader = input.curves.leaders.get(&finding.id);
    let first = story::steps(input, finding).into_iter().next();
    Foremost {
        severity: look::severity(finding.severity),
        kind: plain(&finding.kind, 40),
        place: finding
            .shard
            .map_or_else(|| subject(finding), |shard| format!("shard {shard}")),
        since: format!("{} UTC", clock(input.wall(finding.start))),
        lasted: lasted(finding),
        leader: leader.map_or_else(|| "not told".to_owned(), |leader| plain(leader, 24)),
        cause: first.map_or_else(
            || "nothing is known to have come before".to_owned(),
            |first| plain(&first, 110),
        ),
        id: plain(&finding.id, 40),
        summary: plain(&finding.summary, 120),
    }
}

fn lasted(finding: &Finding) -> String {
    if finding.duration.is_zero() {
        return "a moment".to_owned();
    }
    let open = if finding.end.is_none() {
        ", not ended"
    } else {
        ""
    };
    format!(
        "{} = {} of mainnet{open}",
        span(finding.duration),
        span(finding.mainnet)
    )
}

/// Findings of one standing.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    title: String,
    open: bool,
    cards: Vec<Card>,
    left_out: usize,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Card {
    id: String,
    severity: &'static str,
    kind: String,
    subject: String,
    since: String,
    lasted: String,
    heights: String,
    summary: String,
    why: String,
    steps: Vec<String>,
    evidence: String,
    story: Option<Table>,
}

/// All findings by standing, those that fail the gate first.
pub(super) fn groups(input: &ReportInput) -> Vec<Group> {
    let ranked = input.ranked();
    let mut stories = MOST_STORIES;
    let of = |standing: Standing, title: &str, most: usize| {
        let all: Vec<&Finding> = ranked
            .iter()
            .filter(|(of, _)| *of == standing)
            .map(|(_, finding)| *finding)
            .collect();
        let cards = all
            .iter()
            .take(most)
            .map(|finding| card(input, finding, &mut stories));
        Group {
            title: format!("{title} ({})", count(all.len() as u64)),
            open: standing == Standing::Fails,
            left_out: all.len().saturating_sub(most),
            cards: cards.collect(),
        }
    };
    let mut of = of;
    let groups = [
        of(Standing::Fails, "Fail the gate", MOST_CARDS),
        of(Standing::Tolerated, "Below the gate", MOST_CARDS / 2),
        of(
            Standing::Excused,
            "Excused by an injected fault",
            MOST_CARDS / 2,
        ),
        of(Standing::Waived, "Waived by the plan", MOST_CARDS / 2),
    ];
    groups
        .into_iter()
        .filter(|group| !group.cards.is_empty())
        .collect()
}

fn card(input: &ReportInput, finding: &Finding, stories: &mut usize) -> Card {
    let entries: Vec<String> = finding
        .evidence
        .iter()
        .take(MOST_ENTRIES)
        .map(|seq| seq.to_string())
        .collect();
    let more = finding.evidence.len().saturating_sub(entries.len());
    let mut evidence = format!("journal seq {}", entries.join(", "));
    if entries.is_empty() {
        evidence = "none".to_owned();
    } else if more > 0 {
        evidence.push_str(&format!(" and {} more", count(more as u64)));
    }
    let why = match (&finding.waived, &finding.excused_by) {
        (Some(because), _) => format!("waived: {}", plain(because, TEXT)),
        (None, Some(fault)) => format!("excused by {}", plain(fault, TEXT)),
        (None, None) => String::new(),
    };
    let tells = finding.severity == Severity::Critical && !finding.chain.is_empty() && *stories > 0;
    let story = tells.then(|| {
        *stories -= 1;
        story_of(input, finding)
    });
    let steps = story::steps(input, finding);
    Card {
        id: plain(&finding.id, 40),
        severity: look::severity(finding.severity),
        kind: plain(&finding.kind, 40),
        subject: subject(finding),
        since: format!("{} UTC", clock(input.wall(finding.start))),
        lasted: lasted(finding),
        heights: match finding.heights {
            Some((first, last)) if first == last => count(first.0),
            Some((first, last)) => format!("{} to {}", count(first.0), count(last.0)),
            None => "-".to_owned(),
        },
        summary: plain(&finding.summary, TEXT),
        why,
        // A story holds the chain already.
        steps: match story {
            Some(_) => Vec::new(),
            None => steps
                .iter()
                .take(MOST_STEPS)
                .map(|step| plain(step, TEXT))
                .collect(),
        },
        evidence,
        story,
    }
}

fn story_of(input: &ReportInput, finding: &Finding) -> Table {
    let interval = input.plan.clocks.block_interval.as_secs_f64().max(1e-6);
    let mut table = Table::new(
        "how it came about",
        &["UTC", "since the first", "blocks", "mainnet", "what"],
    );
    for row in story::rows(input, finding).into_iter().take(2 * MOST_STEPS) {
        table.row(vec![
            clock(input.wall(row.at)),
            format!("+{}", span(row.after)),
            count((row.after.as_secs_f64() / interval) as u64),
            span(input.plan.clocks.to_mainnet(row.after)),
            plain(&row.what, TEXT),
        ]);
    }
    table
}
