//! An old run under another plan: its network, clocks and faults as they were, the other's thresholds and gate.
//!
//! Pure. Windows are wall time of the canary's clocks, and detectors know the nodes by name: under a plan of another
//! network or other clocks they would mean something else.

use super::{NodePlan, Plan};

/// Why a run cannot be judged under a plan: each difference in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is about another network:\n{}", .0.join("\n"))]
pub struct Misfit(pub Vec<String>);

impl Plan {
    /// This plan of a run with the thresholds, the gate, the budgets and the log baseline of another one. What was done
    /// (network, clocks, faults, length) stays as it was; so does how log lines were classified, which is in the journal.
    ///
    /// # Errors
    /// Every difference of the networks and their clocks.
    pub fn under(&self, other: &Self) -> Result<Self, Misfit> {
        let differences = differences(self, other);
        if !differences.is_empty() {
            return Err(Misfit(differences));
        }
        Ok(Self {
            thresholds: other.thresholds.clone(),
            gate: other.gate.clone(),
            budget: other.budget.clone(),
            log_baseline: other.log_baseline.clone(),
            stop_on_failure: other.stop_on_failure,
            origins: other.origins.clone(),
            ..self.clone()
        })
    }
}

fn differences(run: &Plan, other: &Plan) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differs = |what: &str, run: String, other: String| {
        if run != other {
            differences.push(format!("{what}: the run had {run}, the plan has {other}"));
        }
    };
    differs(
        "shards",
        run.network.shards.to_string(),
        other.network.shards.to_string(),
    );
    let (ours, theirs) = (&run.network.nodes, &other.network.nodes);
    differs("nodes", ours.len().to_string(), theirs.len().to_string());
    // The first that differs; the others often follow from it.
    let apart = ours.iter().zip(theirs).find(|(node, other)| node != other);
    if let Some((node, other)) = apart {
        differs("a node", described(node), described(other));
    }
    for (what, of) in [
        (
            "block interval",
            (|plan: &Plan| plan.clocks.block_interval) as fn(&Plan) -> _,
        ),
        ("mainnet's block interval", |plan| {
            plan.clocks.mainnet_block_interval
        }),
        ("view-change timeout", |plan| {
            plan.clocks.view_change_timeout
        }),
        ("view-change slot", |plan| plan.clocks.view_change_slot),
        ("longest view-change timeout", |plan| {
            plan.clocks.view_change_timeout_max
        }),
    ] {
        differs(
            what,
            crate::time::human(of(run)),
            crate::time::human(of(other)),
        );
    }
    differences
}

fn described(node: &NodePlan) -> String {
    format!(
        "{} ({:?}, shard {}, voting power {})",
        node.name, node.role, node.shard, node.voting_power
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::journal::generate::Shape;

    #[test]
    fn thresholds_and_gate_are_the_others_and_what_was_done_stays() {
        let run = Shape::default().plan();
        let mut other = run.clone();
        other.name = "stricter".to_owned();
        other.seed = "other".to_owned();
        other.thresholds.stall = Duration::from_secs(1);
        other.gate.fail_on = crate::detect::Severity::Minor;
        let judged = run.under(&other).unwrap();
        assert_eq!(judged.thresholds, other.thresholds);
        assert_eq!(judged.gate, other.gate);
        assert_eq!((judged.name, judged.seed), (run.name, run.seed));
    }

    #[test]
    fn another_network_or_other_clocks_are_refused() {
        let run = Shape::default().plan();
        let small = Shape {
            shards: 1,
            ..Shape::default()
        };
        let misfit = run.under(&small.plan()).unwrap_err();
        assert!(misfit.0[0].contains("shards: the run had 4, the plan has 1"));
        assert!(misfit.0.iter().any(|line| line.starts_with("nodes")));
        let slow = Shape {
            interval: Duration::from_millis(400),
            ..Shape::default()
        };
        let misfit = run.under(&slow.plan()).unwrap_err();
        assert!(misfit.to_string().contains("block interval"), "{misfit}");
        let mut other = run.clone();
        other.network.nodes[5].voting_power += 1;
        let misfit = run.under(&other).unwrap_err();
        assert!(
            misfit.0[0].starts_with("a node: the run had s1-n01"),
            "{misfit}"
        );
    }
}
