//! Operations of one fault, all of them: on different nodes side by side, on one node in order.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use super::LONGEST;
use crate::{
    engine::inject::{self, Scene},
    fault::operation::{Operation, Outcome},
    ids::NodeName,
    journal::{event::FaultStep, text::clean},
};

/// Operations on different nodes run side by side, those on one node in order.
fn by_node(operations: &[Operation]) -> BTreeMap<&NodeName, Vec<&Operation>> {
    let mut nodes: BTreeMap<&NodeName, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        nodes.entry(operation.node()).or_default().push(operation);
    }
    nodes
}

/// What breaking came to, node by node.
#[derive(Debug, Default)]
pub(in crate::run) struct Broken {
    /// Where all of it was effective, and what was read back.
    worked: Vec<(NodeName, String)>,
    /// Where it had no effect, or failed, and how.
    without: Vec<(NodeName, String)>,
    /// Whether anything failed: what was half done must be undone.
    pub failed: bool,
}

impl Broken {
    /// Whether all of it was effective.
    pub fn everywhere(&self) -> bool {
        self.without.is_empty() && !self.worked.is_empty()
    }

    /// How it had no effect, with the nodes.
    pub fn without(&self) -> String {
        told(&self.without)
    }

    /// What is journalled of it. Nodes on which it works are excused also where it failed on others; those on which it
    /// does not are named first, so that what is effective is about the rest.
    pub fn steps(&self) -> Vec<FaultStep> {
        let names = |of: &[(NodeName, String)]| of.iter().map(|(node, _)| node.clone()).collect();
        let (why, proof) = (self.without(), told(&self.worked));
        match (self.worked.is_empty(), self.without.is_empty()) {
            (true, _) if self.failed => vec![FaultStep::ineffective(why)],
            (true, _) => vec![FaultStep::Acknowledged, FaultStep::ineffective(why)],
            (false, true) => vec![FaultStep::Acknowledged, FaultStep::effective(proof)],
            (false, false) => {
                let nodes = names(&self.without);
                let mut steps = vec![FaultStep::Ineffective { why, nodes }];
                steps.push(FaultStep::Acknowledged);
                let nodes = names(&self.worked);
                steps.push(FaultStep::Effective { proof, nodes });
                steps
            }
        }
    }

    /// What is journalled of nodes that were broken once more after a start.
    pub fn again(&self) -> Vec<FaultStep> {
        let after = |text: &str| clean(&format!("after a start: {text}"), LONGEST);
        let without = self
            .without
            .iter()
            .map(|(node, why)| FaultStep::Ineffective {
                why: after(&format!("{node}: {why}")),
                nodes: vec![node.clone()],
            });
        let worked = self
            .worked
            .iter()
            .map(|(node, proof)| FaultStep::Effective {
                proof: after(&format!("{node}: {proof}")),
                nodes: vec![node.clone()],
            });
        without.chain(worked).collect()
    }
}

fn told(of: &[(NodeName, String)]) -> String {
    let parts: Vec<String> = of
        .iter()
        .map(|(node, text)| format!("{node}: {text}"))
        .collect();
    clean(&parts.join("; "), LONGEST)
}

/// Does all that breaks, within so long on each node; the first failure on a node, or one that takes too long, ends its
/// part, and no other's.
pub(in crate::run) async fn perform_all(
    scene: &Scene,
    operations: &[Operation],
    within: Duration,
) -> Broken {
    let nodes = by_node(operations);
    let work = nodes.into_iter().map(|(node, operations)| async move {
        let outcome = tokio::time::timeout(within, perform_in_order(scene, &operations))
            .await
            .unwrap_or_else(|_| Err("breaking took too long".to_owned()));
        (node.clone(), outcome)
    });
    let mut broken = Broken::default();
    for (node, outcome) in join_all(work).await {
        match outcome {
            Ok(outcome) if outcome.effective => broken.worked.push((node, outcome.proof)),
            Ok(outcome) => broken.without.push((node, outcome.proof)),
            Err(why) => {
                broken.failed = true;
                broken.without.push((node, why));
            }
        }
    }
    broken
}

/// Operations on one node.
async fn perform_in_order(scene: &Scene, operations: &[&Operation]) -> Result<Outcome, String> {
    let mut effective = true;
    let mut proofs = Vec::new();
    for operation in operations {
        let outcome = inject::perform(scene, operation)
            .await
            .map_err(|error| crate::run::conductor::chain(&error))?;
        effective &= outcome.effective;
        proofs.push(outcome.proof);
    }
    Ok(Outcome {
        effective,
        proof: proofs.join("; "),
    })
}

/// Does all that heals, whatever fails.
///
/// # Errors
/// What failed, in one line.
pub(in crate::run) async fn heal_all(
    scene: &Scene,
    operations: &[Operation],
) -> Result<(), String> {
    let nodes = by_node(operations);
    let work = nodes.into_values().map(|operations| async move {
        let mut failures = Vec::new();
        for operation in operations {
            if let Err(error) = inject::perform(scene, operation).await {
                let why = crate::run::conductor::chain(&error);
                failures.push(format!("{}: {why}", operation.node()));
            }
        }
        failures
    });
    let failures: Vec<String> = join_all(work).await.into_iter().flatten().collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    fn broken(worked: &[u32], without: &[u32], failed: bool) -> Broken {
        let of = |nodes: &[u32], text: &str| {
            let node = |index: &u32| (NodeName::of(ShardId(0), *index), text.to_owned());
            nodes.iter().map(node).collect()
        };
        Broken {
            worked: of(worked, "seen"),
            without: of(without, "not seen"),
            failed,
        }
    }

    #[test]
    fn what_worked_is_told_also_where_the_rest_did_not() {
        let node = |index| vec![NodeName::of(ShardId(0), index)];
        let all = broken(&[0, 1], &[], false);
        let proof = "s0-n00: seen; s0-n01: seen".to_owned();
        assert!(all.everywhere());
        assert_eq!(
            all.steps(),
            [FaultStep::Acknowledged, FaultStep::effective(proof)]
        );
        let none = FaultStep::ineffective("s0-n00: not seen".to_owned());
        let nothing = broken(&[], &[0], false);
        assert_eq!(nothing.steps(), [FaultStep::Acknowledged, none.clone()]);
        assert_eq!(broken(&[], &[0], true).steps(), [none]);
        for failed in [false, true] {
            let some = broken(&[1], &[0], failed);
            assert!(!some.everywhere());
            assert_eq!(
                some.steps(),
                [
                    FaultStep::Ineffective {
                        why: "s0-n00: not seen".to_owned(),
                        nodes: node(0)
                    },
                    FaultStep::Acknowledged,
                    FaultStep::Effective {
                        proof: "s0-n01: seen".to_owned(),
                        nodes: node(1)
                    },
                ]
            );
        }
        assert!(!broken(&[], &[], false).everywhere());
    }

    #[test]
    fn after_a_start_a_step_is_about_the_node_that_started() {
        let steps = broken(&[], &[2], true).again();
        let why = "after a start: s0-n02: not seen".to_owned();
        let nodes = vec![NodeName::of(ShardId(0), 2)];
        assert_eq!(steps, [FaultStep::Ineffective { why, nodes }]);
        assert_eq!(broken(&[], &[], false).again(), []);
    }
}
