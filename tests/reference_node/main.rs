//! The reference node as people run it: real processes of the built program, real TCP, real files.
//!
//! Every wait has a deadline that is generous, because these tests share their machine; what is asserted are
//! orders and counts, and times only where a bound is part of the promise.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says where, and a test that was skipped says so"
)]

mod network;

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use canarynet::reference_node::genesis::{Genesis, GenesisConfig};
use canarynet::reference_node::types::{ShardId, Transaction, encode};
use serde_json::{Value, json};

use network::{Network, Shape, bits, wait};

/// Patience with anything that takes a moment.
const SOON: Duration = Duration::from_secs(30);

fn heights(network: &Network) -> Vec<u64> {
    network
        .nodes()
        .map(|node| network.height(node).unwrap_or(0))
        .collect()
}

/// The highest head of the nodes that answer.
fn top(network: &Network) -> u64 {
    heights(network).into_iter().max().unwrap()
}

fn all_above(network: &Network, height: u64) -> bool {
    heights(network).iter().all(|head| *head > height)
}

/// All nodes, and no block differs between them.
fn assert_one_chain(network: &Network) {
    let common = heights(network).into_iter().min().unwrap();
    for height in 1..=common {
        let mut hashes: Vec<Value> = network
            .nodes()
            .filter_map(|node| network.rpc(node, "hmyv2_getHeaderByNumber", json!([height])))
            .map(|header| header["blockHash"].clone())
            .collect();
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "one block at height {height}");
    }
}

fn everybody_signs(network: &Network, node: usize) -> bool {
    network
        .rpc(node, "hmyv2_latestHeader", json!([]))
        .is_some_and(|header| bits(&header["lastCommitBitmap"]) == 4)
}

fn leader(network: &Network) -> usize {
    let leads = |node: &usize| {
        let metadata = network.rpc(*node, "hmyv2_getNodeMetadata", json!([]));
        metadata.is_some_and(|metadata| {
            metadata["is-leader"] == true && metadata["consensus"]["mode"] == "Normal"
        })
    };
    let started = Instant::now();
    loop {
        if let Some(node) = network.nodes().find(leads) {
            return node;
        }
        assert!(started.elapsed() < SOON, "somebody leads");
    }
}

#[test]
fn a_healthy_shard_keeps_its_interval_with_all_signers_and_few_lines() {
    let mut network = Network::new(Shape {
        explorers: 1,
        ..Shape::default()
    });
    network.start_all();
    // Others use this machine too: one undisturbed stretch of forty blocks is what a healthy shard owes.
    let mut seen = Vec::new();
    wait(
        "forty blocks in time and with all signers",
        Duration::from_secs(240),
        || {
            let end = network.height(0).unwrap_or(0);
            wait("40 blocks", SOON, || network.height(0) >= Some(end + 40));
            seen.push(stretch(&network, end..=end + 40));
            let (median, full) = seen[seen.len() - 1];
            (99..=110).contains(&median) && full >= 39
        },
    );
    println!("median interval in ms and full bitmaps of each stretch of 41: {seen:?}");
    // The explorer, index 4, follows, leads nothing and signs nothing.
    let metadata = network.rpc(4, "hmyv2_getNodeMetadata", json!([])).unwrap();
    assert_eq!(metadata["role"], "ExplorerNode");
    assert_eq!(metadata["consensus"]["mode"], "Listening");
    assert_one_chain(&network);
    let rewards = network
        .rpc(0, "hmyv2_getValidatorRewards", json!([]))
        .unwrap();
    assert!(
        rewards["rewards"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["reward"].as_u64().unwrap() > 0)
    );
    network.stop_all();
    for node in network.nodes() {
        let lines = network.log_lines(node);
        let blocks = lines.iter().filter(|line| committed(line)).count();
        assert!(blocks >= 40, "{blocks} blocks in the log of node {node}");
        let usual = lines.iter().filter(|line| line["level"] == "info").count();
        assert!(
            usual <= 8 * blocks + 40,
            "{usual} lines for {blocks} blocks of node {node}"
        );
        assert!(
            lines.iter().all(|line| line["level"] != "error"),
            "no error in health"
        );
    }
}

/// The median interval in milliseconds, and how many bitmaps are full.
fn stretch(network: &Network, heights: std::ops::RangeInclusive<u64>) -> (u64, usize) {
    let headers: Vec<Value> = heights
        .map(|height| {
            network
                .rpc(0, "hmyv2_getHeaderByNumber", json!([height]))
                .expect("a header")
        })
        .collect();
    let time = |header: &Value| header["timestampMillis"].as_u64().unwrap();
    let mut intervals: Vec<u64> = headers
        .windows(2)
        .map(|pair| time(&pair[1]) - time(&pair[0]))
        .collect();
    intervals.sort_unstable();
    let full = headers
        .iter()
        .filter(|header| bits(&header["lastCommitBitmap"]) == 4)
        .count();
    (intervals[intervals.len() / 2], full)
}

fn committed(line: &Value) -> bool {
    let message = line["message"].as_str().unwrap_or_default();
    message.starts_with("BINGO")
        || message.starts_with("HOORAY")
        || message.contains("for explorer node")
}

#[test]
fn a_killed_validator_catches_up_and_signs_again() {
    let mut network = Network::new(Shape::default());
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    let leader = leader(&network);
    let victim = (leader + 1) % 4;
    network.kill(victim);
    let left = top(&network);
    wait("20 blocks of the other three", SOON, || {
        network.height(leader) >= Some(left + 20)
    });
    let fewer = network
        .rpc(leader, "hmyv2_latestHeader", json!([]))
        .unwrap();
    assert_eq!(bits(&fewer["lastCommitBitmap"]), 3);
    network.start(victim);
    wait("the victim at the others' height", SOON, || {
        network.height(victim) >= network.height(leader)
    });
    wait("its signature", SOON, || everybody_signs(&network, leader));
    let metadata = network
        .rpc(victim, "hmyv2_getNodeMetadata", json!([]))
        .unwrap();
    assert_eq!(metadata["consensus"]["mode"], "Normal");
    assert_one_chain(&network);
}

#[test]
fn a_dead_leader_is_replaced_and_follows_when_it_is_back() {
    let mut network = Network::new(Shape::default());
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    let dead = leader(&network);
    network.kill(dead);
    let (left, other) = (top(&network), (dead + 1) % 4);
    wait("blocks of another leader", SOON, || {
        network.height(other) > Some(left + 3)
    });
    let next = leader(&network);
    assert_ne!(next, dead);
    let header = network.rpc(other, "hmyv2_latestHeader", json!([])).unwrap();
    let number = header["blockNumber"].as_u64().unwrap();
    assert!(
        header["viewID"].as_u64().unwrap() > number,
        "the view change shows in the view"
    );
    let metadata = network
        .rpc(next, "hmyv2_getNodeMetadata", json!([]))
        .unwrap();
    assert_eq!(
        metadata["address"], header["leader"],
        "who leads is told by its address"
    );
    network.start(dead);
    wait("the old leader follows", SOON, || {
        network.height(dead) >= network.height(other)
    });
    wait("all four sign", SOON, || everybody_signs(&network, other));
    assert_one_chain(&network);
    assert!(
        network
            .log_lines(other)
            .iter()
            .any(|line| line["message"] == "[startViewChange]"),
        "the log tells of it"
    );
}

#[test]
fn without_a_quorum_there_is_no_block_and_with_it_there_are_again() {
    let mut network = Network::new(Shape::default());
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    network.kill(1);
    network.kill(2);
    // What was under way when they died may still end.
    std::thread::sleep(Duration::from_secs(1));
    let stalled = top(&network);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(top(&network), stalled, "two of four make no block");
    let mode = network.rpc(0, "hmyv2_getConsensusMode", json!([])).unwrap();
    assert_eq!(mode, "ViewChanging");
    network.start(1);
    network.start(2);
    let healed = Instant::now();
    wait("a block", SOON, || all_above(&network, stalled));
    // max(10 B, 2 V_max), and what starting two processes takes on a busy machine.
    let budget = Duration::from_millis(2 * 1_350 + 2_000);
    assert!(
        healed.elapsed() < budget,
        "first block {:?} after the heal",
        healed.elapsed()
    );
    wait("20 more", SOON, || all_above(&network, stalled + 20));
    assert_one_chain(&network);
}

#[test]
fn all_nodes_killed_go_on_from_the_same_head() {
    let mut network = Network::new(Shape::default());
    network.start_all();
    wait("20 blocks", SOON, || all_above(&network, 20));
    let before = top(&network);
    let hash = |network: &Network, height: u64| {
        network
            .rpc(3, "hmyv2_getHeaderByNumber", json!([height]))
            .map(|header| header["blockHash"].clone())
    };
    let known = hash(&network, before - 2).expect("a header");
    for node in 0..4 {
        network.kill(node);
    }
    for node in 0..4 {
        network.start(node);
    }
    wait("all of them answer", SOON, || {
        network.nodes().all(|node| network.height(node).is_some())
    });
    // A head is what the store acknowledged; a node that was killed one block behind fetches it.
    assert!(
        top(&network) >= before - 1,
        "{} before, {:?} now",
        before,
        heights(&network)
    );
    wait("10 more blocks", SOON, || all_above(&network, before + 10));
    assert_eq!(hash(&network, before - 2), Some(known));
    assert_one_chain(&network);
}

#[test]
fn a_node_that_missed_more_than_anybody_keeps_starts_from_a_snapshot() {
    let start = 1_000_000;
    let mut network = Network::new(Shape {
        retention: 16,
        epoch_length: 10,
        initial_height: start,
        ..Shape::default()
    });
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, start + 10));
    network.kill(3);
    let left = top(&network);
    wait("more blocks than are kept", SOON, || {
        network.height(0) > Some(left + 40)
    });
    let oldest = network.metric(0, "reference_store_oldest_height").unwrap();
    assert!(
        oldest > left as f64,
        "what the node lacks is pruned: {oldest} and {left}"
    );
    network.start(3);
    wait("it follows", SOON, || {
        network.height(3) >= network.height(0)
    });
    wait("all four sign", SOON, || everybody_signs(&network, 0));
    wait("and lead in turn", SOON, || leader(&network) == 3);
    let common = network.height(0).min(network.height(3)).unwrap();
    let state = |node| {
        network
            .rpc(node, "hmyv2_getBlockByNumber", json!([common]))
            .map(|block| block["stateRoot"].clone())
    };
    assert_eq!(state(0), state(3));
}

#[test]
fn a_transfer_arrives_on_the_other_shard_once() {
    let mut network = Network::new(Shape {
        shards: 2,
        load: "0",
        ..Shape::default()
    });
    network.start_all();
    wait("5 blocks on both shards", SOON, || all_above(&network, 5));
    let genesis = Genesis::new(GenesisConfig {
        shards: 2,
        ..GenesisConfig::default()
    })
    .unwrap();
    let (from, to) = (
        genesis.faucet_address(ShardId(0), 0),
        genesis.faucet_address(ShardId(1), 5),
    );
    let (source, destination) = (1, 4 + 2);
    let balance = |node: usize, address: &str| {
        network
            .rpc(node, "hmyv2_getBalance", json!([address, "latest"]))
            .and_then(|balance| balance.as_u64())
    };
    let before = balance(destination, &to.to_string()).unwrap();
    let key = genesis.faucet_key(ShardId(0), 0);
    for nonce in 0..3 {
        let transfer = Transaction::transfer(&key, nonce, (ShardId(0), ShardId(1)), to, 1_000);
        let raw = format!("0x{}", hex::encode(encode(&transfer)));
        let hash = network
            .rpc(source, "hmyv2_sendRawTransaction", json!([raw]))
            .expect("taken");
        assert_eq!(hash, transfer.hash().to_string());
        assert!(
            network
                .rpc(source, "hmyv2_sendRawTransaction", json!([raw]))
                .is_none(),
            "not twice"
        );
    }
    wait("the transfers", SOON, || {
        balance(destination, &to.to_string()) == Some(before + 3_000)
    });
    assert_eq!(balance(source, &from.to_string()), Some(before - 3_000));
    let totals = |node: usize| {
        network
            .rpc(node, "hmyv2_getShardTotals", json!([]))
            .unwrap()
    };
    wait("the acknowledgement", SOON, || {
        totals(0)["sent"][0]["acknowledged"] == totals(0)["sent"][0]["batches"]
    });
    wait("the beacon's picture", SOON, || {
        totals(0)["inFlight"]
            .as_array()
            .unwrap()
            .iter()
            .all(|pair| pair["value"] == 0)
    });
    let number = |value: &Value| value.as_u64().unwrap();
    let sum: u64 = [0, 4]
        .map(|node| number(&totals(node)["balance"]) - number(&totals(node)["rewards"]))
        .iter()
        .sum();
    assert_eq!(
        sum,
        2 * 16 * 1_000_000_000_000,
        "nothing is made and nothing is lost"
    );
    let links = network
        .rpc(0, "hmyv2_getLastCrossLinks", json!([]))
        .unwrap();
    assert_eq!(links[0]["shard-id"], 1);
}

#[test]
fn receipts_pass_under_load_although_a_node_of_each_shard_is_dead() {
    let mut network = Network::new(Shape {
        shards: 2,
        cross_shard: "50%",
        ..Shape::default()
    });
    network.start_all();
    wait("5 blocks on both shards", SOON, || all_above(&network, 5));
    network.kill(1);
    network.kill(4 + 2);
    let received = |node: usize| {
        let totals = network.rpc(node, "hmyv2_getShardTotals", json!([]))?;
        totals["received"][0]["batches"].as_u64()
    };
    let before = [received(0).unwrap_or(0), received(4).unwrap_or(0)];
    wait("20 batches each way", SOON, || {
        received(0) > Some(before[0] + 20) && received(4) > Some(before[1] + 20)
    });
}

#[test]
fn a_reader_that_stopped_stops_nobody() {
    let mut network = Network::new(Shape {
        load: "0",
        log_level: "debug",
        ..Shape::default()
    });
    // A pipe that nobody reads holds 64 KiB: some dozen blocks at debug.
    network.start_with(0, Stdio::piped());
    for node in 1..4 {
        network.start(node);
    }
    wait(
        "100 blocks of a node whose stdout is stuck",
        Duration::from_secs(60),
        || all_above(&network, 100),
    );
    let mut stdout = network.take_stdout(0);
    let lost = network.metric(0, "reference_log_lost_lines_total{sink=\"file\"}");
    assert_eq!(lost, Some(0.0), "the file has all lines");
    // Once somebody reads again, the rest comes, with a line that says what was lost, if anything was.
    let mut piece = vec![0; 1_000_000];
    let mut text = Vec::new();
    while text.len() < 65_536 {
        let read = stdout.read(&mut piece).unwrap();
        assert!(read > 0);
        text.extend_from_slice(&piece[..read]);
    }
    assert!(text.starts_with(b"{\"level\""));
}

#[test]
fn a_node_frozen_longer_than_its_links_live_comes_back() {
    let mut network = Network::new(Shape::default());
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    let frozen = leader(&network);
    network.freeze(frozen);
    let (left, other) = (network.height((frozen + 1) % 4).unwrap(), (frozen + 1) % 4);
    wait("blocks without it", SOON, || {
        network.height(other) > Some(left + 10)
    });
    network.thaw(frozen);
    wait("it follows", SOON, || {
        network.height(frozen) >= network.height(other)
    });
    wait("all four sign", SOON, || everybody_signs(&network, other));
    assert_one_chain(&network);
}

#[test]
fn a_full_disk_ends_no_node_and_it_goes_on_when_there_is_room() {
    let mut network = Network::new(Shape::default());
    let Some(disk) = network.small_disk(2) else {
        return;
    };
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    disk.fill();
    let stuck = |network: &Network| network.metric(2, "reference_store_failures_total") > Some(3.0);
    wait("failed writes", SOON, || stuck(&network));
    let (held, others) = (network.height(2).unwrap(), network.height(0).unwrap());
    wait("blocks of the others", SOON, || {
        network.height(0) > Some(others + 10)
    });
    assert!(
        network.height(2).unwrap() <= held + 1,
        "what is not on disk is not the head"
    );
    assert!(network.is_running(2));
    disk.free();
    wait("it goes on", SOON, || {
        network.height(2) >= network.height(0)
    });
    wait("all four sign", SOON, || everybody_signs(&network, 0));
    assert_one_chain(&network);
    let told = network
        .log_lines(2)
        .into_iter()
        .chain(network.stdout_lines(2))
        .any(|line| {
            line["level"] == "error"
                && line["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("no space left on device"))
        });
    assert!(told, "the failure is told in the system's words");
}

#[test]
fn a_leader_with_a_full_disk_does_not_stop_the_shard() {
    let mut network = Network::new(Shape::default());
    // The first leader of a chain that begins at height 0 is the first validator.
    let Some(disk) = network.small_disk(0) else {
        return;
    };
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    disk.fill();
    wait("failed writes", SOON, || {
        network.metric(0, "reference_store_failures_total") > Some(3.0)
    });
    let others = network.height(1).unwrap();
    wait("blocks of the others", SOON, || {
        network.height(1) > Some(others + 20)
    });
    disk.free();
    wait("it goes on", SOON, || {
        network.height(0) >= network.height(1)
    });
    assert_one_chain(&network);
}

#[test]
fn bad_flags_and_a_taken_port_end_at_once_with_the_reason() {
    let network = Network::new(Shape::default());
    let output = network
        .command(0)
        .args(["--retention", "1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--retention"));
    let taken = std::net::TcpListener::bind(network.address(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = network.command(0).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(
        error.contains(&address) && error.contains("address already in use"),
        "{error}"
    );
}

#[test]
fn a_node_that_exits_over_nothing_ends_when_its_disk_is_full() {
    let mut network = Network::new(Shape {
        defects: "exit-on-nonfatal",
        ..Shape::default()
    });
    let Some(disk) = network.small_disk(2) else {
        return;
    };
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    disk.fill();
    wait("its end", SOON, || !network.is_running(2));
    assert!((0..2).all(|node| network.is_running(node)));
    let said = network.stdout_lines(2);
    let last = said.last().expect("it said why");
    assert!(
        last["error"].as_str().unwrap().contains("a failed write"),
        "{last}"
    );
}

/// July 2019 without containers: the leader's disk fills, and with the defects of that day the shard stops, also when
/// there is room again.
#[test]
fn the_defects_of_that_day_stop_a_shard_whose_leader_has_a_full_disk() {
    let mut network = Network::new(Shape {
        defects: "head-before-disk,view-change-cannot-recover,exit-on-nonfatal,stuck-syncing,lose-commit-signatures",
        ..Shape::default()
    });
    let Some(disk) = network.small_disk(0) else {
        return;
    };
    network.start_all();
    wait("10 blocks", SOON, || all_above(&network, 10));
    assert_eq!(leader(&network), 0);
    disk.fill();
    // Four mainnet minutes without a block of any node, while a quorum runs.
    let mut last = (top(&network), Instant::now());
    wait("the stall", SOON, || {
        let now = top(&network);
        if now > last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_secs(4)
    });
    assert!((1..4).all(|node| network.is_running(node)));
    disk.free();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(top(&network), last.0, "room does not cure it");
    let metadata = network.rpc(1, "hmyv2_getNodeMetadata", json!([])).unwrap();
    let consensus = &metadata["consensus"];
    let climbed =
        consensus["viewChangeId"].as_u64().unwrap() - consensus["viewId"].as_u64().unwrap();
    assert!(climbed >= 3, "views climb: {consensus}");
}
