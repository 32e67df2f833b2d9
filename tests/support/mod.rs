//! What engine tests and benchmarks share: a plan of idle nodes, and a run that is torn down whatever happens.

use std::{collections::BTreeMap, path::Path, time::Duration};

use canarynet::{
    detect::finding::Severity,
    engine::{Docker, RenderedNode},
    ids::{NodeName, RunId, ShardId},
    plan::{
        Budget, Coverage, DiskKind, DiskPlan, Gate, Keep, Limits, LoadPlan, MainnetPlan,
        NetworkPlan, NodeAddress, NodePlan, Plan, ProbePlan, Program, RestartPlan, Role,
        Thresholds,
    },
    time::Clocks,
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
#[must_use]
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

/// A plan of idle nodes.
#[must_use]
pub fn plan(shards: u64, validators: u32, kind: DiskKind, size: u64) -> Plan {
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
    Plan {
        format: canarynet::plan::FORMAT,
        name: "engine-test".to_owned(),
        profile: "idle".to_owned(),
        seed: "1".to_owned(),
        speedup: 40.0,
        clocks: Clocks {
            block_interval: Duration::from_millis(200),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_millis(2700),
        },
        levers: Vec::new(),
        network: NetworkPlan {
            shards,
            nodes,
            program: Program::Itself,
            command: Vec::new(),
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
                bytes_per_block: None,
                bytes_at_rest: None,
                retention: None,
            },
            probe: ProbePlan {
                dialect: "harmony".to_owned(),
                rpc_port: 9500,
                metrics_port: None,
                interval: second,
                deadline: second,
            },
            log_files: Vec::new(),
            log_rules: Vec::new(),
            mainnet: MainnetPlan { disk: None },
            stop_timeout: second,
        },
        warm_up_blocks: 0,
        start_deadline: second,
        soak: None,
        until_height: None,
        deadline: None,
        settle: second,
        load: LoadPlan {
            rate: 0.0,
            cross_shard: 0.0,
        },
        keep: Keep::Never,
        stop_on_failure: false,
        allow_helper: kind != DiskKind::Tmpfs,
        restart: RestartPlan {
            after: None,
            most: 5,
            window: second,
        },
        thresholds: thresholds(second),
        gate: Gate {
            fail_on: Severity::Major,
            severity: BTreeMap::new(),
            limits: BTreeMap::new(),
            coverage: Coverage {
                blocks: 0,
                epochs: 0,
                blind_share: 0.01,
                lines_lost_share: 0.001,
            },
            waive: Vec::new(),
        },
        budget: Budget {
            cpu_share: 0.1,
            memory: 80 << 20,
            journal: 1 << 20,
            logs: 1 << 20,
        },
        origins: BTreeMap::new(),
    }
}

fn thresholds(second: Duration) -> Thresholds {
    Thresholds {
        stall_suspected: second,
        stall: second,
        page: second,
        recovery: second,
        never_started: second,
        view_change_loop: 3,
        view_change_storm_share: 0.1,
        view_change_storm_least: 3,
        rate_window: second,
        slow_blocks_factor: 2.0,
        no_leader: second,
        low_signers_share: 0.8,
        lag_blocks: 10,
        lag_time: second,
        lag_budget: second,
        syncing: second,
        disk_used_share: 0.9,
        crash_loop_exits: 3,
        crash_loop_window: second,
        hung: second,
        blind: second,
    }
}
