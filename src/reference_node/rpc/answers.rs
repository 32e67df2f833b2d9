//! The shapes of the answers: Harmony's fields, with our extensions named where they stand.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::reference_node::consensus::CommittedBlock;
use crate::reference_node::genesis::NodeRecord;
use crate::reference_node::node::published::{Live, Published};
use crate::reference_node::types::{Certificate, CrossLink, Hash, NodeId, ShardId, Transaction};

/// What `web3_clientVersion` and the metadata say.
pub(super) const VERSION: &str = concat!("canarynet/reference/", env!("CARGO_PKG_VERSION"));

/// The account that a node's blocks name as their leader.
pub(super) fn address_of(published: &Published, node: NodeId) -> String {
    published
        .genesis
        .node(node)
        .map(|record| record.reward_address.to_string())
        .unwrap_or_default()
}

/// Extensions: `timestampMillis`, `committeeSize` (seats of the committee that `lastCommitBitmap` counts), `node`,
/// `transactionsCount` and `incomingReceipts` (what the block executes), `lastCommitNodes` (who signed the block before,
/// by the validators' own order, since seats change places with every epoch).
pub(super) fn header(published: &Published, hash: &Hash, committed: &CommittedBlock) -> Value {
    let header = &committed.block.header;
    let last = header.last_commit.as_ref();
    let signed_epoch = published.genesis.epoch_of(header.height.saturating_sub(1));
    let mut value = json!({
        "blockHash": hash.to_string(),
        "blockNumber": header.height,
        "shardID": header.shard.0,
        "leader": address_of(published, header.leader),
        "viewID": header.view,
        "epoch": header.epoch,
        "timestamp": timestamp(header.timestamp_ms),
        "timestampMillis": header.timestamp_ms,
        "unixtime": header.timestamp_ms / 1_000,
        "lastCommitSig": last.map(|last| last.signature.to_hex()).unwrap_or_default(),
        "lastCommitBitmap": last.map(bitmap).unwrap_or_default(),
        "committeeSize": published.genesis.committee(header.shard, signed_epoch).len(),
        "node": header.leader.to_string(),
        "transactionsCount": committed.block.transactions.len(),
        "incomingReceipts": incoming_receipts(committed),
        "lastCommitNodes": last.map(|last| nodes(published, header.shard, signed_epoch, last)).unwrap_or_default(),
        "vrf": "",
        "vrfProof": "",
    });
    if header.shard == ShardId::BEACON {
        value["crossLinks"] = committed.block.crosslinks.iter().map(crosslink).collect();
    }
    value
}

/// Extensions: `node`, `address`.
pub(super) fn metadata(published: &Published, live: &Live) -> Value {
    let genesis = &published.genesis;
    let record = genesis.node(published.node);
    let status = &live.status;
    let head = &live.head().1.block.header;
    let validates = published.node.index < genesis.config().validators;
    let connected = live.connected.len();
    json!({
        "blskey": record.map(|record| record.key.to_hex()).into_iter().collect::<Vec<_>>(),
        "version": VERSION,
        "network": "reference",
        "chain-config": {
            "chain-id": 1,
            "genesis": genesis.hash().to_string(),
            "shards": genesis.config().shards,
            "validators": genesis.config().validators,
            "epoch-length": genesis.config().epoch_length,
        },
        "is-leader": status.is_leader,
        "shard-id": published.node.shard.0,
        "current-block-number": head.height,
        "current-epoch": head.epoch,
        "blocks-per-epoch": genesis.config().epoch_length,
        "role": if validates { "Validator" } else { "ExplorerNode" },
        "dns-zone": "",
        "is-archival": published.archive,
        "is-backup": false,
        "node-unix-start-time": published.started,
        "peerid": published.node.to_string(),
        "node": published.node.to_string(),
        "address": address_of(published, published.node),
        "consensus": {
            "viewId": status.view,
            "viewChangeId": status.view_change_id,
            "mode": status.mode.name(),
            "phase": status.phase.name(),
            "blocknum": status.height,
            "finality": 0,
        },
        "p2p-connectivity": {
            "total-known-peers": published.wanted_peers,
            "connected": connected,
            "not-connected": published.wanted_peers.saturating_sub(connected),
        },
    })
}

/// Options as Harmony's: `withSigners`, `fullTx`.
pub(super) fn block(
    published: &Published,
    hash: &Hash,
    committed: &CommittedBlock,
    options: &Value,
) -> Value {
    let asked = |name: &str| options.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (block, header) = (&committed.block, &committed.block.header);
    let transactions: Value = match asked("fullTx") {
        true => block.transactions.iter().map(transaction).collect(),
        false => block
            .transactions
            .iter()
            .map(|transaction| json!(transaction.hash().to_string()))
            .collect(),
    };
    let mut value = json!({
        "number": header.height,
        "viewID": header.view,
        "epoch": header.epoch,
        "hash": hash.to_string(),
        "parentHash": header.parent.to_string(),
        "miner": address_of(published, header.leader),
        "stateRoot": header.state_root.to_string(),
        "transactionsRoot": header.body_root.to_string(),
        "timestamp": header.timestamp_ms / 1_000,
        "timestampMillis": header.timestamp_ms,
        "size": block.size(),
        "transactions": transactions,
        "transactionsCount": block.transactions.len(),
        "stakingTransactions": [],
        "uncles": [],
        "incomingReceipts": incoming_receipts(committed),
    });
    if asked("withSigners") {
        value["signers"] = json!(signers(published, committed, |record| record
            .reward_address
            .to_string()));
    }
    value
}

fn incoming_receipts(committed: &CommittedBlock) -> usize {
    let batches = committed.block.incoming.iter();
    batches.map(|batch| batch.receipts.len()).sum()
}

/// The signers of a certificate as a set of validators: hex, lowest bit of the first byte first.
fn nodes(published: &Published, shard: ShardId, epoch: u64, certificate: &Certificate) -> String {
    let committee = published.genesis.committee(shard, epoch);
    let validators = usize::from(published.genesis.config().validators);
    let mut set = vec![0_u8; validators.div_ceil(8)];
    for node in committee.nodes(&certificate.signers) {
        let place = usize::from(node.index);
        if let Some(byte) = set.get_mut(place / 8) {
            *byte |= 1 << (place % 8);
        }
    }
    hex::encode(set)
}

fn transaction(transaction: &Transaction) -> Value {
    json!({
        "hash": transaction.hash().to_string(),
        "from": transaction.sender().to_string(),
        "to": transaction.to.to_string(),
        "nonce": transaction.nonce,
        "shardID": transaction.shard.0,
        "toShardID": transaction.to_shard.0,
        "value": transaction.amount,
    })
}

/// Who signed this very block; unlike in Harmony the head has them too, the certificate is stored with the block.
pub(super) fn signers(
    published: &Published,
    committed: &CommittedBlock,
    show: impl Fn(&NodeRecord) -> String,
) -> Vec<String> {
    let header = &committed.block.header;
    let committee = published.genesis.committee(header.shard, header.epoch);
    let Some(certificate) = &committed.certificate else {
        return Vec::new();
    };
    committee
        .nodes(&certificate.signers)
        .filter_map(|node| published.genesis.node(node))
        .map(show)
        .collect()
}

pub(super) fn crosslink(link: &CrossLink) -> Value {
    json!({
        "hash": link.header.hash().to_string(),
        "block-number": link.header.height,
        "view-id": link.header.view,
        "signature": link.certificate.signature.to_hex(),
        "signature-bitmap": bitmap(&link.certificate),
        "shard-id": link.header.shard.0,
        "epoch-number": link.header.epoch,
    })
}

/// Extension: what each validator has earned since genesis.
pub(super) fn rewards(published: &Published, live: &Live) -> Value {
    let rewards = published
        .genesis
        .validators(published.node.shard)
        .zip(live.state.rewards());
    let rewards: Vec<Value> = rewards
        .map(|(node, reward)| {
            json!({ "node": node.to_string(), "address": address_of(published, node), "reward": reward })
        })
        .collect();
    json!({ "blockNumber": live.head().1.block.header.height, "rewards": rewards })
}

/// Extension: what conservation of value is checked with. `inFlight` holds all pairs on the beacon, elsewhere those
/// with this shard as their source.
pub(super) fn totals(live: &Live) -> Value {
    let state = &live.state;
    let sent: Vec<Value> = state
        .sent()
        .iter()
        .map(|total| {
            json!({
                "shard": total.destination.0,
                "batches": total.next_sequence,
                "acknowledged": total.acknowledged,
                "value": total.value,
            })
        })
        .collect();
    let received: Vec<Value> = state
        .received()
        .iter()
        .map(|record| json!({ "shard": record.source.0, "batches": record.next_sequence, "value": record.value }))
        .collect();
    let in_flight: Vec<Value> = state
        .in_flight()
        .iter()
        .map(|pair| {
            json!({
                "source": pair.source.0,
                "destination": pair.destination.0,
                "sentBatches": pair.sent_batches,
                "receivedBatches": pair.received_batches,
                "value": pair.value,
            })
        })
        .collect();
    let head = &live.head().1.block.header;
    json!({
        "shardID": state.shard().0,
        "blockNumber": head.height,
        "stateRoot": state.root().to_string(),
        "blockStateRoot": head.state_root.to_string(),
        "transfers": state.transfers(),
        "balance": state.total_balance(),
        "rewards": state.rewards().iter().sum::<u64>(),
        "sent": sent,
        "received": received,
        "inFlight": in_flight,
    })
}

pub(super) fn peers(published: &Published, live: &Live) -> Value {
    let mut topics: Vec<Value> = Vec::new();
    for shard in published.genesis.shards() {
        let peers: Vec<String> = live
            .connected
            .iter()
            .filter(|node| node.shard == shard)
            .map(ToString::to_string)
            .collect();
        if !peers.is_empty() {
            topics.push(json!({ "topic": format!("shard/{shard}"), "peers": peers }));
        }
    }
    json!({ "peerid": published.node.to_string(), "blocked-peers": [], "connected-peers": topics })
}

fn bitmap(certificate: &Certificate) -> String {
    hex::encode(certificate.signers.as_bytes())
}

/// `2026-11-22 10:00:00 +0000 UTC`.
fn timestamp(milliseconds: u64) -> String {
    // Beyond the year 9999 a block's time is nonsense that must not stop the node from showing it.
    let latest = Duration::from_secs(253_402_300_799);
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds).min(latest);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
}
