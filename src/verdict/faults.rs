//! What the plan asked to be broken, and the canary's test of itself.

use std::collections::BTreeSet;

use super::{Bench, Outcome};
use crate::{
    detect::{Judgement, judgement::FaultView},
    journal::event::FinishReason,
    plan::Plan,
    time::human,
};

impl Bench {
    /// What the plan asked to be broken, and the canary's test of itself.
    pub(super) fn faults(&mut self, plan: &Plan, judgement: &Judgement) {
        let faults = &judgement.faults;
        if !plan.schedule.is_empty() || !faults.is_empty() {
            self.effective(plan, judgement);
            for fault in faults
                .iter()
                .filter(|fault| fault.heal_failed.is_some())
                .take(10)
            {
                let why = fault.heal_failed.as_deref().unwrap_or_default();
                self.reason(
                    Outcome::Infra,
                    format!("{} could not be healed: {why}", fault.id),
                );
            }
        }
        if plan.drill.is_some() && judgement.drills.is_empty() && completed(judgement) {
            self.gate_and_reason(
                "drill",
                "the planned fake stall is made and found".to_owned(),
                "it was never made".to_owned(),
                Outcome::Infra,
            );
        }
        for drill in &judgement.drills {
            let asked = format!("the fake stall of shard {} is found", drill.shard);
            match drill.found {
                Some(found) => {
                    let after = human(found.since(drill.begins));
                    self.gate(
                        "drill",
                        asked,
                        format!("found after {after}"),
                        Outcome::Pass,
                    );
                }
                None => {
                    let lasted = drill.ends.unwrap_or(judgement.last).since(drill.begins);
                    // Counted from the last block, which may be one that was on its way when the nodes were paused.
                    let window = plan.thresholds.stall + plan.clocks.block_interval;
                    let (measured, outcome) = if lasted > window {
                        let missed = "the canary did not report its own fake stall";
                        (missed.to_owned(), Outcome::Infra)
                    } else {
                        let lasted = human(lasted);
                        let cut = format!("it was cut off after {lasted}, before it had to be");
                        (cut, Outcome::Inconclusive)
                    };
                    self.gate_and_reason("drill", asked, measured, outcome);
                }
            }
        }
    }

    /// Of the plan's faults, those that were really done; what somebody injected by hand is told beside them.
    fn effective(&mut self, plan: &Plan, judgement: &Judgement) {
        let planned: BTreeSet<&str> = plan
            .schedule
            .iter()
            .map(|fault| fault.id.as_str())
            .collect();
        let (of_plan, by_hand): (Vec<&FaultView>, Vec<&FaultView>) = judgement
            .faults
            .iter()
            .partition(|fault| planned.contains(fault.id.as_str()));
        let fired = of_plan.iter().filter(|fault| fault.skipped.is_none());
        let count = fired.clone().count();
        let is_effective = |fault: &&&FaultView| fault.effective == Some(true);
        let effective = fired.clone().filter(is_effective).count();
        let back = fired.filter(|fault| fault.first_block.is_some()).count();
        let skipped = of_plan.len() - count;
        let never = plan.schedule.len().saturating_sub(of_plan.len());
        let mut measured = format!(
            "{effective} of {count} effective, {back} recovered, {skipped} skipped, {never} never fired"
        );
        if !by_hand.is_empty() {
            measured.push_str(&format!(", {} by hand", by_hand.len()));
        }
        // A run that was ended early says so elsewhere.
        let all = if completed(judgement) {
            plan.schedule.len()
        } else {
            of_plan.len()
        };
        let asked = plan.gate.coverage.faults_share;
        let outcome = if (effective as f64) < asked * all as f64 {
            Outcome::Inconclusive
        } else {
            Outcome::Pass
        };
        let asked = if asked >= 1.0 {
            "all effective".to_owned()
        } else {
            format!("{} of the plan's effective", super::percent(asked))
        };
        self.gate_and_reason("coverage faults", asked, measured, outcome);
    }
}

fn completed(judgement: &Judgement) -> bool {
    let finished = judgement.finished.as_ref();
    finished.is_some_and(|finish| finish.reason == FinishReason::Completed)
}

/// What a limit on recovery comes to where there is nothing to be measured: a shard that never came back is over every
/// limit, a run in which nothing had to recover is under it.
pub(super) fn never(metric: &str, judgement: &Judgement) -> Option<(String, Outcome)> {
    let (measure, rest) = metric.split_once('.')?;
    let level = measure == "catch-up";
    if !level && measure != "recovery" {
        return None;
    }
    let of_kind = rest.rsplit_once('.').map(|(kind, _)| kind);
    let kinds = judgement
        .kinds
        .iter()
        .filter(|kind| of_kind.is_none_or(|of| kind.kind == of));
    let (mut tries, mut never) = (0, 0);
    for kind in kinds {
        let (back, lost) = if level {
            (kind.caught_up.count, kind.never_caught_up)
        } else {
            (kind.first_block.count, kind.never_back)
        };
        tries += back + lost;
        never += lost;
    }
    if !level && of_kind.is_none() {
        for shard in &judgement.shards {
            tries += shard.recovery.stalls;
            never += shard
                .recovery
                .stalls
                .saturating_sub(shard.recovery.recovered);
        }
    }
    match (tries, never, of_kind) {
        // A limit on a kind that never was done is not kept by that.
        (0, _, Some(_)) => None,
        (0, _, None) => Some(("nothing had to recover".to_owned(), Outcome::Pass)),
        (_, 0, _) => None,
        _ => Some((format!("never ({never} of {tries})"), Outcome::Fail)),
    }
}
