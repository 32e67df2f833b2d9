//! Standstills for snapshots: the canary's own doing, and in no statistic.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MOST_NOTES;
use crate::{
    detect::{judgement::Standstill, world::World},
    journal::{event::FaultStep, text::clean},
    time::Elapsed,
};

/// Follows every standstill.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Standstills {
    views: Vec<Standstill>,
    /// The last one, also beyond the bound on what is told.
    last: Option<(Elapsed, Option<Elapsed>)>,
}

impl Standstills {
    pub fn step(&mut self, id: &str, step: &FaultStep, now: Elapsed) {
        if let FaultStep::Requested { .. } = step {
            self.last = Some((now, None));
            if self.views.len() < MOST_NOTES {
                self.views.push(Standstill {
                    id: clean(id, 64),
                    begins: now,
                    ends: None,
                    told: String::new(),
                });
            }
            return;
        }
        let known = self.views.iter_mut().rfind(|view| view.id == *id);
        match (step, known) {
            (FaultStep::Healed, known) => {
                if let Some((_, ends)) = &mut self.last {
                    *ends = ends.or(Some(now));
                }
                if let Some(view) = known {
                    view.ends = view.ends.or(Some(now));
                }
            }
            (
                FaultStep::Effective { proof, .. } | FaultStep::Ineffective { why: proof, .. },
                Some(view),
            ) => {
                view.told = clean(proof, 300);
            }
            (FaultStep::HealFailed { why }, Some(view)) => view.told = clean(why, 300),
            _ => {}
        }
    }

    /// Whether what is measured now is of its making: until the shards have had their time to come back.
    pub fn cover(&self, world: &World) -> bool {
        self.last.is_some_and(|(_, ends)| {
            ends.is_none_or(|ends| world.now.since(ends) < world.thresholds.recovery)
        })
    }

    pub fn views(&self) -> Vec<Standstill> {
        self.views.clone()
    }
}

impl Standstill {
    /// How long it lasted; none while it lasts.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.since(self.begins))
    }
}
