//! An engine that goes away in mid-run is no network's doing; a network that does not come back after it is.

use std::time::Duration;

use super::{at, judge, node, shape, soak};
use crate::{
    detect::{Finding, Severity},
    ids::NodeName,
    journal::{
        Event,
        event::ContainerChange,
        generate::{Generator, Incident, What},
    },
    time::WallTime,
};

fn nodes() -> Vec<NodeName> {
    (0..4).map(|index| node(0, index)).collect()
}

/// Half of shard 0 does nothing from second 20 to this one, or for good: the others answer, and there is no quorum.
fn silent(until: Option<f64>) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for node in nodes().into_iter().take(2) {
        incidents.push(at(20.0, What::Hang(node.clone())));
        if let Some(until) = until {
            incidents.push(at(until, What::Unhang(node)));
        }
    }
    incidents
}

/// ... because their engine was restarted, and they with it.
fn restarted(until: Option<f64>) -> Vec<Incident> {
    let fact = |seconds, event| at(seconds, What::Fact(Box::new(event)));
    // Not behind the walls of the ticks that follow: that would be a suspended machine.
    let wall = WallTime(u64::MAX / 4);
    let mut incidents = vec![
        fact(20.0, Event::EngineAway { wall }),
        fact(
            20.01,
            Event::EngineReturned {
                wall,
                away: Duration::from_secs(60),
                ended: nodes(),
            },
        ),
    ];
    for node in nodes() {
        let change = ContainerChange::Started;
        let requested = true;
        incidents.push(fact(
            20.02,
            Event::Container {
                node,
                change,
                requested,
            },
        ));
    }
    incidents.extend(silent(until));
    incidents
}

/// What is held against the network.
fn held(incidents: Vec<Incident>) -> Vec<Finding> {
    let judgement = judge(Generator::new(&shape(), 3, incidents));
    let findings = judgement.findings.into_iter();
    let held = |finding: &Finding| {
        finding.excused_by.is_none()
            && finding.severity > Severity::Info
            && finding.start + Duration::from_secs(1) >= soak(20.0)
    };
    findings.filter(held).collect()
}

#[test]
fn what_ended_with_the_engine_is_held_against_nobody() {
    let alone = held(silent(Some(22.0)));
    assert!(!alone.is_empty(), "without the engine's word it is");
    let with_engine = held(restarted(Some(22.0)));
    assert!(with_engine.is_empty(), "{with_engine:?}");
}

#[test]
fn a_network_that_does_not_come_back_is_found() {
    let held = held(restarted(None));
    assert!(
        held.iter().any(|finding| finding.kind == "no-recovery"),
        "{held:?}"
    );
}

#[test]
fn a_return_without_an_absence_excuses_nothing() {
    let mut incidents = restarted(Some(22.0));
    incidents.remove(0);
    assert!(!held(incidents).is_empty());
}
