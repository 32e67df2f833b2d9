//! Alerts of a run: what changes among the findings goes to the desk, the verdict at the end too.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{baseline::summary_of, conclude, conductor::Conductor, directory::StateFolder};
use crate::{
    alert::{Desk, notice::About},
    detect::{ChangeKind, Finding, FindingChange, Judge},
    ids::RunId,
    plan::{Plan, Waiver, alerts::AlertVerdict},
    report::{ReportInput, history, markdown, summary::Summary},
    time::{RunClock, WallTime},
    verdict::{Outcome, expired, waives},
};

/// Longest wait at the end for receivers that are slow or down.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// ... when a signal ended the run: CI ends what does not end by itself.
const LAST_WAIT_INTERRUPTED: Duration = Duration::from_millis(1_500);

/// Earlier runs that are looked at: a year of nights.
const MOST_RUNS: usize = 400;

/// A desk for a run's alerts.
pub(super) fn desk(plan: &Plan, run: &RunId, judge: &Judge, directory: &Path) -> Desk {
    // A run that begins has judged nothing yet, not even when it began: now.
    let started = match judge.world().started {
        WallTime(0) => RunClock::wall(),
        started => started,
    };
    let words: Vec<String> = conclude::reproduce(plan)
        .iter()
        .map(|word| markdown::run::quoted(word))
        .collect();
    let about = About {
        plan: plan.name.clone(),
        run: run.to_string(),
        started,
        report: directory.join("report.html").display().to_string(),
        reproduce: words.join(" "),
        seen: if plan.alerts.routes.is_empty() {
            BTreeMap::new()
        } else {
            first_seen(plan, directory)
        },
    };
    Desk::open(&plan.alerts, about)
}

/// When each finding was first seen in earlier runs of this plan.
fn first_seen(plan: &Plan, directory: &Path) -> BTreeMap<String, WallTime> {
    let root = directory.parent().and_then(Path::parent);
    let Some(state) = root.and_then(|root| StateFolder::open(Some(root)).ok()) else {
        return BTreeMap::new();
    };
    let runs: Vec<Summary> = state
        .all()
        .iter()
        .filter(|(_, record)| record.plan == plan.name)
        .take(MOST_RUNS)
        .filter_map(|(run, _)| summary_of(run).ok())
        .collect();
    let rows = history::history(&runs).into_iter();
    rows.map(|row| (row.fingerprint, row.first)).collect()
}

impl Conductor {
    /// Tells the receivers of a change, without waiting for any of them.
    pub(super) fn alert(&mut self, change: &FindingChange) {
        let finding = &change.finding;
        let world = self.judge.world();
        let wall = world.wall(world.now);
        let waives = |waiver: &Waiver| waives(waiver, finding) && !expired(waiver, wall);
        if self.plan.gate.waive.iter().any(waives) {
            return;
        }
        // What may be of a fault's making that is just being begun wakes nobody before that is known.
        if self.judge.is_undecided(finding) && self.desk.hold(change) {
            return;
        }
        let drilled = |shard| world.drilled(shard, world.now).is_some();
        let drill = finding.shard.is_some_and(drilled);
        let leader = self.curves.leaders.get(&finding.id).map(String::as_str);
        self.desk.finding(change, leader, drill);
    }

    /// Tells of what was held back and is decided by now, as it stands now.
    pub(super) fn alert_held(&mut self) {
        for held in self.desk.take_held() {
            let same = |finding: &&Finding| finding.id == held.finding.id;
            let Some(finding) = self.judge.findings().iter().rfind(same).cloned() else {
                continue;
            };
            let kind = held.kind;
            let over = finding.end.is_some() && kind == ChangeKind::Opened;
            self.alert(&FindingChange {
                kind,
                finding: finding.clone(),
            });
            if over {
                let kind = ChangeKind::Closed;
                self.alert(&FindingChange { kind, finding });
            }
        }
    }

    /// Tells again of what was open when the run was taken over: their keys are the same, so that nobody is told twice.
    pub(super) fn alert_again(&mut self) {
        let open: Vec<FindingChange> = self
            .judge
            .findings()
            .iter()
            .filter(|finding| finding.end.is_none())
            .map(|finding| FindingChange {
                kind: ChangeKind::Opened,
                finding: finding.clone(),
            })
            .collect();
        for change in &open {
            self.alert(change);
        }
    }

    /// Tells those who want it of the verdict and waits a little for what is under way. What was not delivered is told
    /// on the terminal.
    pub(super) async fn last_alerts(&mut self, input: &ReportInput, hurry: bool) {
        self.alert_held();
        let verdict = match input.verdict.outcome {
            Outcome::Pass => AlertVerdict::Pass,
            Outcome::Fail => AlertVerdict::Fail,
            Outcome::Infra => AlertVerdict::Infra,
            Outcome::Inconclusive => AlertVerdict::Inconclusive,
        };
        let sentence = markdown::sentence(input, crate::report::text::plain);
        self.desk.verdict(verdict, &sentence);
        let longest = if hurry {
            LAST_WAIT_INTERRUPTED
        } else {
            LAST_WAIT
        };
        for problem in self.desk.close(longest).await {
            self.note(&problem);
        }
    }
}
