//! The state of the network as it is kept: all of it but what the plan says.

use super::World;
use crate::plan::Plan;

impl World {
    /// A world that was kept, with what follows from the plan of its run.
    pub(in crate::detect) fn of_plan(self, plan: &Plan) -> Self {
        let Self {
            thresholds,
            told,
            budget,
            ends_on,
            log_baseline,
            ..
        } = Self::new(plan);
        Self {
            thresholds,
            told,
            budget,
            ends_on,
            log_baseline,
            ..self
        }
    }
}
