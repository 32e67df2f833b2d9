//! The service over a node that has just started, without a node: what it answers to good and to bad requests.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::reference_node::consensus::{CommittedBlock, Consensus, ConsensusConfig, Recovered};
use crate::reference_node::defects::Defects;
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::log::Level;
use crate::reference_node::store::Settings;
use crate::reference_node::types::{NodeId, ShardId};

struct Fixture {
    service: Service,
    _directory: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let node = NodeId::new(0, 1);
    let genesis = Arc::new(Genesis::new(GenesisConfig::default()).unwrap());
    let head = CommittedBlock {
        block: Arc::new(genesis.block(ShardId(0))),
        certificate: None,
    };
    let state = genesis.state(ShardId(0));
    let settings = Settings {
        directory: directory.path().to_path_buf(),
        network: genesis.hash(),
        shard: ShardId(0),
        retention: None,
        defects: Defects::default(),
    };
    let (results, _) = mpsc::unbounded_channel();
    let (store, recovered): (Store, Recovered) =
        Store::open(settings, || (head.clone(), state.clone()), results).unwrap();
    let config = ConsensusConfig {
        node,
        interval: 200_000,
        view_change_timeout: 675_000,
        view_change_timeout_max: 2_700_000,
        retry_interval: 200_000,
        sync_interval: 675_000,
        wall_origin_ms: 0,
        log_level: Level::Error,
        defects: Defects::default(),
    };
    let crypto = genesis.bls(node).unwrap();
    let (core, _) = Consensus::restore(config, Arc::clone(&genesis), crypto, recovered, 0);
    let published = Published::new(genesis, node, false, 3, core.status(), state);
    let (submissions, _) = mpsc::channel(1);
    let service = Service::new(Arc::new(published), Arc::new(store), submissions);
    Fixture {
        service,
        _directory: directory,
    }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn ask(fixture: &Fixture, body: &str) -> Value {
    let answer = run(fixture.service.document(body.as_bytes()));
    serde_json::from_slice(&answer).expect("every answer is JSON")
}

fn result(fixture: &Fixture, method: &str, parameters: &str) -> Value {
    let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{parameters}}}"#);
    let answer = ask(fixture, &body);
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["error"], Value::Null, "{method}");
    answer["result"].clone()
}

#[test]
fn the_methods_of_a_monitor_have_harmonys_shapes() {
    let fixture = fixture();
    assert_eq!(result(&fixture, "hmyv2_blockNumber", "[]"), 0);
    let header = result(&fixture, "hmyv2_latestHeader", "[]");
    assert_eq!(header["blockNumber"], 0);
    assert_eq!(header["timestamp"], "1970-01-01 00:00:00 +0000 UTC");
    assert_eq!(header["committeeSize"], 4);
    assert_eq!(
        (&header["transactionsCount"], &header["incomingReceipts"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        header["lastCommitNodes"], "",
        "nobody signed what was before genesis"
    );
    assert_eq!(header, result(&fixture, "hmyv2_getHeaderByNumber", "[0]"));
    let metadata = result(&fixture, "hmyv2_getNodeMetadata", "[]");
    assert_eq!(metadata["node"], "s0-n01");
    assert_eq!(metadata["consensus"]["blocknum"], 1);
    assert_eq!(metadata["consensus"]["mode"], "Normal");
    assert_eq!(metadata["role"], "Validator");
    assert_eq!(metadata["blskey"][0].as_str().unwrap().len(), 96);
    let rewards = result(&fixture, "hmyv2_getValidatorRewards", "[]");
    let own = rewards["rewards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["node"] == "s0-n01")
        .unwrap();
    assert_eq!(own["address"], metadata["address"]);
    let leader = rewards["rewards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["node"] == header["node"])
        .unwrap();
    assert_eq!(leader["address"], header["leader"]);
    assert_eq!(result(&fixture, "hmyv2_getShardID", "[]"), 0);
    assert_eq!(result(&fixture, "net_peerCount", "[]"), "0x0");
    assert!(
        result(&fixture, "hmyv2_getLastCrossLinks", "[]")
            .as_array()
            .unwrap()
            .is_empty()
    );
    let totals = result(&fixture, "hmyv2_getShardTotals", "[]");
    assert_eq!(totals["balance"].as_u64().unwrap(), 16 * 1_000_000_000_000);
    assert_eq!(totals["transfers"], 0);
    assert_eq!(totals["stateRoot"], totals["blockStateRoot"]);
    let block = result(
        &fixture,
        "hmyv2_getBlockByNumber",
        r#"[0, {"withSigners":true}]"#,
    );
    assert_eq!(block["hash"], header["blockHash"]);
    assert!(block["signers"].as_array().unwrap().is_empty());
}

#[test]
fn a_batch_is_answered_in_order_and_bounded() {
    let fixture = fixture();
    let answer = ask(
        &fixture,
        r#"[{"id":"a","method":"hmyv2_blockNumber"}, {"id":2,"method":"no_such"}, 5]"#,
    );
    assert_eq!(answer[0]["id"], "a");
    assert_eq!(answer[0]["result"], 0);
    assert_eq!(answer[1]["error"]["code"], -32601);
    assert_eq!(answer[2]["error"]["code"], -32600);
    let many = format!(
        "[{}]",
        vec![r#"{"method":"hmyv2_blockNumber"}"#; BATCH_LIMIT + 1].join(",")
    );
    assert_eq!(ask(&fixture, &many)["error"]["code"], -32600);
    assert_eq!(ask(&fixture, "[]")["error"]["code"], -32600);
}

#[test]
fn bad_requests_get_errors_with_codes() {
    let fixture = fixture();
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("null", -32600),
        (r#"{"id":1}"#, -32600),
        (r#"{"method":"hmyv2_getHeaderByNumber"}"#, -32602),
        (
            r#"{"method":"hmyv2_getHeaderByNumber","params":["x"]}"#,
            -32602,
        ),
        (
            r#"{"method":"hmyv2_getHeaderByNumber","params":[-1]}"#,
            -32602,
        ),
        (
            r#"{"method":"hmyv2_getHeaderByNumber","params":{"a":1}}"#,
            -32602,
        ),
        (
            r#"{"method":"hmyv2_getHeaderByNumber","params":[9]}"#,
            -32000,
        ),
        (r#"{"method":"hmyv2_getBalance","params":["one1"]}"#, -32602),
        (
            r#"{"method":"hmyv2_sendRawTransaction","params":["0x00"]}"#,
            -32602,
        ),
        (
            r#"{"method":"hmyv2_sendRawTransaction","params":["zz"]}"#,
            -32602,
        ),
        ("{\"method\":\"\\u001b[2J\"}", -32601),
    ] {
        let answer = ask(&fixture, body);
        assert_eq!(answer["error"]["code"], code, "{body}");
    }
    let hostile = run(fixture.service.document(b"{\"method\":\"\\u001b[2J\"}"));
    assert!(!hostile.contains(&0x1b), "no control character comes back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_comes_the_answer_is_json(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        thread_local! {
            static FIXTURE: Fixture = fixture();
        }
        FIXTURE.with(|fixture| {
            let answer = run(fixture.service.document(&body));
            serde_json::from_slice::<Value>(&answer).expect("every answer is JSON");
        });
    }
}
