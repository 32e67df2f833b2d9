//! Where parts meet that know nothing of each other: what one writes, the other must read.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its world is not as it should be"
)]

use std::{collections::BTreeMap, net::Ipv4Addr};

use canarynet::{
    detect::DETECTORS,
    journal::event::LogClass,
    plan::{self, NodeAddress, Plan, PlanRequest, Program, findings},
    profile::{dialect, log_rules::RuleSet, render, shipped},
    reference_node::{config::NodeConfig, store::StoreError},
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
        // What others wrote takes other arguments.
        .filter(|plan| plan.network.program == Program::Itself)
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

/// What the reference node says of a store that it cannot trust is damage to the judge, and of a disk that it cannot
/// write to is not.
#[test]
fn the_words_of_a_damaged_store_are_known() {
    let plan = &shipped_plans()[0];
    let rules = RuleSet::new(&plan.network.log_rules).unwrap();
    let class = |error: &StoreError| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let line = serde_json::json!({ "level": "error", "error": text, "message": "node ended" });
        rules.classify(line.to_string().as_bytes()).unwrap().class
    };
    let damaged = [
        StoreError::StateMismatch(7),
        StoreError::Missing("head that was acknowledged"),
        StoreError::Database {
            operation: "open",
            path: "/data/blocks.redb".into(),
            cause: redb_words(),
            transient: false,
        },
    ];
    for error in damaged {
        assert_eq!(class(&error), LogClass::Corruption, "{error}");
    }
    for error in [StoreError::Busy, StoreError::Missing("height")] {
        assert_ne!(class(&error), LogClass::Corruption, "{error}");
    }
}

/// How the database itself says that its file is no good.
fn redb_words() -> String {
    redb::StorageError::Corrupted("bad checksum".to_owned()).to_string()
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
