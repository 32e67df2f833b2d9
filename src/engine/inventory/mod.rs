//! What there is at a place that faults act on, as lines: taken before and after, the difference is what was left behind.
//!
//! A node is looked at from inside (processes, mounts, files, limits), by the engine (its state), by the kernel (its
//! cgroup) and, where the helper is allowed, in its network (packet filters, queues, interfaces, routes).

mod inside;
mod network;

use std::{collections::BTreeMap, time::Duration};

pub(super) use inside::inside;
pub(super) use network::network;

use super::{
    Docker, EngineError,
    docker::ContainerSpec,
    inject::Scene,
    inside::{ask_toolbox, one_shot},
    labels::Role,
    launch::CGROUP_MOUNT,
    toolbox::CgroupLimits,
};
use crate::{
    ids::{NodeName, RunId},
    journal::text::clean,
};

/// Deadline of one look.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest line.
const LONGEST: usize = 300;

/// All that there is in and around a node, sorted.
///
/// # Errors
/// What the engine or the program inside said; a node that does not run has no inside.
pub async fn of_node(scene: &Scene, node: &NodeName) -> Result<Vec<String>, EngineError> {
    let toolbox = &scene.launched.toolbox;
    let facts = scene.docker.inspect(&scene.container(node)).await?;
    let container = facts.id.as_str();
    let mut lines = vec![match (facts.running, facts.paused) {
        (true, false) => "container runs".to_owned(),
        (true, true) => "container is paused".to_owned(),
        (false, _) => "container does not run".to_owned(),
    }];
    if facts.running && !facts.paused {
        let arguments = ["inventory", scene.disk_path.as_str()];
        let inside: Vec<String> =
            ask_toolbox(&scene.docker, container, toolbox, &arguments, DEADLINE).await?;
        lines.extend(inside);
        let arguments = ["limits", CGROUP_MOUNT, container];
        let limits: BTreeMap<String, CgroupLimits> = ask_toolbox(
            &scene.docker,
            &scene.launched.watcher,
            toolbox,
            &arguments,
            DEADLINE,
        )
        .await?;
        lines.extend(limits.values().map(|limits| format!("cgroup {limits:?}")));
        if scene.helper.is_some() {
            lines.extend(in_network(scene, container).await?);
        }
    }
    let mut lines: Vec<String> = lines
        .iter()
        .map(|line| format!("{node}: {}", clean(line, LONGEST)))
        .collect();
    lines.sort_unstable();
    Ok(lines)
}

/// What is in a node's network, by a container that shares it and may read it.
async fn in_network(scene: &Scene, container: &str) -> Result<Vec<String>, EngineError> {
    let mut command = scene.launched.toolbox.clone();
    command.extend(["toolbox", "network-inventory"].map(str::to_owned));
    let spec = ContainerSpec {
        name: format!("{}-look-{}", scene.labels.run(), std::process::id()),
        image: scene.docker.image_of(&scene.launched.watcher).await?,
        // The image is this program's own: it is where the toolbox is made from.
        entrypoint: Some(vec!["/bin/canarynet".to_owned()]),
        command: command.split_off(scene.launched.toolbox.len()),
        user: "0:0".to_owned(),
        labels: scene.labels.of(Role::Helper),
        memory: 64 << 20,
        pids: 16,
        capabilities: vec!["NET_ADMIN".to_owned()],
        network_of: Some(container.to_owned()),
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let output = one_shot(&scene.docker, spec, DEADLINE).await?;
    serde_json::from_slice(&output)
        .map_err(|error| EngineError::inside("a look at a network", &error.to_string()))
}

/// All objects of a run in the engine, and what this machine has that names the run: loop devices and mounts.
///
/// # Errors
/// What the engine said.
pub async fn of_run(docker: &Docker, run: &RunId) -> Result<Vec<String>, EngineError> {
    let (containers, networks, volumes) = tokio::try_join!(
        docker.containers_of(run),
        docker.networks_of(run),
        docker.volumes_of(run),
    )?;
    let mut lines: Vec<String> = Vec::new();
    lines.extend(containers.iter().map(|it| format!("container {}", it.name)));
    lines.extend(networks.iter().map(|it| format!("network {}", it.name)));
    lines.extend(volumes.iter().map(|it| format!("volume {}", it.name)));
    lines.extend(inside::of_machine(run.as_str()));
    let mut lines: Vec<String> = lines.iter().map(|line| clean(line, LONGEST)).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// What one list has more of than the other: `+ line` for what came, `- line` for what went. Both are sorted.
#[must_use]
pub fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in before {
        *counts.entry(line).or_default() -= 1;
    }
    for line in after {
        *counts.entry(line).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .map(|(line, count)| {
            let sign = if count > 0 { '+' } else { '-' };
            match count.abs() {
                1 => format!("{sign} {line}"),
                many => format!("{sign} {line} ({many} times)"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_count_lines() {
        let lines =
            |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| (*line).into()).collect() };
        let before = lines(&["a", "b", "b"]);
        assert!(difference(&before, &before).is_empty());
        assert_eq!(
            difference(&before, &lines(&["b", "c", "c"])),
            ["- a", "- b", "+ c (2 times)"]
        );
    }
}
