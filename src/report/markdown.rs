//! `report.md`: the report for people, a step summary or a comment, under [`LIMIT`] bytes whatever happened.
//!
//! Every section has a budget in bytes of what is written, markup and escapes included; their sum is below the limit.
//! What does not fit is counted, and the section says where all of it is.

use std::time::Duration;

use super::{
    Fact, RenderError, ReportInput, Standing, audit, look, subject, tally, tally_words, terminal,
    text::{self, bytes, clock, count, markdown, percent, plain, plural, ratio},
    timeline,
};
use crate::{
    detect::{
        Finding, NodeView,
        judgement::{NodeState, Sight},
    },
    plan::Role,
    time::human,
    verdict::Outcome,
};

/// Forges cut comments at 65,536 characters; this leaves room for what a workflow adds around the report.
pub const LIMIT: usize = 60_000;

/// Rows of the table of what happened.
const MOST_ROWS: usize = 120;

/// Reasons and warnings before the table of gates, which must have room too.
const MOST_REASONS: usize = 8;

/// A section under construction: lines are refused once its budget is used up.
struct Section {
    text: String,
    budget: usize,
    refused: usize,
}

/// Room kept in every section for the line that says what was left out.
const NOTICE: usize = 160;

impl Section {
    fn new(title: &str, budget: usize) -> Self {
        Self {
            text: format!("\n## {title}\n\n"),
            budget,
            refused: 0,
        }
    }

    fn line(&mut self, line: &str) {
        if self.refused == 0 && self.text.len() + line.len() + 1 + NOTICE <= self.budget {
            self.text.push_str(line);
            self.text.push('\n');
        } else {
            self.refused += 1;
        }
    }

    fn heading(&mut self, cells: &[&str]) {
        self.line(&format!("| {} |", cells.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(cells.len())));
    }

    /// A row of cells that are escaped already.
    fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// Rows as long as there is room; the rest is counted without being rendered.
    fn rows<T>(&mut self, items: impl IntoIterator<Item = T>, cells: impl Fn(T) -> Vec<String>) {
        for item in items {
            if self.refused == 0 {
                self.row(&cells(item));
            } else {
                self.refused += 1;
            }
        }
    }

    fn finish(mut self, left_out: usize, place: &str) -> String {
        let left_out = left_out + self.refused;
        if left_out > 0 {
            self.text.push_str(&format!(
                "\nand {} more: see `{place}`.\n",
                count(left_out as u64)
            ));
        }
        self.text
    }
}

/// Renders `report.md`.
///
/// # Errors
/// Never; the signature is that of every reporter.
pub fn render(input: &ReportInput) -> Result<String, RenderError> {
    let mut page = headline(input);
    for section in [
        findings,
        happened,
        gates,
        shards,
        nodes,
        acceleration,
        not_judged,
        waived,
        cost,
        versions,
        reproduce,
    ] {
        page.push_str(&section(input));
    }
    debug_assert!(
        page.len() <= LIMIT,
        "the budgets of the sections sum to less"
    );
    Ok(page)
}

/// At most 4,000 bytes: three lines of bounded texts, the longest of which is a finding's summary.
fn headline(input: &ReportInput) -> String {
    let word = terminal::outcome_word(input.verdict.outcome);
    let worst = input
        .ranked()
        .first()
        .filter(|(standing, _)| *standing == Standing::Fails)
        .map(|(_, finding)| {
            let height = finding.heights.map_or_else(String::new, |(first, _)| {
                format!(" at height {}", count(first.0))
            });
            format!(
                ": {} {}{height} ({})",
                markdown(&finding.kind, 40),
                subject(finding),
                markdown(&finding.id, 40)
            )
        })
        .unwrap_or_default();
    let acceleration = &input.judgement.acceleration;
    let faster = if acceleration.measured > 0.0 {
        format!(
            "{}x (asked {}x)",
            ratio(acceleration.measured),
            ratio(input.plan.speedup)
        )
    } else {
        format!("asked {}x", ratio(input.plan.speedup))
    };
    format!(
        "# {word}{worst}\n\n{}\n\n`{}` · {} · {} · {faster} · seed {} · exit {}\n",
        sentence(input),
        input.run,
        markdown(&input.program, 200),
        terminal::time_words(input),
        markdown(&input.plan.seed, 80),
        input.exit_code,
    )
}

/// The run in one sentence of plain words.
fn sentence(input: &ReportInput) -> String {
    let judgement = &input.judgement;
    let reason = || {
        let reasons = &input.verdict.reasons;
        let reason = reasons
            .iter()
            .find(|reason| reason.outcome == input.verdict.outcome);
        reason.map_or_else(
            || "no reason was given".to_owned(),
            |reason| markdown(&reason.text, 400),
        )
    };
    let made = format!(
        "{} made {} in {}",
        plural(judgement.shards.len() as u64, "shard"),
        plural(judgement.coverage.blocks, "block"),
        terminal::time_words(input)
    );
    match input.verdict.outcome {
        Outcome::Pass => format!("{made}, and nothing was found that fails the gate."),
        Outcome::Fail => {
            let failing = input.ranked();
            let failing: Vec<_> = failing
                .iter()
                .filter(|(standing, _)| *standing == Standing::Fails)
                .collect();
            match failing.first() {
                None => format!("{made}, but the gate was not met: {}.", reason()),
                Some((_, finding)) => {
                    let mut words =
                        format!("{}: {}", subject(finding), markdown(&finding.summary, 300));
                    if !finding.duration.is_zero() {
                        let lasted = match finding.end {
                            Some(_) => "it lasted",
                            None => "it had not ended when the run did, after",
                        };
                        let (wall, mainnet) = (human(finding.duration), human(finding.mainnet));
                        words.push_str(&format!("; {lasted} {wall}, {mainnet} in mainnet time"));
                    }
                    words + "."
                }
            }
        }
        Outcome::Infra => format!(
            "The host, the engine or the canary could not do the work, so nothing is said against the network: {}.",
            reason()
        ),
        Outcome::Inconclusive => {
            format!(
                "{made}, nothing failed, but too little was seen to call it a pass: {}.",
                reason()
            )
        }
    }
}

fn findings(input: &ReportInput) -> String {
    let ranked = input.ranked();
    if ranked.is_empty() {
        return Section::new("Findings", 1_000).text + "None.\n";
    }
    let mut section = Section::new("Findings", 10_000);
    let all: Vec<&Finding> = ranked.iter().map(|(_, finding)| *finding).collect();
    let waived = all
        .iter()
        .filter(|finding| finding.waived.is_some())
        .count();
    let words = tally_words(tally(all.iter().copied()));
    section.line(&format!("Not waived: {words}. Waived: {waived}.\n"));
    section.heading(&[
        "severity",
        "finding",
        "where",
        "since (UTC)",
        "wall",
        "mainnet",
        "heights",
        "what",
        "standing",
        "id",
    ]);
    section.rows(ranked, |(standing, finding)| {
        finding_cells(input, standing, finding)
    });
    let suppressed: u64 = input.judgement.suppressed.values().sum();
    section.finish(
        usize::try_from(suppressed).unwrap_or(usize::MAX / 2),
        "findings.json",
    )
}

/// A finding as a row.
fn finding_cells(input: &ReportInput, standing: Standing, finding: &Finding) -> Vec<String> {
    let heights = match finding.heights {
        Some((first, last)) => format!("{} to {}", count(first.0), count(last.0)),
        None => "-".to_owned(),
    };
    let open = if finding.end.is_none() {
        ", not ended"
    } else {
        ""
    };
    let causes: Vec<String> = finding
        .causes
        .iter()
        .take(6)
        .map(|cause| markdown(cause, 160))
        .collect();
    let causes = if causes.is_empty() {
        String::new()
    } else {
        format!("<br>cause: {}", causes.join(" → "))
    };
    vec![
        look::severity(finding.severity).to_owned(),
        markdown(&finding.kind, 40),
        subject(finding),
        clock(input.wall(finding.start)),
        format!("{}{open}", text::span(finding.duration)),
        text::span(finding.mainnet),
        heights,
        markdown(&finding.summary, 240) + &causes,
        standing.word().to_owned(),
        markdown(&finding.id, 40),
    ]
}

fn happened(input: &ReportInput) -> String {
    let mut section = Section::new("What happened", 12_000);
    let (rows, left_out) = timeline::rows(input, MOST_ROWS);
    section.heading(&["UTC", "elapsed", "height", "event", "journal"]);
    section.rows(rows, |row| {
        vec![
            clock(input.wall(row.at)),
            text::span(row.at.as_duration()),
            row.height
                .map_or_else(|| "-".to_owned(), |height| count(height.0)),
            markdown(&row.what, 240),
            row.seq
                .map_or_else(|| "-".to_owned(), |seq| format!("seq {seq}")),
        ]
    });
    section.finish(left_out, "journal/")
}

fn gates(input: &ReportInput) -> String {
    let mut section = Section::new("Gates", 5_000);
    for reason in input.verdict.reasons.iter().take(MOST_REASONS) {
        let word = terminal::outcome_word(reason.outcome).to_lowercase();
        section.line(&format!("- {word}: {}", markdown(&reason.text, 200)));
    }
    for warning in input.verdict.warnings.iter().take(MOST_REASONS) {
        section.line(&format!("- warning: {}", markdown(warning, 200)));
    }
    section.line("");
    section.heading(&["gate", "asked", "measured", "outcome"]);
    section.rows(&input.verdict.gates, |gate| {
        vec![
            markdown(&gate.gate, 80),
            markdown(&gate.asked, 120),
            markdown(&gate.measured, 120),
            terminal::outcome_word(gate.outcome).to_lowercase(),
        ]
    });
    section.finish(0, "verdict.json")
}

fn shards(input: &ReportInput) -> String {
    let mut section = Section::new("Shards", 4_500);
    section.heading(&[
        "shard",
        "heights",
        "interval p50/p99",
        "mean",
        "longest",
        "views/1k",
        "leader turns",
        "recovery p99",
        "signers",
        "disk",
        "state at the end",
    ]);
    section.rows(&input.judgement.shards, |shard| {
        let state = match shard.sight {
            Sight::Waiting => "no block",
            Sight::Progressing => "makes blocks",
            Sight::Stalled => "makes no blocks",
            Sight::Blind => "not seen",
        };
        vec![
            shard.shard.to_string(),
            terminal::heights(shard),
            terminal::interval(shard),
            interval(shard.whole.mean),
            interval(shard.whole.longest),
            format!("{:.1}", shard.view_changes_per_1000),
            count(shard.leader_turns),
            terminal::recovery(shard, input.plan.thresholds.recovery),
            terminal::signers(shard),
            shard.disk_share.map_or_else(|| "-".to_owned(), percent),
            state.to_owned(),
        ]
    });
    section.line(&format!("\n{}", terminal::coverage_words(input)));
    section.finish(0, "verdict.json")
}

/// A block interval; none was measured where it is zero.
fn interval(span: Duration) -> String {
    if span.is_zero() {
        return "-".to_owned();
    }
    format!("{} ms", text::millis(span))
}

fn nodes(input: &ReportInput) -> String {
    let mut section = Section::new("Nodes", 6_000);
    section.heading(&[
        "node",
        "role",
        "state",
        "height",
        "restarts",
        "exits",
        "memory (peak)",
        "cpu",
        "disk (peak)",
        "disk growth",
        "blind",
        "lines (lost)",
    ]);
    section.rows(&input.judgement.nodes, |node| {
        vec![
            node.node.to_string(),
            match node.role {
                Role::Validator => "validator".to_owned(),
                Role::Explorer => "explorer".to_owned(),
            },
            node_state(node.state).to_owned(),
            node.height
                .map_or_else(|| "-".to_owned(), |height| count(height.0)),
            node.restarts.to_string(),
            node.exits.to_string(),
            format!("{} ({})", bytes(node.memory), bytes(node.memory_peak)),
            percent(node.cpu_share),
            format!(
                "{} of {} ({})",
                bytes(node.disk.0),
                bytes(node.disk.1),
                bytes(node.disk_peak)
            ),
            growth(node),
            percent(node.blind_share),
            format!("{} ({})", count(node.lines.0), count(node.lines.1)),
        ]
    });
    section.finish(0, "verdict.json")
}

fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Absent => "never started",
        NodeState::Running => "runs",
        NodeState::Paused => "frozen",
        NodeState::EndedByItself => "ended by itself",
        NodeState::EndedByOutsideHand => "ended by an outside hand",
        NodeState::EndedByCanary => "ended by the canary",
        NodeState::EndedByEngine => "ended with the engine",
    }
}

fn growth(node: &NodeView) -> String {
    match node.disk_slope {
        None => "too short to say".to_owned(),
        Some(slope) if slope.flat => "flat".to_owned(),
        Some(slope) => {
            let sign = if slope.bytes_per_hour < 0.0 { "-" } else { "+" };
            format!("{sign}{} an hour", bytes(slope.bytes_per_hour.abs() as u64))
        }
    }
}

fn acceleration(input: &ReportInput) -> String {
    let mut section = Section::new("Acceleration", 4_500);
    let view = &input.judgement.acceleration;
    let measured = if view.measured > 0.0 {
        format!(
            "measured {}x (slowest shard {}x)",
            ratio(view.measured),
            ratio(view.slowest)
        )
    } else {
        "nothing was measured".to_owned()
    };
    section.line(&format!(
        "Asked {}x, {measured}; a block interval of {} stands for {} on mainnet.\n",
        ratio(input.plan.speedup),
        human(input.plan.clocks.block_interval),
        human(input.plan.clocks.mainnet_block_interval),
    ));
    section.heading(&[
        "clock",
        "mainnet",
        "canary",
        "faster",
        "in intervals (mainnet)",
        "lever",
        "scaled",
        "hides or fakes",
    ]);
    section.rows(audit::audit(&input.plan), |row| {
        vec![
            markdown(&row.clock, 60),
            human(row.mainnet),
            human(row.canary),
            format!("{}x", ratio(row.factor)),
            format!("{} ({})", ratio(row.blocks), ratio(row.mainnet_blocks)),
            markdown(&row.lever, 80),
            row.scaling.word().to_owned(),
            row.hides
                .map_or_else(|| "-".to_owned(), |hides| markdown(&hides, 160)),
        ]
    });
    section.line("\nWhat acceleration cannot reach or may fake:\n");
    let remarks = audit::remarks(&input.plan);
    if remarks.is_empty() {
        section.line("- every clock scaled with the blocks; what needs real time (clocks of the host, disks, the network) did not");
    }
    for remark in remarks {
        section.line(&format!("- {}", markdown(&remark, 240)));
    }
    section.finish(0, "verdict.json")
}

fn not_judged(input: &ReportInput) -> String {
    let mut section = Section::new("What was not judged", 2_500);
    let judgement = &input.judgement;
    if judgement.doubts.is_empty() {
        section.line("Every detector saw what it needed.");
    }
    for doubt in &judgement.doubts {
        let scope = match (&doubt.node, doubt.shard) {
            (Some(node), _) => node.to_string(),
            (None, Some(shard)) => text::shard(shard),
            (None, None) => "the network".to_owned(),
        };
        let until = doubt
            .until
            .map_or_else(|| "the end".to_owned(), |until| clock(input.wall(until)));
        section.line(&format!(
            "- {} on {scope}, {} to {until} UTC: {}",
            markdown(&doubt.detector, 40),
            clock(input.wall(doubt.from)),
            markdown(&doubt.why, 200)
        ));
    }
    section.finish(0, "verdict.json")
}

fn waived(input: &ReportInput) -> String {
    let mut section = Section::new("Waived", 2_000);
    let waivers = &input.plan.gate.waive;
    if waivers.is_empty() {
        section.line("The plan waives nothing.");
    }
    for waiver in waivers {
        let used = input
            .judgement
            .findings
            .iter()
            .filter(|finding| finding.waived.is_some() && finding.kind == waiver.finding)
            .count();
        section.line(&format!(
            "- {} until {}: {} ({})",
            markdown(&waiver.finding, 40),
            markdown(&waiver.until, 20),
            markdown(&waiver.because, 160),
            plural(used as u64, "finding")
        ));
    }
    section.finish(0, "plan.json")
}

fn cost(input: &ReportInput) -> String {
    let mut section = Section::new("What watching cost", 1_500);
    let cost = &input.judgement.cost;
    section.line(&terminal::cost_words(input));
    if cost.samples == 0 {
        return section.finish(0, "verdict.json");
    }
    section.line("");
    section.heading(&["part", "share of one core"]);
    for (part, share) in [
        ("canary", cost.canary_cpu_share),
        ("watcher", cost.watcher_cpu_share),
        ("samplers", cost.samplers_cpu_share),
        ("helper", cost.helper_cpu_share),
    ] {
        section.row(&[part.to_owned(), percent(share)]);
    }
    let engine = |share: Option<f64>| share.map_or_else(|| "not seen".to_owned(), percent);
    section.row(&[
        "engine, while watching".to_owned(),
        engine(cost.engine_cpu_share),
    ]);
    section.row(&[
        "engine, watching off".to_owned(),
        engine(cost.engine_cpu_share_unwatched),
    ]);
    let growth = cost.memory_growth.map_or_else(
        || "too short to say".to_owned(),
        |growth| {
            format!(
                "{}{}",
                if growth < 0.0 { "-" } else { "+" },
                bytes(growth.abs() as u64)
            )
        },
    );
    section.line(&format!(
        "\nMemory {} (peak {}), second half against first {growth}; longest wait of an observation {}; budget {} of a core and {}.",
        bytes(cost.memory),
        bytes(cost.memory_peak),
        human(cost.lag),
        percent(input.plan.budget.cpu_share),
        bytes(input.plan.budget.memory),
    ));
    section.finish(0, "verdict.json")
}

fn versions(input: &ReportInput) -> String {
    let mut section = Section::new("Versions", 2_500);
    section.heading(&["what", "value"]);
    let canarynet = Fact::new("canarynet", input.judgement.canarynet.clone());
    let program = Fact::new("nodes", input.program.clone());
    for fact in [&canarynet, &program].into_iter().chain(&input.facts) {
        section.row(&[markdown(&fact.name, 40), markdown(&fact.value, 160)]);
    }
    section.finish(0, "verdict.json")
}

fn reproduce(input: &ReportInput) -> String {
    let mut section = Section::new("How to reproduce", 3_500);
    section.line("```sh");
    let words: Vec<String> = input.reproduce.iter().map(|word| quoted(word)).collect();
    // One line that begins with our own name cannot close the fence.
    section.line(&text::plain(&words.join(" "), 1_000));
    section.line(&format!(
        "canarynet judge {}   # the same verdict from the journal alone",
        input.run
    ));
    section.line("```");
    section.line(&format!(
        "Everything is in {}.",
        markdown(&input.run_directory, 120)
    ));
    if let Some(kept) = &input.kept {
        section.line(&format!("\nKept: {}.", markdown(kept, 120)));
    }
    section.text
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let word = plain(word, 400);
    let safe =
        |character: char| character.is_ascii_alphanumeric() || "-_./=:,@%+".contains(character);
    if !word.is_empty() && word.chars().all(safe) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
