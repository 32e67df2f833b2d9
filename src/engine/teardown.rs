//! Removing all that a run has in the engine, from labels alone: idempotent, complete, and honest about the rest.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::sync::OnceCell;

use super::{
    docker::Docker,
    error::EngineError,
    labels::{self, Labels, Role},
    stuck_network,
};
use crate::{disk::ext4, ids::RunId};

/// Containers are removed one after another. Engines before 28.1 lose count of a network's endpoints when several leave
/// it at once, and then never remove the network (measured on 20.10: in 1 of 25 removals of sixteen containers at
/// width 8, in none of 25 at width 1; 1.4 s against 2.0 s). For the same reason a network is not drained by signals to
/// all its nodes at once.
const CONTAINERS: usize = 1;
/// Networks and volumes removed at the same moment.
const WIDTH: usize = 8;
/// Passes over all objects. A launch that was killed may have calls in flight whose objects appear during the first.
const PASSES: usize = 4;
/// The last look is at least this long after the first: calls of a launcher that was killed go on inside the engine, and
/// what they make appears after a first look that found nothing (seen with networks on a busy machine).
const SETTLE: Duration = Duration::from_secs(1);
/// A container that is not removed after this long is held by something.
const STUCK: Duration = Duration::from_secs(2);
/// Pause before another pass when something could not be removed yet.
const PAUSE: Duration = Duration::from_millis(300);

/// What a teardown has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TeardownReport {
    /// Containers removed.
    pub containers: usize,
    /// Networks removed.
    pub networks: usize,
    /// Volumes removed.
    pub volumes: usize,
    /// Loop devices detached.
    pub loop_devices: usize,
    /// What could not be removed, and why; empty if nothing is left.
    pub left: Vec<String>,
}

/// Removes containers, then mounts of FUSE disks and loop devices, then networks, volumes and the reservation of a run,
/// in that order.
///
/// # Errors
/// Only if the engine cannot be asked what there is. What it refuses to remove is in the report.
pub async fn teardown(docker: &Docker, run: &RunId) -> Result<TeardownReport, EngineError> {
    let mut report = TeardownReport::default();
    let begun = Instant::now();
    for pass in 0..PASSES {
        if pass > 0 && !report.left.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        report.left.clear();
        let before = (report.containers, report.networks, report.volumes);
        let late = begun.elapsed() >= SETTLE;
        remove_once(docker, run, &mut report).await?;
        let after = (report.containers, report.networks, report.volumes);
        if report.left.is_empty() && before == after {
            if late {
                break;
            }
            tokio::time::sleep(SETTLE.saturating_sub(begun.elapsed())).await;
        }
    }
    Ok(report)
}

async fn remove_once(
    docker: &Docker,
    run: &RunId,
    report: &mut TeardownReport,
) -> Result<(), EngineError> {
    let mut containers = docker.containers_of(run).await?;
    // A node that waits for a FUSE disk that holds it would not die before it is answered.
    let serves_disk = |labels: &Labels| {
        labels.get(labels::ROLE).map(String::as_str) == Some(Role::FaultyDisk.as_str())
    };
    containers.sort_by_key(|container| !serves_disk(&container.labels));
    let names = containers.into_iter().map(|container| container.id);
    let thaw = OnceCell::new();
    let thaw = &thaw;
    report.containers += remove_all(CONTAINERS, names, report, |id| async move {
        remove_container(docker, run, &id, thaw).await
    })
    .await;

    // Mounts and loop devices hold the disks volume: before it.
    match ext4::detach_all(docker, run).await {
        Ok(count) => report.loop_devices += count,
        Err(error) => {
            report
                .left
                .push(format!("mounts and loop devices: {error}"));
            // Without them detached the volume could be removed, and its room would be lost until the next boot.
            return Ok(());
        }
    }
    let networks = docker.networks_of(run).await?;
    report.networks += remove_all(WIDTH, networks.into_iter(), report, |network| async move {
        stuck_network::remove(docker, &network).await
    })
    .await;
    let reservation = labels::reservation_volume(run);
    let (reserved, volumes): (Vec<_>, Vec<_>) = docker
        .volumes_of(run)
        .await?
        .into_iter()
        .map(|volume| volume.name)
        .partition(|name| *name == reservation);
    let remove = |name: String| async move { docker.remove_volume(&name).await };
    report.volumes += remove_all(WIDTH, volumes.into_iter(), report, remove).await;
    // Whatever is still there takes its part of the machine.
    if report.left.is_empty() {
        report.volumes += remove_all(WIDTH, reserved.into_iter(), report, remove).await;
    }
    Ok(())
}

/// Removes a container. One that does not end may wait on a frozen disk: all disks are thawed then, once.
async fn remove_container(
    docker: &Docker,
    run: &RunId,
    id: &str,
    thaw: &OnceCell<()>,
) -> Result<(), EngineError> {
    let removal = docker.remove(id);
    tokio::pin!(removal);
    tokio::select! {
        result = &mut removal => result,
        () = tokio::time::sleep(STUCK) => {
            // What cannot be thawed shows by the container that does not go.
            thaw.get_or_init(|| async { let _ = ext4::thaw_all(docker, run).await; }).await;
            removal.await
        }
    }
}

/// Removes all of one kind; answers how many went.
async fn remove_all<T, F>(
    width: usize,
    names: impl Iterator<Item = T>,
    report: &mut TeardownReport,
    remove: impl Fn(T) -> F,
) -> usize
where
    F: Future<Output = Result<(), EngineError>>,
{
    let results: Vec<Result<(), EngineError>> = stream::iter(names)
        .map(remove)
        .buffer_unordered(width)
        .collect()
        .await;
    let mut removed = 0;
    for result in results {
        match result {
            Ok(()) => removed += 1,
            Err(error) => report.left.push(error.to_string()),
        }
    }
    removed
}
