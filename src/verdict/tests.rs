use super::*;
use crate::{
    detect::judgement::{Doubt, DrillView, FaultView, Finish, InfraView, ShardView},
    ids::{NodeName, Seq, ShardId},
    journal::generate::Shape,
    plan::Limit,
    time::Elapsed,
};

fn plan() -> Plan {
    Shape::default().plan()
}

/// A run that passes.
fn judgement() -> Judgement {
    let mut judgement = Judgement {
        started: WallTime(1_800_000_000_000),
        finished: Some(Finish {
            reason: FinishReason::Completed,
            wall: WallTime(1_800_000_300_000),
        }),
        ..Judgement::default()
    };
    judgement.coverage.blocks = 1000;
    judgement.coverage.watched = Duration::from_secs(300);
    judgement.cost.samples = 60;
    judgement.cost.within_budget = true;
    judgement
}

fn finding(kind: &str, severity: Severity) -> Finding {
    Finding {
        id: format!("{kind}-1"),
        kind: kind.to_owned(),
        severity,
        shard: Some(ShardId(1)),
        nodes: vec![NodeName::of(ShardId(1), 2)],
        start: Elapsed::default(),
        noticed: Elapsed::default(),
        end: None,
        heights: None,
        duration: Duration::ZERO,
        mainnet: Duration::ZERO,
        summary: "it happened".to_owned(),
        evidence: vec![Seq(1)],
        excused_by: None,
        waived: None,
        causes: Vec::new(),
        chain: Vec::new(),
        raised: None,
    }
}

fn infra() -> InfraView {
    InfraView {
        at: Elapsed::default(),
        what: "engine".to_owned(),
        detail: "gone".to_owned(),
        fatal: true,
        seq: Seq(3),
    }
}

fn waiver(finding: &str, until: &str) -> Waiver {
    Waiver {
        finding: finding.to_owned(),
        node: None,
        shard: None,
        until: until.to_owned(),
        because: "known, ticket 812".to_owned(),
    }
}

fn outcomes(verdict: &Verdict) -> Vec<Outcome> {
    verdict
        .reasons
        .iter()
        .map(|reason| reason.outcome)
        .collect()
}

fn gate<'a>(verdict: &'a Verdict, name: &str) -> &'a GateResult {
    verdict
        .gates
        .iter()
        .find(|gate| gate.gate == name)
        .unwrap_or_else(|| panic!("no gate {name} in {:#?}", verdict.gates))
}

#[test]
fn a_clean_run_passes_every_gate() {
    let verdict = decide(&plan(), &judgement());
    assert_eq!(
        (verdict.outcome, verdict.exit()),
        (Outcome::Pass, Exit::Pass)
    );
    assert!(verdict.reasons.is_empty() && verdict.warnings.is_empty());
    assert!(
        verdict
            .gates
            .iter()
            .all(|gate| gate.outcome == Outcome::Pass)
    );
}

#[test]
fn fail_comes_before_infra_before_inconclusive_and_all_are_listed() {
    let mut judgement = judgement();
    judgement.coverage.blocks = 1;
    assert_eq!(
        outcomes(&decide(&plan(), &judgement)),
        [Outcome::Inconclusive]
    );
    judgement.infra.push(infra());
    assert_eq!(
        outcomes(&decide(&plan(), &judgement)),
        [Outcome::Infra, Outcome::Inconclusive]
    );
    judgement.findings.push(finding("crash", Severity::Major));
    let verdict = decide(&plan(), &judgement);
    assert_eq!(
        outcomes(&verdict),
        [Outcome::Fail, Outcome::Infra, Outcome::Inconclusive]
    );
    assert_eq!(verdict.exit(), Exit::Fail);
    assert_eq!(verdict.reasons[0].findings, ["crash-1"]);
}

#[test]
fn the_gate_fails_from_its_severity_on() {
    let mut judgement = judgement();
    judgement.findings.push(finding("crash", Severity::Minor));
    assert_eq!(decide(&plan(), &judgement).outcome, Outcome::Pass);
    let mut strict = plan();
    strict.gate.fail_on = Severity::Minor;
    assert_eq!(decide(&strict, &judgement).outcome, Outcome::Fail);
    judgement.findings[0].excused_by = Some("kill-1".to_owned());
    let verdict = decide(&strict, &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass);
    assert_eq!(gate(&verdict, "findings").measured, "1 minor (1 excused)");
}

#[test]
fn waivers_count_until_their_day_is_over() {
    let mut judgement = judgement();
    judgement.findings.push(finding("crash", Severity::Major));
    judgement.findings[0].waived = Some("known".to_owned());
    let mut plan = plan();
    // The run ended on 2027-01-15, 08:05 UTC.
    plan.gate.waive = vec![
        waiver("crash", "2027-01-15"),
        waiver("slow-fsync", "2030-01-01"),
    ];
    let verdict = decide(&plan, &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    assert_eq!(
        verdict.warnings.len(),
        1,
        "one was not needed: {:?}",
        verdict.warnings
    );
    plan.gate.waive[0].until = "2027-01-14".to_owned();
    // The judge does not apply what is expired.
    judgement.findings[0].waived = None;
    let verdict = decide(&plan, &judgement);
    assert_eq!(outcomes(&verdict), [Outcome::Fail, Outcome::Fail]);
    assert_eq!(gate(&verdict, "waiver crash").outcome, Outcome::Fail);
    assert!(
        expired(&waiver("x", "soon"), WallTime(0)),
        "what nobody can read"
    );
}

#[test]
fn an_expired_waiver_of_what_fails_nothing_fails_nothing() {
    let mut judgement = judgement();
    judgement.findings = vec![finding("crash", Severity::Minor); 2];
    judgement.findings.push(finding("crash", Severity::Major));
    judgement.findings[2].excused_by = Some("kill-1".to_owned());
    let mut plan = plan();
    plan.gate.waive = vec![waiver("crash", "2027-01-14")];
    let verdict = decide(&plan, &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.reasons);
    assert_eq!(gate(&verdict, "waiver crash").measured, "3 findings");
    judgement.findings[0].severity = Severity::Major;
    let verdict = decide(&plan, &judgement);
    assert_eq!(gate(&verdict, "waiver crash").outcome, Outcome::Fail);
}

#[test]
fn findings_that_could_not_be_held_fail_and_those_that_fail_nothing_do_not() {
    let mut judgement = judgement();
    judgement.suppressed.insert("crash".to_owned(), 7);
    let verdict = decide(&plan(), &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass);
    assert_eq!(verdict.warnings.len(), 1);
    judgement.beyond.insert("crash".to_owned(), 1);
    let verdict = decide(&plan(), &judgement);
    assert_eq!(outcomes(&verdict), [Outcome::Fail]);
    assert_eq!(gate(&verdict, "findings").outcome, Outcome::Fail);
}

#[test]
fn a_waiver_is_only_about_what_it_names() {
    let found = finding("crash", Severity::Major);
    let mut narrow = waiver("crash", "2030-01-01");
    assert!(waives(&narrow, &found));
    narrow.node = Some("s1-n02".to_owned());
    narrow.shard = Some(1);
    assert!(waives(&narrow, &found));
    narrow.shard = Some(0);
    assert!(!waives(&narrow, &found));
    narrow.shard = None;
    let mut two = found;
    two.nodes.push(NodeName::of(ShardId(1), 3));
    assert!(!waives(&narrow, &two), "another node is in it");
    two.nodes.clear();
    assert!(!waives(&narrow, &two));
}

#[test]
fn limits_hold_measures_and_never_recovered_fails() {
    let limit = |text: &str, below, value| Limit {
        text: text.to_owned(),
        below,
        value,
    };
    let mut plan = plan();
    let limits = &mut plan.gate.limits;
    limits.insert(
        "block-interval.p99".to_owned(),
        limit("< 400ms", true, 400.0),
    );
    limits.insert(
        "recovery.p99".to_owned(),
        limit("< 15 blocks", true, 3000.0),
    );
    let mut judgement = judgement();
    let interval = |value| Measure {
        value,
        unit: Unit::Milliseconds,
    };
    let with = |judgement: &Judgement| {
        let verdict = decide(&plan, judgement);
        let of = |name: &str| {
            let gate = gate(&verdict, name);
            (gate.measured.clone(), gate.outcome)
        };
        (of("limit block-interval.p99"), of("limit recovery.p99"))
    };
    assert_eq!(
        with(&judgement),
        (
            ("not measured".to_owned(), Outcome::Inconclusive),
            ("nothing had to recover".to_owned(), Outcome::Pass)
        )
    );
    judgement
        .measures
        .insert("block-interval.p99".to_owned(), interval(400.0));
    judgement.shards.push(ShardView::default());
    judgement.shards[0].recovery.stalls = 2;
    judgement.shards[0].recovery.recovered = 1;
    assert_eq!(
        with(&judgement),
        (
            ("400 ms".to_owned(), Outcome::Fail),
            ("never (1 of 2)".to_owned(), Outcome::Fail)
        )
    );
    judgement.shards[0].recovery.recovered = 2;
    judgement
        .measures
        .insert("recovery.p99".to_owned(), interval(2999.0));
    judgement
        .measures
        .insert("block-interval.p99".to_owned(), interval(399.9));
    let (interval, recovery) = with(&judgement);
    assert_eq!((interval.1, recovery.1), (Outcome::Pass, Outcome::Pass));
}

#[test]
fn a_canary_over_its_budget_is_infra_but_not_in_a_run_of_seconds() {
    let mut judgement = judgement();
    judgement.cost.within_budget = false;
    assert_eq!(decide(&plan(), &judgement).outcome, Outcome::Infra);
    judgement.coverage.watched = Duration::from_secs(20);
    assert_eq!(decide(&plan(), &judgement).outcome, Outcome::Pass);
}

#[test]
fn load_that_nobody_told_of_is_thin_evidence_where_it_was_asked_for() {
    let mut plan = plan();
    plan.load.rate = 5.0;
    plan.gate.coverage.exercised.load_share = 0.9;
    let mut judgement = judgement();
    let held = |plan: &Plan, judgement: &Judgement| {
        let verdict = decide(plan, judgement);
        let told = verdict
            .gates
            .iter()
            .find(|gate| gate.gate == "load offered");
        (verdict.outcome, told.map(|gate| gate.measured.clone()))
    };
    let nobody = (Outcome::Inconclusive, Some("nobody told".to_owned()));
    assert_eq!(held(&plan, &judgement), nobody);
    judgement.coverage.load_share = Some(0.8);
    assert_eq!(held(&plan, &judgement).0, Outcome::Infra);
    judgement.coverage.load_share = Some(0.95);
    assert_eq!(held(&plan, &judgement).0, Outcome::Pass);
    judgement.coverage.load_share = None;
    plan.load.rate = 0.0;
    assert_eq!(held(&plan, &judgement), (Outcome::Pass, None));
    plan.load.rate = 5.0;
    plan.gate.coverage.exercised.load_share = 0.0;
    assert_eq!(held(&plan, &judgement), (Outcome::Pass, None));
}

#[test]
fn a_drill_that_was_cut_off_proves_nothing_either_way() {
    let plan = plan();
    let mut judgement = judgement();
    let window = plan.thresholds.stall;
    judgement.last = Elapsed::from_secs(100) + window * 4;
    let drill = |lasts: Option<Duration>| DrillView {
        shard: ShardId(1),
        nodes: Vec::new(),
        begins: Elapsed::from_secs(100),
        ends: lasts.map(|lasts| Elapsed::from_secs(100) + lasts),
        found: None,
    };
    for (lasts, outcome) in [
        (Some(window / 2), Outcome::Inconclusive),
        (Some(window * 2), Outcome::Infra),
        (None, Outcome::Infra),
    ] {
        judgement.drills = vec![drill(lasts)];
        assert_eq!(decide(&plan, &judgement).outcome, outcome, "{lasts:?}");
    }
    judgement.last = Elapsed::from_secs(100) + window / 2;
    assert_eq!(decide(&plan, &judgement).outcome, Outcome::Inconclusive);
}

#[test]
fn thin_evidence_is_inconclusive() {
    let mut blind = judgement();
    blind.coverage.blind_share = 0.011;
    let mut lost = judgement();
    lost.coverage.lines_lost_share = 0.002;
    let mut doubt = judgement();
    doubt.doubts.push(Doubt {
        detector: "stall".to_owned(),
        shard: None,
        node: None,
        from: Elapsed::default(),
        until: None,
        why: "it failed".to_owned(),
        decisive: true,
    });
    let mut interrupted = judgement();
    interrupted.finished = Some(Finish {
        reason: FinishReason::Interrupted,
        wall: WallTime(0),
    });
    let mut cut = judgement();
    cut.finished = None;
    for judgement in [blind, lost, doubt, interrupted, cut] {
        let verdict = decide(&plan(), &judgement);
        assert_eq!(outcomes(&verdict), [Outcome::Inconclusive], "{judgement:?}");
        assert_eq!(verdict.exit(), Exit::Inconclusive);
    }
}

#[test]
fn a_run_is_held_against_its_baseline_and_missing_data_fails() {
    use crate::{
        detect::judgement::{Measure, Unit},
        plan::{Against, Side, Tolerance},
    };
    let mut plan = plan();
    plan.gate.against = Some(Against {
        baseline: "release/v1".to_owned(),
        runs: vec![Side {
            seed: plan.seed.clone(),
            values: [("memory.max".to_owned(), 100.0)].into(),
        }],
        tolerances: vec![Tolerance {
            metric: "memory.max".to_owned(),
            change: 0.1,
        }],
    });
    let mut judgement = judgement();
    assert_eq!(decide(&plan, &judgement).outcome, Outcome::Fail, "missing");
    for (bytes, outcome) in [(109.0, Outcome::Pass), (111.0, Outcome::Fail)] {
        let measure = Measure {
            value: bytes,
            unit: Unit::Bytes,
        };
        judgement.measures.insert("memory.max".to_owned(), measure);
        let verdict = decide(&plan, &judgement);
        assert_eq!(verdict.outcome, outcome, "{:?}", verdict.reasons);
        assert!(
            verdict
                .gates
                .iter()
                .any(|gate| gate.gate == "against memory.max" && gate.outcome == outcome)
        );
    }
}

#[test]
fn the_plans_faults_must_have_been_effective_as_far_as_it_asks() {
    use crate::plan::faults::{PlannedFault, Target, Trigger, Who};
    let planned = |number: u32| PlannedFault {
        id: format!("f{number}-kill"),
        kind: "kill".to_owned(),
        parameters: serde_json::json!({}),
        trigger: Trigger::After(Duration::from_secs(9)),
        lasts: Duration::from_secs(5),
        target: Target {
            who: Who::One,
            shard: None,
        },
        seed: 1,
        drawn: false,
    };
    let view = |id: &str, effective: bool| {
        let mut view = FaultView::new(id, "kill", Elapsed::default());
        if effective {
            view.effective = Some(true);
        } else {
            view.skipped = Some("nftables is lacking".to_owned());
        }
        view
    };
    let mut plan = plan();
    plan.schedule = (1..=4).map(planned).collect();
    let mut judgement = judgement();
    judgement.faults = (1..=3)
        .map(|number| view(&format!("f{number}-kill"), true))
        .collect();
    judgement.faults.push(view("f4-kill", false));
    // What somebody asked for by hand and was refused is no gap of the plan.
    judgement.faults.push(view("h1-kill", false));
    let held = |plan: &Plan, judgement: &Judgement| {
        let verdict = decide(plan, judgement);
        let gate = gate(&verdict, "coverage faults");
        (gate.outcome, gate.measured.clone())
    };
    let (outcome, measured) = held(&plan, &judgement);
    assert_eq!(outcome, Outcome::Inconclusive);
    assert!(
        measured.starts_with("3 of 3 effective") && measured.contains("1 skipped"),
        "{measured}"
    );
    plan.gate.coverage.faults_share = 0.75;
    assert_eq!(held(&plan, &judgement).0, Outcome::Pass);
    // One that never fired counts as one that was skipped.
    judgement.faults.remove(0);
    assert_eq!(held(&plan, &judgement).0, Outcome::Inconclusive);
    judgement.faults[0].heal_failed = Some("the engine is gone".to_owned());
    let verdict = decide(&plan, &judgement);
    assert!(outcomes(&verdict).contains(&Outcome::Infra));
}

#[test]
fn detectors_younger_than_the_plan_only_warn() {
    let mut judgement = judgement();
    judgement.findings = vec![finding("stall", Severity::Critical)];
    let mut plan = plan();
    plan.gate.made_for = Some("0.0.9".to_owned());
    let verdict = decide(&plan, &judgement);
    assert_eq!(verdict.outcome, Outcome::Pass);
    assert!(
        verdict.warnings[0].starts_with("1 stall only warn"),
        "{verdict:?}"
    );
    let standing = |plan: &Plan| crate::report::Standing::of(&judgement.findings[0], &plan.gate);
    assert_eq!(standing(&plan), crate::report::Standing::Tolerated);

    let mut counts = plan.clone();
    counts.gate.new_detectors = NewDetectors::Fail;
    assert_eq!(decide(&counts, &judgement).outcome, Outcome::Fail);
    let mut named = plan.clone();
    named
        .gate
        .severity
        .insert("stall".to_owned(), Severity::Critical);
    assert_eq!(decide(&named, &judgement).outcome, Outcome::Fail);
    plan.gate.made_for = Some("0.1.0".to_owned());
    assert_eq!(decide(&plan, &judgement).outcome, Outcome::Fail);
    assert_eq!(standing(&plan), crate::report::Standing::Fails);
    plan.gate.made_for = None;
    assert_eq!(decide(&plan, &judgement).outcome, Outcome::Fail);
}
