//! The gate that holds a run against a baseline.

use super::Bench;
use crate::{
    compare::{self, Row},
    detect::Judgement,
    plan::{Plan, Side},
};

impl Bench {
    /// Each metric with a tolerance against the baseline's runs; what either side lacks fails.
    pub(super) fn against(&mut self, plan: &Plan, judgement: &Judgement) {
        let Some(against) = &plan.gate.against else {
            return;
        };
        let values = judgement
            .measures
            .iter()
            .map(|(metric, measure)| (metric.clone(), measure.value))
            .collect();
        let now = Side {
            seed: plan.seed.clone(),
            values,
        };
        for row in compare::compare(&[now], &against.runs, &against.tolerances) {
            let Some(allowed) = row.allowed else { continue };
            self.gate_and_reason(
                &format!("against {}", row.metric),
                format!(
                    "at most {:+.1} % over {}",
                    allowed * 100.0,
                    against.baseline
                ),
                measured(&row),
                row.outcome,
            );
        }
    }
}

fn measured(row: &Row) -> String {
    match (row.change, row.interval) {
        (None, _) => "missing".to_owned(),
        (Some(change), None) => format!("{:+.1} %", change * 100.0),
        (Some(change), Some((low, high))) => format!(
            "{:+.1} % ({:+.1} to {:+.1} %)",
            change * 100.0,
            low * 100.0,
            high * 100.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;

    #[test]
    fn what_is_missing_is_said() {
        let row = Row {
            metric: "memory.max".to_owned(),
            now: None,
            baseline: Some(1.0),
            change: None,
            interval: None,
            pairs: 0,
            allowed: Some(0.05),
            outcome: Outcome::Fail,
        };
        assert_eq!(measured(&row), "missing");
    }
}
