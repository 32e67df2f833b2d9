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
fn a_drill_is_long_enough_to_be_found() {
    let (_folder, request) = request("a", "until = \"5m\"\n[drill]\nat = \"1m\"\n");
    let plan = plan::load(&request).unwrap();
    let drill = plan.drill.unwrap();
    assert!(drill.lasts > plan.thresholds.stall);
    assert!(refused("until = \"5m\"\n[drill]\nfor = \"1s\"\n").contains("cannot be found"));
}

/// What a schedule takes from each shard at one time, and whether a shard has its time to come back.
fn check_budget(plan: &plan::Plan) {
    let rest = plan.thresholds.recovery * 3;
    let mut free_from: BTreeMap<Option<u64>, std::time::Duration> = BTreeMap::new();
    for fault in &plan.schedule {
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
        let soak = plan.soak.unwrap().0;
        assert!(at + fault.lasts <= soak);
        // Strictly less than a third, whatever is drawn when it fires.
        let nodes = crate::fault::target::resolve(
            &fault.target,
            &plan.network.nodes,
            &crate::fault::target::Seen::default(),
            fault.seed,
        )
        .unwrap();
        for shard in 0..plan.network.shards {
            let power = |taken: bool| -> u64 {
                plan.network
                    .nodes
                    .iter()
                    .filter(|node| node.shard.0 == shard)
                    .filter(|node| !taken || nodes.contains(&node.name))
                    .map(|node| node.voting_power)
                    .sum()
            };
            assert!(power(true) * 3 < power(false));
        }
    }
}

/// 10,000 seeds: same seed, same bytes; no draw ever takes a quorum.
#[test]
fn ten_thousand_seeds_draw_the_same_and_never_take_the_quorum() {
    let text = "profile = \"reference\"\nspeedup = 40\nallow_helper = true\nuntil = \"1h\"\n[chaos]\ngap = \"30s..3m\"\nfor = \"2s..40s\"\nweights = { kill = 3, pause = 2, disk-fill = 3, log-scraper = 1 }\n";
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
        faults: &[],
        chaos: manifest.chaos.as_ref(),
        drill: None,
    };
    let mut plan = base;
    let mut different = std::collections::BTreeSet::new();
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
    }
    assert!(different.len() > 9_000, "seeds hardly differ");
    // The whole way, from the file, gives the same too.
    request.seed = Some("nightly".to_owned());
    assert_eq!(
        plan::load(&request).unwrap().schedule,
        plan::load(&request).unwrap().schedule
    );
}
