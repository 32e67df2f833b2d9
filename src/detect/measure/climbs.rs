//! What the recovery ladder did on shards that stood still: which step brought them back. In no other statistic.

use serde::{Deserialize, Serialize};

use super::MOST_NOTES;
use crate::{
    detect::judgement::{ClimbStep, ClimbView, StepOutcome},
    ids::ShardId,
    journal::{event::FaultStep, recovery::RecoveryStep, text::clean},
    plan::SoakTime,
    time::Elapsed,
};

/// Follows every ladder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Climbs {
    views: Vec<ClimbView>,
}

impl Climbs {
    pub fn step(&mut self, shard: ShardId, what: &RecoveryStep, now: Elapsed) {
        if let RecoveryStep::SetOff {
            finding, height, ..
        } = what
        {
            if self.views.len() < MOST_NOTES {
                self.views.push(ClimbView {
                    shard,
                    finding: clean(finding, 64),
                    begins: now,
                    height: *height,
                    ..ClimbView::default()
                });
            }
            return;
        }
        let view = self.views.iter_mut().rfind(|view| view.shard == shard);
        let Some(view) = view.filter(|view| !view.over()) else {
            return;
        };
        match what {
            RecoveryStep::SetOff { .. } => {}
            RecoveryStep::Begun {
                step, nodes, fault, ..
            } => view.steps.push(ClimbStep {
                step: clean(step, 80),
                begins: now,
                nodes: nodes.iter().map(|node| clean(node.as_str(), 64)).collect(),
                fault: fault.as_deref().map(|fault| clean(fault, 80)),
                ..ClimbStep::default()
            }),
            RecoveryStep::Skipped { step, why, .. } => view.steps.push(ClimbStep {
                step: clean(step, 80),
                begins: now,
                outcome: StepOutcome::Skipped,
                why: clean(why, 300),
                ..ClimbStep::default()
            }),
            RecoveryStep::DidNotHelp { after, .. } => {
                if let Some(step) = view.steps.last_mut() {
                    step.outcome = StepOutcome::DidNotHelp;
                    step.took = Some(SoakTime(*after));
                }
            }
            RecoveryStep::BroughtBack { height, after, .. } => {
                view.back_at = Some(*height);
                if let Some(step) = view.steps.last_mut() {
                    step.outcome = StepOutcome::BroughtBack;
                    step.took = Some(SoakTime(*after));
                    view.recovered_by = Some(step.step.clone());
                    let first = step.begins + *after;
                    view.after = Some(SoakTime(first.since(view.begins)));
                }
            }
            RecoveryStep::NothingHelped => view.used_up = true,
        }
    }

    /// What was read back of what a step did.
    pub fn carried_out(&mut self, id: &str, step: &FaultStep) {
        let of = |known: &&mut ClimbStep| known.fault.as_deref() == Some(id);
        let steps = self.views.iter_mut().rev().flat_map(|view| &mut view.steps);
        let known = { steps }.find(of);
        if let (
            Some(known),
            FaultStep::Effective { proof: told, .. }
            | FaultStep::Ineffective { why: told, .. }
            | FaultStep::HealFailed { why: told },
        ) = (known, step)
        {
            known.why = clean(told, 300);
        }
    }

    pub fn views(&self) -> Vec<ClimbView> {
        self.views.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::Height;

    #[test]
    fn the_step_that_brought_a_shard_back_is_told_with_its_time() {
        let mut climbs = Climbs::default();
        let shard = ShardId(1);
        let begun = |place, step: &str, fault: Option<&str>| RecoveryStep::Begun {
            place,
            step: step.to_owned(),
            nodes: Vec::new(),
            fault: fault.map(str::to_owned),
        };
        let after = Duration::from_secs(10);
        let story = [
            (
                10,
                RecoveryStep::SetOff {
                    finding: "st-1".to_owned(),
                    height: Height(7),
                    usual: Duration::from_millis(200),
                },
            ),
            (10, begun(0, "wait", None)),
            (20, RecoveryStep::DidNotHelp { place: 0, after }),
            (
                20,
                RecoveryStep::Skipped {
                    place: 1,
                    step: "restore-node".to_owned(),
                    why: "no snapshot".to_owned(),
                },
            ),
            (
                20,
                begun(2, "restart-shard", Some("recovery-1-2-restart-shard")),
            ),
            (
                36,
                RecoveryStep::BroughtBack {
                    place: 2,
                    height: Height(8),
                    after: Duration::from_secs(4),
                },
            ),
        ];
        for (at, what) in &story {
            climbs.step(shard, what, Elapsed::from_secs(*at));
        }
        let proof = "s1-n00: runs".to_owned();
        let step = FaultStep::effective(proof);
        climbs.carried_out("recovery-1-2-restart-shard", &step);
        // Of another shard, and of none that was set off.
        climbs.step(
            ShardId(0),
            &RecoveryStep::NothingHelped,
            Elapsed::from_secs(40),
        );
        climbs.step(shard, &RecoveryStep::NothingHelped, Elapsed::from_secs(40));
        let views = climbs.views();
        assert_eq!(views.len(), 1);
        let view = &views[0];
        assert_eq!(view.recovered_by.as_deref(), Some("restart-shard"));
        assert_eq!(view.after, Some(SoakTime(Duration::from_secs(14))));
        assert_eq!((view.back_at, view.used_up), (Some(Height(8)), false));
        let outcomes: Vec<_> = view.steps.iter().map(|step| step.outcome).collect();
        let expected = [
            StepOutcome::DidNotHelp,
            StepOutcome::Skipped,
            StepOutcome::BroughtBack,
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(view.steps[2].why, "s1-n00: runs");
    }
}
