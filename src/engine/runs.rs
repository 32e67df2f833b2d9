//! Runs that have something in the engine, found by labels, and taking one over again.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    docker::{ContainerFacts, Docker},
    error::EngineError,
    labels::{self, Labels, Role},
    launch::{DiskInfo, LaunchTimings, Launched, NodeHandle},
    owner::Owner,
    pack,
    reservation::Reservation,
};
use crate::{
    ids::{NodeName, RunId},
    journal::text::clean,
    plan::{DiskKind, NodeAddress},
};

/// A run that has something in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRun {
    /// The run.
    pub run: RunId,
    /// Who created it.
    pub owner: Owner,
    /// When, in seconds since 1970.
    pub created: u64,
    /// Seconds after which its ownerless remains may be cleaned without asking.
    pub time_to_live: u64,
    /// The run directory on the owner's machine; hostile text, cleaned.
    pub state: String,
    /// Containers, helpers and watcher included.
    pub containers: usize,
    /// Containers that run.
    pub running: usize,
    /// Networks.
    pub networks: usize,
    /// Volumes, that of its reservation included.
    pub volumes: usize,
    /// Containers of nodes.
    pub nodes: usize,
    /// What it reserves; `None` of runs that are older than reservations.
    pub reservation: Option<Reservation>,
}

/// All runs that have a container, a network or a volume in the engine.
///
/// # Errors
/// What the engine said.
pub async fn find_runs(docker: &Docker) -> Result<Vec<FoundRun>, EngineError> {
    let (containers, networks, volumes) = tokio::try_join!(
        docker.containers_of_all_runs(),
        docker.networks_of_all_runs(),
        docker.volumes_of_all_runs(),
    )?;
    let mut runs = BTreeMap::new();
    for container in &containers {
        if let Some(run) = entry(&mut runs, &container.labels) {
            run.containers += 1;
            run.running += usize::from(container.running);
            let role = container.labels.get(labels::ROLE).map(String::as_str);
            run.nodes += usize::from(role == Some(Role::Node.as_str()));
        }
    }
    for network in &networks {
        if let Some(run) = entry(&mut runs, &network.labels) {
            run.networks += 1;
        }
    }
    for volume in &volumes {
        if let Some(run) = entry(&mut runs, &volume.labels) {
            run.volumes += 1;
            run.reservation = run
                .reservation
                .or_else(|| Reservation::read(&volume.labels));
        }
    }
    Ok(runs.into_values().collect())
}

fn entry<'a>(runs: &'a mut BTreeMap<RunId, FoundRun>, labels: &Labels) -> Option<&'a mut FoundRun> {
    let text = |key: &str| labels.get(key).map(String::as_str).unwrap_or_default();
    let number = |key: &str| text(key).parse().unwrap_or(0);
    // An id that this program cannot have written names nothing that it may touch.
    let run: RunId = text(labels::RUN).parse().ok()?;
    let (created, time_to_live) = (number(labels::CREATED), number(labels::TIME_TO_LIVE));
    let state = clean(text(labels::STATE), 4096);
    let found = runs.entry(run.clone()).or_insert_with(|| FoundRun {
        run,
        owner: Owner {
            pid: text(labels::OWNER_PID).parse().unwrap_or(0),
            boot_id: clean(text(labels::BOOT_ID), 64),
        },
        created,
        time_to_live,
        state: String::new(),
        containers: 0,
        running: 0,
        networks: 0,
        volumes: 0,
        nodes: 0,
        reservation: None,
    });
    // Helpers live for a moment, and some do not know the run's directory: what a run's other objects say holds.
    if created.saturating_add(time_to_live) > found.created.saturating_add(found.time_to_live) {
        (found.created, found.time_to_live) = (created, time_to_live);
    }
    if found.state.is_empty() {
        found.state = state;
    }
    Some(found)
}

/// Takes a launched network over again, from labels and what the engine knows.
///
/// # Errors
/// What the engine said, or what is missing for this to be a network that was launched whole.
pub async fn reattach(docker: &Docker, run: &RunId) -> Result<Launched, EngineError> {
    let mut nodes = BTreeMap::new();
    let mut watcher = None;
    let mut linkage = None;
    for container in docker.containers_of(run).await? {
        match container
            .labels
            .get(labels::ROLE)
            .and_then(|role| Role::parse(role))
        {
            Some(Role::Node) => {
                let facts = docker.inspect(&container.id).await?;
                let whole = !facts.name.ends_with(labels::NEXT);
                let (name, handle) = node(run, facts)?;
                // Two where a replacement is under way or was cut short: the one that it began with.
                if whole || !nodes.contains_key(&name) {
                    nodes.insert(name, handle);
                }
            }
            Some(Role::Watcher) => {
                linkage = Some(pack::Linkage {
                    loader: container.labels.get(labels::TOOLBOX_LOADER).cloned(),
                });
                watcher = Some(container.id);
            }
            _ => {}
        }
    }
    let lacks = |what| EngineError::Incomplete {
        subject: format!("run {run}"),
        what,
    };
    if nodes.is_empty() {
        return Err(lacks("nodes"));
    }
    let kind = nodes
        .values()
        .next()
        .map_or(DiskKind::Tmpfs, |handle: &NodeHandle| handle.disk.kind);
    Ok(Launched {
        nodes,
        watcher: watcher.ok_or_else(|| lacks("its watcher"))?,
        toolbox: pack::toolbox_command(&linkage.unwrap_or_default(), &[]),
        disk_kind: kind,
        disk_reason: "as launched".to_owned(),
        notes: Vec::new(),
        timings: LaunchTimings::default(),
    })
}

fn node(run: &RunId, facts: ContainerFacts) -> Result<(NodeName, NodeHandle), EngineError> {
    let lacks = |what| EngineError::Incomplete {
        subject: clean(&facts.name, 130),
        what,
    };
    let name: NodeName = facts
        .labels
        .get(labels::NODE)
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| lacks("its node's name"))?;
    let address = |network: String| -> Option<Ipv4Addr> { facts.addresses.get(&network).copied() };
    let addresses = NodeAddress {
        data: address(labels::data_network(run)).ok_or_else(|| lacks("its data address"))?,
        management: address(labels::management_network(run))
            .ok_or_else(|| lacks("its management address"))?,
    };
    let kind = match facts.labels.get(labels::DISK_KIND).map(String::as_str) {
        Some("ext4") => DiskKind::Ext4,
        Some("xfs") => DiskKind::Xfs,
        Some("faulty") => DiskKind::Faulty,
        Some("tmpfs") => DiskKind::Tmpfs,
        _ => return Err(lacks("its disk's kind")),
    };
    let usable_bytes = facts
        .labels
        .get(labels::DISK_BYTES)
        .and_then(|bytes| bytes.parse().ok())
        .ok_or_else(|| lacks("its disk's size"))?;
    let handle = NodeHandle {
        container: labels::node_name(run, &name),
        container_id: facts.id.clone(),
        addresses,
        disk: DiskInfo {
            kind,
            usable_bytes,
            device: facts
                .labels
                .get(labels::DISK_DEVICE)
                .map(|device| clean(device, 100)),
        },
        aged: None,
    };
    Ok((name, handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(created: u64, time_to_live: u64, state: &str) -> Labels {
        let labels = [
            (labels::RUN, "smoke-1-0abcd".to_owned()),
            (labels::CREATED, created.to_string()),
            (labels::TIME_TO_LIVE, time_to_live.to_string()),
            (labels::STATE, state.to_owned()),
        ];
        labels.map(|(key, value)| (key.to_owned(), value)).into()
    }

    #[test]
    fn a_helper_does_not_shorten_the_life_of_its_run() {
        let (helper, node) = (
            object(5_000, 60, ""),
            object(1_000, 86_400, "/state/smoke/1"),
        );
        for order in [[&helper, &node], [&node, &helper]] {
            let mut runs = BTreeMap::new();
            for labels in order {
                entry(&mut runs, labels).unwrap();
            }
            let found = runs.into_values().next().unwrap();
            assert_eq!((found.created, found.time_to_live), (1_000, 86_400));
            assert_eq!(found.state, "/state/smoke/1");
        }
    }
}
