//! Time in which nobody was attached: what the watcher kept of it is judged.

use super::{by_entry::Script, *};
use crate::{
    detect::judgement::Doubt,
    ids::Height,
    journal::{
        Event, Thinness,
        effect::Effect,
        event::{ContainerChange, FaultStep, ProbeError, ProbeKind, Stage},
        unattended::{NewestBlock, Unattended, Wait},
    },
    plan::Thresholds,
    time::WallTime,
};

fn plan() -> Plan {
    let mut shape = shape();
    shape.shards = 1;
    shape.plan()
}

fn thresholds() -> Thresholds {
    plan().thresholds
}

/// Nobody was attached for a minute, and the chain went on from here to there.
fn unattended(from: u64, to: u64, longest: Duration) -> Unattended {
    Unattended {
        shard: ShardId(0),
        watched: Duration::from_secs(60),
        unwatched: Duration::ZERO,
        dropped: 0,
        blocks: to - from,
        newest: Some(NewestBlock {
            height: Height(to),
            hash: format!("{to:x}").into(),
            view: Some(crate::ids::ViewId(to)),
            epoch: None,
            leader: Some("s0-n00".into()),
            time: None,
        }),
        longest: Some(Wait {
            lasted: longest,
            after: Height(from + 3),
            until: Height(from + 4),
        }),
        waiting: Duration::from_millis(100),
    }
}

const KILLED: u64 = 11_050;

/// A shard that makes blocks until the owner is killed at 11.05 s, at height 51.
fn until_killed(script: &mut Script) {
    script.add(1_001, Event::Stage { stage: Stage::Soak });
    for step in 1..=50 {
        let height = 1 + step;
        script.block(1_000 + step * 200, height, &format!("{height:x}"));
        if step % 5 == 0 {
            script.heads(1_010 + step * 200, height, height + 1, Some(true));
        }
    }
}

/// The next owner comes, is told this, and sees blocks from there on.
fn taken_over_with(script: &mut Script, told: &[Unattended], from: u64) {
    let wall = WallTime(1_893_456_000_000);
    script.add(KILLED, Event::Attached { wall });
    for told in told {
        script.add(KILLED + 700, Event::Unattended(Box::new(told.clone())));
    }
    for step in 1..=60 {
        let height = from + step;
        script.block(KILLED + 700 + step * 200, height, &format!("{height:x}"));
        if step % 5 == 0 {
            script.heads(KILLED + 710 + step * 200, height, height + 1, Some(true));
        }
    }
}

fn judged(script: &Script) -> Judgement {
    judge_with(&plan(), script.entries().iter().cloned())
}

fn doubts(judgement: &Judgement) -> Vec<&str> {
    let about = |doubt: &&Doubt| doubt.why.contains("attached");
    let doubts = judgement.doubts.iter().filter(about);
    doubts.map(|doubt| doubt.why.as_str()).collect()
}

#[test]
fn a_chain_that_went_on_is_no_finding_and_no_doubt() {
    let mut script = Script::started();
    until_killed(&mut script);
    let told = unattended(51, 351, Duration::from_millis(400));
    taken_over_with(&mut script, &[told], 351);
    let judgement = judged(&script);
    assert_eq!(names(&judgement.findings), []);
    assert_eq!(doubts(&judgement), [""; 0]);
    let shard = &judgement.shards[0];
    assert_eq!(shard.height, Some(Height(411)));
    assert_eq!(
        judgement.coverage.blocks, 411,
        "heights go on without a gap"
    );
    assert!(
        shard.whole.longest < Duration::from_millis(500),
        "{shard:?}"
    );
    let mainnet = plan().clocks.mainnet_block_interval;
    assert!(
        judgement.acceleration.mainnet <= mainnet * 110,
        "the soak is measured in its own time: {:?}",
        judgement.acceleration
    );
    // As it was before there were spools.
    let mut script = Script::started();
    until_killed(&mut script);
    taken_over_with(&mut script, &[], 51);
    assert_eq!(doubts(&judged(&script)).len(), 1);
}

#[test]
fn a_stall_that_was_over_before_anybody_came_is_found() {
    let Thresholds {
        stall_suspected,
        stall,
        ..
    } = thresholds();
    let found = |longest: Duration| {
        let mut script = Script::started();
        until_killed(&mut script);
        let told = unattended(51, 80, longest);
        taken_over_with(&mut script, &[told], 80);
        let place = script
            .entries()
            .iter()
            .find_map(|entry| matches!(entry.event, Event::Unattended(_)).then_some(entry.seq));
        (judged(&script).findings, place.unwrap())
    };
    let (findings, _) = found(stall_suspected - Duration::from_millis(1));
    assert_eq!(names(&findings), []);
    let (findings, _) = found(stall_suspected);
    assert_eq!(names(&findings), [("stall", Severity::Minor, "")]);
    let (findings, told) = found(stall);
    assert_eq!(names(&findings), [("stall", Severity::Critical, "")]);
    let stall_found = &findings[0];
    assert!(stall_found.evidence.contains(&told), "{stall_found:?}");
    assert_eq!(stall_found.duration, stall);
    assert_eq!(stall_found.heights, Some((Height(55), Height(55))));
    assert!(stall_found.end.is_some() && stall_found.excused_by.is_none());
    assert!(stall_found.summary.contains("nobody was attached"));
}

#[test]
fn a_stall_that_was_seen_to_begin_is_the_same_one_and_ends_with_its_block() {
    let mut script = Script::started();
    until_killed(&mut script);
    let suspected = thresholds().stall_suspected;
    let late = KILLED + u64::try_from(suspected.as_millis()).unwrap();
    for millis in (KILLED..late + 300).step_by(200) {
        script.heads(millis, 51, 52, Some(true));
    }
    let mut told = unattended(51, 80, thresholds().stall * 2);
    let wait = told.longest.as_mut().unwrap();
    (wait.after, wait.until) = (Height(51), Height(52));
    let wall = WallTime(1_893_456_000_000);
    script.add(late + 300, Event::Attached { wall });
    script.add(late + 900, Event::Unattended(Box::new(told)));
    script.block(late + 1_000, 81, "81");
    let findings = judged(&script).findings;
    assert_eq!(names(&findings), [("stall", Severity::Critical, "")]);
    assert!(findings[0].end.is_some());
}

#[test]
fn a_stall_that_lasts_is_waited_for_from_when_the_watcher_saw_it_begin() {
    let mut script = Script::started();
    until_killed(&mut script);
    let stall = thresholds().stall;
    let mut told = unattended(51, 60, Duration::from_millis(300));
    told.waiting = stall - Duration::from_millis(500);
    let wall = WallTime(1_893_456_000_000);
    script.add(KILLED, Event::Attached { wall });
    script.add(KILLED + 700, Event::Unattended(Box::new(told)));
    for step in 0..8 {
        script.heads(KILLED + 710 + step * 100, 60, 61, Some(true));
    }
    let findings = judged(&script).findings;
    assert_eq!(names(&findings), [("stall", Severity::Critical, "")]);
    assert!(findings[0].end.is_none());
    assert_eq!(findings[0].heights, Some((Height(61), Height(61))));
}

#[test]
fn what_is_missing_of_it_is_told_and_no_finding() {
    for (dropped, unwatched, says) in [
        (7, Duration::ZERO, "7 observations"),
        (0, Duration::from_secs(9), "9.0 s of it"),
    ] {
        let mut script = Script::started();
        until_killed(&mut script);
        let mut told = unattended(51, 80, Duration::from_millis(300));
        (told.dropped, told.unwatched) = (dropped, unwatched);
        taken_over_with(&mut script, &[told], 80);
        let judgement = judged(&script);
        assert_eq!(names(&judgement.findings), []);
        let doubts = doubts(&judgement);
        assert!(doubts.iter().any(|why| why.contains(says)), "{doubts:?}");
        assert_eq!(doubts.len(), 2, "and that windows began anew: {doubts:?}");
    }
}

/// The quorum is taken away by the plan before the owner is killed; a guard heals it, and the next owner tells so.
#[test]
fn what_a_fault_excuses_it_excuses_also_unattended_and_no_longer() {
    let step = |script: &mut Script, millis: u64, step: FaultStep| {
        let (id, kind) = ("f1-kill".into(), "kill".into());
        script.add(millis, Event::Fault { id, kind, step });
    };
    let begun = |script: &mut Script, millis: u64| {
        let taken = vec![node(0, 1), node(0, 2)];
        let requested = FaultStep::Requested {
            targets: taken.clone(),
            takes: taken,
            effects: vec![Effect::Down],
            lasts: Duration::from_secs(5),
        };
        step(script, millis, requested);
        step(script, millis, FaultStep::Acknowledged);
        for index in [1, 2] {
            script.change(
                millis,
                index,
                ContainerChange::Died { exit_code: 137 },
                true,
            );
        }
    };
    let back = |script: &mut Script, millis: u64| {
        for index in [1, 2] {
            script.change(millis, index, ContainerChange::Started, true);
        }
        step(script, millis, FaultStep::Healed);
    };
    let stall = |findings: Vec<Finding>| {
        let mut stalls = findings
            .into_iter()
            .filter(|finding| finding.kind == "stall");
        let found = stalls.next().expect("a stall");
        assert_eq!(stalls.next(), None);
        found
    };
    let recovery = thresholds().recovery;
    // In force when the owner was killed, and healed by the guard.
    let mut script = Script::started();
    until_killed(&mut script);
    begun(&mut script, KILLED - 20);
    let wall = WallTime(1_893_456_000_000);
    script.add(KILLED, Event::Attached { wall });
    back(&mut script, KILLED + 100);
    let told = unattended(51, 80, recovery + thresholds().stall);
    script.add(KILLED + 700, Event::Unattended(Box::new(told.clone())));
    script.block(KILLED + 800, 81, "81");
    let found = stall(judged(&script).findings);
    assert_eq!(found.excused_by.as_deref(), Some("f1-kill"));

    // Healed just before: as long as it takes to recover, and no longer.
    for (lasted, excused) in [
        (recovery, Some("f1-kill")),
        (recovery + Duration::from_millis(1), None),
    ] {
        let mut script = Script::started();
        until_killed(&mut script);
        begun(&mut script, KILLED - 30);
        back(&mut script, KILLED - 20);
        let told = unattended(51, 80, lasted.max(thresholds().stall_suspected));
        taken_over_with(&mut script, &[told], 80);
        let found = stall(judged(&script).findings);
        assert_eq!(found.excused_by.as_deref(), excused, "{lasted:?}");
    }
}

#[test]
fn after_a_gap_a_shard_is_unseen_until_it_answers_although_its_nodes_begin_anew() {
    let tick = |millis| Event::Tick {
        wall: WallTime(millis),
    };
    let mut script = Script::started();
    script.heads(1_100, 1, 2, Some(true));
    for millis in [9_000, 9_200, 9_400, 9_600] {
        script.add(millis, tick(millis));
    }
    script.heads(9_800, 1, 2, Some(true));
    let mut judge = Judge::new(&plan());
    let unseen = script.entries().iter().map(|entry| {
        judge.step(entry);
        let since = judge.world().shards[0].unseen_since;
        (entry.elapsed >= Elapsed::from_secs(9)).then_some(since)
    });
    let unseen: Vec<_> = unseen.flatten().collect();
    let since = Some(Elapsed::from_secs(9));
    assert_eq!(unseen, [since, since, since, since, None]);
}

/// Of a node that ended and came back the first owner had told that its log cannot be followed, and was killed before it
/// told that it can again.
#[test]
fn a_log_that_went_with_its_reader_is_seen_again_unless_the_next_one_says_otherwise() {
    let failed = || Event::ProbeFailed {
        node: node(0, 1),
        probe: ProbeKind::Log,
        error: ProbeError::Ended,
        failures: 1,
    };
    let died = ContainerChange::Died { exit_code: 137 };
    for (fails_again, found) in [(false, vec![]), (true, vec!["blind"])] {
        let mut script = Script::started();
        until_killed(&mut script);
        script.add(KILLED - 40, failed());
        script.change(KILLED - 30, 1, died, true);
        script.change(KILLED - 10, 1, ContainerChange::Started, true);
        taken_over_with(&mut script, &[], 51);
        if fails_again {
            script.add(24_000, failed());
            for step in 1..=60 {
                script.block(24_000 + step * 200, 111 + step, "bb");
                script.heads(24_010 + step * 200, 111 + step, 112 + step, Some(true));
            }
        }
        let judgement = judged(&script);
        let kinds = judgement.findings.iter().map(|found| found.kind.as_str());
        let kinds: Vec<&str> = kinds.collect();
        assert_eq!(kinds, found, "{:?}", judgement.findings);
        assert_eq!(judgement.coverage.blind_share > 0.0, fails_again);
    }
}

#[test]
fn what_the_owner_before_left_out_the_next_one_does_not() {
    let mut script = Script::started();
    until_killed(&mut script);
    let left_out = Event::Thinned {
        blocks: 10,
        heads: 1,
        samples: 1,
        notes: true,
        left_out: 9,
    };
    script.add(KILLED - 10, left_out);
    let mut judge = Judge::new(&plan());
    let thinness = |judge: &mut Judge, script: &Script| {
        for entry in script.entries() {
            judge.step(entry);
        }
        judge.world().thinned
    };
    assert_eq!(thinness(&mut judge, &script).blocks, 10);
    taken_over_with(&mut script, &[], 51);
    let mut judge = Judge::new(&plan());
    assert_eq!(thinness(&mut judge, &script), Thinness::NONE);
}
