//! Where parts meet that know nothing of each other: what one writes, the other must read.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its world is not as it should be"
)]

use std::{collections::BTreeMap, net::Ipv4Addr};

use canarynet::{
    detect::DETECTORS,
    plan::{self, NodeAddress, Plan, PlanRequest, findings},
    profile::{dialect, log_rules::RuleSet, render, shipped},
    reference_node::config::NodeConfig,
};
use clap::Parser;

#[derive(Parser)]
struct Node {
    #[command(flatten)]
    config: NodeConfig,
}

fn shipped_plans() -> Vec<Plan> {
    let load = |name: &str| {
        let request = PlanRequest {
            plan: name.to_owned(),
            date: "2026-11-22".to_owned(),
            ..PlanRequest::default()
        };
        plan::load(&request).unwrap()
    };
    shipped::PLANS
        .iter()
        .map(|shipped| load(shipped.name))
        .collect()
}

#[test]
fn the_node_understands_what_its_profile_says() {
    for plan in shipped_plans() {
        let address = |position: u32| {
            let last = 16 + u8::try_from(position).unwrap();
            NodeAddress {
                data: Ipv4Addr::new(10, 1, 1, last),
                management: Ipv4Addr::new(10, 1, 2, last),
            }
        };
        let addresses: BTreeMap<_, _> = plan
            .network
            .nodes
            .iter()
            .map(|node| (node.name.clone(), address(node.position)))
            .collect();
        for node in &plan.network.nodes {
            let words = render::command(&plan, node, &addresses).unwrap();
            assert_eq!(words[0], "reference-node");
            let parsed = Node::try_parse_from(words)
                .unwrap_or_else(|error| panic!("{}: {error}", node.name));
            assert_eq!(parsed.config.node().to_string(), node.name.as_str());
        }
    }
}

#[test]
fn plans_name_dialects_and_rules_that_exist() {
    for plan in shipped_plans() {
        assert!(
            dialect::find(&plan.network.probe.dialect).is_some(),
            "{}",
            plan.network.probe.dialect
        );
        RuleSet::new(&plan.network.log_rules).unwrap();
    }
}

#[test]
fn plans_know_every_detector_and_its_severity() {
    assert!(DETECTORS.len() >= 18, "{}", DETECTORS.len());
    for detector in DETECTORS {
        assert_eq!(
            findings::severity(detector.id),
            Some(detector.severity),
            "{}",
            detector.id
        );
    }
}
