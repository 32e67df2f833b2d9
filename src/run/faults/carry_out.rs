//! Operations of one fault, all of them: on different nodes side by side, on one node in order.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::{
    engine::inject::{self, Scene},
    fault::operation::{Operation, Outcome},
    ids::NodeName,
};

/// Operations on different nodes run side by side, those on one node in order.
fn by_node(operations: &[Operation]) -> BTreeMap<&NodeName, Vec<&Operation>> {
    let mut nodes: BTreeMap<&NodeName, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        nodes.entry(operation.node()).or_default().push(operation);
    }
    nodes
}

/// Does all that breaks; the first failure on a node ends its part.
pub(in crate::run) async fn perform_all(
    scene: &Scene,
    operations: &[Operation],
) -> Result<Outcome, String> {
    let nodes = by_node(operations);
    let work = nodes.into_values().map(|operations| async move {
        let mut outcomes = Vec::new();
        for operation in operations {
            let outcome = inject::perform(scene, operation).await.map_err(|error| {
                format!(
                    "{}: {}",
                    operation.node(),
                    crate::run::conductor::chain(&error)
                )
            })?;
            outcomes.push((operation.node().clone(), outcome));
        }
        Ok::<_, String>(outcomes)
    });
    let mut effective = true;
    let mut proofs = Vec::new();
    for outcomes in join_all(work).await {
        for (node, outcome) in outcomes? {
            effective &= outcome.effective;
            proofs.push(format!("{node}: {}", outcome.proof));
        }
    }
    Ok(Outcome {
        effective: effective && !proofs.is_empty(),
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
