//! The end of a run on a terminal: some fifteen lines, whatever happened.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ReportInput, Standing, audit, chain, climbs, faults,
    listing::outcome_tone,
    look::{self, Look, Tone},
    story, subject,
    table::{Cell, Table},
    tally, tally_words,
    text::{self, bytes, clock, count, millis, percent, plain, plural, ratio},
    timeline::finish_words,
    together,
};
use crate::{
    detect::{Finding, ShardView},
    ids::ShardId,
    journal::event::FinishReason,
    time::human,
    verdict::Outcome,
};

/// More shards than this are counted: the ones with findings are shown.
const MOST_SHARDS: usize = 8;
/// Findings told at length.
const MOST_TOLD: usize = 3;
/// Findings that do not count are named up to here.
const MOST_NAMED: usize = 4;
/// Longest text that a node, plan or engine may put on a line.
const TEXT: usize = 160;

/// The word of an outcome, as shouted.
#[must_use]
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Infra => "INFRA",
        Outcome::Inconclusive => "INCONCLUSIVE",
    }
}

/// The summary, with a line end after every line.
#[must_use]
pub fn render(input: &ReportInput, look: Look) -> String {
    // Lines that are too long wrap: at the end of a run nothing is drawn over, and a cut would lose ids and paths.
    let look = Look {
        width: None,
        ..look
    };
    let mut lines = vec![headline(input, look)];
    lines.extend(shards(input, look));
    lines.extend(reasons(input, look));
    lines.extend(findings(input, look));
    lines.extend(footer(input, look));
    lines.push(String::new());
    lines.join("\n")
}

fn headline(input: &ReportInput, look: Look) -> String {
    let word = outcome_word(input.verdict.outcome);
    let mut parts = vec![
        format!(
            "{}  {}",
            look.paint(outcome_tone(word), word),
            look.paint(Tone::Strong, input.run.as_str())
        ),
        plain(&input.program, 80),
        chain::time_words(input),
    ];
    let acceleration = &input.judgement.acceleration;
    if acceleration.measured > 0.0 {
        parts.push(format!(
            "{}x (asked {}x)",
            ratio(acceleration.measured),
            ratio(input.plan.speedup)
        ));
    }
    parts.push(format!("seed {}", plain(&input.plan.seed, 40)));
    parts.join("   ")
}

fn shards(input: &ReportInput, look: Look) -> Vec<String> {
    let mut table = Table::new(&[
        "shard",
        "height",
        ">interval p50/p99",
        ">views/1k",
        "recovery p99",
        ">signers",
        ">disk",
        "findings",
    ]);
    let all = &input.judgement.shards;
    let mut by_shard: BTreeMap<ShardId, Vec<&Finding>> = BTreeMap::new();
    for finding in &input.judgement.findings {
        if let Some(shard) = finding.shard {
            by_shard.entry(shard).or_default().push(finding);
        }
    }
    let of = |shard: &ShardView| by_shard.get(&shard.shard).map_or(&[][..], Vec::as_slice);
    let mut shown: Vec<&ShardView> = all.iter().collect();
    if shown.len() > MOST_SHARDS {
        shown.sort_by_cached_key(|shard| {
            let mut worst_first = tally(of(shard).iter().copied());
            worst_first.reverse();
            (std::cmp::Reverse(worst_first), shard.shard)
        });
        shown.truncate(MOST_SHARDS);
        shown.sort_by_key(|shard| shard.shard);
    }
    for shard in &shown {
        let counts = tally(of(shard).iter().copied());
        let waived = of(shard)
            .iter()
            .filter(|finding| finding.waived.is_some())
            .count();
        let mut words = tally_words(counts).replace("critical", "CRITICAL");
        if waived > 0 {
            words.push_str(&format!(", {waived} waived"));
        }
        let tone = match counts {
            [_, _, 0, 0] if counts[1] == 0 => Tone::Good,
            [_, _, 0, 0] => Tone::Warning,
            _ => Tone::Bad,
        };
        table.row(vec![
            text::shard(shard.shard).into(),
            heights(shard).into(),
            interval(shard).into(),
            format!("{:.1}", shard.view_changes_per_1000).into(),
            recovery(shard, input.plan.thresholds.recovery).into(),
            signers(shard).into(),
            shard
                .disk_share
                .map_or_else(|| "-".to_owned(), percent)
                .into(),
            Cell::toned(tone, words),
        ]);
    }
    let mut lines = if table.is_empty() {
        Vec::new()
    } else {
        table.lines(look)
    };
    if all.len() > shown.len() {
        let rest = (all.len() - shown.len()) as u64;
        lines.push(format!(
            "and {}, none with worse findings",
            plural(rest, "more shard")
        ));
    }
    lines
}

/// `193,210→270,108`.
pub(super) fn heights(shard: &ShardView) -> String {
    match (shard.first_height, shard.height) {
        (Some(first), Some(last)) => format!("{}→{}", count(first.0), count(last.0)),
        (None, Some(last)) => count(last.0),
        _ => "no block".to_owned(),
    }
}

/// `303/412 ms`.
pub(super) fn interval(shard: &ShardView) -> String {
    if shard.whole.count == 0 {
        return "-".to_owned();
    }
    format!("{}/{} ms", millis(shard.whole.p50), millis(shard.whole.p99))
}

/// `1.2 s of 5.4 s`: the 99th percentile against the budget; `never (1 of 2)` where a stall never ended.
pub(super) fn recovery(shard: &ShardView, budget: Duration) -> String {
    let recovery = &shard.recovery;
    if recovery.stalls == 0 {
        "-".to_owned()
    } else if recovery.recovered < recovery.stalls {
        format!(
            "never ({} of {})",
            recovery.stalls - recovery.recovered,
            recovery.stalls
        )
    } else {
        format!("{} of {}", human(recovery.p99), human(budget))
    }
}

/// Mean number of signers of the committee: `3.2/4`.
pub(super) fn signers(shard: &ShardView) -> String {
    match (shard.signers_mean, shard.signers) {
        (Some(mean), Some((_, committee))) => format!("{mean:.1}/{committee}"),
        (None, Some((signed, committee))) => format!("{signed}/{committee}"),
        (Some(mean), None) => format!("{mean:.1}"),
        (None, None) => "-".to_owned(),
    }
}

/// Reasons that no finding tells (limits, coverage, what broke on our side), and warnings.
fn reasons(input: &ReportInput, look: Look) -> Vec<String> {
    /// A run that broke says why in its first reasons.
    const MOST: usize = 4;
    let mut lines = Vec::new();
    for reason in input
        .verdict
        .reasons
        .iter()
        .filter(|reason| reason.findings.is_empty())
        .take(MOST)
    {
        let word = format!("{:<8} ", outcome_word(reason.outcome).to_lowercase());
        let tone = outcome_tone(outcome_word(reason.outcome));
        lines.push(format!(
            "{}{}",
            look.paint(tone, &word),
            plain(&reason.text, TEXT)
        ));
    }
    for warning in input.verdict.warnings.iter().take(2) {
        lines.push(format!(
            "{}{}",
            look.paint(Tone::Warning, "warning  "),
            plain(warning, TEXT)
        ));
    }
    lines
}

fn findings(input: &ReportInput, look: Look) -> Vec<String> {
    let ranked = input.ranked();
    let (failing, rest): (Vec<_>, Vec<_>) = ranked
        .into_iter()
        .partition(|(standing, _)| *standing == Standing::Fails);
    let mut lines = Vec::new();
    for (place, (_, finding)) in failing.iter().take(MOST_TOLD).enumerate() {
        // The worst is told at length; the summary stays on a screen.
        lines.extend(told(input, finding, place == 0, look));
    }
    if failing.len() > MOST_TOLD {
        let more = failing.iter().skip(MOST_TOLD).map(|(_, finding)| *finding);
        lines.push(format!(
            "         and more that fail the gate: {}",
            tally_words(tally(more))
        ));
    }
    lines.extend(together::lines(input, look));
    for (standing, title) in [
        (Standing::Tolerated, "noted"),
        (Standing::Excused, "excused"),
        (Standing::Waived, "waived"),
    ] {
        let named: Vec<&Finding> = rest
            .iter()
            .filter(|(of, _)| *of == standing)
            .map(|(_, finding)| *finding)
            .collect();
        if !named.is_empty() {
            lines.push(format!(
                "{}{}",
                look.paint(Tone::Warning, &format!("{title:<9}")),
                names(&named)
            ));
        }
    }
    let suppressed: u64 = input.judgement.suppressed.values().sum();
    if suppressed > 0 {
        lines.push(format!(
            "         {} more were only counted",
            count(suppressed)
        ));
    }
    lines
}

fn names(findings: &[&Finding]) -> String {
    let named = findings.iter().take(MOST_NAMED).map(|finding| {
        let why = match (&finding.waived, &finding.excused_by) {
            (Some(reason), _) | (None, Some(reason)) => format!(" ({})", plain(reason, 40)),
            (None, None) if finding.duration.is_zero() => String::new(),
            (None, None) => format!(", {}", human(finding.duration)),
        };
        format!("{} {}{why}", plain(&finding.kind, 40), subject(finding))
    });
    let mut text = named.collect::<Vec<_>>().join(" · ");
    if findings.len() > MOST_NAMED {
        text.push_str(&format!(
            " · and {} more",
            count((findings.len() - MOST_NAMED) as u64)
        ));
    }
    text
}

/// A finding that fails the gate: what, where and since when; `at_length` also in words with what came before it.
fn told(input: &ReportInput, finding: &Finding, at_length: bool, look: Look) -> Vec<String> {
    let word = match look::severity(finding.severity) {
        "critical" => "CRITICAL",
        word => word,
    };
    let start = clock(input.wall(finding.start));
    let lasted = format!(
        "{} = {} of mainnet",
        human(finding.duration),
        human(finding.mainnet)
    );
    let when = match finding.end {
        // A moment, not a span: an exit, a failed write.
        Some(_) if finding.duration.is_zero() => format!("at {start} UTC"),
        Some(_) => format!("at {start} UTC for {lasted}"),
        None => format!("since {start} UTC, {lasted}"),
    };
    let height = match finding.heights {
        Some((first, last)) if first == last => format!("   height {}", count(last.0)),
        Some((first, last)) => format!("   heights {} to {}", count(first.0), count(last.0)),
        None => String::new(),
    };
    let summary = plain(&finding.summary, 2 * TEXT);
    let in_line = if at_length {
        String::new()
    } else {
        format!("   {summary}")
    };
    let page = input
        .judgement
        .pages
        .iter()
        .find(|page| page.finding == finding.id);
    let paged = page.map_or_else(String::new, |page| {
        format!("   paged after {}", human(page.after))
    });
    let mut lines = vec![format!(
        "{} {}  {}  {when}{height}{paged}{in_line}   id {}",
        look.paint(look::tone(finding.severity), word),
        look.paint(Tone::Strong, &plain(&finding.kind, 40)),
        subject(finding),
        plain(&finding.id, 40),
    )];
    if !at_length {
        return lines;
    }
    lines.push(format!("  what   {summary}"));
    let causes = story::steps(input, finding);
    if !causes.is_empty() {
        let causes = causes.iter().take(8).map(|cause| plain(cause, TEXT));
        lines.push(format!(
            "  cause  {}",
            causes.collect::<Vec<_>>().join(" → ")
        ));
    }
    lines
}

fn footer(input: &ReportInput, look: Look) -> Vec<String> {
    let faint = |title: &str, line: String| {
        format!("{}{line}", look.paint(Tone::Faint, &format!("{title:<9}")))
    };
    let remarks = audit::remarks(&input.plan);
    let audit = match remarks.split_first() {
        None => format!(
            "every clock scaled {}x",
            ratio(input.plan.clocks.acceleration())
        ),
        Some((first, [])) => plain(first, 2 * TEXT),
        Some((first, more)) => format!("{} · and {} more", plain(first, 2 * TEXT), more.len()),
    };
    let mut lines = vec![
        faint("audit", audit),
        faint("coverage", coverage_words(input)),
        faint("canary", cost_words(input)),
        faint(
            "report",
            format!("{}/report.html", plain(&input.run_directory, 400)),
        ),
    ];
    if let Some(words) = faults::words(input) {
        lines.insert(1, faint("faults", words));
    }
    for words in climbs::lines(input, plain).into_iter().take(MOST_TOLD) {
        lines.insert(1, faint("recovery", words));
    }
    if let Some(words) = chain::words(input) {
        lines.insert(1, faint("chain", words));
    }
    if let Some(kept) = &input.kept {
        lines.push(faint("kept", plain(kept, 2 * TEXT)));
    }
    lines.push(faint("exit", exit_words(input)));
    lines
}

/// What the run really exercised, in one line.
pub(super) fn coverage_words(input: &ReportInput) -> String {
    let coverage = &input.judgement.coverage;
    let mut parts = vec![
        plural(coverage.blocks, "block"),
        plural(coverage.epochs, "epoch"),
        plural(coverage.leader_turns, "leader turn"),
        plural(coverage.view_changes, "view change"),
    ];
    if coverage.restarts > 0 {
        parts.push(plural(coverage.restarts, "restart"));
    }
    if coverage.leader_kills > 0 {
        parts.push(plural(coverage.leader_kills, "leader kill"));
    }
    if coverage.receipts > 0 {
        parts.push(plural(coverage.receipts, "cross-shard receipt"));
    }
    if coverage.full_disks > 0 {
        parts.push(format!(
            "{}, {} recovered",
            plural(coverage.full_disks, "full disk"),
            coverage.full_disks_recovered
        ));
    }
    let node = coverage
        .blind_node
        .as_ref()
        .map_or_else(String::new, |node| format!(" ({node})"));
    parts.push(format!("blind {}{node}", percent(coverage.blind_share)));
    if coverage.lines_lost > 0 {
        parts.push(format!(
            "{} of log lines lost",
            percent(coverage.lines_lost_share)
        ));
    }
    if coverage.gaps > 0 {
        parts.push(plural(coverage.gaps, "gap"));
    }
    let thin = input
        .verdict
        .gates
        .iter()
        .any(|gate| gate.gate.starts_with("coverage") && gate.outcome != Outcome::Pass);
    parts.push(if thin { "not enough" } else { "enough" }.to_owned());
    parts.join(" · ")
}

/// What watching cost, with the engine's rise, in one line.
pub(super) fn cost_words(input: &ReportInput) -> String {
    let cost = &input.judgement.cost;
    if cost.samples == 0 {
        return "its own cost was not measured".to_owned();
    }
    let engine = match (cost.engine_cpu_share, cost.engine_cpu_share_unwatched) {
        (Some(watched), Some(unwatched)) => {
            let rise = watched - unwatched;
            let sign = if rise < 0.0 { "-" } else { "+" };
            format!("engine {sign}{} by watching", percent(rise.abs()))
        }
        (Some(watched), None) => format!("engine {}, its rise not measured", percent(watched)),
        (None, _) => "engine's cost not visible".to_owned(),
    };
    let mut parts = vec![
        format!("{} of a core", percent(cost.cpu_share)),
        bytes(cost.memory_peak),
        engine,
        format!("{} on disk", bytes(cost.run_directory)),
        format!(
            "{} log lines lost",
            count(input.judgement.coverage.lines_lost)
        ),
    ];
    parts.extend(cost.observer.map(together::observer_words));
    if cost.dropped > 0 {
        parts.push(format!("{} dropped", plural(cost.dropped, "observation")));
    }
    if !cost.within_budget {
        parts.push("OVER ITS BUDGET".to_owned());
    }
    parts.join(" · ")
}

fn exit_words(input: &ReportInput) -> String {
    let meaning = match input.exit_code {
        0 => "the network passed the gate",
        1 => "the network failed the gate",
        3 => "the host, the engine or the canary could not do the work",
        4 => "all worked, but there is too little evidence",
        130 => "ended by SIGINT; the verdict is on what was seen until then",
        143 => "ended by SIGTERM; the verdict is on what was seen until then",
        _ => "see the README",
    };
    let how = match &input.judgement.finished {
        // The exit code has said it.
        Some(finish) if finish.reason == FinishReason::Interrupted => String::new(),
        Some(finish) if finish.reason != FinishReason::Completed => {
            format!(" ({})", finish_words(&finish.reason))
        }
        Some(_) => String::new(),
        None => " (the journal has no end)".to_owned(),
    };
    format!("{}: {meaning}{how}", input.exit_code)
}
