//! Constructed inputs of reports: a pass, the incident, a broken host, thin evidence.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by several test programs, each of which uses a part"
)]

use std::{collections::BTreeMap, time::Duration};

use canarynet::{
    detect::{
        Finding, Judgement, NodeView, Severity, ShardView,
        judgement::{
            AccelerationView, CostView, DetectorView, Doubt, FaultView, Finish, InfraView,
            Intervals, KindView, Latencies, LoadView, Measure, Measured, MemorySlope, NodeState,
            Page, Participation, Recovery, Sight, Slope, Source, Spread, StageStart, TemplateView,
            Traffic, Unit,
        },
        outlook::{Course, NodeOutlook, Outlook},
    },
    ids::{Epoch, Height, NodeName, Seq, ShardId, ViewId},
    journal::{
        Capability, Entry, Event,
        event::{ContainerChange, FinishReason, LogClass, LogPlace, Stage},
    },
    plan::{
        Budget, Coverage, DiskKind, DiskPlan, Gate, Keep, Lever, Limits, LoadPlan, MainnetPlan,
        NetworkPlan, NodePlan, Plan, ProbePlan, Program, RestartPlan, Role, SoakTime, Thresholds,
        TrendThresholds, Waiver,
    },
    report::{Curves, Fact, ReportInput},
    time::{Clocks, Elapsed, WallTime},
    verdict::{GateResult, Outcome, Reason, Verdict},
};

/// 2026-11-21 20:00:00 UTC.
pub const STARTED: WallTime = WallTime(1_795_291_200_000);

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn name(shard: u64, index: u32) -> NodeName {
    NodeName::of(ShardId(shard), index)
}

fn lever(clock: &str, mainnet: Duration, canary: Duration, lever: &str) -> Lever {
    Lever {
        clock: clock.to_owned(),
        mainnet,
        canary,
        lever: lever.to_owned(),
        at_floor: false,
        hides: None,
    }
}

pub fn plan() -> Plan {
    let nodes = (0..2_u64).flat_map(|shard| {
        (0..4_u32).map(move |index| NodePlan {
            name: name(shard, index),
            shard: ShardId(shard),
            index,
            position: u32::try_from(shard).unwrap() * 4 + index,
            role: Role::Validator,
            voting_power: 1,
        })
    });
    Plan {
        format: 1,
        name: "default".to_owned(),
        profile: "reference".to_owned(),
        seed: "nightly-2026-11-21".to_owned(),
        speedup: 40.0,
        clocks: Clocks {
            block_interval: millis(200),
            mainnet_block_interval: secs(8),
            view_change_timeout: millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: millis(2_700),
        },
        levers: vec![
            lever(
                "block_interval",
                secs(8),
                millis(200),
                "flag --block-interval",
            ),
            lever(
                "view_change",
                secs(27),
                millis(675),
                "flag --view-change-timeout",
            ),
        ],
        network: NetworkPlan {
            shards: 2,
            nodes: nodes.collect(),
            program: Program::Itself,
            versions: Vec::new(),
            images: Default::default(),
            secrets: Vec::new(),
            command: vec!["canarynet".to_owned(), "reference-node".to_owned()],
            defects: Vec::new(),
            environment: BTreeMap::new(),
            user: "1000:1000".to_owned(),
            read_only_root: true,
            capabilities: Vec::new(),
            scratch: BTreeMap::new(),
            limits: Limits {
                memory: 64 << 20,
                cpus: 0.25,
                pids: 64,
                open_files: 1024,
            },
            disk: DiskPlan {
                path: "/data".to_owned(),
                kind: DiskKind::Tmpfs,
                size: 32 << 20,
                inodes: None,
                write_iops: None,
                write_bytes_per_second: None,
                thin: false,
                bytes_per_block: Some(1_200),
                age: None,
                bytes_at_rest: Some(1 << 20),
                retention: Some(2_000),
            },
            probe: ProbePlan {
                reads: Default::default(),
                dialect: "harmony".to_owned(),
                rpc_port: 9_500,
                metrics_port: Some(9_900),
                interval: millis(100),
                deadline: millis(500),
                metrics: Default::default(),
                log: None,
            },
            log_files: Vec::new(),
            log_rules: Vec::new(),
            clock_skew: None,
            mainnet: MainnetPlan { disk: None },
            foreign: Default::default(),
            stop_timeout: secs(5),
        },
        warm_up_blocks: 10,
        start_deadline: secs(60),
        soak: Some(SoakTime(secs(300))),
        until_height: None,
        deadline: None,
        settle: secs(2),
        observer_ab: false,
        load: LoadPlan {
            rate: 5.0,
            cross_shard: 0.1,
        },
        keep: Keep::Never,
        stop_on_failure: false,
        recovery: None,
        allow_helper: false,
        restart: RestartPlan {
            after: None,
            most: 5,
            window: secs(150),
        },
        thresholds: Thresholds {
            stall_suspected: millis(1_013),
            stall: secs(4),
            page: millis(1_500),
            recovery: millis(5_400),
            never_started: secs(30),
            view_change_loop: 3,
            view_change_storm_share: 0.1,
            view_change_storm_least: 5,
            rate_window: secs(20),
            slow_blocks_factor: 1.5,
            no_leader: secs(2),
            low_signers_share: 0.8,
            lag_blocks: 10,
            lag_time: secs(2),
            lag_budget: secs(10),
            syncing: secs(20),
            disk_used_share: 0.9,
            crash_loop_exits: 3,
            crash_loop_window: secs(60),
            hung: secs(5),
            blind: secs(5),
            trends: TrendThresholds::default(),
            told: None,
        },
        gate: Gate {
            against: None,
            new_detectors: canarynet::plan::NewDetectors::Warn,
            made_for: None,
            fail_on: Severity::Major,
            severity: BTreeMap::new(),
            limits: BTreeMap::new(),
            coverage: Coverage {
                blocks: 1_000,
                epochs: 2,
                blind_share: 0.01,
                lines_lost_share: 0.001,
                faults_share: 1.0,
                exercised: Default::default(),
            },
            waive: Vec::new(),
        },
        budget: Budget {
            cpu_share: 0.1,
            memory: 80 << 20,
            journal: 64 << 20,
            logs: 256 << 20,
        },
        reserve: Default::default(),
        start: canarynet::plan::Start::Genesis,
        ladder: None,
        schedule: Vec::new(),
        drill: None,
        on_missing: canarynet::plan::faults::OnMissing::Refuse,
        log_baseline: None,
        alerts: Default::default(),
        origins: BTreeMap::new(),
    }
}

pub fn shard(number: u64, height: u64) -> ShardView {
    let intervals = |count| Intervals {
        count,
        mean: millis(203),
        p50: millis(201),
        p99: millis(233),
        longest: millis(310),
    };
    ShardView {
        shard: ShardId(number),
        sight: Sight::Progressing,
        first_height: Some(Height(1)),
        height: Some(Height(height)),
        first_block: Some(Elapsed::from_millis(4_200)),
        last_block: Some(Elapsed::from_millis(309_900)),
        epoch: Some(Epoch(15)),
        view: Some(ViewId(height)),
        leader: Some(format!("s{number}-n01")),
        signers: Some((4, 4)),
        recent: intervals(100),
        whole: intervals(1_478),
        signers_mean: Some(4.0),
        signers_share: Some(1.0),
        view_changes: 0,
        view_changes_per_1000: 0.0,
        leader_turns: 15,
        validators: (4, 4),
        disk_share: Some(0.31),
        recovery: Recovery::default(),
        traffic: Traffic {
            told: 1_478,
            transactions: 2_956,
            receipts: 295,
            empty: 12,
            boundaries: intervals(14),
            load: LoadView {
                made: 2_960,
                included: 2_956,
                inclusion: Latencies {
                    count: 2_956,
                    p50: millis(305),
                    p95: millis(596),
                    p99: millis(745),
                },
                ..LoadView::default()
            },
        },
        open: [0; 4],
    }
}

fn node(shard: u64, index: u32) -> NodeView {
    NodeView {
        node: name(shard, index),
        shard: ShardId(shard),
        role: Role::Validator,
        state: NodeState::Running,
        height: Some(Height(1_520)),
        mode: None,
        restarts: 0,
        exits: 0,
        blind_share: 0.0,
        lines: (12_345, 0),
        lines_passed_over: 0,
        participation: Participation {
            led: 370,
            turns: 4,
            missed_turns: 0,
            signed: (1_470, 1_478),
            longest_unsigned: 2,
        },
        memory: 14 << 20,
        memory_peak: 15 << 20,
        cpu_share: 0.021,
        disk: (10 << 20, 32 << 20),
        disk_peak: 11 << 20,
        disk_slope: Some(Slope {
            bytes_per_hour: 1_000.0,
            flat: true,
        }),
        outlook: NodeOutlook {
            memory: Some(Outlook {
                course: Course::Rises,
                per_block: 330.0,
                low: 310.0,
                high: 350.0,
                per_mainnet_day: 3_564_000.0,
                blocks: 1_300,
                earliest_days: Some(11.6),
                likely_days: Some(12.3),
                filling: false,
            }),
            disk: Some(Outlook {
                course: Course::Flat,
                per_block: 0.06,
                low: -3.1,
                high: 3.2,
                per_mainnet_day: 600.0,
                blocks: 1_300,
                earliest_days: Some(640.0),
                likely_days: Some(34_000.0),
                filling: false,
            }),
            open_files: None,
        },
    }
}

fn judgement() -> Judgement {
    let stage = |stage, seconds| StageStart {
        stage,
        at: Elapsed::from_secs(seconds),
    };
    Judgement {
        run: Some("default-212".parse().unwrap()),
        canarynet: "0.1.0".to_owned(),
        started: STARTED,
        finished: Some(Finish {
            reason: FinishReason::Completed,
            wall: STARTED.plus(secs(312)),
        }),
        last: Elapsed::from_secs(312),
        versions: Vec::new(),
        entries: 25_321,
        stages: vec![
            stage(Stage::Prepare, 0),
            stage(Stage::Start, 1),
            stage(Stage::WarmUp, 4),
            stage(Stage::Soak, 8),
            stage(Stage::Settle, 308),
            stage(Stage::Collect, 310),
        ],
        findings: Vec::new(),
        suppressed: BTreeMap::new(),
        beyond: BTreeMap::new(),
        pages: Vec::new(),
        shards: vec![shard(0, 1_520), shard(1, 1_519)],
        nodes: (0..2)
            .flat_map(|s| (0..4).map(move |i| node(s, i)))
            .collect(),
        coverage: Measured {
            blocks: 3_039,
            blocks_least: 1_519,
            epochs: 30,
            leader_turns: 30,
            view_changes: 0,
            watched: secs(300),
            soak: secs(300),
            blind_share: 0.0002,
            blind_node: Some(name(0, 3)),
            lines: 98_760,
            ..Measured::default()
        },
        measures: BTreeMap::from([(
            "block-interval.p99".to_owned(),
            Measure {
                value: 233.0,
                unit: Unit::Milliseconds,
            },
        )]),
        cost: CostView {
            observer: None,
            samples: 31,
            cpu_share: 0.061,
            canary_cpu_share: 0.021,
            watcher_cpu_share: 0.032,
            samplers_cpu_share: 0.008,
            helper_cpu_share: 0.0,
            memory: 40 << 20,
            memory_peak: 41 << 20,
            memory_slope: Some(MemorySlope {
                bytes_per_hour: 20_480.0,
                low: -4_096.0,
                high: 45_056.0,
            }),
            engine_cpu_share: Some(0.09),
            engine_cpu_share_unwatched: Some(0.05),
            run_directory: 12 << 20,
            lag: millis(12),
            dropped: 0,
            within_budget: true,
        },
        acceleration: AccelerationView {
            asked: 40.0,
            measured: 39.4,
            slowest: 39.3,
            mainnet: secs(11_784),
        },
        faults: Vec::new(),
        kinds: Vec::new(),
        capabilities: Vec::new(),
        drills: Vec::new(),
        standstills: Vec::new(),
        climbs: Vec::new(),
        infra: Vec::new(),
        doubts: Vec::new(),
        detectors: vec![DetectorView {
            id: "stall".to_owned(),
            needs: vec![Source::Chain],
            judged: 1.0,
        }],
        templates: vec![TemplateView {
            text: "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!! {blockHash,blockNum}".to_owned(),
            level: "info".to_owned(),
            node: name(0, 1),
            lines: 1_478,
            regular: true,
            new: false,
        }],
    }
}

fn gate(gate: &str, asked: &str, measured: &str, outcome: Outcome) -> GateResult {
    GateResult {
        gate: gate.to_owned(),
        asked: asked.to_owned(),
        measured: measured.to_owned(),
        outcome,
    }
}

fn reason(outcome: Outcome, text: &str, findings: &[&str]) -> Reason {
    Reason {
        outcome,
        text: text.to_owned(),
        findings: findings.iter().map(|id| (*id).to_owned()).collect(),
    }
}

pub fn pass() -> ReportInput {
    ReportInput {
        run: "default-212".parse().unwrap(),
        run_directory: "state/canarynet/default/212".to_owned(),
        plan: plan(),
        judgement: judgement(),
        verdict: Verdict {
            outcome: Outcome::Pass,
            reasons: Vec::new(),
            gates: vec![
                gate("findings", "none from major", "none", Outcome::Pass),
                gate(
                    "limit block-interval.p99",
                    "< 400 ms",
                    "233 ms",
                    Outcome::Pass,
                ),
                gate("coverage blocks", ">= 1000", "3039", Outcome::Pass),
            ],
            warnings: Vec::new(),
        },
        exit_code: 0,
        program: "reference node 0.1.0 @9f3c1e".to_owned(),
        facts: vec![
            Fact::new("engine", "20.10.5, API 1.41, cgroup 1, overlay2"),
            Fact::new("disks", "tmpfs, 32 MiB"),
        ],
        detectors: [
            "stall",
            "fork",
            "crash",
            "low-signers",
            "disk-full",
            "node-lagging",
        ]
        .map(str::to_owned)
        .to_vec(),
        entries: Vec::new(),
        reproduce: [
            "canarynet",
            "soak",
            "default",
            "--seed",
            "nightly-2026-11-21",
        ]
        .map(str::to_owned)
        .to_vec(),
        kept: None,
        curves: Curves::default(),
    }
}

pub fn finding(
    id: &str,
    kind: &str,
    severity: Severity,
    shard: u64,
    nodes: &[NodeName],
) -> Finding {
    Finding {
        id: id.to_owned(),
        kind: kind.to_owned(),
        severity,
        shard: Some(ShardId(shard)),
        nodes: nodes.to_vec(),
        start: Elapsed::from_millis(100_000),
        noticed: Elapsed::from_millis(101_013),
        end: None,
        heights: None,
        duration: secs(212),
        mainnet: secs(8_480),
        summary: format!("{kind} in words"),
        evidence: vec![Seq(8_000)],
        excused_by: None,
        waived: None,
        causes: Vec::new(),
        chain: Vec::new(),
        raised: None,
    }
}

/// Two faults that were done, one of them late, and one that the machine could not do.
fn faults(judgement: &mut Judgement) {
    let fault = |id: &str, kind: &str, at| FaultView {
        id: id.to_owned(),
        kind: kind.to_owned(),
        targets: vec!["s0-n01".to_owned()],
        shards: vec![ShardId(0)],
        requested: Elapsed::from_secs(at),
        acknowledged: Some(Elapsed::from_secs(at)),
        effective: Some(true),
        proof: "s0-n01: ended, exit 137".to_owned(),
        skipped: None,
        healed: Some(Elapsed::from_secs(at + 5)),
        heal_failed: None,
        first_block: Some(SoakTime(millis(210))),
        caught_up: Some(SoakTime(millis(1_400))),
    };
    let mut late = fault("f2-kill", "kill", 40);
    late.first_block = Some(SoakTime(millis(7_200)));
    late.caught_up = None;
    let mut skipped = fault("f3-partition", "partition", 60);
    skipped.skipped = Some("nftables is lacking: the kernel says: no".to_owned());
    judgement.faults = vec![fault("f1-kill", "kill", 20), late, skipped];
    judgement.kinds = vec![
        KindView {
            kind: "kill".to_owned(),
            fired: 2,
            effective: 2,
            skipped: 0,
            healed: 2,
            first_block: Spread::of(vec![millis(210), millis(7_200)]),
            late: 1,
            never_back: 0,
            caught_up: Spread::of(vec![millis(1_400)]),
            never_caught_up: 1,
        },
        KindView {
            kind: "partition".to_owned(),
            skipped: 1,
            ..KindView::default()
        },
    ];
    judgement.capabilities = vec![
        Capability::able(
            "helper",
            "a container with a single capability did what it was told",
        ),
        Capability::unable(
            "nftables",
            "the kernel says: no",
            "load the kernel module nf_tables",
        ),
    ];
}

/// The incident: a disk fills, the leader ends, its shard never makes a block again.
pub fn stall() -> ReportInput {
    let mut input = pass();
    input.exit_code = 1;
    let stalled = &mut input.judgement.shards[1];
    stalled.sight = Sight::Stalled;
    stalled.height = Some(Height(489));
    stalled.last_block = Some(Elapsed::from_secs(100));
    stalled.signers_mean = Some(3.2);
    stalled.signers = Some((3, 4));
    stalled.view_changes = 3;
    stalled.view_changes_per_1000 = 6.1;
    stalled.recovery = Recovery {
        stalls: 1,
        ..Recovery::default()
    };
    stalled.open = [0, 1, 1, 1];
    let stalled_nodes = [name(1, 2), name(1, 3)];
    let mut stall = finding("st-1f3a", "stall", Severity::Critical, 1, &stalled_nodes);
    stall.heights = Some((Height(490), Height(490)));
    stall.summary = "no block since height 489: two of four validators do not run".to_owned();
    stall.causes = vec![
        "disk-full s1-n02".to_owned(),
        "s1-n02 ended by itself, exit code 1".to_owned(),
        "3 view changes at height 490".to_owned(),
    ];
    stall.evidence = vec![Seq(8_000), Seq(8_001)];
    let mut crash = finding("cr-77aa", "crash", Severity::Major, 1, &[name(1, 2)]);
    crash.start = Elapsed::from_secs(99);
    crash.noticed = Elapsed::from_secs(99);
    crash.end = Some(Elapsed::from_secs(99));
    crash.duration = Duration::ZERO;
    crash.mainnet = Duration::ZERO;
    crash.summary = "s1-n02 ended by itself with exit code 1".to_owned();
    let minor = finding("ls-0001", "low-signers", Severity::Minor, 1, &[]);
    let mut waived = finding("sf-0002", "slow-fsync", Severity::Major, 0, &[name(0, 3)]);
    waived.waived = Some("known, ticket 812".to_owned());
    input.plan.gate.waive.push(Waiver {
        finding: "slow-fsync".to_owned(),
        node: Some("s0-n03".to_owned()),
        shard: None,
        until: "2026-12-31".to_owned(),
        because: "known, ticket 812".to_owned(),
    });
    input.judgement.findings = vec![crash, stall, minor, waived];
    faults(&mut input.judgement);
    input.judgement.pages.push(Page {
        finding: "st-1f3a".to_owned(),
        at: Elapsed::from_millis(101_500),
        after: millis(1_500),
    });
    input.judgement.coverage.full_disks = 1;
    input.judgement.nodes[6].state = NodeState::EndedByItself;
    input.judgement.nodes[6].exits = 1;
    input.entries = vec![
        Entry {
            seq: Seq(8_000),
            elapsed: Elapsed::from_millis(98_800),
            event: Event::Log {
                node: name(1, 2),
                level: "error".into(),
                rule: "no-space".into(),
                class: LogClass::DiskFull,
                message: "write failed".to_owned(),
                error: Some("No space left on device".to_owned()),
                time: None,
                at: Some(LogPlace {
                    file: "s1-n02.log".into(),
                    offset: 123_456,
                }),
            },
        },
        Entry {
            seq: Seq(8_001),
            elapsed: Elapsed::from_secs(99),
            event: Event::Container {
                node: name(1, 2),
                change: ContainerChange::Died { exit_code: 1 },
                requested: false,
            },
        },
    ];
    input.plan.levers[1].canary = millis(1_000);
    input.plan.levers[1].at_floor = true;
    input.plan.levers[1].hides = Some("races of view changes with blocks".to_owned());
    input.verdict = Verdict {
        outcome: Outcome::Fail,
        reasons: vec![
            reason(
                Outcome::Fail,
                "critical stall: no block since height 489 and 1 more",
                &["st-1f3a", "cr-77aa"],
            ),
            reason(
                Outcome::Fail,
                "limit block-interval.p99: 433 ms, asked for < 400 ms",
                &[],
            ),
        ],
        gates: vec![
            gate(
                "findings",
                "none from major",
                "1 critical, 1 major",
                Outcome::Fail,
            ),
            gate(
                "limit block-interval.p99",
                "< 400 ms",
                "433 ms",
                Outcome::Fail,
            ),
            gate("coverage blocks", ">= 1000", "2009", Outcome::Pass),
        ],
        warnings: vec!["waiver `idle-validator` was never used".to_owned()],
    };
    input
}

/// The engine went away during the warm-up.
pub fn infra() -> ReportInput {
    let mut input = pass();
    input.exit_code = 3;
    input.judgement.stages.truncate(3);
    input.judgement.last = Elapsed::from_millis(5_300);
    input.judgement.coverage = Measured::default();
    input.judgement.acceleration.measured = 0.0;
    input.judgement.acceleration.mainnet = Duration::ZERO;
    input.judgement.cost = CostView::default();
    input.judgement.shards = vec![ShardView::default()];
    input.judgement.nodes.truncate(1);
    input.judgement.infra.push(InfraView {
        at: Elapsed::from_secs(5),
        what: "engine".to_owned(),
        detail: "the engine's socket was closed".to_owned(),
        fatal: true,
        seq: Seq(40),
    });
    input.judgement.finished = Some(Finish {
        reason: FinishReason::Infra,
        wall: STARTED.plus(secs(6)),
    });
    input.verdict = Verdict {
        outcome: Outcome::Infra,
        reasons: vec![
            reason(
                Outcome::Infra,
                "engine: the engine's socket was closed",
                &[],
            ),
            reason(
                Outcome::Inconclusive,
                "coverage blocks: asked >= 1000, measured 0",
                &[],
            ),
        ],
        gates: vec![
            gate(
                "canary",
                "works",
                "the engine's socket was closed",
                Outcome::Infra,
            ),
            gate("coverage blocks", ">= 1000", "0", Outcome::Inconclusive),
        ],
        warnings: Vec::new(),
    };
    input
}

/// All worked, but a shard was out of sight for too long and the user interrupted.
pub fn inconclusive() -> ReportInput {
    let mut input = pass();
    input.exit_code = 130;
    input.judgement.shards[1].sight = Sight::Blind;
    input.judgement.coverage.blind_share = 0.12;
    input.judgement.coverage.blind_node = Some(name(1, 0));
    input.judgement.coverage.gaps = 1;
    input.judgement.doubts.push(Doubt {
        detector: "stall".to_owned(),
        shard: Some(ShardId(1)),
        node: None,
        from: Elapsed::from_secs(60),
        until: Some(Elapsed::from_secs(96)),
        why: "the watcher saw none of its nodes".to_owned(),
        decisive: false,
    });
    input.judgement.finished = Some(Finish {
        reason: FinishReason::Interrupted,
        wall: STARTED.plus(secs(312)),
    });
    input.verdict = Verdict {
        outcome: Outcome::Inconclusive,
        reasons: vec![reason(
            Outcome::Inconclusive,
            "s1-n00 was out of sight for 12 % of the time",
            &[],
        )],
        gates: vec![
            gate("findings", "none from major", "none", Outcome::Pass),
            gate("coverage blind", "< 1 %", "12 %", Outcome::Inconclusive),
        ],
        warnings: Vec::new(),
    };
    input.kept = Some("8 containers; `canarynet down default-212` removes them".to_owned());
    input
}
