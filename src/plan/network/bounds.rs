//! What a resolved network must be, wherever it comes from: a profile as typed, a run's plan, a stranger's. A value that
//! only the resolving looked at would be unchecked in a plan that comes as it was resolved. Pure.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{Limits, NetworkPlan, log_rule, values::human_size},
    MOST_ENTRIES, NODES, SHARDS, foreign, probe,
    texts::{PATH, is_capability, is_path, is_user, is_variable},
};
use crate::profile::log_position;

/// Least memory that the engine accepts for a container.
const LEAST_MEMORY: u64 = 6 << 20;

/// Least size of a disk: below it neither a file system nor a store fits.
const LEAST_DISK: u64 = 1 << 20;

/// A key below `profile`, and what is wrong with it.
type Wrong = (String, String);

fn wrong(key: &str, message: impl Into<String>) -> Result<(), Wrong> {
    Err((key.to_owned(), message.into()))
}

/// Checks all of it.
///
/// # Errors
/// The first value that is out of its range.
pub(in crate::plan) fn check(network: &NetworkPlan) -> Result<(), Wrong> {
    nodes(network)?;
    texts(network)?;
    limits(&network.limits)?;
    disk(network)?;
    probed(network)?;
    logs(network)?;
    if let Some((key, message)) = foreign::check(&network.foreign) {
        return wrong(key, message);
    }
    if network.stop_timeout > Duration::from_secs(600) {
        return wrong("stop_timeout", "at most 10m");
    }
    Ok(())
}

/// Addresses follow from the nodes' positions, and names of containers and folders from their names.
fn nodes(network: &NetworkPlan) -> Result<(), Wrong> {
    let shards = network.shards;
    if !(1..=SHARDS).contains(&shards) {
        return wrong("shards", format!("{shards} is not between 1 and {SHARDS}"));
    }
    let all = network.nodes.len() as u64;
    if all > NODES {
        return wrong("nodes", format!("{all} in all, at most {NODES}"));
    }
    let loads = network.foreign.load.as_ref().map_or(0, |_| shards - 1);
    if all + loads > NODES {
        return wrong("nodes", "leave no addresses for what makes load");
    }
    let (mut names, mut positions) = (BTreeSet::new(), BTreeSet::new());
    for node in &network.nodes {
        let known = node.shard.0 < shards && u64::from(node.position) < NODES;
        if !known || !names.insert(&node.name) || !positions.insert(node.position) {
            return wrong(
                "nodes",
                format!(
                    "{} is there twice, or has no place in the network",
                    node.name
                ),
            );
        }
    }
    let votes = |shard: u64| {
        let mut nodes = network.nodes.iter();
        nodes.any(|node| node.shard.0 == shard && node.voting_power > 0)
    };
    if !(0..shards).all(votes) {
        return wrong("nodes", "a shard without a validator makes no block");
    }
    Ok(())
}

/// What becomes part of a container's configuration has the shape that the engine wants.
fn texts(network: &NetworkPlan) -> Result<(), Wrong> {
    for (key, length) in [
        ("command", network.command.len()),
        ("environment", network.environment.len()),
        ("log", network.log_rules.len()),
        ("log_files", network.log_files.len()),
    ] {
        if length > MOST_ENTRIES {
            return wrong(
                key,
                format!("has {length} entries, more than {MOST_ENTRIES}"),
            );
        }
    }
    if let Some(name) = network.environment.keys().find(|name| !is_variable(name)) {
        return wrong(
            "environment",
            format!("{name:?} is no variable's name: letters, digits and `_`"),
        );
    }
    let user = &network.user;
    if !is_user(user) {
        return wrong(
            "user",
            format!("{user:?} is no `uid:gid`, two numbers like `10001:10001`"),
        );
    }
    let mut capabilities = network.capabilities.iter();
    if let Some(name) = capabilities.find(|name| !is_capability(name)) {
        return wrong(
            "capabilities",
            format!("{name:?} is no capability like `NET_BIND_SERVICE`"),
        );
    }
    if let Some(path) = network.log_files.iter().find(|path| !is_path(path)) {
        return wrong("log_files", format!("{path:?}: {PATH}"));
    }
    // To the engine a size of zero is none at all.
    let mut scratch = network.scratch.iter();
    if let Some((path, size)) = scratch.find(|(path, size)| !is_path(path) || **size == 0) {
        return wrong(
            "scratch",
            format!("{path:?} = {size}: {PATH}, with a size above zero"),
        );
    }
    Ok(())
}

/// To the engine zero is no limit.
fn limits(limits: &Limits) -> Result<(), Wrong> {
    if limits.memory < LEAST_MEMORY {
        let least = human_size(LEAST_MEMORY);
        return wrong(
            "limits.memory",
            format!("at least {least}, the engine's own minimum"),
        );
    }
    let cpus = limits.cpus;
    if !(0.01..=1_024.0).contains(&cpus) {
        return wrong(
            "limits.cpus",
            format!("{cpus} is not between 0.01 and 1024"),
        );
    }
    for (key, value, least) in [
        ("pids", limits.pids, 4),
        ("open_files", limits.open_files, 16),
    ] {
        if !(least..=1_000_000).contains(&value) {
            return wrong(
                &format!("limits.{key}"),
                format!("{value} is not between {least} and 1000000"),
            );
        }
    }
    Ok(())
}

fn disk(network: &NetworkPlan) -> Result<(), Wrong> {
    let disk = &network.disk;
    if disk.size < LEAST_DISK {
        return wrong("disk.size", format!("at least {}", human_size(LEAST_DISK)));
    }
    if !is_path(&disk.path) {
        return wrong("disk.path", format!("{:?}: {PATH}", disk.path));
    }
    for (key, value) in [
        ("disk.inodes", disk.inodes),
        ("disk.write_iops", disk.write_iops),
        ("disk.write_bytes_per_second", disk.write_bytes_per_second),
        ("disk.retention", disk.retention),
    ] {
        if value == Some(0) {
            return wrong(key, "at least 1; leave it out for no limit");
        }
    }
    let Some(lever) = &network.clock_skew else {
        return Ok(());
    };
    if !is_path(&format!("/{}", lever.file)) || lever.file.contains('/') {
        return wrong("clock_skew.file", "a plain name of a file on the data disk");
    }
    if lever.metric.is_empty() || lever.metric.chars().any(char::is_whitespace) {
        return wrong(
            "clock_skew.metric",
            "the name of a metric that shows the node's clock",
        );
    }
    Ok(())
}

/// How nodes are asked: as often as may be, and by plain paths.
fn probed(network: &NetworkPlan) -> Result<(), Wrong> {
    let probe = &network.probe;
    let requests = &probe.reads.requests;
    for (key, span) in [("interval", probe.interval), ("deadline", probe.deadline)] {
        if !probe::allowed(span) {
            return wrong(&format!("probe.rpc.{key}"), "between 10ms and 1m");
        }
    }
    if requests.len() > probe::MOST_REQUESTS {
        return wrong(
            "probe.rpc.height",
            "the places take more than 8 requests of each node",
        );
    }
    let plain = |request: &super::super::foreign::ReadPlan| {
        probe::is_path(&request.path) && probe::allowed(request.deadline) && request.port != 0
    };
    match requests.iter().find(|request| !plain(request)) {
        Some(request) => wrong(
            "probe.rpc",
            format!("{:?} is no request that nodes are asked", request.path),
        ),
        None => Ok(()),
    }
}

fn logs(network: &NetworkPlan) -> Result<(), Wrong> {
    for (index, rule) in network.log_rules.iter().enumerate() {
        if let Err((key, message)) = log_rule::check_rule(rule) {
            let rule = format!("log[{index}]");
            let key = if key.is_empty() {
                rule
            } else {
                super::join(&rule, key)
            };
            return wrong(&key, message);
        }
    }
    let log = network.probe.log.as_ref();
    let pattern = log.and_then(|log| log.pattern.as_deref());
    if let Some(Err(message)) = pattern.map(log_position::compile) {
        return wrong("probe.log.pattern", message);
    }
    let deadline = log.and_then(|log| log.deadline);
    let allowed = Duration::from_secs(10)..=Duration::from_secs(3_600);
    if deadline.is_some_and(|deadline| !allowed.contains(&deadline.0)) {
        return wrong("probe.log.deadline", "between 10s and 1h");
    }
    Ok(())
}
