//! The shipped plans and profiles resolve, mean what they say, and fit their disks.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use canarynet::{
    ids::{NodeName, ShardId},
    plan::{NodeAddress, Plan, PlanRequest, check::check, load, reach},
    profile::{
        beside, render,
        shipped::{PLANS, PROFILES},
    },
};

fn request(plan: &str) -> PlanRequest {
    PlanRequest {
        plan: plan.to_owned(),
        date: "2026-11-22".to_owned(),
        ..PlanRequest::default()
    }
}

fn with(plan: &str, set: &[&str]) -> PlanRequest {
    PlanRequest {
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        ..request(plan)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// Beginnings of the names of networks that are made of programs that we did not write.
const FOREIGN: &[&str] = &["etcd", "alto", "harmony", "cometbft", "ethereum"];

#[test]
fn plans_of_foreign_networks_resolve_and_survive_the_journal() {
    for (name, profile) in [
        ("etcd", "etcd"),
        ("alto", "alto"),
        ("alto-block-sizes", "alto"),
    ] {
        let plan = load(&request(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.profile, profile);
        assert_eq!(check(&plan).refusals, Vec::<String>::new());
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}

#[test]
fn what_is_beside_the_nodes_is_rendered_from_the_profile() {
    let plan = load(&with("alto", &["profile.values.others_from=2"])).unwrap();
    let nodes = plan.network.nodes.iter();
    let addresses = nodes.map(|node| {
        let address = NodeAddress {
            data: [10, 1, 2, 16 + node.position as u8].into(),
            management: [10, 1, 3, 16 + node.position as u8].into(),
        };
        (node.name.clone(), address)
    });
    let addresses: BTreeMap<NodeName, NodeAddress> = addresses.collect();
    let beside = beside::render(&plan, &addresses).unwrap();
    assert_eq!(beside.folders.len(), 4);
    let [keys, names] = &beside.steps[..] else {
        panic!("{:?}", beside.steps)
    };
    assert_eq!(keys.call.program.as_deref(), Some("deploy"));
    assert!(keys.call.command.contains(&"500".to_owned()), "{keys:?}");
    let script = &names.call.command[1];
    assert!(
        script.contains("/shared/s0-n01 10.1.2.17 node /shared/s0-n02 10.1.2.18 other"),
        "{script}"
    );
    assert!(script.contains("key=\"${file%.yaml}\""), "{script}");

    let plan = load(&request("etcd")).unwrap();
    let addresses = addresses.into_iter().take(3).collect();
    let beside = beside::render(&plan, &addresses).unwrap();
    let [load] = &beside.load[..] else {
        panic!("{:?}", beside.load)
    };
    assert_eq!(load.program.as_deref(), Some("etcdctl"));
    assert_eq!(load.address, Ipv4Addr::new(10, 1, 2, 15));
    assert_eq!((load.order.rate, load.order.parallel), (4.0, 16));
    let endpoints = "http://10.1.2.16:2379,http://10.1.2.17:2379,http://10.1.2.18:2379";
    assert_eq!(load.order.command[1], endpoints);
    let command = render::command(&plan, &plan.network.nodes[1], &addresses).unwrap();
    assert!(
        command.contains(&"http://10.1.2.17:2380".to_owned()),
        "{command:?}"
    );
    assert!(command.contains(&"500".to_owned()), "{command:?}");
}

#[test]
fn faults_that_a_network_cannot_take_are_refused_with_its_reason() {
    let refused = "profile.refuses={ freeze-main = \"its threads are the program's own\" }";
    let fault = "fault=[{ kind = \"freeze-main\", at = \"10s\" }]";
    let error = load(&with("etcd", &[refused, fault]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("its threads are the program's own"),
        "{error}"
    );
    let defects = "profile.defects=[\"equivocate\"]";
    let error = load(&with("etcd", &[defects])).unwrap_err().to_string();
    assert!(error.contains("nothing tells the nodes of them"), "{error}");
    let skew = "fault=[{ kind = \"clock-skew\", at = \"10s\" }]";
    let error = load(&with("etcd", &[skew])).unwrap_err().to_string();
    assert!(error.contains("the profile names none"), "{error}");
}

#[test]
fn every_shipped_plan_resolves_on_every_shipped_profile_and_is_accepted() {
    for plan in PLANS {
        for profile in PROFILES {
            // The incident needs its four shards.
            let few = ["reference-small", "reference-pair"].contains(&profile.name);
            if few && plan.name.starts_with("incident") {
                continue;
            }
            // What is made of programs that we did not write has plans of its own, and they have no other networks.
            let foreign = |name: &str| FOREIGN.iter().any(|of| name.starts_with(of));
            if foreign(plan.name) || foreign(profile.name) {
                continue;
            }
            let request = PlanRequest {
                profile: Some(profile.name.to_owned()),
                ..request(plan.name)
            };
            let plan = load(&request).unwrap_or_else(|error| panic!("{}: {error}", profile.name));
            let report = check(&plan);
            assert_eq!(report.refusals, Vec::<String>::new());
            assert!(report.disk.flat_after.is_some(), "{}", report.disk.says);
            assert!(
                report.clocks.iter().all(|clock| clock.scaled),
                "{:?}",
                report.clocks
            );
            // The plan is the journal's first entry: it must survive the way there and back.
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        }
    }
}

#[test]
fn the_default_plan_has_the_clocks_of_the_domain() {
    let plan = load(&request("")).unwrap();
    assert_eq!(
        (plan.name.as_str(), plan.profile.as_str()),
        ("default", "reference")
    );
    assert_eq!((plan.network.shards, plan.network.nodes.len()), (4, 16));
    assert_eq!(millis(plan.clocks.block_interval), 200.0);
    assert_eq!(millis(plan.clocks.view_change_timeout), 675.0);
    assert_eq!(millis(plan.clocks.view_change_timeout_max), 2_700.0);
    assert_eq!(millis(plan.thresholds.stall_suspected), 1_012.5);
    assert_eq!(millis(plan.thresholds.stall), 4_000.0);
    assert_eq!(millis(plan.thresholds.page), 1_500.0);
    assert_eq!(millis(plan.thresholds.recovery), 5_400.0);
    assert_eq!(plan.levers[0].clock, "block_interval");
    let text = check(&plan).to_string();
    let page = text
        .lines()
        .find(|line| line.starts_with("stall.page"))
        .unwrap();
    let words: Vec<&str> = page.split_whitespace().collect();
    assert_eq!(
        words[..7],
        ["stall.page", "1.5", "s", "7.5", "1m00s", "1m", "mainnet"]
    );
    assert!(text.contains("flat at"), "{text}");
}

#[test]
fn the_nightly_is_eight_hours_and_draws_its_seed_from_the_date() {
    let plan = load(&request("soak/nightly.toml")).unwrap();
    assert_eq!(plan.seed, "nightly-2026-11-22");
    assert_eq!(check(&plan).length.soak, Duration::from_secs(8 * 3_600));
    let short = PlanRequest {
        soak_for: Some(Duration::from_secs(1_800)),
        ..request("nightly")
    };
    let short = load(&short).unwrap();
    assert_eq!(short.soak.unwrap().0, Duration::from_secs(1_800));
    assert!(short.gate.coverage.blocks < plan.gate.coverage.blocks);
    assert_eq!(short.origins["until"], "--for");
}

#[test]
fn the_smoke_plan_crosses_shards_and_is_short() {
    let plan = load(&request("smoke")).unwrap();
    assert_eq!(plan.network.shards, 2);
    assert!(plan.load.cross_shard > 0.0);
    assert!(plan.soak.unwrap().0 <= Duration::from_secs(75));
}

#[test]
fn the_reference_command_names_every_clock_and_peer() {
    let plan = load(&request("smoke")).unwrap();
    let nodes = plan.network.nodes.iter();
    let addresses: BTreeMap<NodeName, NodeAddress> = nodes
        .map(|node| {
            let last = 16 + node.position as u8;
            let address = NodeAddress {
                data: [10, 1, 2, last].into(),
                management: [10, 1, 3, last].into(),
            };
            (node.name.clone(), address)
        })
        .collect();
    let node = &plan.network.nodes[5];
    assert_eq!(node.name, NodeName::of(ShardId(1), 1));
    let command = render::command(&plan, node, &addresses).unwrap();
    let value = |flag: &str| {
        let at = command.iter().position(|word| word == flag);
        command[at.unwrap_or_else(|| panic!("{flag} in {command:?}")) + 1].as_str()
    };
    assert_eq!(command[0], "reference-node");
    assert_eq!(value("--block-interval"), "200ms");
    assert_eq!(value("--view-change-timeout"), "675ms");
    assert_eq!(value("--view-change-max"), "2700ms");
    assert_eq!(value("--retry-interval"), "200ms");
    assert_eq!(value("--sync-interval"), "675ms");
    assert_eq!((value("--shard"), value("--index")), ("1", "1"));
    assert_eq!(
        (
            value("--shards"),
            value("--validators"),
            value("--explorers")
        ),
        ("2", "4", "0")
    );
    assert_eq!(
        (
            value("--retention"),
            value("--load"),
            value("--cross-shard")
        ),
        ("2000", "20 tx/s", "10%")
    );
    assert_eq!(
        (value("--rpc"), value("--metrics")),
        ("0.0.0.0:9500", "0.0.0.0:9900")
    );
    assert_eq!((value("--data"), value("--seed")), ("/data", "smoke"));
    let peers: Vec<&str> = value("--peers").split(',').collect();
    assert_eq!(
        (peers.len(), peers[0], peers[7]),
        (8, "s0-n00=10.1.2.16:9000", "s1-n03=10.1.2.23:9000")
    );
}

#[test]
fn the_pace_may_be_given_either_way_and_from_outside() {
    let by_interval = load(&with(
        "default",
        &["block_interval=50ms", "profile.shards=1"],
    ))
    .unwrap();
    assert_eq!(by_interval.speedup, 160.0);
    assert_eq!(millis(by_interval.clocks.view_change_timeout), 168.75);
    let floored = load(&with("default", &["speedup=400"])).unwrap();
    assert_eq!(millis(floored.clocks.block_interval), 50.0);
    assert!(floored.levers[0].at_floor);
    let warnings = check(&floored).warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("block_interval is at its floor")),
        "{warnings:?}"
    );
}

#[test]
fn flags_go_over_the_environment_over_the_file() {
    let mut request = with("default", &["load.rate=70 tx/s"]);
    let environment = [
        ("CANARYNET_SET_LOAD__RATE", "60 tx/s"),
        ("CANARYNET_SET_LOAD__CROSS_SHARD", "20 %"),
        ("CANARYNET_SET_DETECTORS__SLOW_BLOCKS__FACTOR", "2"),
        ("CANARYNET_SET_PROFILE__LIMITS__MEMORY", "64 MiB"),
        ("CANARYNET_OTHER", "not for us"),
    ];
    request.environment = environment
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let plan = load(&request).unwrap();
    assert_eq!((plan.load.rate, plan.load.cross_shard), (70.0, 0.2));
    assert_eq!(plan.thresholds.slow_blocks_factor, 2.0);
    assert_eq!(plan.network.limits.memory, 64 << 20);
    assert_eq!(plan.origins["load.rate"], "--set load.rate=70 tx/s");
    assert_eq!(
        plan.origins["load.cross_shard"],
        "environment CANARYNET_SET_LOAD__CROSS_SHARD"
    );
    assert_eq!(
        plan.origins["profile.limits.memory"],
        "environment CANARYNET_SET_PROFILE__LIMITS__MEMORY"
    );
    assert!(plan.origins["profile.limits.cpus"].starts_with("profiles/reference.toml (shipped):"));
}

#[test]
fn a_disk_that_cannot_hold_the_run_is_refused() {
    let report = check(&load(&with("nightly", &["profile.disk.size=8500 KiB"])).unwrap());
    assert_eq!(report.refusals.len(), 1, "{report}");
    assert!(
        report.refusals[0].contains("full after 77 blocks (15.4 s)"),
        "{:?}",
        report.refusals
    );
    // Without pruning the smoke plan still fits, and it is told when it would not.
    let report = check(&load(&with("smoke", &["profile.disk.retention=1000000 blocks"])).unwrap());
    assert_eq!(report.refusals, Vec::<String>::new());
    assert_eq!(report.disk.full_after, Some(14_336));
}

#[test]
fn a_clock_that_does_not_scale_is_named_with_what_it_hides() {
    let none = |clock: &str| format!("profile.accelerate.{clock}.lever=none");
    let hides = "profile.accelerate.view_change.hides=races of two leaders";
    let (view, longest) = (none("view_change"), none("view_change_max"));
    let plan = load(&with("smoke", &[&view, &longest, hides])).unwrap();
    assert_eq!(millis(plan.clocks.view_change_timeout), 27_000.0);
    assert_eq!(millis(plan.thresholds.page), 40_500.0);
    let report = check(&plan);
    let expected = "clock view_change has no lever: 135 block intervals in the canary, 3.38 on mainnet; races of two leaders";
    assert!(
        report.warnings.iter().any(|warning| warning == expected),
        "{:?}",
        report.warnings
    );
    let page = report
        .windows
        .iter()
        .find(|window| window.key == "stall.page")
        .unwrap();
    assert_eq!(page.decided_by, "1.5 V + S");
}

#[test]
fn a_window_set_by_the_plan_says_so() {
    let plan = load(&with("smoke", &["detectors.stall.after=30 blocks"])).unwrap();
    let report = check(&plan);
    let stall = report
        .windows
        .iter()
        .find(|window| window.key == "stall.after")
        .unwrap();
    assert_eq!(stall.wall, Duration::from_secs(6));
    assert_eq!(
        stall.decided_by,
        "set by --set detectors.stall.after=30 blocks"
    );
}

#[test]
fn memory_counts_tmpfs_disks() {
    let memory = |set: &[&str]| check(&load(&with("default", set)).unwrap()).memory;
    assert_eq!(memory(&[]).each, (48 + 64) << 20);
    assert_eq!(memory(&["allow_helper=true"]).each, 48 << 20);
    assert_eq!(
        memory(&["allow_helper=true", "profile.disk.kind=tmpfs"]).each,
        (48 + 64) << 20
    );
}

#[test]
fn the_incidents_height_is_within_reach_of_a_night_and_not_of_an_hour() {
    let night = reach::reach(&request("nightly"), 270_109, Duration::from_secs(8 * 3_600)).unwrap();
    let reach::Reach::Possible {
        interval,
        takes,
        disk_needed,
        ref audit,
        ..
    } = night.needs
    else {
        panic!("{night}")
    };
    assert!(
        interval > Duration::from_millis(100) && interval < Duration::from_millis(107),
        "{interval:?}"
    );
    assert!(takes < Duration::from_secs(8 * 3_600));
    assert_eq!(disk_needed, Some(2_000 * 4_096 + (8 << 20)));
    assert!(audit.is_empty(), "{audit:?}");
    assert!(
        night.to_string().contains("takes 25.0 days on mainnet"),
        "{night}"
    );
    let hour = reach::reach(&request("nightly"), 270_109, Duration::from_secs(3_600)).unwrap();
    let reach::Reach::Impossible { because, floor, .. } = &hour.needs else {
        panic!("{hour}")
    };
    assert!(because.contains("50ms"), "{because}");
    assert_eq!(*floor, Duration::from_millis(50));
}

#[test]
fn a_dead_validator_of_four_is_judged_by_signers_alone() {
    let thresholds = load(&request("smoke")).unwrap().thresholds;
    assert!(0.75 < thresholds.low_signers_share);
    assert!(thresholds.view_change_storm_least > 2 && thresholds.slow_blocks_factor >= 1.5);
}

#[test]
fn the_check_says_what_a_run_reserves_and_how_large_its_journal_becomes() {
    let default = check(&load(&request("default")).unwrap());
    let text = default.to_string();
    assert!(text.contains("reserves 1.35 cores, "), "{text}");
    assert!(text.contains("nothing is left out"), "{text}");
    assert_eq!(default.reserve.memory, default.memory.all);
    let typed = load(&with(
        "default",
        &["reserve.cores=2.5", "reserve.memory=1 GiB"],
    ));
    let typed = check(&typed.unwrap()).reserve;
    assert_eq!((typed.millicores, typed.memory), (2_500, 1 << 30));

    let weeks = PlanRequest {
        soak_for: Some(Duration::from_secs(21 * 86_400)),
        ..request("nightly")
    };
    let weeks = check(&load(&weeks).unwrap());
    let thinner = |warning: &&String| warning.contains("the journal is written thinner after");
    let warning = weeks.warnings.iter().find(thinner).expect("a warning");
    assert!(warning.contains("budget.journal"), "{warning}");
    assert!(weeks.journal.thinned.len() > 1);
    assert!(!weeks.journal.thinned[0].after.is_zero());
}
