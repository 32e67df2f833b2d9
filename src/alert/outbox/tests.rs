//! Nothing is lost, nothing is told twice, whatever the receivers do.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    alert::{
        ledger::Ledger,
        notice::{About, Notice, State},
    },
    detect::{
        Finding, Severity,
        findings::{ChangeKind, FindingChange},
    },
    ids::ShardId,
    plan::alerts::{AlertVerdict, Transport},
    time::WallTime,
};

fn about() -> About {
    About {
        plan: "nightly".to_owned(),
        run: "nightly-7".to_owned(),
        started: WallTime(1_795_291_200_000),
        report: "runs/7/report.html".to_owned(),
        reproduce: "canarynet soak nightly".to_owned(),
        seen: std::collections::BTreeMap::new(),
    }
}

fn alerts(kind: AlertKind) -> Alerts {
    let route = |name: &str, from| AlertRoute {
        name: name.to_owned(),
        kind,
        by: Transport::Address("http://127.0.0.1:9093".to_owned()),
        key: None,
        from,
        verdicts: vec![AlertVerdict::Fail],
    };
    Alerts {
        routes: vec![
            route("pager", Some(Severity::Critical)),
            route("chat", Some(Severity::Major)),
            route("drills", None),
        ],
        drill_to: BTreeSet::from([2]),
        heartbeat_to: BTreeSet::from([2]),
    }
}

fn finding(id: &str, kind: &str, severity: Severity, shard: u64) -> Finding {
    Finding {
        id: id.to_owned(),
        kind: kind.to_owned(),
        severity,
        shard: Some(ShardId(shard)),
        nodes: Vec::new(),
        start: Elapsed::from_secs(10),
        noticed: Elapsed::from_secs(11),
        end: None,
        heights: None,
        duration: Duration::ZERO,
        mainnet: Duration::ZERO,
        summary: "no block".to_owned(),
        evidence: Vec::new(),
        excused_by: None,
        waived: None,
        causes: vec!["disk-full s1-n02".to_owned()],
        chain: Vec::new(),
        raised: None,
    }
}

fn change(kind: ChangeKind, finding: &Finding) -> FindingChange {
    FindingChange {
        kind,
        finding: finding.clone(),
    }
}

fn to(due: &[(usize, AlertRoute, Notice)]) -> Vec<(&str, State)> {
    due.iter()
        .map(|(_, route, notice)| (route.name.as_str(), notice.state))
        .collect()
}

#[test]
fn severities_drills_and_heartbeats_find_their_receivers() {
    let now = Elapsed::from_secs(11);
    let mut ledger = Ledger::new(about());
    let mut tell = |kind, finding: &Finding, drill| {
        let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
        if let Some(notice) = ledger.step(&change(kind, finding), Some("s1-n02"), drill) {
            outbox.offer(&notice, now);
        }
        let due = outbox.due(now);
        due.into_iter()
            .map(|(_, route, _)| route.name)
            .collect::<Vec<_>>()
    };
    let major = finding("cr-1", "crash", Severity::Major, 0);
    assert_eq!(tell(ChangeKind::Opened, &major, false), ["chat"]);
    let minor = finding("st-1", "stall", Severity::Minor, 1);
    assert_eq!(
        tell(ChangeKind::Opened, &minor, false),
        Vec::<String>::new()
    );
    // A page wakes people up whatever the severity.
    assert_eq!(tell(ChangeKind::Paged, &minor, false), ["pager", "chat"]);
    let drilled = finding("st-2", "stall", Severity::Critical, 2);
    assert_eq!(tell(ChangeKind::Opened, &drilled, true), ["drills"]);
    let mut excused = finding("st-3", "stall", Severity::Critical, 3);
    excused.excused_by = Some("f1-kill".to_owned());
    assert_eq!(
        tell(ChangeKind::Opened, &excused, false),
        Vec::<String>::new()
    );
    let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
    outbox.offer(
        &about().notice(State::Heartbeat, "heartbeat", Severity::Info, "pass"),
        now,
    );
    assert_eq!(to(&outbox.due(now)), [("drills", State::Heartbeat)]);
}

#[test]
fn two_findings_of_a_fingerprint_are_one_alert_that_ends_with_the_last() {
    let mut ledger = Ledger::new(about());
    let (one, two) = (
        finding("cr-1", "crash", Severity::Major, 0),
        finding("cr-2", "crash", Severity::Major, 0),
    );
    let opened = ledger
        .step(&change(ChangeKind::Opened, &one), None, false)
        .unwrap();
    assert_eq!(opened.key, "nightly/crash shard 0");
    assert_eq!(
        ledger.step(&change(ChangeKind::Opened, &two), None, false),
        None
    );
    assert_eq!(
        ledger.step(&change(ChangeKind::Closed, &one), None, false),
        None
    );
    let closed = ledger
        .step(&change(ChangeKind::Closed, &two), None, false)
        .unwrap();
    assert_eq!((closed.key, closed.state), (opened.key, State::Resolved));
}

#[test]
fn a_receiver_that_is_down_delays_no_other_and_gets_all_of_it_later() {
    let mut ledger = Ledger::new(about());
    let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
    let mut stall = finding("st-1", "stall", Severity::Critical, 1);
    let mut now = Elapsed::from_secs(20);
    let notice = ledger
        .step(&change(ChangeKind::Opened, &stall), None, false)
        .unwrap();
    outbox.offer(&notice, now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        for (place, ..) in outbox.due(now) {
            let sent = if place == 0 {
                Sent::Later("refused".to_owned())
            } else {
                Sent::Arrived
            };
            outbox.done(place, sent, now);
        }
        let next = outbox.next().unwrap();
        waits.push(next.since(now).as_millis());
        now = next;
    }
    assert_eq!(waits[..7], [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000]);
    stall.end = Some(now);
    let notice = ledger
        .step(&change(ChangeKind::Closed, &stall), None, false)
        .unwrap();
    outbox.offer(&notice, now);
    assert_eq!(
        outbox.problems().len(),
        2,
        "nothing is forgotten: {:?}",
        outbox.problems()
    );
    let mut told = Vec::new();
    while !outbox.is_empty() {
        for (place, route, notice) in outbox.due(now) {
            told.push((route.name, notice.state));
            outbox.done(place, Sent::Arrived, now);
        }
        now = now + Duration::from_secs(1);
    }
    let pager: Vec<State> = told
        .iter()
        .filter(|(to, _)| to == "pager")
        .map(|(_, state)| *state)
        .collect();
    assert_eq!(pager, [State::Firing, State::Resolved]);
    assert!(outbox.problems().is_empty());
}

#[test]
fn an_alertmanager_is_told_again_of_what_lasts() {
    let mut outbox = Outbox::new(&alerts(AlertKind::Alertmanager));
    let mut ledger = Ledger::new(about());
    let stall = finding("st-1", "stall", Severity::Critical, 1);
    let mut now = Elapsed::from_secs(20);
    let notice = ledger
        .step(&change(ChangeKind::Opened, &stall), None, false)
        .unwrap();
    outbox.offer(&notice, now);
    let mut tellings = 0;
    for _ in 0..200 {
        for (place, ..) in outbox.due(now) {
            tellings += usize::from(place == 0);
            outbox.done(place, Sent::Arrived, now);
        }
        now = now + Duration::from_secs(1);
    }
    assert_eq!(tellings, 4, "at once, and after 60, 120 and 180 s");
}

/// A wake-up in the past would let the task spin.
#[test]
fn what_waits_and_what_lasts_together_wake_nobody_too_early() {
    let mut outbox = Outbox::new(&alerts(AlertKind::Alertmanager));
    let mut now = Elapsed::from_secs(20);
    for shard in 0..2 {
        let stall = finding("st-1", "stall", Severity::Critical, shard);
        let notice = about().finding(State::Firing, &stall, None);
        outbox.offer(&notice, now);
        for _ in 0..10 {
            for (place, ..) in outbox.due(now) {
                let sent = match shard {
                    0 => Sent::Arrived,
                    _ => Sent::Later("refused".to_owned()),
                };
                outbox.done(place, sent, now);
            }
            let next = outbox.next().unwrap();
            assert!(next > now, "{next:?} is not after {now:?}");
            now = now.max(next);
        }
    }
}

/// Also what lasts is not said at once again to who calls it wrong, and what is over is not said for ever.
#[test]
fn who_refuses_is_left_alone_for_longer_and_longer() {
    let mut outbox = Outbox::new(&alerts(AlertKind::Alertmanager));
    let stall = finding("st-1", "stall", Severity::Critical, 1);
    let mut now = Elapsed::from_secs(20);
    outbox.offer(&about().finding(State::Firing, &stall, None), now);
    let mut tries = Vec::new();
    // It takes the first telling, and refuses all that follows.
    for step in 0..300 {
        for (place, _, notice) in outbox.due(now) {
            let sent = match tries.len() {
                _ if place != 0 => Sent::Arrived,
                0 => Sent::Arrived,
                _ => Sent::Refused("400".to_owned()),
            };
            if place == 0 {
                tries.push((step, notice.state));
            }
            outbox.done(place, sent, now);
        }
        if step == 250 {
            outbox.offer(&about().finding(State::Resolved, &stall, None), now);
        }
        assert!(outbox.next().is_none_or(|next| next > now || step == 250));
        now = now + Duration::from_secs(1);
    }
    let firing = [0, 60, 120, 180, 240].map(|step| (step, State::Firing));
    let resolved = (251, State::Resolved);
    assert_eq!(tries, [&firing[..], &[resolved]].concat());
    assert!(outbox.is_empty());

    let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
    for shard in 0..4 {
        let stall = finding("st-1", "stall", Severity::Critical, shard);
        outbox.offer(&about().finding(State::Firing, &stall, None), now);
    }
    let mut waits = Vec::new();
    for _ in 0..3 {
        for (place, ..) in outbox.due(now) {
            outbox.done(place, Sent::Refused("400".to_owned()), now);
        }
        let next = outbox.next().unwrap();
        waits.push(next.since(now).as_millis());
        now = next;
    }
    assert_eq!(waits, [250, 500, 1_000]);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
    for number in 0..(QUEUE as u64 + 40) {
        let notice = about().finding(
            State::Firing,
            &finding("x", "crash", Severity::Major, number),
            None,
        );
        outbox.offer(&notice, Elapsed::default());
    }
    let problems = outbox.problems();
    assert!(
        problems[0].contains("512 not delivered, 40 lost"),
        "{problems:?}"
    );
}

proptest! {
    /// Whatever arrives and fails in which order: what was told last of each key is how the ledger has it.
    #[test]
    fn the_last_word_is_the_true_one(
        steps in prop::collection::vec((0_u64..3, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let mut ledger = Ledger::new(about());
        let mut outbox = Outbox::new(&alerts(AlertKind::Webhook));
        let mut open = BTreeSet::new();
        let mut told = BTreeMap::new();
        let mut now = Elapsed::from_secs(1);
        for (shard, closes, arrives) in steps {
            let finding = finding(&format!("st-{shard}"), "stall", Severity::Critical, shard);
            let kind = if closes { ChangeKind::Closed } else { ChangeKind::Opened };
            if let Some(notice) = ledger.step(&change(kind, &finding), None, false) {
                outbox.offer(&notice, now);
            }
            if closes { open.remove(&shard); } else { open.insert(shard); }
            for (place, _, notice) in outbox.due(now) {
                let sent = if arrives { Sent::Arrived } else { Sent::Later(String::new()) };
                if arrives && place == 0 { told.insert(notice.shard, notice.state); }
                outbox.done(place, sent, now);
            }
            now = now + Duration::from_secs(1);
        }
        for _ in 0..400 {
            for (place, _, notice) in outbox.due(now) {
                if place == 0 { told.insert(notice.shard, notice.state); }
                outbox.done(place, Sent::Arrived, now);
            }
            now = now + Duration::from_secs(1);
        }
        prop_assert!(outbox.is_empty());
        let firing: BTreeSet<u64> = told
            .into_iter()
            .filter(|(_, state)| *state == State::Firing)
            .filter_map(|(shard, _)| shard)
            .collect();
        prop_assert_eq!(firing, open);
    }
}
