//! The verdict: findings, measures and coverage held against the plan's gate.
//!
//! Pure. The order is fail, infra, inconclusive, pass; a second reason is always listed.

mod against;
mod coverage;
mod faults;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        Finding, Judgement, Severity,
        judge::end_of,
        judgement::{Measure, Unit},
        newer_than,
    },
    exit::Exit,
    journal::event::FinishReason,
    plan::{Gate, Limit, NewDetectors, Plan, Waiver},
    time::{WallTime, human},
};

/// How a run is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The strongest outcome.
    pub outcome: Outcome,
    /// Why, strongest first; more than one when more than one applies. Empty for a pass.
    pub reasons: Vec<Reason>,
    /// Every gate, in a fixed order.
    pub gates: Vec<GateResult>,
    /// What the reader should know but that decides nothing (an unused waiver).
    pub warnings: Vec<String>,
}

impl Verdict {
    /// The exit code that goes with the outcome.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Pass => Exit::Pass,
            Outcome::Fail => Exit::Fail,
            Outcome::Infra => Exit::Infra,
            Outcome::Inconclusive => Exit::Inconclusive,
        }
    }
}

/// Pass, fail, infra or inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The network passed the gate.
    Pass,
    /// Not enough evidence.
    Inconclusive,
    /// The host, the engine or the canary.
    Infra,
    /// The network failed the gate.
    Fail,
}

/// Why an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The outcome that it speaks for.
    pub outcome: Outcome,
    /// One line for people.
    pub text: String,
    /// Ids of the findings that it rests on; bounded.
    pub findings: Vec<String>,
}

/// One gate with what was asked, measured and came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// `findings`, `limit block-interval.p99`, `coverage blocks`, `waiver slow-fsync`, `journal`, ...
    pub gate: String,
    /// What the plan asked for, for people.
    pub asked: String,
    /// What was measured, for people.
    pub measured: String,
    /// What came out; never `Infra` unless the canary itself is the gate's subject.
    pub outcome: Outcome,
}

/// Findings named in one reason at most.
const MOST_NAMED: usize = 50;
/// Shorter than this, shares of the canary's own cost say nothing about the run.
const COST_MATTERS: Duration = Duration::from_secs(30);

/// Holds a judgement against the plan's gate.
#[must_use]
pub fn decide(plan: &Plan, judgement: &Judgement) -> Verdict {
    let mut bench = Bench::default();
    bench.findings(plan, judgement);
    bench.limits(plan, judgement);
    bench.against(plan, judgement);
    bench.waivers(plan, judgement);
    bench.infra(plan, judgement);
    bench.journal(judgement);
    bench.faults(plan, judgement);
    bench.coverage(plan, judgement);
    bench.doubts(judgement);
    // Stable: within an outcome the order above is the order of weight.
    bench
        .reasons
        .sort_by_key(|reason| std::cmp::Reverse(reason.outcome));
    Verdict {
        outcome: bench
            .reasons
            .first()
            .map_or(Outcome::Pass, |reason| reason.outcome),
        reasons: bench.reasons,
        gates: bench.gates,
        warnings: bench.warnings,
    }
}

/// Collects what each gate says.
#[derive(Default)]
struct Bench {
    reasons: Vec<Reason>,
    gates: Vec<GateResult>,
    warnings: Vec<String>,
}

impl Bench {
    fn gate(&mut self, gate: &str, asked: String, measured: String, outcome: Outcome) {
        self.gates.push(GateResult {
            gate: gate.to_owned(),
            asked,
            measured,
            outcome,
        });
    }

    fn reason(&mut self, outcome: Outcome, text: String) {
        self.reasons.push(Reason {
            outcome,
            text,
            findings: Vec::new(),
        });
    }

    /// A gate whose outcome is also a reason unless it passes.
    fn gate_and_reason(&mut self, gate: &str, asked: String, measured: String, outcome: Outcome) {
        if outcome != Outcome::Pass {
            self.reason(outcome, format!("{gate}: {measured}, asked for {asked}"));
        }
        self.gate(gate, asked, measured, outcome);
    }

    fn findings(&mut self, plan: &Plan, judgement: &Judgement) {
        let end = end_of(judgement);
        let over: Vec<&Finding> = judgement
            .findings
            .iter()
            .filter(|finding| fails(&plan.gate, finding, end))
            .collect();
        self.young(plan, judgement);
        let asked = format!("no finding from {} on", name(plan.gate.fail_on));
        let measured = tally(judgement);
        if let Some(worst) = over.iter().max_by_key(|finding| finding.severity) {
            let more = match over.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            self.reasons.push(Reason {
                outcome: Outcome::Fail,
                text: format!(
                    "{} {}: {}{more}",
                    name(worst.severity),
                    worst.kind,
                    worst.summary
                ),
                findings: over
                    .iter()
                    .take(MOST_NAMED)
                    .map(|finding| finding.id.clone())
                    .collect(),
            });
        }
        for (kind, count) in &judgement.beyond {
            let text = format!("{count} more {kind} than can be held: any of them may fail");
            self.reason(Outcome::Fail, text);
        }
        let outcome = if over.is_empty() && judgement.beyond.is_empty() {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        self.gate("findings", asked, measured, outcome);
    }

    /// What would fail, had the detectors existed when the plan was made.
    fn young(&mut self, plan: &Plan, judgement: &Judgement) {
        let mut young: Vec<(&str, u64)> = Vec::new();
        for finding in &judgement.findings {
            if !weighs(&plan.gate, finding) || !only_warns(&plan.gate, &finding.kind) {
                continue;
            }
            match young.iter_mut().find(|(kind, _)| *kind == finding.kind) {
                Some((_, count)) => *count += 1,
                None => young.push((&finding.kind, 1)),
            }
        }
        for (kind, count) in young {
            self.warnings.push(format!(
                "{count} {kind} only warn: the detector is newer than what the plan requires; `gate.new_detectors = \"fail\"` makes them count"
            ));
        }
    }

    fn limits(&mut self, plan: &Plan, judgement: &Judgement) {
        for (metric, limit) in &plan.gate.limits {
            let (measured, outcome) = hold(metric, limit, judgement);
            let gate = format!("limit {metric}");
            self.gate_and_reason(&gate, limit.text.clone(), measured, outcome);
        }
    }

    fn waivers(&mut self, plan: &Plan, judgement: &Judgement) {
        let end = end_of(judgement);
        for waiver in &plan.gate.waive {
            let about = || {
                let all = judgement.findings.iter();
                all.filter(move |finding| waives(waiver, finding))
            };
            let used = about().count();
            // What fails nothing needs no waiver, not even one whose day is over.
            let needed = about().any(|finding| {
                weighs(&plan.gate, finding) && !only_warns(&plan.gate, &finding.kind)
            });
            let gate = format!("waiver {}", waiver.finding);
            let asked = format!("until {}: {}", waiver.until, waiver.because);
            if used == 0 {
                self.warnings.push(format!(
                    "the waiver of {} (until {}) was not needed",
                    waiver.finding, waiver.until
                ));
                self.gate(&gate, asked, "unused".to_owned(), Outcome::Pass);
            } else if needed && expired(waiver, end) {
                self.gate_and_reason(
                    &gate,
                    asked,
                    format!("{used} findings, expired"),
                    Outcome::Fail,
                );
            } else {
                self.gate(&gate, asked, format!("{used} findings"), Outcome::Pass);
            }
        }
    }

    fn infra(&mut self, plan: &Plan, judgement: &Judgement) {
        let fatal: Vec<_> = judgement.infra.iter().filter(|note| note.fatal).collect();
        if let Some(first) = fatal.first() {
            self.reason(Outcome::Infra, format!("{}: {}", first.what, first.detail));
        }
        let ended = judgement.finished.as_ref().map(|finish| &finish.reason);
        if ended == Some(&FinishReason::Infra) && fatal.is_empty() {
            let text = "the host, the engine or the canary could not go on".to_owned();
            self.reason(Outcome::Infra, text);
        }
        let measured = match (fatal.len(), judgement.infra.len()) {
            (0, 0) => "nothing broke".to_owned(),
            (fatal, all) => format!("{all} incidents, {fatal} of them fatal"),
        };
        let broke = !fatal.is_empty() || ended == Some(&FinishReason::Infra);
        let outcome = if broke { Outcome::Infra } else { Outcome::Pass };
        self.gate("infra", "nothing fatal".to_owned(), measured, outcome);

        let cost = &judgement.cost;
        if cost.samples >= 2 && judgement.coverage.watched >= COST_MATTERS {
            let asked = format!(
                "at most {:.1} % of a core and {:.0} MiB",
                plan.budget.cpu_share * 100.0,
                plan.budget.memory as f64 / MIB
            );
            let mut measured = format!(
                "{:.1} % of a core and {:.0} MiB",
                cost.cpu_share * 100.0,
                cost.memory_peak as f64 / MIB
            );
            if !cost.within_budget {
                measured += " (if that is well spent, raise `budget` in the plan)";
            }
            let outcome = if cost.within_budget {
                Outcome::Pass
            } else {
                Outcome::Infra
            };
            self.gate_and_reason("canary budget", asked, measured, outcome);
        }
    }

    fn journal(&mut self, judgement: &Judgement) {
        let (measured, outcome) = match &judgement.finished {
            None => (
                "the journal has no end: the run goes on, or was cut short".to_owned(),
                Outcome::Inconclusive,
            ),
            Some(finish) => match finish.reason {
                FinishReason::Completed => ("completed".to_owned(), Outcome::Pass),
                // The gate over findings says the rest.
                FinishReason::StoppedOnFailure => ("stopped on failure".to_owned(), Outcome::Pass),
                FinishReason::Infra => ("ended by infra".to_owned(), Outcome::Infra),
                FinishReason::Interrupted => ("interrupted".to_owned(), Outcome::Inconclusive),
                FinishReason::Deadline => (
                    "the deadline came before the plan was done".to_owned(),
                    Outcome::Inconclusive,
                ),
            },
        };
        if outcome == Outcome::Inconclusive {
            self.reason(outcome, measured.clone());
        }
        self.gate("journal", "the whole run".to_owned(), measured, outcome);
    }

    fn doubts(&mut self, judgement: &Judgement) {
        for doubt in judgement
            .doubts
            .iter()
            .filter(|doubt| doubt.decisive)
            .take(10)
        {
            let shard = doubt
                .shard
                .map_or_else(String::new, |shard| format!(" in shard {shard}"));
            let at = human(doubt.from.as_duration());
            self.reason(
                Outcome::Inconclusive,
                format!(
                    "{}{shard} not judged from {at} on: {}",
                    doubt.detector, doubt.why
                ),
            );
        }
        if !judgement.suppressed.is_empty() {
            let all: u64 = judgement.suppressed.values().sum();
            self.warnings
                .push(format!("{all} further findings were only counted"));
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// Whether a finding fails this gate, at this moment of wall time (a waiver has a last day).
#[must_use]
pub fn fails(gate: &Gate, finding: &Finding, now: WallTime) -> bool {
    weighs(gate, finding)
        && !only_warns(gate, &finding.kind)
        && !gate
            .waive
            .iter()
            .any(|waiver| waives(waiver, finding) && !expired(waiver, now))
}

/// Whether a finding would fail this gate if its detector was old enough and no waiver was about it.
fn weighs(gate: &Gate, finding: &Finding) -> bool {
    counts(finding) && finding.severity >= gate.fail_on
}

/// Whether a finding counts at the gate.
fn counts(finding: &Finding) -> bool {
    finding.excused_by.is_none() && finding.waived.is_none()
}

/// Whether findings of this kind fail nothing because their detector is younger than the plan.
#[must_use]
pub fn only_warns(gate: &Gate, kind: &str) -> bool {
    gate.new_detectors == NewDetectors::Warn
        && !gate.severity.contains_key(kind)
        && gate
            .made_for
            .as_deref()
            .is_some_and(|version| newer_than(kind, version))
}

/// Whether a waiver is about this finding, expired or not.
#[must_use]
pub fn waives(waiver: &Waiver, finding: &Finding) -> bool {
    waiver.finding == finding.kind
        && waiver
            .shard
            .is_none_or(|shard| finding.shard.is_some_and(|of| of.0 == shard))
        && waiver.node.as_ref().is_none_or(|node| {
            // All the nodes it names, or it would waive what nobody looked at.
            !finding.nodes.is_empty() && finding.nodes.iter().all(|of| of.as_str() == node)
        })
}

/// Whether a waiver's last day is over at this moment. A date that nobody can read is over.
#[must_use]
pub fn expired(waiver: &Waiver, now: WallTime) -> bool {
    let end = format!("{}T23:59:59Z", waiver.until.trim());
    let Ok(end) = humantime::parse_rfc3339(&end) else {
        return true;
    };
    let end = end
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u128::from(now.0) > end.as_millis() + 999
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

/// `1 critical, 2 minor (1 waived)`.
fn tally(judgement: &Judgement) -> String {
    let mut parts = Vec::new();
    for severity in [
        Severity::Critical,
        Severity::Major,
        Severity::Minor,
        Severity::Info,
    ] {
        let of = || {
            judgement
                .findings
                .iter()
                .filter(move |finding| finding.severity == severity)
        };
        let all = of().count();
        if all == 0 {
            continue;
        }
        let waived = of().filter(|finding| finding.waived.is_some()).count();
        let excused = of().filter(|finding| finding.excused_by.is_some()).count();
        let note = match (waived, excused) {
            (0, 0) => String::new(),
            (waived, 0) => format!(" ({waived} waived)"),
            (0, excused) => format!(" ({excused} excused)"),
            (waived, excused) => format!(" ({waived} waived, {excused} excused)"),
        };
        parts.push(format!("{all} {}{note}", name(severity)));
    }
    if parts.is_empty() {
        return "no finding".to_owned();
    }
    parts.join(", ")
}

/// One limit against what was measured.
fn hold(metric: &str, limit: &Limit, judgement: &Judgement) -> (String, Outcome) {
    if let Some(decided) = faults::never(metric, judgement) {
        return decided;
    }
    let Some(measure) = judgement.measures.get(metric) else {
        return ("not measured".to_owned(), Outcome::Inconclusive);
    };
    let kept = if limit.below {
        measure.value < limit.value
    } else {
        measure.value > limit.value
    };
    let outcome = if kept { Outcome::Pass } else { Outcome::Fail };
    (text(*measure), outcome)
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 100.0)
}

/// A measure for people.
#[must_use]
pub fn text(measure: Measure) -> String {
    match measure.unit {
        Unit::Milliseconds => {
            human(Duration::try_from_secs_f64(measure.value / 1e3).unwrap_or(Duration::MAX))
        }
        Unit::Count | Unit::PerSecond => format!("{}", (measure.value * 100.0).round() / 100.0),
        Unit::Share => percent(measure.value),
        Unit::Bytes => format!("{:.1} MiB", measure.value / MIB),
    }
}

#[cfg(test)]
mod tests;
