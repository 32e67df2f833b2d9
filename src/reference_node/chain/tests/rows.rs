//! A state survives the store and the wire.

use super::harness::{ALL, Net};
use crate::reference_node::chain::{ChainState, Payload, StateError, StateRow};
use crate::reference_node::types::{Hash, ShardId, decode, encode};
use std::collections::BTreeMap;

/// Two shards that have sent each other receipts, some acknowledged; the rows of shard 0 kept by changes alone.
fn history() -> (Net, BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut net = Net::new(2);
    let mut table: BTreeMap<_, _> = net.shards[0].state.rows().collect();
    for round in 0..12_u64 {
        let before = net.shards[0].state.clone();
        let transactions = vec![
            net.transfer(0, 0, 0, 1, round + 1),
            net.transfer(0, 1, 0, 0, 3),
        ];
        let incoming = net.shards[1].state.outbox(ShardId(0)).collect();
        let crosslinks = if round % 4 == 3 {
            net.shards[1].crosslink().into_iter().collect()
        } else {
            Vec::new()
        };
        net.advance(
            0,
            &Payload {
                transactions,
                incoming,
                crosslinks,
            },
            &ALL,
        );
        let changes = net.shards[0].state.changes_since(&before);
        assert!(
            changes.put.len() < 20,
            "{} rows for one block",
            changes.put.len()
        );
        table.extend(changes.put);
        for key in changes.delete {
            assert!(table.remove(&key).is_some());
        }
        let transactions = vec![net.transfer(1, 0, 0, 0, 2)];
        let incoming = net.shards[0].state.outbox(ShardId(1)).collect();
        net.advance(
            1,
            &Payload {
                transactions,
                incoming,
                crosslinks: Vec::new(),
            },
            &ALL,
        );
    }
    (net, table)
}

#[test]
fn changes_keep_a_table_equal_to_the_state() {
    let (net, table) = history();
    let state = &net.shards[0].state;
    assert!(state.outbox(ShardId(1)).next().is_some() && state.links().next().is_some());
    assert_eq!(table, state.rows().collect());
    let restored =
        ChainState::from_rows_checked(ShardId(0), table, net.shards[0].header.state_root).unwrap();
    assert_eq!(restored.total_balance(), state.total_balance());
    assert_eq!(restored.transfers(), state.transfers());
    assert_eq!(restored.rewards(), state.rewards());
    assert_eq!(restored.changes_since(state), Default::default());
}

#[test]
fn a_state_travels_encoded() {
    let (net, _) = history();
    let bytes = encode(&net.shards[0].state);
    let state: ChainState = decode(&bytes, 1 << 20).unwrap();
    assert_eq!(state, net.shards[0].state);
}

#[test]
fn a_false_snapshot_is_found_out() {
    let (net, _) = history();
    let rows: Vec<StateRow> = net.shards[0].state.rows().collect();
    let root = net.shards[0].header.state_root;
    let check = |rows: Vec<StateRow>| ChainState::from_rows_checked(ShardId(0), rows, root);
    assert!(check(rows.clone()).is_ok());
    let mut backwards = rows.clone();
    backwards.reverse();
    assert!(check(backwards).is_ok(), "rows may come in any order");
    for position in 0..rows.len() {
        let mut fewer = rows.clone();
        fewer.remove(position);
        assert!(matches!(
            check(fewer),
            Err(StateError::WrongRoot { .. } | StateError::NoCounters)
        ));
    }
    let mut more = rows.clone();
    more.push((vec![9], vec![]));
    assert_eq!(check(more), Err(StateError::UnknownKey(1)));
    assert!(matches!(
        ChainState::from_rows_checked(ShardId(0), rows, Hash::ZERO),
        Err(StateError::WrongRoot { .. })
    ));
}
