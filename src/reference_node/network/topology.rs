//! Which nodes have a link: all of a shard with each other, and across shards two for each validator.

use super::NodeId;

/// The nodes that `node` keeps a link with, among `all` nodes of the network.
///
/// Across shards the validators with the same index are linked, and the one of the lower shard also with the next
/// index of the higher shard, round and round. So every validator has two links to every other shard, and receipts
/// pass although any one node is dead. Explorers have no link to another shard.
pub fn neighbours(
    node: NodeId,
    validators: u16,
    all: impl IntoIterator<Item = NodeId>,
) -> Vec<NodeId> {
    all.into_iter()
        .filter(|other| *other != node && linked(node, *other, validators))
        .collect()
}

fn linked(one: NodeId, other: NodeId, validators: u16) -> bool {
    if one.shard == other.shard {
        return true;
    }
    if one.index >= validators || other.index >= validators {
        return false;
    }
    let (lower, higher) = if one.shard < other.shard {
        (one, other)
    } else {
        (other, one)
    };
    higher.index == lower.index
        || u32::from(higher.index) == (u32::from(lower.index) + 1) % u32::from(validators)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_mutual_and_two_for_each_other_shard() {
        let all: Vec<NodeId> = (0..4)
            .flat_map(|shard| (0..5).map(move |index| NodeId::new(shard, index)))
            .collect();
        for node in &all {
            let mine = neighbours(*node, 4, all.iter().copied());
            assert!(
                mine.iter()
                    .all(|peer| neighbours(*peer, 4, all.iter().copied()).contains(node))
            );
            assert_eq!(
                mine.iter().filter(|peer| peer.shard == node.shard).count(),
                4
            );
            for shard in (0..4).filter(|shard| *shard != node.shard.0) {
                let across = mine.iter().filter(|peer| peer.shard.0 == shard).count();
                assert_eq!(across, if node.index < 4 { 2 } else { 0 });
            }
        }
    }

    #[test]
    fn one_validator_a_shard_has_one_link() {
        let all = [NodeId::new(0, 0), NodeId::new(1, 0)];
        assert_eq!(neighbours(all[0], 1, all), vec![all[1]]);
    }
}
