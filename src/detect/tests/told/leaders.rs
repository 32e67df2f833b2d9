//! Leads that go to and fro, validators that never sign.

use super::*;
use crate::journal::event::{ProbeError, ProbeKind};

fn leads(chain: &mut Chain, rounds: usize, by_view: bool) {
    for _ in 0..rounds {
        for leader in ["s0-n00", "s0-n01"] {
            chain.leader = [leader; 2];
            chain.view_changes = u64::from(by_view && leader == "s0-n01");
            chain.blocks(4);
        }
    }
}

#[test]
fn a_lead_that_goes_to_and_fro_with_view_changes_is_flapping() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 4, true);
    let findings = chain.findings();
    let flapping = one(&findings, "leader-flapping");
    assert_eq!(flapping.severity, Severity::Major);
    assert_eq!(flapping.nodes.len(), 2);
    assert!(flapping.end.is_none());
    chain.blocks(120);
    assert!(one(&chain.findings(), "leader-flapping").end.is_some());
}

#[test]
fn a_lead_that_changes_in_turn_is_not() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 10, false);
    chain.is_quiet();
    let mut round = Chain::new();
    round.blocks(100);
    for turn in 0..40 {
        round.leader = [["s0-n00", "s0-n01", "s0-n02", "s0-n03"][turn % 4]; 2];
        round.view_changes = u64::from(turn % 9 == 8);
        round.blocks(1);
    }
    assert!(
        round
            .findings()
            .iter()
            .all(|finding| finding.kind != "leader-flapping")
    );
}

#[test]
fn few_returns_are_not_flapping() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 2, true);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "leader-flapping")
    );
}

#[test]
fn a_validator_that_never_signs_is_idle() {
    let mut chain = Chain::new();
    chain.signed = "07";
    chain.blocks(140);
    let findings = chain.findings();
    let idle = one(&findings, "idle-validator");
    assert_eq!(
        (idle.severity, &idle.nodes[..]),
        (Severity::Major, &[node(0, 3)][..])
    );
    chain.signed = "0f";
    chain.blocks(100);
    assert!(one(&chain.findings(), "idle-validator").end.is_some());
}

#[test]
fn an_answer_that_is_late_does_not_make_two_findings_of_one() {
    let mut chain = Chain::new();
    chain.signed = "07";
    chain.blocks(120);
    chain.add(Event::ProbeFailed {
        node: node(0, 3),
        probe: ProbeKind::Rpc,
        error: ProbeError::Deadline,
        failures: 1,
    });
    chain.blocks(1);
    chain.add(Event::ProbeAnswered {
        node: node(0, 3),
        probe: ProbeKind::Rpc,
        silent_for: Duration::from_millis(100),
    });
    chain.blocks(20);
    assert!(one(&chain.findings(), "idle-validator").end.is_none());
}

#[test]
fn who_signs_more_than_pays_is_not_idle_and_below_it_is_minor() {
    let share = |of: u64| {
        let mut chain = Chain::new();
        for block in 0..200 {
            chain.signed = if block % 20 < of { "0f" } else { "07" };
            chain.blocks(1);
        }
        let findings = chain.findings();
        findings
            .iter()
            .find(|finding| finding.kind == "idle-validator")
            .map(|f| f.severity)
    };
    assert_eq!(share(15), None, "75 %");
    assert_eq!(share(13), Some(Severity::Minor), "65 %");
    assert_eq!(share(6), Some(Severity::Major), "30 %");
}

#[test]
fn a_node_that_was_down_is_not_idle() {
    let mut chain = Chain::new();
    chain.signed = "07";
    chain.blocks(60);
    for change in [
        ContainerChange::Killed { signal: 9 },
        ContainerChange::Died { exit_code: 137 },
    ] {
        chain.add(Event::Container {
            node: node(0, 3),
            change,
            requested: false,
        });
    }
    chain.blocks(100);
    chain.add(Event::Container {
        node: node(0, 3),
        change: ContainerChange::Started,
        requested: false,
    });
    chain.signed = "0f";
    chain.blocks(100);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "idle-validator")
    );
}

#[test]
fn a_fault_on_the_node_excuses_its_silence() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.fault(3, Effect::CpuStarved, FaultStep::Acknowledged);
    chain.signed = "07";
    chain.blocks(150);
    let findings = chain.findings();
    assert!(one(&findings, "idle-validator").excused_by.is_some());
}
