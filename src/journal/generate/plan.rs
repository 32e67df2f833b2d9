//! A plan for generated journals: the reference network's clocks and the default windows, without a file.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    detect::finding::Severity,
    ids::{NodeName, ShardId},
    plan::{
        Budget, Coverage, DiskKind, DiskPlan, Exercised, FORMAT, Gate, Keep, Limits, LoadPlan,
        MainnetPlan, MetricNames, NetworkPlan, NodePlan, Plan, ProbePlan, Program, RestartPlan,
        Role, SoakTime, Thresholds, ToldThresholds, TrendThresholds,
    },
    time::Clocks,
};

/// Size of the generated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Shards.
    pub shards: u64,
    /// Validators of each.
    pub validators: u32,
    /// Block interval.
    pub interval: Duration,
    /// Length of the soak.
    pub soak: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            shards: 4,
            validators: 4,
            interval: Duration::from_millis(200),
            soak: Duration::from_secs(60),
        }
    }
}

/// Mainnet's block interval and timeouts of the reference profile.
const MAINNET_INTERVAL: Duration = Duration::from_secs(8);
const MAINNET_VIEW_CHANGE: Duration = Duration::from_secs(27);

impl Shape {
    /// The plan of a network of this shape.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let clocks = self.clocks();
        Plan {
            format: FORMAT,
            name: "generated".to_owned(),
            profile: "generated".to_owned(),
            seed: "generated".to_owned(),
            speedup: clocks.acceleration(),
            clocks,
            levers: Vec::new(),
            network: self.network(),
            warm_up_blocks: 10,
            start_deadline: Duration::from_secs(60),
            soak: Some(SoakTime(self.soak)),
            until_height: None,
            deadline: None,
            settle: Duration::from_secs(1),
            observer_ab: false,
            load: LoadPlan {
                rate: 0.0,
                cross_shard: 0.0,
            },
            keep: Keep::Never,
            stop_on_failure: false,
            recovery: None,
            allow_helper: false,
            restart: RestartPlan {
                after: None,
                most: 5,
                window: clocks.from_mainnet(Duration::from_secs(6000)),
            },
            thresholds: thresholds(&clocks),
            gate: Gate {
                against: None,
                new_detectors: crate::plan::NewDetectors::Warn,
                made_for: None,
                fail_on: Severity::Major,
                severity: BTreeMap::new(),
                limits: BTreeMap::new(),
                coverage: Coverage {
                    blocks: 10,
                    epochs: 0,
                    blind_share: 0.01,
                    lines_lost_share: 0.001,
                    faults_share: 1.0,
                    exercised: Exercised::default(),
                },
                waive: Vec::new(),
            },
            budget: Budget {
                cpu_share: 0.1,
                memory: 80 << 20,
                journal: 1 << 30,
                logs: 1 << 30,
            },
            reserve: crate::plan::reserve::ReservePlan::default(),
            start: crate::plan::Start::Genesis,
            ladder: None,
            schedule: Vec::new(),
            drill: None,
            on_missing: crate::plan::faults::OnMissing::Refuse,
            log_baseline: None,
            alerts: crate::plan::alerts::Alerts::default(),
            origins: BTreeMap::new(),
        }
    }

    fn clocks(&self) -> Clocks {
        let ratio = self.interval.as_secs_f64() / MAINNET_INTERVAL.as_secs_f64();
        let view_change_timeout = MAINNET_VIEW_CHANGE.mul_f64(ratio);
        Clocks {
            block_interval: self.interval,
            mainnet_block_interval: MAINNET_INTERVAL,
            view_change_timeout,
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: view_change_timeout * 4,
        }
    }

    fn network(&self) -> NetworkPlan {
        let nodes = (0..self.shards)
            .flat_map(|shard| (0..self.validators).map(move |index| (ShardId(shard), index)))
            .zip(0..)
            .map(|((shard, index), position)| NodePlan {
                name: NodeName::of(shard, index),
                shard,
                index,
                position,
                role: Role::Validator,
                voting_power: 1,
            })
            .collect();
        NetworkPlan {
            shards: self.shards,
            nodes,
            program: Program::Itself,
            versions: Vec::new(),
            images: Default::default(),
            secrets: Vec::new(),
            defects: Vec::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            user: "1000:1000".to_owned(),
            read_only_root: true,
            capabilities: Vec::new(),
            scratch: BTreeMap::new(),
            limits: Limits {
                memory: 64 << 20,
                cpus: 0.5,
                pids: 64,
                open_files: 1024,
            },
            disk: DiskPlan {
                path: "/data".to_owned(),
                kind: DiskKind::Auto,
                size: super::DISK_BYTES,
                inodes: None,
                write_iops: None,
                write_bytes_per_second: None,
                thin: false,
                bytes_per_block: None,
                age: None,
                bytes_at_rest: None,
                retention: Some(2000),
            },
            probe: ProbePlan {
                reads: Default::default(),
                dialect: "harmony".to_owned(),
                rpc_port: 9500,
                metrics_port: None,
                interval: Duration::from_millis(100),
                deadline: Duration::from_millis(500),
                metrics: MetricNames::default(),
                log: None,
            },
            log_files: Vec::new(),
            log_rules: Vec::new(),
            clock_skew: None,
            mainnet: MainnetPlan { disk: None },
            foreign: Default::default(),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// The default windows of the domain (a plan that was resolved from files carries its own).
fn thresholds(clocks: &Clocks) -> Thresholds {
    let view = clocks.view_change_timeout;
    let slot = clocks.view_change_slot;
    let longest = clocks.view_change_timeout_max;
    let blocks = |count| clocks.blocks(count);
    let one_view = view * 3 / 2 + slot;
    let recovery = blocks(10).max(longest * 2 + slot);
    Thresholds {
        stall_suspected: blocks(5).max(one_view),
        stall: blocks(20).max(view * 2 + slot),
        page: clocks.from_mainnet(Duration::from_secs(60)).max(one_view),
        recovery,
        never_started: Duration::from_secs(30).max(blocks(50)),
        view_change_loop: 3,
        view_change_storm_share: 0.05,
        view_change_storm_least: 5,
        rate_window: blocks(100).max(Duration::from_secs(10)),
        slow_blocks_factor: 1.5,
        no_leader: blocks(20).max(longest + slot),
        low_signers_share: 0.875,
        lag_blocks: 10,
        lag_time: one_view,
        lag_budget: recovery * 3,
        syncing: blocks(100).max(recovery * 3),
        disk_used_share: 0.9,
        crash_loop_exits: 3,
        crash_loop_window: clocks
            .from_mainnet(Duration::from_secs(6000))
            .max(Duration::from_secs(60)),
        hung: blocks(20).max(Duration::from_secs(10)),
        blind: Duration::from_secs(5),
        trends: TrendThresholds::default(),
        told: Some(ToldThresholds::of_clocks(clocks)),
    }
}
