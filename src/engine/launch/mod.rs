//! Launching a network: everything is made and every limit read back, or nothing is left.
//!
//! ```text
//!  networks (2, internal) ──┐
//!  disks (ext4: one helper) ┼─> watcher (holds tmpfs disks, fills the toolbox)
//!                           └─> nodes, a bounded number at a time: create, connect management, start
//!                                        └─> limits read back: the engine's view and the kernel's
//! ```

mod age;
mod beside;
mod disks;
mod faulty;
mod fill;
mod nodes;
mod preflight;
mod prepare;
mod subnets;
mod verify;
mod watcher;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

pub use fill::Fill;
pub use preflight::{Preflight, preflight};
pub(crate) use prepare::known_image;
pub use prepare::{Images, NodeImage, named_image, prepare};
pub use watcher::{CGROUP_MOUNT, SPOOL, WATCHER_LAST};

use crate::{
    engine::{
        docker::Docker,
        error::EngineError,
        inside::ask_toolbox,
        labels::{self, RunLabels},
        owner::Owner,
        secrets,
        teardown::teardown,
    },
    ids::{NodeName, RunId, ShardId},
    journal::told::DiskLevel,
    plan::{DiskKind, NetworkPlan, NodeAddress, NodePlan},
    profile::beside::Beside,
};

/// Containers that are created or started at the same moment. Measured on two busy cores with sixteen nodes: two at a
/// time take a fifth longer than six, and beyond six nothing is gained, because the engine's own work fills the cores.
pub const WIDTH: usize = 8;

/// Deadline of syncing what was filled into one disk.
const SYNC: Duration = Duration::from_secs(60);

/// Renders a node's command and environment once addresses are known.
pub type Render<'a> = &'a (
        dyn Fn(&NodePlan, &BTreeMap<NodeName, NodeAddress>) -> Result<RenderedNode, String> + Sync
    );

/// Renders what is beside the nodes once addresses are known.
pub type RenderBeside<'a> =
    &'a (dyn Fn(&BTreeMap<NodeName, NodeAddress>) -> Result<Beside, String> + Sync);

/// What to launch.
pub struct LaunchRequest<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The network.
    pub network: &'a NetworkPlan,
    /// Privileged helper containers are allowed.
    pub allow_helper: bool,
    /// The run directory on this machine, for the labels.
    pub state: String,
    /// Who owns the run.
    pub owner: Owner,
    /// Time after which ownerless remains may be cleaned without asking.
    pub time_to_live: Duration,
    /// Images, from [`prepare`].
    pub images: &'a Images,
    /// Renders a node's command and environment.
    pub render: Render<'a>,
    /// Renders what is beside the nodes; nothing is, without it.
    pub beside: Option<RenderBeside<'a>>,
    /// Secrets of the nodes, by name.
    pub secrets: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// What the disks are filled with; they are empty without it.
    pub fill: Option<&'a Fill>,
}

/// A node's command and environment, ready for the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderedNode {
    /// Arguments; a first word equal to the image's program is the program itself.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
}

/// Progress of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchProgress {
    /// Networks are there.
    Networks,
    /// Disks are there; their kind.
    Disks(DiskKind),
    /// The watcher runs.
    Watcher,
    /// So many nodes of all run.
    Nodes {
        /// Started.
        started: usize,
        /// In all.
        of: usize,
    },
    /// All limits were read back.
    Verified,
}

/// A launched network.
#[derive(Debug, Clone)]
pub struct Launched {
    /// The nodes.
    pub nodes: BTreeMap<NodeName, NodeHandle>,
    /// The watcher's container.
    pub watcher: String,
    /// How a toolbox program is called in the nodes and the watcher: append its arguments.
    pub toolbox: Vec<String>,
    /// Kind of the disks.
    pub disk_kind: DiskKind,
    /// Why that kind, for people.
    pub disk_reason: String,
    /// What could not be checked, for people; empty in health.
    pub notes: Vec<String>,
    /// How long it took.
    pub timings: LaunchTimings,
}

/// A launched node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHandle {
    /// Its container's name, by which it is asked for: it stays when the container is made anew.
    pub container: String,
    /// Its container's id at launch.
    pub container_id: String,
    /// Its addresses.
    pub addresses: NodeAddress,
    /// Its disk.
    pub disk: DiskInfo,
    /// How that was and is, where it was filled before the start.
    pub aged: Option<DiskLevel>,
}

/// A node's disk as launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskInfo {
    /// Its kind, never [`DiskKind::Auto`].
    pub kind: DiskKind,
    /// Bytes that can be written.
    pub usable_bytes: u64,
    /// On the engine's machine: its block device as launched, or where a FUSE disk is mounted.
    pub device: Option<String>,
}

/// How long a launch took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaunchTimings {
    /// From the first create call to the last start answered.
    pub created_to_started: Duration,
    /// Networks alone.
    pub networks: Duration,
    /// Disks on block devices alone.
    pub disks: Duration,
    /// Reading limits back, after the last start.
    pub verified: Duration,
}

/// What all steps of one launch share.
pub(crate) struct Context<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) network: &'a NetworkPlan,
    pub(crate) allow_helper: bool,
    pub(crate) images: &'a Images,
    pub(crate) labels: RunLabels,
    pub(crate) addresses: BTreeMap<NodeName, NodeAddress>,
    pub(crate) beside: Beside,
    pub(crate) render: Render<'a>,
    /// `None` where there are none.
    pub(crate) secrets: Option<&'a BTreeMap<String, Vec<u8>>>,
    pub(crate) fill: Option<&'a Fill>,
}

/// Launches a network; [`preflight`] must have passed.
///
/// # Errors
/// The first failure; whatever was made until then is removed again.
pub async fn launch(
    docker: &Docker,
    request: LaunchRequest<'_>,
    progress: impl Fn(LaunchProgress) + Sync,
) -> Result<Launched, EngineError> {
    let run = request.run.clone();
    match build(docker, request, &progress).await {
        Ok(launched) => Ok(launched),
        Err(error) => {
            // What teardown cannot remove is found by its labels later; the first failure is what people need.
            let _report = teardown(docker, &run).await;
            Err(error)
        }
    }
}

async fn build(
    docker: &Docker,
    request: LaunchRequest<'_>,
    progress: &(impl Fn(LaunchProgress) + Sync),
) -> Result<Launched, EngineError> {
    let begun = Instant::now();
    let labels = RunLabels::new(
        request.run,
        &request.owner,
        &request.state,
        request.time_to_live,
    );
    let subnets = subnets::create(docker, &labels, request.fill).await?;
    progress(LaunchProgress::Networks);
    let networks = begun.elapsed();
    let addresses = subnets.addresses(&request.network.nodes)?;
    let beside = request.beside.map(|render| render(&addresses));
    let beside = beside.transpose().map_err(|message| EngineError::Render {
        node: NodeName::of(ShardId(0), 0),
        message,
    })?;
    let context = Context {
        docker,
        network: request.network,
        allow_helper: request.allow_helper,
        images: request.images,
        addresses,
        beside: beside.unwrap_or_default(),
        labels,
        render: request.render,
        secrets: request.secrets.filter(|secrets| !secrets.is_empty()),
        fill: request.fill,
    };
    let disks = disks::create(&context).await?;
    let disks_time = begun.elapsed().saturating_sub(networks);
    // Whoever comes next may need a secret.
    let early = match context.secrets {
        Some(values) => {
            let watcher = watcher::start(&context, &subnets, &disks).await?;
            let toolbox = context.images.toolbox_command(&[]);
            secrets::deliver(docker, &watcher, &toolbox, values).await?;
            Some(watcher)
        }
        None => None,
    };
    beside::prepare(&context).await?;
    beside::start_services(&context).await?;
    progress(LaunchProgress::Disks(disks.kind));
    let watcher = async {
        let watcher = match early {
            Some(watcher) => watcher,
            None => watcher::start(&context, &subnets, &disks).await?,
        };
        progress(LaunchProgress::Watcher);
        Ok(watcher)
    };
    let (watcher, nodes) = if context.fill.is_some() || context.network.disk.age.is_some() {
        // What holds the disks comes first: what is written to a disk in memory that nobody holds is gone.
        let watcher = watcher.await?;
        (watcher, start_nodes(&context, &disks, progress).await?)
    } else {
        tokio::try_join!(watcher, start_nodes(&context, &disks, progress))?
    };
    if context.fill.is_some() && disks.kind == DiskKind::Faulty {
        sync_filled(&context, &nodes).await?;
    }
    beside::start_load(&context).await?;
    let created_to_started = begun.elapsed();
    let notes = verify::verify(&context, &disks, &watcher, &nodes).await?;
    progress(LaunchProgress::Verified);
    Ok(Launched {
        nodes,
        watcher,
        toolbox: context.images.toolbox_command(&[]),
        disk_kind: disks.kind,
        disk_reason: disks.reason,
        notes,
        timings: LaunchTimings {
            created_to_started,
            networks,
            disks: disks_time,
            verified: begun.elapsed().saturating_sub(created_to_started),
        },
    })
}

/// A FUSE disk takes for synced what somebody has synced there, and what was filled in is to be on the disk as it was
/// where it came from.
async fn sync_filled(
    context: &Context<'_>,
    nodes: &BTreeMap<NodeName, NodeHandle>,
) -> Result<(), EngineError> {
    let toolbox = context.images.toolbox_command(&[]);
    let path = context.network.disk.path.as_str();
    for handle in nodes.values() {
        let words = ["sync-tree", path];
        let _: usize =
            ask_toolbox(context.docker, &handle.container, &toolbox, &words, SYNC).await?;
    }
    Ok(())
}

async fn start_nodes(
    context: &Context<'_>,
    disks: &disks::Disks,
    progress: &(impl Fn(LaunchProgress) + Sync),
) -> Result<BTreeMap<NodeName, NodeHandle>, EngineError> {
    let of = context.network.nodes.len();
    let mut started = 0;
    let mut handles = BTreeMap::new();
    let order = &context.network.foreign.start_order;
    let place = |node: &NodePlan| {
        let place = order.iter().position(|role| *role == node.role);
        place.unwrap_or(order.len())
    };
    for turn in 0..=order.len() {
        let now = context.network.nodes.iter();
        let mut work = stream::iter(now.filter(|node| place(node) == turn))
            .map(|node| async move {
                let handle = nodes::start(context, disks, node).await?;
                Ok::<_, EngineError>((node.name.clone(), handle))
            })
            .buffer_unordered(WIDTH);
        while let Some((name, handle)) = work.try_next().await? {
            started += 1;
            handles.insert(name, handle);
            progress(LaunchProgress::Nodes { started, of });
        }
    }
    Ok(handles)
}

impl Context<'_> {
    pub(crate) fn run(&self) -> &RunId {
        self.labels.run()
    }

    /// Names of the two networks.
    pub(crate) fn networks(&self) -> (String, String) {
        (
            labels::data_network(self.run()),
            labels::management_network(self.run()),
        )
    }
}
