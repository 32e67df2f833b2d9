//! Removing a network, also when the engine has lost count of what is on it.
//!
//! Engines before 28.1 keep the number of a network's endpoints apart from the endpoints, and concurrent changes of it
//! are sometimes lost (moby issues 42119 and 43286: one run in tens). A network whose number stays above zero can
//! never be removed. The same flaw is the cure: connecting and disconnecting containers at the same moment loses
//! changes in both directions, until the number has come down to what is there. Measured on 20.10: freed after about
//! two hundred changes, some ten seconds.

use std::net::Ipv4Addr;

use futures_util::future::{join_all, try_join_all};

use super::{
    docker::{ContainerSpec, Docker, NetworkFacts, has_endpoints},
    error::EngineError,
    labels::{self, Role, RunLabels},
};
use crate::ids::RunId;

/// Containers that are connected while as many others are disconnected.
const HALF: usize = 4;
/// Exchanges of the halves between two tries at removing the network.
const EXCHANGES: usize = 3;
/// Tries at removing the network, each after the exchanges.
const TRIES: usize = 30;

/// Removes a network of the run. Everything that was on it is gone already.
///
/// # Errors
/// What the engine said; [`EngineError::NetworkStuck`] if it has lost count and nothing helped.
pub(super) async fn remove(
    docker: &Docker,
    run: &RunId,
    network: &NetworkFacts,
) -> Result<(), EngineError> {
    match docker.remove_network(&network.id).await {
        Err(error) if has_endpoints(&error) => {
            // A container of somebody else may really be on it; then it is not ours to take away.
            if docker.containers_on(&network.id).await? > 0 {
                return Err(error);
            }
            match free(docker, run, network).await {
                Ok(()) => Ok(()),
                Err(_) => Err(EngineError::NetworkStuck {
                    name: network.name.clone(),
                }),
            }
        }
        other => other,
    }
}

/// Brings the engine's number down and removes the network. All that it makes carries the run's label, so that a
/// teardown that is cut short is finished by the next.
///
/// # Errors
/// What the engine said last.
pub async fn free(docker: &Docker, run: &RunId, network: &NetworkFacts) -> Result<(), EngineError> {
    let lacks = |what| EngineError::Incomplete {
        subject: network.name.clone(),
        what,
    };
    let image = network
        .labels
        .get(labels::PROGRAM_IMAGE)
        .ok_or_else(|| lacks("the program's image"))?;
    let third = network
        .subnets
        .iter()
        .find_map(|subnet| subnet.split('/').next()?.parse::<Ipv4Addr>().ok())
        .ok_or_else(|| lacks("a subnet"))?
        .octets();
    let address = |position: usize| {
        // High addresses, counted down from the last one of a /24.
        let last = u8::try_from(254 - position).unwrap_or(254);
        Ipv4Addr::new(third[0], third[1], third[2], last)
    };
    let labels = RunLabels::of_existing(run, &network.labels);
    let base = format!("{}-base", network.name);
    let base_id = docker
        .create_any_network(&base, labels.of(Role::ManagementNetwork))
        .await?;
    let idle = (0..2 * HALF).map(|position| {
        let spec = ContainerSpec {
            name: format!("{}-free-{position}", network.name),
            image: image.clone(),
            command: vec!["keeper".to_owned()],
            user: "65534:65534".to_owned(),
            labels: labels.of(Role::Helper),
            memory: 32 << 20,
            pids: 16,
            read_only_root: true,
            any_network: Some(base.clone()),
            ..ContainerSpec::default()
        };
        async move {
            let id = docker.create(spec).await?;
            docker.start(&id).await?;
            Ok::<_, EngineError>((id, address(position)))
        }
    });
    let freed = async {
        let containers = try_join_all(idle).await?;
        exchange(docker, network, &containers).await
    }
    .await;
    // By label and name, also those whose start was not answered any more; another network's have other names.
    let ours = format!("{}-free-", network.name);
    for container in docker.containers_of(run).await? {
        if container.name.starts_with(&ours) {
            docker.remove(&container.id).await?;
        }
    }
    let base_removed = docker.remove_network(&base_id).await;
    freed.and(base_removed)
}

async fn exchange(
    docker: &Docker,
    network: &NetworkFacts,
    containers: &[(String, Ipv4Addr)],
) -> Result<(), EngineError> {
    let connect = |container: &(String, Ipv4Addr)| {
        let (id, address) = container.clone();
        async move { docker.connect_network(&network.id, &id, address, "").await }
    };
    let disconnect = |container: &(String, Ipv4Addr)| {
        let id = container.0.clone();
        async move { docker.disconnect_network(&network.id, &id).await }
    };
    let (mut on, mut off) = containers.split_at(HALF);
    let mut last = Ok(());
    for _ in 0..TRIES {
        join_all(on.iter().map(connect)).await;
        for _ in 0..EXCHANGES {
            // Some of these fail where the engine's view lags; the next exchange sets it right.
            tokio::join!(
                join_all(on.iter().map(disconnect)),
                join_all(off.iter().map(connect))
            );
            std::mem::swap(&mut on, &mut off);
        }
        join_all(containers.iter().map(disconnect)).await;
        last = docker.remove_network(&network.id).await;
        if last.is_ok() {
            break;
        }
    }
    last
}
