//! What one soak of the matrix came to: the content of `cell.json`.
//!
//! Each finding carries two delays. From its **cause**: the newest moment, up to two blocks after the finding's own
//! start, at which a fault took effect or was healed (some bugs show only then); without such a moment the end of the
//! warm-up, or the finding's own start where that is later. From its **condition**: its own start, since when what it
//! says held. Both end when it was noticed, or when its severity rose to the final one.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    detect::{Finding, Severity, judgement::FaultView},
    journal::event::Stage,
    plan::Plan,
    report::{
        Standing,
        json::{FindingsFile, VerdictFile},
    },
    time::{Elapsed, micros},
    verdict::Outcome,
};

/// Version of `cell.json`; a field is only ever added under the same number.
pub const FORMAT: u32 = 1;
/// Findings of one soak that are kept; more of them tell nothing new.
const MOST_FINDINGS: usize = 400;
/// The last block is seen a little before a fault that ended it is acknowledged.
const SLACK_BLOCKS: u64 = 2;

/// One soak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// Hash of plan, profile and program: with another one it must be run again.
    pub hash: String,
    /// The cell.
    pub cell: String,
    /// Its run, as people name it.
    pub run: String,
    /// What came out.
    pub outcome: Outcome,
    /// The first reason for it, if there is one.
    pub reason: Option<String>,
    /// Block interval of the canary.
    #[serde(with = "micros")]
    pub block_interval: Duration,
    /// Mainnet's.
    #[serde(with = "micros")]
    pub mainnet_block_interval: Duration,
    /// Length of the soak.
    #[serde(with = "micros")]
    pub soak: Duration,
    /// ... of which was watched.
    #[serde(with = "micros")]
    pub watched: Duration,
    /// Kinds of faults that took effect, and how often; 0 for those that were injected in vain.
    pub faults: Vec<(String, u64)>,
    /// Its findings, as noticed; bounded.
    pub findings: Vec<Found>,
}

/// A finding of one soak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its id in the run.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its final severity.
    pub severity: Severity,
    /// Where it stands at a gate from `major` on.
    pub standing: Standing,
    /// Its own words.
    pub summary: String,
    /// When it was noticed, or came to its final severity.
    pub at: Elapsed,
    /// What the delay from its cause is counted from.
    pub cause: String,
    /// From its cause.
    #[serde(with = "micros")]
    pub from_cause: Duration,
    /// From its condition.
    #[serde(with = "micros")]
    pub from_condition: Duration,
    /// The window that the plan gives such findings, if it is one of time.
    pub window: Option<crate::plan::SoakTime>,
}

/// Reads what a run left.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// `plan.json`.
    pub plan: &'a Plan,
    /// `findings.json`.
    pub findings: &'a FindingsFile,
    /// `verdict.json`.
    pub verdict: &'a VerdictFile,
}

impl Record {
    /// Of a run, by the files that it left.
    #[must_use]
    pub fn of(cell: &str, hash: &str, run: &Path, left: Left<'_>) -> Self {
        let Left {
            plan,
            findings,
            verdict,
        } = left;
        let soak = verdict
            .stages
            .iter()
            .find(|stage| stage.stage == Stage::Soak)
            .map_or_else(Elapsed::default, |stage| stage.at);
        let found = |finding: &Finding| found(finding, &findings.faults, soak, plan);
        Self {
            format: FORMAT,
            hash: hash.to_owned(),
            cell: cell.to_owned(),
            run: run.display().to_string(),
            outcome: verdict.outcome,
            reason: verdict.reasons.first().map(|reason| reason.text.clone()),
            block_interval: plan.clocks.block_interval,
            mainnet_block_interval: plan.clocks.mainnet_block_interval,
            soak: verdict.coverage.soak,
            watched: verdict.coverage.watched,
            faults: verdict
                .faults
                .iter()
                .filter(|kind| kind.fired > 0)
                .map(|kind| (kind.kind.clone(), kind.effective))
                .collect(),
            findings: findings
                .findings
                .iter()
                .take(MOST_FINDINGS)
                .map(|told| found(&told.finding))
                .collect(),
        }
    }
}

fn found(finding: &Finding, faults: &[FaultView], soak: Elapsed, plan: &Plan) -> Found {
    let at = finding.raised.unwrap_or(finding.noticed);
    let slack = plan.clocks.blocks(SLACK_BLOCKS);
    let (cause, since) = cause(finding, faults, soak, slack);
    Found {
        id: finding.id.clone(),
        kind: finding.kind.clone(),
        severity: finding.severity,
        standing: Standing::of(finding, &plan.gate),
        summary: finding.summary.clone(),
        at,
        cause,
        from_cause: at.since(since),
        from_condition: at.since(finding.start),
        window: window(&finding.kind, plan).map(crate::plan::SoakTime),
    }
}

/// What a finding's delay is counted from.
fn cause(
    finding: &Finding,
    faults: &[FaultView],
    soak: Elapsed,
    slack: Duration,
) -> (String, Elapsed) {
    let latest = finding.start + slack;
    let moments = faults
        .iter()
        .filter(|fault| fault.skipped.is_none() && fault.effective != Some(false))
        .flat_map(|fault| {
            let effect = fault.acknowledged.unwrap_or(fault.requested);
            let effect = (format!("{} took effect", fault.kind), effect);
            let heal = fault
                .healed
                .map(|at| (format!("{} was healed", fault.kind), at));
            std::iter::once(effect).chain(heal)
        })
        .filter(|(_, at)| *at <= latest);
    // The first of equals: an effect and its heal at one moment are the effect's.
    let newest = moments.reduce(|best, next| if next.1 > best.1 { next } else { best });
    newest.unwrap_or_else(|| {
        if finding.start > soak {
            ("its own start".to_owned(), finding.start)
        } else {
            ("the end of the warm-up".to_owned(), soak)
        }
    })
}

/// The window of time after which such a finding is due, counted from its own start.
fn window(kind: &str, plan: &Plan) -> Option<Duration> {
    let (thresholds, clocks) = (&plan.thresholds, &plan.clocks);
    let told = thresholds.told.as_ref();
    match kind {
        "stall" => Some(thresholds.stall),
        "no-recovery" => Some(thresholds.recovery),
        "never-started" => Some(thresholds.never_started),
        "cross-shard-stall" => told.map(|told| told.cross_shard_stall),
        "height-mismatch" => told.map(|told| told.height_mismatch),
        // So many timeouts at one height, each twice as long as the one before.
        "view-change-loop" => {
            let mut timeout = clocks.view_change_timeout;
            let mut window = Duration::ZERO;
            for _ in 0..thresholds.view_change_loop.min(100) {
                window += timeout + clocks.view_change_slot;
                timeout = (timeout * 2).min(clocks.view_change_timeout_max);
            }
            Some(window)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::generate::Shape;

    fn finding(start: u64, noticed: u64) -> Finding {
        serde_json::from_value(serde_json::json!({
            "id": "st-1", "kind": "stall", "severity": "critical", "shard": 0, "nodes": [],
            "start": start, "noticed": noticed, "end": null, "heights": null, "duration": 0,
            "mainnet": 0, "summary": "no block", "evidence": [], "excused_by": null,
            "waived": null, "causes": []
        }))
        .unwrap()
    }

    fn fault(kind: &str, effect: u64, healed: Option<u64>) -> FaultView {
        let mut fault = FaultView::new("f1", kind, Elapsed::from_millis(effect - 50));
        fault.acknowledged = Some(Elapsed::from_millis(effect));
        fault.effective = Some(true);
        fault.healed = healed.map(Elapsed::from_millis);
        fault
    }

    #[test]
    fn a_delay_is_counted_from_the_newest_moment_of_a_fault_before_the_finding() {
        let (soak, slack) = (Elapsed::from_secs(5), Duration::from_millis(200));
        let stalled = finding(10_000_000, 12_000_000);
        let faults = [
            fault("kill", 6_000, Some(8_000)),
            fault("pause", 10_150, Some(11_500)),
            fault("restart", 13_000, None),
        ];
        let (words, at) = cause(&stalled, &faults, soak, slack);
        assert_eq!(words, "pause took effect");
        assert_eq!(at, Elapsed::from_millis(10_150));

        let (words, at) = cause(&stalled, &faults[..1], soak, slack);
        assert_eq!((words.as_str(), at.0), ("kill was healed", 8_000_000));

        let mut hollow = fault("kill", 6_000, None);
        hollow.effective = Some(false);
        let (words, at) = cause(&stalled, &[hollow], soak, slack);
        assert_eq!((words.as_str(), at.0), ("its own start", 10_000_000));

        let early = finding(1_000_000, 6_000_000);
        let (words, at) = cause(&early, &[], soak, slack);
        assert_eq!((words.as_str(), at), ("the end of the warm-up", soak));
    }

    #[test]
    fn what_rose_later_was_found_later() {
        let plan = Shape::default().plan();
        let mut stalled = finding(10_000_000, 11_000_000);
        stalled.raised = Some(Elapsed::from_secs(14));
        let told = found(&stalled, &[], Elapsed::from_secs(5), &plan);
        assert_eq!(told.from_condition, Duration::from_secs(4));
        assert_eq!(told.at, Elapsed::from_secs(14));
        assert_eq!(told.standing, Standing::Fails);
        assert_eq!(
            told.window.map(|window| window.0),
            Some(plan.thresholds.stall)
        );
    }

    #[test]
    fn a_loop_is_due_after_its_timeouts() {
        let plan = Shape::default().plan();
        let window = window("view-change-loop", &plan).unwrap();
        assert!(window >= plan.clocks.view_change_timeout * 3);
        assert!(super::window("fd-growth", &plan).is_none());
    }
}
