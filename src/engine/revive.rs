//! Bringing a run's containers back after the engine, or its machine, was restarted: what is left, what is lost, and in
//! which order the rest is started.
//!
//! ```text
//!  watcher (its secrets again) ──> services ──> nodes, by their order of start ──> load
//!                                                 \── a disk without its device: attached anew from its image first
//! ```
//! Nothing is made here: containers, networks and volumes are the ones that the engine has kept.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    docker::Docker,
    error::EngineError,
    labels::{self, Role},
    launch::{Launched, WIDTH},
    owner::Owner,
    secrets,
};
use crate::{
    disk::{
        ext4::{self, DisksVolume, disk_ref},
        faults::Renewed,
        helper::{HelperOp, run_helper},
    },
    ids::{NodeName, RunId},
    plan::DiskKind,
};

/// What of a run's containers is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Whether the watcher runs, which holds all disks in memory.
    pub watcher: bool,
    /// Whether each node runs.
    pub nodes: BTreeMap<NodeName, bool>,
    /// Services, and what makes load: those that do not run, by name.
    pub ended_beside: Vec<(Role, String)>,
    /// Nodes whose FUSE disks are served no more.
    pub unserved: Vec<NodeName>,
    /// The machine was booted since the run began.
    pub rebooted: bool,
}

/// Asks the engine what is left of a run.
///
/// # Errors
/// What the engine said.
pub async fn left(docker: &Docker, run: &RunId) -> Result<Left, EngineError> {
    let mut left = Left::default();
    for container in docker.containers_of(run).await? {
        let label = |key: &str| container.labels.get(key);
        let node = label(labels::NODE).and_then(|name| name.parse::<NodeName>().ok());
        let role = label(labels::ROLE).and_then(|role| Role::parse(role));
        match (role, node) {
            (Some(Role::Watcher), _) => {
                left.watcher = container.running;
                let owner = Owner {
                    pid: 0,
                    boot_id: label(labels::BOOT_ID).cloned().unwrap_or_default(),
                };
                left.rebooted = owner.is_of_another_boot();
            }
            // One that is about to take another's place is not the node.
            (Some(Role::Node), Some(node)) if !container.name.ends_with(labels::NEXT) => {
                left.nodes.insert(node, container.running);
            }
            (Some(Role::FaultyDisk), Some(node)) if !container.running => left.unserved.push(node),
            (Some(role @ (Role::Service | Role::Load)), _) if !container.running => {
                left.ended_beside.push((role, container.name));
            }
            _ => {}
        }
    }
    Ok(left)
}

impl Left {
    /// Whether the engine took nothing along. Nodes end by themselves, the watcher does not.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.watcher && self.unserved.is_empty()
    }

    /// Whether any of watcher and nodes runs: an engine that was restarted without live-restore has left none.
    #[must_use]
    pub fn anything_runs(&self) -> bool {
        self.watcher || self.nodes.values().any(|runs| *runs)
    }

    /// What cannot be brought back on disks of this kind, and what helps; `None` if all can.
    #[must_use]
    pub fn lost(&self, kind: DiskKind) -> Option<String> {
        let by = if self.rebooted {
            "the machine was booted again"
        } else {
            "the engine was restarted"
        };
        let ended = self.nodes.values().any(|runs| !runs);
        match kind {
            DiskKind::Tmpfs if !self.watcher && ended => Some(format!(
                "{by}, and the disks of the nodes were in memory: their data is gone. Disks on block devices live on \
                 (`--set profile.disk.kind=ext4 --allow-helper`), and so does all under an engine with `live-restore`"
            )),
            DiskKind::Faulty if !self.unserved.is_empty() => Some(format!(
                "{by}, and the processes that served the FUSE disks of {} ended with it: what was not synced is gone, \
                 and nobody can tell which. Disks on block devices live on (`--set profile.disk.kind=ext4`)",
                names(&self.unserved)
            )),
            _ => None,
        }
    }

    /// Those of these nodes that do not run.
    #[must_use]
    pub fn ended(&self, ran: &BTreeSet<NodeName>) -> Vec<NodeName> {
        let ended = |node: &&NodeName| self.nodes.get(*node) == Some(&false);
        ran.iter().filter(ended).cloned().collect()
    }
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}

/// What is to be started again.
pub struct Revival<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its network.
    pub launched: &'a Launched,
    /// What is left of it.
    pub left: &'a Left,
    /// Nodes to be started, in turns: one turn after the other.
    pub turns: Vec<Vec<NodeName>>,
    /// What nodes are told in secret: the watcher held it in memory.
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
    /// Told of each node before it is started.
    pub starting: &'a (dyn Fn(&NodeName) + Sync),
}

/// Starts again what had ended.
///
/// # Errors
/// The first failure: what the engine or the helper said.
pub async fn revive(docker: &Docker, revival: Revival<'_>) -> Result<(), EngineError> {
    let Revival {
        run,
        launched,
        left,
        turns,
        secrets,
        starting,
    } = revival;
    if !left.watcher {
        docker.start(&launched.watcher).await?;
        if !secrets.is_empty() {
            secrets::deliver(docker, &launched.watcher, &launched.toolbox, secrets).await?;
        }
    }
    start_beside(docker, left, Role::Service).await?;
    let volume = match launched.disk_kind {
        DiskKind::Ext4 | DiskKind::Xfs => ext4::disks_volume(docker, run).await?,
        _ => None,
    };
    let disks = Disks {
        docker,
        run,
        volume: volume.as_ref(),
        rebooted: left.rebooted,
    };
    for turn in turns {
        stream::iter(turn)
            .map(|node| async move {
                starting(&node);
                let container = labels::node_name(run, &node);
                disks.start(&node, &container).await
            })
            .buffer_unordered(WIDTH)
            .try_collect::<Vec<()>>()
            .await?;
    }
    start_beside(docker, left, Role::Load).await
}

async fn start_beside(docker: &Docker, left: &Left, wanted: Role) -> Result<(), EngineError> {
    for (role, name) in &left.ended_beside {
        if *role == wanted {
            docker.start(name).await?;
        }
    }
    Ok(())
}

/// The disks of nodes that are started again.
#[derive(Clone, Copy)]
struct Disks<'a> {
    docker: &'a Docker,
    run: &'a RunId,
    /// Only where disks are on block devices.
    volume: Option<&'a DisksVolume>,
    rebooted: bool,
}

impl Disks<'_> {
    /// Starts a node. Its loop device is gone after a boot, and its number may be somebody else's by now; else it is
    /// there, unless an outside hand has taken it.
    async fn start(&self, node: &NodeName, container: &str) -> Result<(), EngineError> {
        if self.rebooted {
            self.renew(node).await?;
        }
        match self.docker.start(container).await {
            Err(_) if self.volume.is_some() && !self.rebooted => {
                self.renew(node).await?;
                self.docker.start(container).await
            }
            other => other,
        }
    }

    /// Checks a disk's image and attaches it anew.
    async fn renew(&self, node: &NodeName) -> Result<(), EngineError> {
        let Some(volume) = self.volume else {
            return Ok(());
        };
        let operation = HelperOp::Renew {
            disk: disk_ref(self.run, node),
        };
        let _renewed: Renewed =
            run_helper(self.docker, &volume.helper, &volume.labels, &operation).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    fn left(watcher: bool, nodes: [bool; 2]) -> Left {
        let named = (0..).map(|index| NodeName::of(ShardId(0), index));
        Left {
            watcher,
            nodes: named.zip(nodes).collect(),
            ..Left::default()
        }
    }

    #[test]
    fn disks_in_memory_are_lost_with_all_who_held_them() {
        let lost = |left: &Left| left.lost(DiskKind::Tmpfs);
        assert_eq!(
            lost(&left(true, [true, false])),
            None,
            "the keeper holds it"
        );
        assert_eq!(lost(&left(false, [true, true])), None, "the nodes do");
        let why = lost(&left(false, [true, false])).unwrap();
        assert!(why.contains("engine was restarted"), "{why}");
        let rebooted = Left {
            rebooted: true,
            ..left(false, [false, false])
        };
        assert!(lost(&rebooted).unwrap().contains("booted"));
        assert_eq!(rebooted.lost(DiskKind::Ext4), None);
        assert_eq!(rebooted.lost(DiskKind::Xfs), None);
    }

    #[test]
    fn a_fuse_disk_is_lost_with_its_process() {
        let mut one = left(true, [true, true]);
        assert_eq!(one.lost(DiskKind::Faulty), None);
        one.unserved.push(NodeName::of(ShardId(0), 1));
        assert!(one.lost(DiskKind::Faulty).unwrap().contains("s0-n01"));
        assert!(!one.is_whole());
    }

    #[test]
    fn only_what_ran_before_has_ended_with_the_engine() {
        let left = left(false, [false, false]);
        let ran = BTreeSet::from([NodeName::of(ShardId(0), 0)]);
        assert_eq!(left.ended(&ran), [NodeName::of(ShardId(0), 0)]);
    }
}
