//! `junit.xml` for CI: a suite per shard and one for the network with a case per detector, a suite of gates, and one
//! about the canary itself.
//!
//! A case fails only for what fails the gate; what broke on our side is an error; what could not be judged is skipped
//! with the reason as its message. So a red case is always the network's.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    RenderError, ReportInput, Standing, look, subject,
    text::{clock, plain},
};
use crate::{
    detect::{Finding, judgement::Doubt},
    ids::ShardId,
    time::human,
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
    let mut report = Report::new(format!("canarynet {}", plain(&input.plan.name, 80)));
    report.set_time(input.judgement.last.as_duration());
    for shard in &input.judgement.shards {
        report.add_test_suite(detectors(input, Some(shard.shard)));
    }
    report.add_test_suite(detectors(input, None));
    report.add_test_suite(gates(input));
    report.add_test_suite(canary(input));
    report
        .to_string()
        .map_err(|source| RenderError::Junit { source })
}

/// The suite of a shard, or of what concerns no single shard.
fn detectors(input: &ReportInput, shard: Option<ShardId>) -> TestSuite {
    let name = shard.map_or_else(|| "network".to_owned(), |shard| format!("shard-{shard}"));
    let mut suite = TestSuite::new(name.clone());
    // A finding of a kind that no table lists any more still gets its case.
    let mut kinds: Vec<&str> = input.detectors.iter().map(String::as_str).collect();
    for finding in &input.judgement.findings {
        if !kinds.contains(&finding.kind.as_str()) {
            kinds.push(&finding.kind);
        }
    }
    for kind in kinds {
        let of: Vec<&Finding> = input
            .judgement
            .findings
            .iter()
            .filter(|finding| finding.kind == kind && scope(input, finding) == shard)
            .collect();
        // A detector that judges shards has nothing to say about the network as a whole.
        if shard.is_none() && of.is_empty() {
            continue;
        }
        let mut case = TestCase::new(plain(kind, 80), detector_status(input, kind, shard, &of));
        case.set_classname(format!("canarynet.{name}"));
        case.set_time(
            of.iter()
                .map(|finding| finding.duration)
                .max()
                .unwrap_or(Duration::ZERO),
        );
        if !of.is_empty() {
            case.set_system_out(details(input, &of));
        }
        suite.add_test_case(case);
    }
    suite
}

/// The shard whose suite a finding belongs to; a shard without a suite falls to the network's.
fn scope(input: &ReportInput, finding: &Finding) -> Option<ShardId> {
    finding.shard.filter(|shard| {
        input
            .judgement
            .shards
            .iter()
            .any(|view| view.shard == *shard)
    })
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
            human(finding.duration),
            human(finding.mainnet),
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
