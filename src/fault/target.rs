//! Targets: which nodes a fault is done to, decided when it fires, from what is seen then and from its own seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng, seq::SliceRandom as _};

use crate::{
    ids::{NodeName, ShardId},
    plan::{
        NetworkPlan, NodePlan, Role,
        faults::{Target, Who},
    },
};

/// What is seen of the network when a fault fires.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The leader of each shard, where one is known.
    pub leaders: BTreeMap<ShardId, NodeName>,
    /// Free bytes of each node's disk, where known.
    pub disk_free: BTreeMap<NodeName, u64>,
}

/// Checks what can be known of a target before it fires: its shard and its nodes are there.
///
/// # Errors
/// What is not, for people.
pub fn check(target: &Target, nodes: &[NodePlan]) -> Result<(), String> {
    if let Some(shard) = target.shard
        && !nodes.iter().any(|node| node.shard == shard)
    {
        let shards: BTreeSet<ShardId> = nodes.iter().map(|node| node.shard).collect();
        return Err(format!(
            "there is no shard {shard}: the network has {}, from 0",
            shards.len()
        ));
    }
    let Who::Nodes(names) = &target.who else {
        return Ok(());
    };
    match names
        .iter()
        .find(|name| !nodes.iter().any(|node| node.name == **name))
    {
        Some(unknown) => Err(format!("there is no node {unknown}")),
        None => Ok(()),
    }
}

/// Resolves a target.
///
/// # Errors
/// Why there is no such node now, for people.
pub fn resolve(
    target: &Target,
    network: &NetworkPlan,
    seen: &Seen,
    seed: u64,
) -> Result<Vec<NodeName>, String> {
    let (nodes, quorum) = (&network.nodes, network.foreign.quorum);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    check(target, nodes)?;
    if let Who::Nodes(names) = &target.who {
        return Ok(names.clone());
    }
    if target.who == Who::All && target.shard.is_none() {
        return Ok(nodes.iter().map(|node| node.name.clone()).collect());
    }
    if target.who == Who::FullestDisk {
        return fullest(target.shard, nodes, seen);
    }
    let shard = match target.shard {
        Some(shard) => shard,
        None => any_shard(nodes, &mut random)?,
    };
    let of_shard: Vec<&NodePlan> = nodes.iter().filter(|node| node.shard == shard).collect();
    let mut validators: Vec<&NodePlan> = of_shard
        .iter()
        .copied()
        .filter(|node| node.role == Role::Validator && node.voting_power > 0)
        .collect();
    let leader = || {
        seen.leaders
            .get(&shard)
            .ok_or_else(|| format!("nobody is seen to lead shard {shard}"))
    };
    let powers = validators.iter().map(|node| node.voting_power);
    let total = powers.fold(0, u64::saturating_add);
    let name = |node: &&NodePlan| node.name.clone();
    match &target.who {
        Who::Leader => leader().map(|leader| vec![leader.clone()]),
        Who::NextLeader => {
            let leader = leader()?;
            let place = validators.iter().position(|node| node.name == *leader);
            let next = place.map_or(0, |place| (place + 1) % validators.len());
            Ok(validators.get(next).map(name).into_iter().collect())
        }
        Who::All => Ok(of_shard.iter().map(name).collect()),
        Who::One => {
            let node = &validators[random.random_range(0..validators.len())];
            Ok(vec![node.name.clone()])
        }
        Who::MinorityThird => {
            validators.shuffle(&mut random);
            let spared =
                |power: u64| power < total.div_ceil(3) && quorum.is_met(total, total - power);
            let taken = take_while_power(&validators, spared);
            if taken.is_empty() {
                return Err(format!(
                    "no validator of shard {shard} has less than a third of the voting power and leaves a quorum"
                ));
            }
            Ok(taken)
        }
        Who::MoreThanF => {
            validators.shuffle(&mut random);
            let mut taken = Vec::new();
            let mut left = total;
            for node in validators {
                if !quorum.is_met(total, left) {
                    break;
                }
                left = left.saturating_sub(node.voting_power);
                taken.push(node.name.clone());
            }
            Ok(taken)
        }
        Who::Nodes(_) | Who::FullestDisk => Err("not a target of a shard".to_owned()),
    }
}

/// Whether every shard keeps a quorum when these nodes are taken away.
#[must_use]
pub fn leave_quorum(taken: &[NodeName], network: &NetworkPlan) -> bool {
    let mut shards: BTreeMap<ShardId, Vec<(u64, bool)>> = BTreeMap::new();
    for node in network.nodes.iter().filter(|node| node.voting_power > 0) {
        let left = !taken.contains(&node.name);
        let shard = shards.entry(node.shard).or_default();
        shard.push((node.voting_power, left));
    }
    let quorum = network.foreign.quorum;
    shards.into_values().all(|powers| quorum.is_left(powers))
}

/// Nodes in this order for as long as their power together passes the test; those that do not fit are left out.
fn take_while_power(nodes: &[&NodePlan], fits: impl Fn(u64) -> bool) -> Vec<NodeName> {
    let mut power = 0_u64;
    let mut taken = Vec::new();
    for node in nodes {
        let with = power.saturating_add(node.voting_power);
        if fits(with) {
            power = with;
            taken.push(node.name.clone());
        }
    }
    taken
}

fn any_shard(nodes: &[NodePlan], random: &mut ChaCha8Rng) -> Result<ShardId, String> {
    let mut shards: Vec<ShardId> = nodes.iter().map(|node| node.shard).collect();
    shards.sort_unstable();
    shards.dedup();
    match shards.len() {
        0 => Err("the network has no nodes".to_owned()),
        count => Ok(shards[random.random_range(0..count)]),
    }
}

fn fullest(
    shard: Option<ShardId>,
    nodes: &[NodePlan],
    seen: &Seen,
) -> Result<Vec<NodeName>, String> {
    nodes
        .iter()
        .filter(|node| shard.is_none_or(|shard| node.shard == shard))
        .filter_map(|node| {
            seen.disk_free
                .get(&node.name)
                .map(|free| (free, &node.name))
        })
        .min()
        .map(|(_, name)| vec![name.clone()])
        .ok_or_else(|| "no disk was sampled yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::generate::Shape, plan::foreign::Quorum};

    fn network(powers: &[u64], quorum: Quorum) -> NetworkPlan {
        let mut network = Shape::default().plan().network;
        network.nodes = nodes(powers);
        network.foreign.quorum = quorum;
        network
    }

    fn nodes(powers: &[u64]) -> Vec<NodePlan> {
        (0..2_u64)
            .flat_map(|shard| {
                powers
                    .iter()
                    .enumerate()
                    .map(move |(index, power)| NodePlan {
                        name: NodeName::of(ShardId(shard), index as u32),
                        shard: ShardId(shard),
                        index: index as u32,
                        position: index as u32,
                        role: if *power == 0 {
                            Role::Explorer
                        } else {
                            Role::Validator
                        },
                        voting_power: *power,
                    })
            })
            .collect()
    }

    fn names(target: &str, powers: &[u64], seed: u64) -> Result<Vec<String>, String> {
        names_by(Quorum::TwoThirds, target, powers, seed)
    }

    fn names_by(
        quorum: Quorum,
        target: &str,
        powers: &[u64],
        seed: u64,
    ) -> Result<Vec<String>, String> {
        let seen = Seen {
            leaders: [(ShardId(1), NodeName::of(ShardId(1), 3))].into(),
            disk_free: [
                (NodeName::of(ShardId(0), 0), 10),
                (NodeName::of(ShardId(1), 2), 3),
            ]
            .into(),
        };
        let found = resolve(
            &target.parse().unwrap(),
            &network(powers, quorum),
            &seen,
            seed,
        )?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn roles_are_found() {
        let four = [1, 1, 1, 1, 0];
        assert_eq!(names("leader shard:1", &four, 0).unwrap(), ["s1-n03"]);
        assert_eq!(names("next-leader shard:1", &four, 0).unwrap(), ["s1-n00"]);
        assert_eq!(names("fullest-disk", &four, 0).unwrap(), ["s1-n02"]);
        assert_eq!(names("shard:1", &four, 0).unwrap().len(), 5);
        assert_eq!(names("all", &four, 0).unwrap().len(), 10);
        assert!(
            names("leader shard:0", &four, 0)
                .unwrap_err()
                .contains("nobody")
        );
        assert!(names("s9-n00", &four, 0).is_err());
        assert!(names("all shard:7", &four, 0).is_err());
    }

    #[test]
    fn thirds_follow_the_voting_power() {
        for seed in 0..200 {
            assert_eq!(
                names("minority-third shard:0", &[1; 4], seed)
                    .unwrap()
                    .len(),
                1
            );
            assert_eq!(
                names("minority-third shard:0", &[1; 7], seed)
                    .unwrap()
                    .len(),
                2
            );
            assert_eq!(
                names("more-than-f-of shard:0", &[1; 4], seed)
                    .unwrap()
                    .len(),
                2
            );
            // A network that can spare nobody: no minority, and the first one that falls takes the quorum.
            assert!(names("minority-third shard:0", &[1, 1, 1], seed).is_err());
            assert_eq!(
                names("more-than-f-of shard:0", &[1, 1, 1], seed)
                    .unwrap()
                    .len(),
                1
            );
            let heavy = names("minority-third shard:0", &[5, 1, 1, 1], seed).unwrap();
            assert!(!heavy.contains(&"s0-n00".to_owned()));
        }
    }

    #[test]
    fn what_takes_the_quorum_away_follows_the_quorum() {
        let count = |quorum, target: &str, powers: &[u64], seed| {
            let target = format!("{target} shard:0");
            names_by(quorum, &target, powers, seed).map(|names| names.len())
        };
        let majority = Quorum::Majority;
        for seed in 0..100 {
            for (powers, more) in [(&[1; 3][..], 2), (&[1; 4], 2), (&[1; 5], 3), (&[1; 7], 4)] {
                assert_eq!(count(majority, "more-than-f-of", powers, seed), Ok(more));
            }
            assert_eq!(count(majority, "minority-third", &[1; 4], seed), Ok(1));
            assert_eq!(count(majority, "minority-third", &[1; 7], seed), Ok(2));
            assert!(count(majority, "minority-third", &[1; 3], seed).is_err());
            for powers in [
                &[1; 3][..],
                &[1; 4],
                &[1; 7],
                &[3, 1, 1, 1, 2],
                &[u64::MAX, 1],
            ] {
                for quorum in [Quorum::TwoThirds, majority] {
                    let network = network(powers, quorum);
                    let taken = |target: &str| {
                        let target = target.parse().unwrap();
                        resolve(&target, &network, &Seen::default(), seed)
                    };
                    let more = taken("more-than-f-of shard:0").unwrap();
                    assert!(!leave_quorum(&more, &network), "{more:?}");
                    assert!(leave_quorum(&more[1..], &network) || powers[0] != powers[1]);
                    let few = taken("minority-third shard:0").unwrap_or_default();
                    assert!(leave_quorum(&few, &network), "{few:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_nodes() {
        for seed in 0..100 {
            assert_eq!(names("one", &[1; 4], seed), names("one", &[1; 4], seed));
        }
    }
}
