//! Who still reaches whom: what faults on the network have in common.
//!
//! A fault on the network is a list of [`Cuts`]: nodes, each with the peers that it does not reach (well) any more. The
//! operations follow from it, and so does who can be counted on: see [`taken`].

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt};

use rand::{SeedableRng as _, rngs::ChaCha8Rng, seq::SliceRandom as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::{
    effect::Effect,
    kinds::{Cast, Fault},
    operation::{
        LinkOp, Operation,
        link::{Direction, Fate},
    },
};
use crate::{
    ids::{NodeName, ShardId},
    plan::{
        NodePlan,
        faults::{Target, TargetManifest, Who},
        foreign::Quorum,
        values::Share,
    },
};

/// Nodes on which rules are set, each with the peers that the rules are about.
pub type Cuts = Vec<(NodeName, Vec<NodeName>)>;

/// Every packet, of a million.
pub const ALL: u32 = 1_000_000;

/// A share as so many of a million.
#[must_use]
pub fn per_million(share: Share) -> u32 {
    // Invariant: a share is from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a million fits"
    )]
    let per_million = (share.0 * f64::from(ALL)).round() as u32;
    per_million
}

/// Which peers: nodes by name, or all of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TargetManifest")]
pub enum Peers {
    /// These nodes.
    Nodes(Vec<NodeName>),
    /// All nodes of this shard.
    Shard(ShardId),
}

impl TryFrom<TargetManifest> for Peers {
    type Error = String;

    fn try_from(typed: TargetManifest) -> Result<Self, String> {
        let wrong = |text: &str| format!("{text:?} names no peers: write nodes or `shard:N`");
        let node = |text: String| text.parse().map_err(|_| wrong(&text));
        match typed {
            TargetManifest::Nodes(names) => {
                let nodes: Result<_, _> = names.into_iter().map(node).collect();
                nodes.map(Self::Nodes)
            }
            TargetManifest::One(text) => match text.parse() {
                Ok(Target {
                    who: Who::Nodes(nodes),
                    ..
                }) => Ok(Self::Nodes(nodes)),
                Ok(Target {
                    who: Who::All,
                    shard: Some(shard),
                }) => Ok(Self::Shard(shard)),
                _ => Err(wrong(&text)),
            },
        }
    }
}

impl JsonSchema for Peers {
    fn schema_name() -> Cow<'static, str> {
        TargetManifest::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        TargetManifest::json_schema(generator)
    }
}

impl Peers {
    fn name(&self, node: &NodePlan) -> bool {
        match self {
            Self::Nodes(nodes) => nodes.contains(&node.name),
            Self::Shard(shard) => node.shard == *shard,
        }
    }
}

/// Each target from every other node (or from these), also from the other targets.
#[must_use]
pub fn each_from_all(cast: &Cast<'_>, peers: Option<&Peers>) -> Cuts {
    cuts(cast, peers, |target, node| node.name != *target)
}

/// The targets, which still reach each other, from all other nodes (or from these).
#[must_use]
pub fn together_from_rest(cast: &Cast<'_>, peers: Option<&Peers>) -> Cuts {
    cuts(cast, peers, |_, node| !cast.targets.contains(&node.name))
}

fn cuts(
    cast: &Cast<'_>,
    peers: Option<&Peers>,
    from: impl Fn(&NodeName, &NodePlan) -> bool,
) -> Cuts {
    let of = |target: &NodeName| {
        let nodes = cast.nodes.iter().filter(|node| from(target, node));
        nodes
            .filter(|node| peers.is_none_or(|peers| peers.name(node)))
            .map(|node| node.name.clone())
            .collect()
    };
    let cuts = cast.targets.iter();
    let mut cuts: Cuts = cuts.map(|target| (target.clone(), of(target))).collect();
    // A target that is the only peer named has none left, which is no reason to let the others alone.
    if cuts.iter().any(|(_, peers)| !peers.is_empty()) {
        cuts.retain(|(_, peers)| !peers.is_empty());
    }
    cuts
}

/// The targets of each shard in two halves, drawn; the first halves together from the second ones together.
#[must_use]
pub fn halves(cast: &Cast<'_>) -> Cuts {
    let mut shards: BTreeMap<Option<ShardId>, Vec<NodeName>> = BTreeMap::new();
    for target in shuffled(cast) {
        let plan = cast.nodes.iter().find(|node| node.name == target);
        let shard = plan.map(|node| node.shard);
        shards.entry(shard).or_default().push(target);
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for mut nodes in shards.into_values() {
        second.extend(nodes.split_off(nodes.len() / 2));
        first.extend(nodes);
    }
    let second = &second;
    first
        .into_iter()
        .map(|node| (node, second.clone()))
        .collect()
}

/// The targets in a ring, drawn, each with its neighbours a majority, no two the same: each from all others.
#[must_use]
pub fn ring(cast: &Cast<'_>) -> Cuts {
    let nodes = shuffled(cast);
    let count = nodes.len();
    let majority = count / 2 + 1;
    (0..count)
        .map(|place| {
            // Its majority begins so far before it that it is in the middle.
            let begin = place + count - majority / 2;
            let others = (majority..count).map(|step| nodes[(begin + step) % count].clone());
            (nodes[place].clone(), others.collect::<Vec<_>>())
        })
        .filter(|(_, others)| !others.is_empty())
        .collect()
}

fn shuffled(cast: &Cast<'_>) -> Vec<NodeName> {
    let mut nodes = cast.targets.to_vec();
    nodes.shuffle(&mut ChaCha8Rng::seed_from_u64(cast.seed));
    nodes
}

/// A fault on the network: all that is its own.
pub trait LinkFault: fmt::Debug + Send + Sync {
    /// What it does to nodes.
    const EFFECTS: &'static [Effect];

    /// Who is cut from whom.
    fn cuts(&self, cast: &Cast<'_>) -> Cuts;

    /// Which packets, seen from the node with the rules.
    fn direction(&self) -> Direction;

    /// What becomes of them.
    fn fate(&self, cast: &Cast<'_>) -> Fate;
}

impl<Kind: LinkFault> Fault for Kind {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let cuts = self.cuts(cast).into_iter();
        cuts.map(|(node, peers)| Operation::Link {
            node,
            what: LinkOp::Break {
                fault: cast.fault.to_owned(),
                peers,
                direction: self.direction(),
                fate: self.fate(cast),
            },
        })
        .collect()
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let cuts = self.cuts(cast).into_iter();
        cuts.map(|(node, _)| Operation::Link {
            node,
            what: LinkOp::Heal {
                fault: cast.fault.to_owned(),
            },
        })
        .collect()
    }

    fn takes(&self, cast: &Cast<'_>) -> Vec<NodeName> {
        taken(cast.nodes, cast.quorum, &self.cuts(cast))
    }

    fn effects(&self) -> &'static [Effect] {
        Kind::EFFECTS
    }

    // A node that starts again has a new network namespace.
    fn breaks_again(&self) -> bool {
        true
    }
}

/// Nodes that cannot be counted on.
///
/// In each shard those can be counted on that all still reach each other, if they are a quorum; if no such set is one,
/// nobody can: the shard owes nothing. A set is found by leaving out, one after the other, the node that is apart from
/// the most voting power. For two sides that is the lighter side; where a cut has no sides (a ring) a larger set may be
/// there that is not found, and then less is asked of the shard than could be. Cuts between shards take nobody: each
/// shard makes its own blocks.
#[must_use]
pub fn taken(nodes: &[NodePlan], quorum: Quorum, cuts: &Cuts) -> Vec<NodeName> {
    let mut shards: BTreeMap<ShardId, Vec<&NodePlan>> = BTreeMap::new();
    for node in nodes {
        shards.entry(node.shard).or_default().push(node);
    }
    let mut taken = Vec::new();
    for members in shards.values() {
        let relied_on = relied_on(members, cuts);
        let powers = members.iter().map(|node| node.voting_power);
        let quorum = quorum.is_left(powers.zip(relied_on.iter().copied()));
        let whole = relied_on.iter().all(|relied_on| *relied_on);
        let lost = members.iter().zip(&relied_on);
        taken.extend(
            lost.filter(|(_, relied_on)| !(whole || quorum && **relied_on))
                .map(|(node, _)| node.name.clone()),
        );
    }
    taken
}

/// For each member of a shard whether it is in a set whose members all reach each other.
fn relied_on(members: &[&NodePlan], cuts: &Cuts) -> Vec<bool> {
    let place = |name: &NodeName| members.iter().position(|node| node.name == *name);
    let count = members.len();
    let mut apart = vec![false; count * count];
    let mut has_rules = vec![false; count];
    for (node, peers) in cuts {
        let Some(node) = place(node) else { continue };
        has_rules[node] = true;
        for peer in peers.iter().filter_map(place) {
            apart[node * count + peer] = true;
            apart[peer * count + node] = true;
        }
    }
    let mut relied_on = vec![true; count];
    loop {
        let lost = |node: usize| {
            let peers = (0..count).filter(|peer| relied_on[*peer] && apart[node * count + peer]);
            peers.fold((0_u128, 0_usize), |(power, number), peer| {
                (power + u128::from(members[peer].voting_power), number + 1)
            })
        };
        let worst = (0..count)
            .filter(|node| relied_on[*node])
            .map(|node| {
                let own = Reverse(members[node].voting_power);
                (lost(node), own, has_rules[node], node)
            })
            .max();
        match worst {
            Some(((_, number), _, _, node)) if number > 0 => relied_on[node] = false,
            _ => return relied_on,
        }
    }
}

#[cfg(test)]
mod tests;
