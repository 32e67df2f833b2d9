//! What the steps of the ladder do: faults that a plan could have, and two that only the ladder does.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    fault::{
        effect::Effect,
        kinds::{self, Cast, Fault, KindInfo},
        operation::{Operation, ProcessOp},
    },
    ids::{Height, NodeName, ShardId},
    plan::{
        NetworkPlan,
        faults::{PlannedFault, Target, Trigger, Who},
        recovery::Rung,
        values::Span,
        versions,
    },
};

const WIPE: &str = "wipe-node";
const RESTORE: &str = "restore-node";

/// Kinds that nobody asks for by name: what is on a disk is given up.
const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: WIPE,
        summary: "a node goes on with an empty disk",
        decides_running: true,
        needs: &[],
        parse: kinds::parse::<Wipe>,
        parameters: kinds::parameters::<Wipe>,
    },
    KindInfo {
        kind: RESTORE,
        summary: "a node goes on with the disk of a snapshot",
        decides_running: true,
        needs: &[],
        parse: kinds::parse::<Restore>,
        parameters: kinds::parameters::<Restore>,
    },
];

/// The kind of this name, also of those that only the ladder does.
#[must_use]
pub fn kind(name: &str) -> Option<&'static KindInfo> {
    kinds::kind(name).or_else(|| KINDS.iter().find(|info| info.kind == name))
}

fn grace() -> Span {
    Span(std::time::Duration::from_secs(5))
}

/// Parameters of `wipe-node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wipe {
    /// Time to stop before it is killed.
    #[serde(default = "grace")]
    grace: Span,
}

/// Parameters of `restore-node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// The folder of the snapshot.
    #[serde(default)]
    snapshot: PathBuf,
    /// Time to stop before it is killed.
    #[serde(default = "grace")]
    grace: Span,
}

/// Down, something with its disk, and up again. The heal only sees to it that the node runs: what was being written to its
/// disk when the canary ended is what an operator who was called away leaves behind.
fn beneath(cast: &Cast<'_>, grace: Span, between: &[ProcessOp]) -> Vec<Operation> {
    let stop = ProcessOp::Stop { grace: grace.0 };
    let mut operations = Vec::new();
    for what in [stop].iter().chain(between).chain(&[ProcessOp::Start]) {
        operations.extend(cast.on_each(|node| Operation::Process {
            node,
            what: what.clone(),
        }));
    }
    operations
}

fn runs(cast: &Cast<'_>) -> Vec<Operation> {
    cast.on_each(|node| Operation::Process {
        node,
        what: ProcessOp::Start,
    })
}

impl Fault for Wipe {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        beneath(cast, self.grace, &[ProcessOp::Empty])
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        runs(cast)
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down, Effect::SetBack]
    }
}

impl Fault for Restore {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let refill = ProcessOp::Refill {
            snapshot: self.snapshot.clone(),
        };
        beneath(cast, self.grace, &[ProcessOp::Empty, refill])
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        runs(cast)
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down, Effect::SetBack]
    }
}

/// A node whose disk may be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it runs.
    pub runs: bool,
    /// Its head.
    pub height: Option<Height>,
}

/// The node of a shard whose disk is given up: a validator, not the leader if there is another one, rather one that does not
/// run or is behind, else the one with the highest number.
#[must_use]
pub fn spare(candidates: &[Candidate]) -> Option<&NodeName> {
    candidates
        .iter()
        .filter(|candidate| candidate.votes)
        .min_by(|one, other| {
            let order = |candidate: &Candidate| {
                let height = candidate.height.unwrap_or_default();
                (candidate.leads, candidate.runs, height)
            };
            order(one)
                .cmp(&order(other))
                .then_with(|| other.name.cmp(&one.name))
        })
        .map(|candidate| &candidate.name)
}

/// The fault that a step is carried out as; `None` where nothing is done. `node` is the one whose disk may be given up,
/// `snapshot` the folder that it may be filled from.
///
/// # Errors
/// Why the step cannot be tried.
pub fn planned(
    rung: &Rung,
    shard: ShardId,
    number: u32,
    network: &NetworkPlan,
    node: Option<&NodeName>,
    snapshot: Option<&Path>,
) -> Result<Option<PlannedFault>, String> {
    let whole = (Who::All, Some(shard));
    let one = || {
        let node = node.ok_or("the shard has no validator whose disk could be given up")?;
        Ok::<_, String>((Who::Nodes(vec![node.clone()]), None))
    };
    let (kind, parameters, (who, shard_of)) = match rung {
        Rung::Wait => return Ok(None),
        Rung::RestartLeader => ("restart", json!({}), (Who::Leader, Some(shard))),
        Rung::RestartShard => ("restart", json!({}), whole),
        Rung::Version(name) => ("upgrade", json!({ "version": name }), whole),
        Rung::RestoreNode => {
            let snapshot = snapshot
                .ok_or("there is no snapshot: this run has made none and did not begin from one")?;
            let folder: Value = snapshot.to_string_lossy().into();
            (RESTORE, json!({ "snapshot": folder }), one()?)
        }
        Rung::WipeNode => (WIPE, json!({}), one()?),
    };
    let mut fault = PlannedFault {
        id: format!("recovery-{shard}-{number}-{}", rung.word()),
        kind: kind.to_owned(),
        parameters,
        trigger: Trigger::After(std::time::Duration::ZERO),
        // What it does is done when it is acknowledged: there is nothing to hold.
        lasts: std::time::Duration::ZERO,
        target: Target {
            who,
            shard: shard_of,
        },
        seed: 0,
        drawn: false,
    };
    versions::fill(&mut fault, network)?;
    Ok(Some(fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::generate::Shape, plan::foreign::Quorum};

    fn candidate(index: u32, leads: bool, runs: bool, height: u64) -> Candidate {
        Candidate {
            name: NodeName::of(ShardId(0), index),
            votes: true,
            leads,
            runs,
            height: Some(Height(height)),
        }
    }

    #[test]
    fn the_disk_given_up_is_that_of_whom_the_shard_can_spare() {
        let chosen = |candidates: &[Candidate]| spare(candidates).map(ToString::to_string);
        let mut four: Vec<_> = (0..4)
            .map(|index| candidate(index, index == 3, true, 9))
            .collect();
        assert_eq!(
            chosen(&four).unwrap(),
            "s0-n02",
            "the leader is the last resort"
        );
        four[1].height = Some(Height(4));
        assert_eq!(chosen(&four).unwrap(), "s0-n01", "one that is behind");
        four[0].runs = false;
        assert_eq!(chosen(&four).unwrap(), "s0-n00", "one that does not run");
        assert_eq!(
            chosen(&four[3..]).unwrap(),
            "s0-n03",
            "if there is no other"
        );
        four.iter_mut().for_each(|node| node.votes = false);
        assert_eq!(chosen(&four), None);
    }

    #[test]
    fn steps_are_faults_of_the_shard_and_the_disk_is_changed_while_the_node_is_down() {
        let network = Shape::default().plan().network;
        let node = NodeName::of(ShardId(0), 2);
        let make = |rung: &Rung, snapshot: Option<&Path>| {
            planned(rung, ShardId(0), 3, &network, Some(&node), snapshot)
        };
        assert_eq!(make(&Rung::Wait, None).unwrap(), None);
        let fault = make(&Rung::RestartShard, None).unwrap().unwrap();
        assert_eq!(fault.id, "recovery-0-3-restart-shard");
        assert_eq!(fault.target.to_string(), "all shard:0");
        let error = make(&Rung::RestoreNode, None).unwrap_err();
        assert!(error.contains("no snapshot"), "{error}");
        let error = make(&Rung::Version("v2".to_owned()), None).unwrap_err();
        assert!(
            error.contains("one version only") || error.contains("no version"),
            "{error}"
        );
        for rung in [Rung::RestoreNode, Rung::WipeNode] {
            let fault = make(&rung, Some(Path::new("/s"))).unwrap().unwrap();
            let info = kind(&fault.kind).unwrap();
            assert!(kinds::kind(&fault.kind).is_none(), "nobody may ask for it");
            let done = (info.parse)(&fault.parameters).unwrap();
            let cast = Cast {
                quorum: Quorum::default(),
                fault: &fault.id,
                targets: std::slice::from_ref(&node),
                nodes: &network.nodes,
                duration: fault.lasts,
                seed: 0,
            };
            let breaks = done.breaks(&cast);
            let what = |at: usize| match &breaks[at] {
                Operation::Process { what, .. } => what.clone(),
                other => panic!("{other:?}"),
            };
            assert!(matches!(what(0), ProcessOp::Stop { .. }));
            assert_eq!(what(1), ProcessOp::Empty);
            assert_eq!(what(breaks.len() - 1), ProcessOp::Start);
            assert!(done.effects().contains(&Effect::SetBack));
            // What is armed must come back as it was.
            let text = serde_json::to_string(&breaks).unwrap();
            let read: Vec<Operation> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, breaks);
        }
    }
}
