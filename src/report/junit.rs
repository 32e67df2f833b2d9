//! `junit.xml` for CI: a suite per shard and one for the network with a case per detector, a suite of gates, and one
//! about the canary itself.
//!
//! A case fails only for what fails the gate; what broke on our side is an error; what could not be judged is skipped
//! with the reason as its message. So a red case is always the network's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    RenderError, ReportInput, Standing, look, subject,
    text::{clock, plain, span},
};
use crate::{
    detect::{Finding, judgement::Doubt},
    ids::ShardId,
    verdict::Outcome,
};

/// Findings told in one case; the rest is counted.
const MOST_TOLD: usize = 20;
const TEXT: usize = 400;

/// Renders `junit.xml`.
///
/// # Errors
/// When the serializer fails, which no content of the input can cause.
pub fn render(input: &ReportInput) -> Result<String, RenderError> {
    let sorted = Sorted::of(input);
    let mut report = Report::new(format!("canarynet {}", plain(&input.plan.name, 80)));
    report.set_time(input.judgement.last.as_duration());
    for shard in &input.judgement.shards {
        report.add_test_suite(detectors(input, &sorted, Some(shard.shard)));
    }
    let network = detectors(input, &sorted, None);
    if !network.test_cases.is_empty() {
        report.add_test_suite(network);
    }
    report.add_test_suite(gates(input));
    report.add_test_suite(canary(input));
    report
        .to_string()
        .map_err(|source| RenderError::Junit { source })
}

/// The findings by suite and case, so that every finding is looked at once.
struct Sorted<'a> {
    kinds: Vec<&'a str>,
    findings: BTreeMap<(Option<ShardId>, &'a str), Vec<&'a Finding>>,
}

impl<'a> Sorted<'a> {
    fn of(input: &'a ReportInput) -> Self {
        let suites: BTreeSet<ShardId> = input
            .judgement
            .shards
            .iter()
            .map(|view| view.shard)
            .collect();
        let mut findings: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
        let mut kinds: Vec<&str> = input.detectors.iter().map(String::as_str).collect();
        let mut seen: BTreeSet<&str> = kinds.iter().copied().collect();
        for finding in &input.judgement.findings {
            // A shard without a suite falls to the network's.
            let suite = finding.shard.filter(|shard| suites.contains(shard));
            let kind = finding.kind.as_str();
            findings.entry((suite, kind)).or_default().push(finding);
            // A finding of a kind that no table lists any more still gets its case.
            if seen.insert(kind) {
                kinds.push(kind);
            }
        }
        Self { kinds, findings }
    }
}

/// The suite of a shard, or of what concerns no single shard.
fn detectors(input: &ReportInput, sorted: &Sorted<'_>, shard: Option<ShardId>) -> TestSuite {
    let name = shard.map_or_else(|| "network".to_owned(), |shard| format!("shard-{shard}"));
    let mut suite = TestSuite::new(name.clone());
    for kind in &sorted.kinds {
        let of = sorted
            .findings
            .get(&(shard, *kind))
            .map_or(&[][..], Vec::as_slice);
        // A detector that judges shards has nothing to say about the network as a whole.
        if shard.is_none() && of.is_empty() {
            continue;
        }
        let mut case = TestCase::new(plain(kind, 80), detector_status(input, kind, shard, of));
        case.set_classname(format!("canarynet.{name}"));
        let longest = of.iter().map(|finding| finding.duration).max();
        case.set_time(longest.unwrap_or(Duration::ZERO));
        if !of.is_empty() {
            case.set_system_out(details(input, of));
        }
        suite.add_test_case(case);
    }
    suite
}

fn detector_status(
    input: &ReportInput,
    kind: &str,
    shard: Option<ShardId>,
    of: &[&Finding],
) -> TestCaseStatus {
    let failing: Vec<&&Finding> = of
        .iter()
        .filter(|finding| Standing::of(finding, &input.plan.gate) == Standing::Fails)
        .collect();
    if let Some(first) = failing.first() {
        let more = match failing.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let message = format!("{}: {}{more}", subject(first), plain(&first.summary, TEXT));
        return non_success(
            NonSuccessKind::Failure,
            look::severity(first.severity),
            message,
        );
    }
    let doubt = input.judgement.doubts.iter().find(|doubt| {
        (doubt.detector == kind || doubt.detector == "all")
            && (doubt.shard == shard || doubt.shard.is_none())
    });
    match doubt {
        None if input.judgement.coverage.soak.is_zero() => {
            skipped("not judged: the run ended before the soak".to_owned())
        }
        Some(doubt) => skipped(doubt_words(input, doubt)),
        None => TestCaseStatus::success(),
    }
}

fn doubt_words(input: &ReportInput, doubt: &Doubt) -> String {
    let until = doubt
        .until
        .map_or_else(|| "the end".to_owned(), |until| clock(input.wall(until)));
    let from = clock(input.wall(doubt.from));
    format!(
        "not judged from {from} to {until} UTC: {}",
        plain(&doubt.why, TEXT)
    )
}

fn details(input: &ReportInput, findings: &[&Finding]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for finding in findings.iter().take(MOST_TOLD) {
        lines.push(format!(
            "{} {} {} ({}): {}; since {} UTC, {} = {} of mainnet; {}",
            look::severity(finding.severity),
            plain(&finding.kind, 80),
            subject(finding),
            plain(&finding.id, 40),
            plain(&finding.summary, TEXT),
            clock(input.wall(finding.start)),
            span(finding.duration),
            span(finding.mainnet),
            Standing::of(finding, &input.plan.gate).word(),
        ));
        for cause in finding.causes.iter().take(10) {
            lines.push(format!("  cause: {}", plain(cause, TEXT)));
        }
    }
    if findings.len() > MOST_TOLD {
        lines.push(format!(
            "and {} more: see findings.json",
            findings.len() - MOST_TOLD
        ));
    }
    lines.join("\n")
}

fn gates(input: &ReportInput) -> TestSuite {
    let mut suite = TestSuite::new("gates");
    for gate in &input.verdict.gates {
        let words = format!(
            "asked {}, measured {}",
            plain(&gate.asked, TEXT),
            plain(&gate.measured, TEXT)
        );
        let status = match gate.outcome {
            Outcome::Pass => TestCaseStatus::success(),
            Outcome::Fail => non_success(NonSuccessKind::Failure, "gate", words.clone()),
            Outcome::Infra => non_success(NonSuccessKind::Error, "infra", words.clone()),
            Outcome::Inconclusive => skipped(words.clone()),
        };
        let mut case = TestCase::new(plain(&gate.gate, 120), status);
        case.set_classname("canarynet.gates");
        case.set_system_out(words);
        suite.add_test_case(case);
    }
    suite
}

/// Whether the canary itself did its work, and whether there is enough evidence.
fn canary(input: &ReportInput) -> TestSuite {
    let mut suite = TestSuite::new("canary");
    for (name, outcome) in [
        ("infra", Outcome::Infra),
        ("evidence", Outcome::Inconclusive),
    ] {
        let reasons: Vec<String> = input
            .verdict
            .reasons
            .iter()
            .filter(|reason| reason.outcome == outcome)
            .take(MOST_TOLD)
            .map(|reason| plain(&reason.text, TEXT))
            .collect();
        let words = reasons.join("; ");
        let status = match (outcome, reasons.is_empty()) {
            (_, true) => TestCaseStatus::success(),
            (Outcome::Infra, false) => non_success(NonSuccessKind::Error, "infra", words),
            (_, false) => skipped(format!("inconclusive: {words}")),
        };
        let mut case = TestCase::new(name, status);
        case.set_classname("canarynet.canary");
        suite.add_test_case(case);
    }
    suite
}

fn non_success(kind: NonSuccessKind, class: &str, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(class).set_message(message);
    status
}

fn skipped(message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}
