//! What the plan asked to be broken, and the canary's test of itself.

use super::{Bench, Outcome};
use crate::{detect::Judgement, journal::event::FinishReason, plan::Plan, time::human};

impl Bench {
    /// What the plan asked to be broken, and the canary's test of itself.
    pub(super) fn faults(&mut self, plan: &Plan, judgement: &Judgement) {
        let faults = &judgement.faults;
        if !plan.schedule.is_empty() || !faults.is_empty() {
            let fired = faults.iter().filter(|fault| fault.skipped.is_none());
            let count = fired.clone().count();
            let effective = fired
                .clone()
                .filter(|fault| fault.effective == Some(true))
                .count();
            let back = fired.filter(|fault| fault.first_block.is_some()).count();
            let skipped = faults.len() - count;
            let never = plan.schedule.len().saturating_sub(faults.len());
            let measured = format!(
                "{effective} of {count} effective, {back} recovered, {skipped} skipped, {never} never fired"
            );
            // A run that was ended early says so elsewhere.
            let completed = judgement
                .finished
                .as_ref()
                .is_some_and(|finish| finish.reason == FinishReason::Completed);
            let short = effective < count || skipped > 0 || (never > 0 && completed);
            let outcome = if short {
                Outcome::Inconclusive
            } else {
                Outcome::Pass
            };
            self.gate_and_reason(
                "coverage faults",
                "all effective".to_owned(),
                measured,
                outcome,
            );
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
                None => self.gate_and_reason(
                    "drill",
                    asked,
                    "the canary did not report its own fake stall".to_owned(),
                    Outcome::Infra,
                ),
            }
        }
    }
}
