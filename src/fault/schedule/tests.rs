use std::collections::BTreeMap;

use crate::plan::{
    self, PlanError, PlanRequest,
    faults::{PlannedFault, Trigger, Who},
};

fn request(seed: &str, text: &str) -> (tempfile::TempDir, PlanRequest) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    let head = "profile = \"reference-small\"\nspeedup = 40\nallow_helper = true\n";
    std::fs::write(&path, format!("{head}{text}")).unwrap();
    let request = PlanRequest {
        plan: path.display().to_string(),
        seed: Some(seed.to_owned()),
        environment: BTreeMap::new(),
        date: "2026-11-23".to_owned(),
        ..PlanRequest::default()
    };
    (folder, request)
}

fn faults(seed: &str, text: &str) -> Result<Vec<PlannedFault>, PlanError> {
    let (_folder, request) = request(seed, text);
    plan::load(&request).map(|plan| plan.schedule)
}

fn refused(text: &str) -> String {
    faults("a", text).unwrap_err().to_string()
}

#[test]
fn one_fault_at_its_time() {
    let text = "until = \"5m\"\n[[fault]]\nkind = \"kill\"\ntarget = \"leader\"\nat = \"1m\"\nfor = \"40 blocks\"\n";
    let faults = faults("a", text).unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].id, "f1-kill");
    assert_eq!(faults[0].target.who, Who::Leader);
    assert_eq!(faults[0].lasts.as_secs(), 8);
    assert_eq!(
        faults[0].trigger,
        Trigger::After(std::time::Duration::from_secs(60))
    );
}

#[test]
fn again_and_again_until_the_soak_ends() {
    let text = "until = \"5m\"\n[[fault]]\nkind = \"pause\"\nevery = \"50s\"\njitter = \"5s\"\nfor = \"5s\"\n";
    let drawn = faults("a", text).unwrap();
    assert_eq!(drawn.len(), 5, "the sixth would not heal in time");
    assert_eq!(drawn, faults("a", text).unwrap());
    assert_ne!(drawn, faults("b", text).unwrap());
}

#[test]
fn what_cannot_work_is_refused_with_its_place_and_a_remedy() {
    let fault = |rest: &str| format!("until = \"5m\"\n[[fault]]\n{rest}");
    for (rest, words) in [
        ("kind = \"kil\"\nat = \"1m\"", "kill"),
        ("kind = \"kill\"", "every"),
        ("kind = \"kill\"\nat = \"1m\"\nevery = \"2m\"", "exclude"),
        ("kind = \"kill\"\nat = \"299s\"\nfor = \"10s\"", "soak"),
        ("kind = \"kill\"\nat = \"1m\"\ntarget = \"boss\"", "boss"),
        (
            "kind = \"kill\"\nat = \"1m\"\ntarget = \"leader shard:9\"",
            "shard 9",
        ),
        (
            "kind = \"kill\"\nat = \"1m\"\ntarget = \"s0-n77\"",
            "s0-n77",
        ),
        ("kind = \"kill\"\nat = \"1m\"\nhow = 3", "how"),
        ("kind = \"kill\"\nat = \"soon\"", "height 270060"),
        ("kind = \"kill\"\nevery = \"5s\"\nfor = \"6s\"", "longer"),
    ] {
        let said = refused(&fault(rest));
        assert!(said.contains(words), "{rest}: {said}");
    }
}

#[test]
fn faults_of_disks_want_a_disk_that_can_have_them() {
    let text = |kind: &str| format!("until = \"5m\"\n[[fault]]\nkind = \"{kind}\"\nat = \"1m\"\n");
    let load = |kind: &str, set: &[&str]| {
        let (_folder, mut request) = request("a", &text(kind));
        request.set = set.iter().map(|&set| set.to_owned()).collect();
        plan::load(&request)
    };
    let refused = |kind: &str, set: &[&str]| load(kind, set).unwrap_err().to_string();
    let xfs: [&str; 2] = ["profile.disk.kind=xfs", "profile.disk.size=\"300 MiB\""];
    let said = refused("disk-read-only", &xfs);
    assert!(said.contains("xfs has no way"), "{said}");
    assert!(load("disk-hang", &xfs).is_ok());
    let said = refused("power-cut", &["profile.disk.kind=tmpfs"]);
    assert!(said.contains("ext4"), "{said}");
    let said = refused("disk-slow", &["allow_helper=false"]);
    assert!(said.contains("--allow-helper"), "{said}");
    // Only where it is wanted is a disk made so that it can run dry.
    assert!(load("device-dry", &[]).unwrap().network.disk.thin);
    assert!(!load("power-cut", &[]).unwrap().network.disk.thin);
    let zero = |rest: &str| faults("a", &format!("{}{rest}", text("disk-slow")));
    assert!(zero("write_iops = 0\n").is_err());
    assert!(zero("write_bytes_per_second = \"0 B\"\n").is_err());
    assert!(zero("write_bytes_per_second = \"1 MiB\"\n").is_ok());
}

#[test]
fn overlaps_that_undo_each_other_are_refused() {
    let two = |one: &str, other: &str| {
        format!(
            "until = \"5m\"\n[[fault]]\nkind = \"kill\"\ntarget = \"{one}\"\nat = \"1m\"\nfor = \"20s\"\n[[fault]]\nkind = \"pause\"\ntarget = \"{other}\"\nat = \"70s\"\nfor = \"20s\"\n"
        )
    };
    assert!(refused(&two("leader", "one")).contains("overlap"));
    assert!(faults("a", &two("s0-n00", "s0-n01")).is_ok());
}

#[test]
fn faults_on_the_network_may_be_on_one_node_but_not_in_one_queue() {
    let two = |one: &str, other: &str| {
        let fault = |kind: &str| {
            format!(
                "[[fault]]\nkind = \"{kind}\"\ntarget = \"leader\"\nat = \"1m\"\nfor = \"9s\"\n"
            )
        };
        format!("until = \"5m\"\n{}{}", fault(one), fault(other))
    };
    for (one, other) in [("partition", "packet-loss"), ("reject", "delay")] {
        assert!(faults("a", &two(one, other)).is_ok(), "{one} {other}");
    }
    for (one, other) in [("bandwidth", "delay"), ("corrupt", "bandwidth")] {
        assert!(refused(&two(one, other)).contains("overlap"));
    }
}

#[test]
fn a_drill_is_long_enough_to_be_found() {
    let (_folder, request) = request("a", "until = \"5m\"\n[drill]\nat = \"1m\"\n");
    let plan = plan::load(&request).unwrap();
    let drill = plan.drill.unwrap();
    assert!(drill.lasts > plan.thresholds.stall);
    assert!(refused("until = \"5m\"\n[drill]\nfor = \"1s\"\n").contains("cannot be found"));
}

#[test]
fn an_unknown_parameter_has_its_place_and_a_suggestion() {
    let fault = "until = \"5m\"\n[[fault]]\nkind = \"disk-fill\"\nat = \"1m\"\n";
    let said = refused(&format!("{fault}leeve = \"1 MiB\"\n"));
    assert!(
        said.contains("case.toml:8:1: unknown key `fault[0].leeve`; did you mean `leave`?"),
        "{said}"
    );
    let said = refused(&format!("{fault}tarket = \"leader\"\n"));
    assert!(said.contains("did you mean `target`?"), "{said}");
    let said = refused(&format!("{fault}leave = \"much\"\n"));
    assert!(said.contains("parameters of `disk-fill`"), "{said}");
    let chaos = "until = \"1h\"\n[chaos]\nweights = { disk-fill = 1 }\n";
    let said = refused(&format!("{chaos}parameters = {{ disk-fil = {{}} }}\n"));
    assert!(said.contains("did you mean `disk-fill`?"), "{said}");
    let said = refused(&format!(
        "{chaos}parameters = {{ disk-fill = {{ leeve = \"1 B\" }} }}\n"
    ));
    assert!(said.contains("did you mean `leave`?"), "{said}");
}

#[test]
fn no_id_comes_twice() {
    let text = "until = \"10m\"\n[[fault]]\nkind = \"kill\"\ntarget = \"s0-n00\"\nevery = \"50s\"\nfor = \"5s\"\n[[fault]]\nkind = \"cpu-hog\"\ntarget = \"s0-n01\"\nevery = \"50s\"\nfor = \"5s\"\njitter = \"9s\"\n[chaos]\ngap = \"1s..2s\"\nweights = { pause = 1 }\n";
    let faults = match faults("a", text) {
        Err(error) => panic!("{error}"),
        Ok(faults) => faults,
    };
    let ids: std::collections::BTreeSet<&str> =
        faults.iter().map(|fault| fault.id.as_str()).collect();
    assert_eq!(ids.len(), faults.len());
    assert!(faults.len() > 20);
}

#[test]
fn what_the_plan_rules_out_is_refused_or_skipped_loudly() {
    let text =
        |rest: &str| format!("until = \"5m\"\n[[fault]]\nkind = \"{{}}\"\nat = \"1m\"\n{rest}");
    for info in crate::fault::kinds::KINDS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.toml");
        let load = |on_missing: &str| {
            let text = format!(
                "profile = \"reference-small\"\nspeedup = 40\n{on_missing}{}",
                text("").replace("{}", info.kind)
            );
            std::fs::write(&path, text).unwrap();
            plan::load(&PlanRequest {
                plan: path.display().to_string(),
                date: "2026-11-23".to_owned(),
                set: vec!["profile.disk.kind=tmpfs".to_owned()],
                ..PlanRequest::default()
            })
        };
        if info.needs.is_empty() {
            assert!(load("").is_ok(), "{}", info.kind);
            continue;
        }
        if crate::fault::needs::Permits::of(&load("on_missing = \"skip\"\n").unwrap())
            .rules_out_kind(info)
            .is_none()
        {
            // The profile permits it.
            assert!(load("").is_ok(), "{}", info.kind);
            continue;
        }
        let said = load("").unwrap_err().to_string();
        for words in [info.kind, "needs", "on_missing"] {
            assert!(said.contains(words), "{}: {said}", info.kind);
        }
        let plan = load("on_missing = \"skip\"\n").unwrap();
        assert_eq!(
            plan.schedule.len(),
            1,
            "it stays in the schedule: skipped when it fires"
        );
        let told = plan::check::check(&plan).warnings.join("\n");
        assert!(told.contains("will be skipped"), "{told}");
    }
}

#[test]
fn a_sweep_does_every_kind_that_the_plan_permits_once_and_lasts_as_long_as_it_takes() {
    let (_folder, request) = request("a", "[sweep]\n");
    let mut request = request;
    request.set = vec!["profile.disk.kind=ext4".to_owned()];
    let plan = plan::load(&request).unwrap();
    let permits = super::Permits::of(&plan);
    let expected: Vec<&str> = crate::fault::kinds::KINDS
        .iter()
        .filter(|info| permits.rules_out_kind(info).is_none())
        .map(|info| info.kind)
        .collect();
    let swept: Vec<&str> = plan
        .schedule
        .iter()
        .map(|fault| fault.kind.as_str())
        .collect();
    assert_eq!(swept, expected);
    assert!(expected.len() >= 12);
    let last = plan.schedule.last().unwrap();
    let Trigger::After(at) = last.trigger else {
        panic!("it has a time");
    };
    let recovery = plan.thresholds.recovery;
    assert_eq!(plan.soak.unwrap().0, at + last.lasts + recovery * 2);
    assert!(refused("until = \"1m\"\n[sweep]\n").contains("soak"));
    assert!(refused("[sweep]\nkinds = [\"kil\"]\n").contains("did you mean `kill`"));
}

#[test]
fn what_is_started_in_a_node_that_does_not_run_is_refused() {
    let two = |one: &str, other: &str| {
        let fault = |kind: &str, at: &str| {
            format!(
                "[[fault]]\nkind = \"{kind}\"\ntarget = \"s0-n01\"\nat = \"{at}\"\nfor = \"20s\"\n"
            )
        };
        format!(
            "until = \"5m\"\n{}{}",
            fault(one, "1m"),
            fault(other, "70s")
        )
    };
    assert!(refused(&two("kill", "disk-fill")).contains("overlap"));
    assert!(refused(&two("disk-fill", "disk-fill")).contains("overlap"));
    // The other way round works: it is started again with the node.
    assert!(faults("a", &two("disk-fill", "kill")).is_ok());
    assert!(faults("a", &two("disk-fill", "cpu-hog")).is_ok());
    // A drill pauses all nodes of its shard.
    let drill = "[drill]\nat = \"65s\"\nfor = \"6s\"\nshard = 0\n";
    let fault = "until = \"5m\"\n[[fault]]\nkind = \"kill\"\nat = \"1m\"\nfor = \"20s\"\n";
    assert!(refused(&format!("{fault}{drill}")).contains("drill"));
}

/// When each fault of a schedule takes what away, whoever it is done to; and whether shards have their time to come back.
fn check_budget(plan: &plan::Plan) {
    let rest = plan.thresholds.recovery * 3;
    let mut free_from: BTreeMap<Option<u64>, std::time::Duration> = BTreeMap::new();
    for fault in plan.schedule.iter().filter(|fault| fault.drawn) {
        let Trigger::After(at) = fault.trigger else {
            panic!("a drawn fault has a time");
        };
        assert_eq!(fault.target.who, Who::MinorityThird);
        let free = free_from
            .entry(fault.target.shard.map(|shard| shard.0))
            .or_default();
        assert!(
            at >= *free,
            "{} begins before the one before has healed and rested",
            fault.id
        );
        *free = at + fault.lasts + rest;
        assert!(at + fault.lasts <= plan.soak.unwrap().0);
        let taken = taken(plan, fault);
        for shard in 0..plan.network.shards {
            let power = |taken: &dyn Fn(&crate::ids::NodeName) -> bool| -> u64 {
                let nodes = plan.network.nodes.iter();
                nodes
                    .filter(|node| node.shard.0 == shard && taken(&node.name))
                    .map(|node| node.voting_power)
                    .sum()
            };
            let gone = power(&|node| taken.contains(node));
            assert!(gone * 3 < power(&|_| true), "{} takes {gone}", fault.id);
        }
        // Nothing that the plan names is in force meanwhile in the same shard.
        for named in plan.schedule.iter().filter(|named| !named.drawn) {
            let Trigger::After(start) = named.trigger else {
                continue;
            };
            let apart = start >= at + fault.lasts || at >= start + named.lasts;
            let elsewhere =
                fault.target.shard.is_some() && named.target.shard != fault.target.shard;
            assert!(apart || elsewhere, "{} meets {}", fault.id, named.id);
        }
    }
}

/// The nodes that a fault takes away, by its kind's own word.
fn taken(plan: &plan::Plan, fault: &PlannedFault) -> Vec<crate::ids::NodeName> {
    let network = &plan.network;
    let seen = crate::fault::target::Seen::default();
    let targets = crate::fault::target::resolve(&fault.target, network, &seen, fault.seed).unwrap();
    let info = crate::fault::kinds::kind(&fault.kind).unwrap();
    let cast = crate::fault::kinds::Cast {
        fault: &fault.id,
        targets: &targets,
        nodes: &network.nodes,
        quorum: network.foreign.quorum,
        duration: fault.lasts,
        seed: fault.seed,
    };
    (info.parse)(&fault.parameters).unwrap().takes(&cast)
}

/// 10,000 seeds, every kind of fault drawn: same seed, same bytes; no draw ever takes a quorum, also not together with
/// a fault and a drill that the plan names.
#[test]
fn ten_thousand_seeds_draw_the_same_and_never_take_the_quorum() {
    let weights: Vec<String> = crate::fault::kinds::KINDS
        .iter()
        .enumerate()
        .map(|(place, info)| format!("{} = {}", info.kind, 1 + place % 3))
        .collect();
    // No network permits all kinds at once: skipping keeps them all in the schedule.
    let text = format!(
        "profile = \"reference\"\nspeedup = 40\nallow_helper = true\non_missing = \"skip\"\nuntil = \"1h\"\n[drill]\nat = \"20m\"\n[[fault]]\nkind = \"kill\"\ntarget = \"leader shard:1\"\nevery = \"11m\"\nfor = \"30s\"\n[chaos]\ngap = \"30s..3m\"\nfor = \"2s..40s\"\nweights = {{ {} }}\n",
        weights.join(", ")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    std::fs::write(&path, text).unwrap();
    let mut request = PlanRequest {
        plan: path.display().to_string(),
        date: "2026-11-23".to_owned(),
        ..PlanRequest::default()
    };
    let sources = plan::load::sources(&request).unwrap();
    let base = plan::load(&request).unwrap();
    let manifest: plan::manifest::Manifest = sources.typed("plan", &sources.plan.table).unwrap();
    let typed = super::Typed {
        faults: manifest.fault.as_deref().unwrap(),
        sweep: None,
        chaos: manifest.chaos.as_ref(),
        drill: manifest.drill.as_ref(),
    };
    let mut plan = base;
    let mut different = std::collections::BTreeSet::new();
    let mut drawn = std::collections::BTreeSet::new();
    for seed in 0..10_000_u32 {
        plan.seed = format!("seed-{seed}");
        let (schedule, _) = super::schedule(&sources, &typed, &plan).unwrap();
        let again = super::schedule(&sources, &typed, &plan).unwrap().0;
        assert_eq!(
            serde_json::to_vec(&schedule).unwrap(),
            serde_json::to_vec(&again).unwrap()
        );
        assert!(schedule.len() > 4);
        different.insert(format!("{:?}", schedule[0]));
        plan.schedule = schedule;
        check_budget(&plan);
        let kinds = plan.schedule.iter().filter(|fault| fault.drawn);
        drawn.extend(kinds.map(|fault| fault.kind.clone()));
    }
    assert!(different.len() > 9_000, "seeds hardly differ");
    assert_eq!(
        drawn.len(),
        crate::fault::kinds::KINDS.len(),
        "every kind is drawn"
    );
    // The whole way, from the file, gives the same too.
    request.seed = Some("nightly".to_owned());
    assert_eq!(
        plan::load(&request).unwrap().schedule,
        plan::load(&request).unwrap().schedule
    );
}
