use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    fault::kinds::kind,
    plan::{Role, foreign::Quorum},
};

/// A shard with validators of these powers, and one more without power each.
fn shard(shard: u64, powers: &[u64]) -> Vec<NodePlan> {
    (0_u32..)
        .zip(powers)
        .map(|(index, power)| NodePlan {
            name: NodeName::of(ShardId(shard), index),
            shard: ShardId(shard),
            index,
            position: index,
            role: if *power == 0 {
                Role::Explorer
            } else {
                Role::Validator
            },
            voting_power: *power,
        })
        .collect()
}

fn node(index: u32) -> NodeName {
    NodeName::of(ShardId(0), index)
}

fn cast<'a>(targets: &'a [NodeName], nodes: &'a [NodePlan], seed: u64) -> Cast<'a> {
    Cast {
        fault: "f1",
        targets,
        nodes,
        quorum: Quorum::TwoThirds,
        duration: Duration::from_secs(3),
        seed,
    }
}

fn fault(name: &str, parameters: serde_json::Value) -> Box<dyn Fault> {
    (kind(name).unwrap().parse)(&parameters).unwrap()
}

/// Whom a fault takes, as indices of shard 0.
fn takes(
    name: &str,
    parameters: serde_json::Value,
    targets: &[u32],
    nodes: &[NodePlan],
) -> Vec<u32> {
    let targets: Vec<NodeName> = targets.iter().copied().map(node).collect();
    let taken = fault(name, parameters).takes(&cast(&targets, nodes, 7));
    let index = |name: &NodeName| nodes.iter().find(|node| node.name == *name).unwrap().index;
    taken.iter().map(index).collect()
}

#[test]
fn a_bare_majority_is_relied_on_where_it_is_a_quorum() {
    let nodes = shard(0, &[1; 5]);
    let targets = [node(3), node(4)];
    let by = |quorum| {
        let cast = Cast {
            quorum,
            ..cast(&targets, &nodes, 7)
        };
        fault("partition", serde_json::json!({})).takes(&cast)
    };
    assert_eq!(
        by(Quorum::Majority),
        targets,
        "three of five still owe blocks"
    );
    assert_eq!(
        by(Quorum::TwoThirds).len(),
        5,
        "three of five are no quorum"
    );
}

#[test]
fn peers_are_nodes_or_a_shard() {
    let read = |json| serde_json::from_value::<Peers>(json);
    assert_eq!(
        read(serde_json::json!("s0-n01")).unwrap(),
        Peers::Nodes(vec![node(1)])
    );
    assert_eq!(
        read(serde_json::json!(["s0-n01", "s0-n02"])).unwrap(),
        Peers::Nodes(vec![node(1), node(2)])
    );
    assert_eq!(
        read(serde_json::json!("shard:3")).unwrap(),
        Peers::Shard(ShardId(3))
    );
    for wrong in ["leader", "all", "one shard:1", "..", ""] {
        let error = read(serde_json::json!(wrong)).unwrap_err().to_string();
        assert!(error.contains("shard:N"), "{error}");
    }
}

#[test]
fn rules_are_on_the_targets_and_about_their_peers_alone() {
    let mut nodes = shard(0, &[1; 4]);
    nodes.extend(shard(1, &[1; 2]));
    let targets = [node(0), node(1)];
    let cast = cast(&targets, &nodes, 1);
    let peers = |cuts: Cuts| -> Vec<usize> { cuts.iter().map(|(_, peers)| peers.len()).collect() };
    assert_eq!(peers(each_from_all(&cast, None)), [5, 5]);
    assert_eq!(peers(together_from_rest(&cast, None)), [4, 4]);
    let other = Peers::Shard(ShardId(1));
    assert_eq!(peers(each_from_all(&cast, Some(&other))), [2, 2]);
    let one = Peers::Nodes(vec![node(1), node(3)]);
    assert_eq!(peers(together_from_rest(&cast, Some(&one))), [1, 1]);
    for (target, peers) in each_from_all(&cast, None) {
        assert!(!peers.contains(&target));
    }
    // A target has itself for no peer; where nobody has any, that is told when it fires.
    let itself = Peers::Nodes(vec![node(0)]);
    assert_eq!(
        each_from_all(&cast, Some(&itself)),
        [(node(1), vec![node(0)])]
    );
    assert_eq!(peers(together_from_rest(&cast, Some(&itself))), [0, 0]);
}

#[test]
fn one_side_of_a_cut_is_counted_on_or_none() {
    let four = shard(0, &[1; 4]);
    let none = || serde_json::json!({});
    for kind in ["partition", "isolate", "reject", "packet-loss", "delay"] {
        assert_eq!(takes(kind, none(), &[2], &four), [2], "{kind}");
        // Two and two: nobody is a quorum, so nobody can be counted on.
        assert_eq!(takes(kind, none(), &[1, 2], &four), [0, 1, 2, 3], "{kind}");
    }
    // Three targets together are the larger side, each by itself they are nothing.
    assert_eq!(takes("partition", none(), &[0, 1, 2], &four), [3]);
    assert_eq!(takes("isolate", none(), &[0, 1, 2], &four), [0, 1, 2, 3]);
    let halves = serde_json::json!({ "shape": "halves" });
    assert_eq!(
        takes("partition", halves.clone(), &[0, 1, 2, 3], &four),
        [0, 1, 2, 3]
    );
    // One way is as good as both: who is not heard cannot be counted on.
    let one_way = serde_json::json!({ "direction": "out" });
    assert_eq!(takes("partition", one_way, &[0], &four), [0]);
    let ring = serde_json::json!({ "shape": "ring" });
    assert_eq!(takes("partition", ring, &[0, 1, 2, 3], &four), [0, 1, 2, 3]);
    // Between two nodes alone: it is enough not to count on the one with the rules, or on the lighter one.
    let pair = serde_json::json!({ "peers": "s0-n03" });
    assert_eq!(takes("isolate", pair.clone(), &[1], &four), [1]);
    let heavy = shard(0, &[1, 4, 1, 1, 4]);
    assert_eq!(takes("isolate", pair, &[1], &heavy), [3]);
    // By weight, not by number.
    let heavy = shard(0, &[7, 1, 1, 1]);
    assert_eq!(takes("partition", none(), &[0], &heavy), [1, 2, 3]);
    // Who has no vote takes no quorum along.
    let explorer = shard(0, &[1, 1, 1, 1, 0]);
    assert_eq!(takes("isolate", none(), &[4], &explorer), [4]);
    assert_eq!(takes("isolate", none(), &[0], &explorer), [0]);
}

#[test]
fn a_cut_between_shards_takes_nobody() {
    let mut nodes = shard(0, &[1; 4]);
    nodes.extend(shard(1, &[1; 4]));
    let targets: Vec<NodeName> = (0..4).map(node).collect();
    let fault = fault("isolate", serde_json::json!({ "peers": "shard:1" }));
    let cast = cast(&targets, &nodes, 1);
    assert!(fault.takes(&cast).is_empty());
    assert_eq!(fault.breaks(&cast).len(), 4);
}

proptest! {
    /// The lighter side of a partition is taken, or the whole shard where neither side is a quorum.
    #[test]
    fn partitions_take_what_is_outside_the_side_with_quorum(
        powers in proptest::collection::vec(0_u64..5, 2..12),
        chosen in proptest::collection::vec(any::<bool>(), 12),
        seed in any::<u64>(),
    ) {
        let nodes = shard(0, &powers);
        let (targets, rest): (Vec<_>, Vec<_>) = nodes
            .iter()
            .partition(|node| chosen[node.index as usize]);
        prop_assume!(!targets.is_empty() && !rest.is_empty());
        let power = |nodes: &[&NodePlan]| -> u64 { nodes.iter().map(|node| node.voting_power).sum() };
        let quorum = |nodes: &[&NodePlan]| power(nodes) * 3 > powers.iter().sum::<u64>() * 2;
        let names = |nodes: &[&NodePlan]| -> Vec<NodeName> {
            nodes.iter().map(|node| node.name.clone()).collect()
        };
        let expected = match (quorum(&targets), quorum(&rest)) {
            (true, _) => names(&rest),
            (_, true) => names(&targets),
            _ => names(&nodes.iter().collect::<Vec<_>>()),
        };
        let fault = fault("partition", serde_json::json!({}));
        prop_assert_eq!(fault.takes(&cast(&names(&targets), &nodes, seed)), expected);
    }

    /// Whatever is cut: those that are not taken all reach each other, and are a quorum or nobody.
    #[test]
    fn who_is_not_taken_reaches_all_others(
        powers in proptest::collection::vec(1_u64..5, 2..10),
        pairs in proptest::collection::vec((0_u32..10, 0_u32..10), 0..20),
    ) {
        let nodes = shard(0, &powers);
        let count = u32::try_from(powers.len()).unwrap();
        let cuts: Cuts = pairs
            .iter()
            .filter(|(one, other)| one != other && *one < count && *other < count)
            .map(|(one, other)| (node(*one), vec![node(*other)]))
            .collect();
        let taken = taken(&nodes, Quorum::TwoThirds, &cuts);
        let left: Vec<&NodePlan> = nodes.iter().filter(|node| !taken.contains(&node.name)).collect();
        for (one, others) in &cuts {
            prop_assert!(taken.contains(one) || taken.contains(&others[0]));
        }
        let power: u64 = left.iter().map(|node| node.voting_power).sum();
        prop_assert!(left.is_empty() || power * 3 > powers.iter().sum::<u64>() * 2);
        prop_assert_eq!(taken.is_empty(), cuts.is_empty());
    }

    #[test]
    fn in_a_ring_each_hears_a_majority_and_no_two_the_same(count in 3_u32..40, seed in any::<u64>()) {
        let nodes = shard(0, &vec![1; count as usize]);
        let targets: Vec<NodeName> = (0..count).map(node).collect();
        let cuts = ring(&cast(&targets, &nodes, seed));
        prop_assert_eq!(cuts.len(), targets.len());
        let mut heard = BTreeSet::new();
        for (node, others) in &cuts {
            let mut others = others.clone();
            others.sort();
            others.dedup();
            prop_assert_eq!(targets.len() - others.len(), targets.len() / 2 + 1);
            prop_assert!(!others.contains(node));
            prop_assert!(heard.insert(others), "two hear the same");
        }
    }

    #[test]
    fn halves_are_halves_of_each_shard(first in 2_u32..9, second in 2_u32..9, seed in any::<u64>()) {
        let mut nodes = shard(0, &vec![1; first as usize]);
        nodes.extend(shard(1, &vec![1; second as usize]));
        let targets: Vec<NodeName> = nodes.iter().map(|node| node.name.clone()).collect();
        let cuts = halves(&cast(&targets, &nodes, seed));
        let first: Vec<&NodeName> = cuts.iter().map(|(node, _)| node).collect();
        for of in [ShardId(0), ShardId(1)] {
            let all = nodes.iter().filter(|node| node.shard == of).count();
            let here = nodes.iter().filter(|node| node.shard == of && first.contains(&&node.name)).count();
            prop_assert_eq!(here, all / 2);
        }
        for (_, others) in &cuts {
            prop_assert_eq!(others.len() + first.len(), nodes.len());
            prop_assert!(others.iter().all(|other| !first.contains(&other)));
        }
    }
}
