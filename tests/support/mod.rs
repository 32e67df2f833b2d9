//! What engine tests and benchmarks share: a network of idle nodes, and a run that is torn down whatever happens.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test or benchmark may panic and print"
)]

use std::{collections::BTreeMap, path::Path, time::Duration};

use canarynet::{
    engine::{Docker, RenderedNode},
    ids::{NodeName, RunId, ShardId},
    plan::{
        DiskKind, DiskPlan, Limits, MainnetPlan, NetworkPlan, NodeAddress, NodePlan, ProbePlan,
        Program, Role,
    },
};

/// The program under test, which is also what runs in the containers.
#[must_use]
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_canarynet"))
}

/// A run id that no other test, process or day has.
#[must_use]
pub fn run_id(test: &str) -> RunId {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("test-{test}-{}-{:x}", std::process::id(), nanos & 0xff_ffff)
        .parse()
        .unwrap()
}

/// The engine, or `None` with a loud reason.
pub async fn engine() -> Option<Docker> {
    match Docker::connect(None).await {
        Ok(docker) => Some(docker),
        Err(error) => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {error}");
            None
        }
    }
}

/// Idle nodes: this program's keeper.
pub fn idle(
    _node: &NodePlan,
    addresses: &BTreeMap<NodeName, NodeAddress>,
) -> Result<RenderedNode, String> {
    assert!(
        !addresses.is_empty(),
        "addresses are known when nodes are rendered"
    );
    Ok(RenderedNode {
        command: vec!["canarynet".to_owned(), "keeper".to_owned()],
        environment: BTreeMap::from([("CANARY".to_owned(), "1".to_owned())]),
    })
}

/// A network of idle nodes.
#[must_use]
pub fn network(shards: u64, validators: u32, kind: DiskKind, size: u64) -> NetworkPlan {
    let second = Duration::from_secs(1);
    let mut nodes = Vec::new();
    for shard in 0..shards {
        for index in 0..validators {
            nodes.push(NodePlan {
                name: NodeName::of(ShardId(shard), index),
                shard: ShardId(shard),
                index,
                position: u32::try_from(nodes.len()).unwrap(),
                role: Role::Validator,
                voting_power: 1,
            });
        }
    }
    NetworkPlan {
        clock_skew: None,
        shards,
        nodes,
        program: Program::Itself,
        versions: Vec::new(),
        images: Default::default(),
        secrets: Vec::new(),
        command: Vec::new(),
        defects: Vec::new(),
        environment: BTreeMap::new(),
        user: "1000:1000".to_owned(),
        read_only_root: true,
        capabilities: Vec::new(),
        scratch: BTreeMap::from([("/tmp".to_owned(), 1 << 20)]),
        limits: Limits {
            memory: 64 << 20,
            cpus: 0.5,
            pids: 64,
            open_files: 1024,
        },
        disk: DiskPlan {
            path: "/data".to_owned(),
            kind,
            size,
            inodes: None,
            write_iops: None,
            write_bytes_per_second: None,
            thin: false,
            bytes_per_block: None,
            age: None,
            bytes_at_rest: None,
            retention: None,
        },
        probe: ProbePlan {
            reads: Default::default(),
            dialect: "harmony".to_owned(),
            rpc_port: 9500,
            metrics_port: None,
            interval: second,
            deadline: second,
            metrics: Default::default(),
            log: None,
        },
        log_files: Vec::new(),
        log_rules: Vec::new(),
        mainnet: MainnetPlan { disk: None },
        foreign: Default::default(),
        stop_timeout: second,
    }
}

/// Whether the helper may be used: wherever the disk's kind could need it.
#[must_use]
pub fn allow_helper(network: &NetworkPlan) -> bool {
    network.disk.kind != DiskKind::Tmpfs
}
