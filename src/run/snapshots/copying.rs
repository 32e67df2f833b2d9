//! All disks of a network that stands still, copied; and snapshots asked for by a file in the run's directory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        Docker, Launched, labels,
        snapshots::{Tree, save},
    },
    ids::{NodeName, RunId},
    plan::{Plan, foreign::SHARED},
    run::{arm, conductor::chain},
    snapshot::{Part, SHARED_MOST},
    time::RunClock,
};

/// Disks that are copied at the same time: the engine starts a process for each.
const WIDTH: usize = 4;
/// Deadline of one disk; the standstill has its own.
const DISK: Duration = Duration::from_secs(600);
/// A disk's files may claim so many times its size: a file may have holes.
const HOLES: u64 = 8;
/// Name of the archive of the shared folder; no node is called so.
const SHARED_FILE: &str = "shared.tar.zst";
/// Ending of a request.
const ASKED: &str = ".snapshot.json";
/// Requests that are read at one time.
const MOST: usize = 16;

/// What is to be copied, and where to.
#[derive(Debug)]
pub(super) struct Order {
    docker: Docker,
    nodes: Vec<(NodeName, Tree)>,
    shared: Option<Tree>,
    into: PathBuf,
    most: u64,
    subnets: [u8; 2],
}

/// What was copied.
#[derive(Debug)]
pub(in crate::run) struct Copied {
    pub(super) nodes: BTreeMap<NodeName, Part>,
    pub(super) shared: Option<Part>,
    pub(super) subnets: [u8; 2],
}

impl Order {
    pub(super) fn of(
        plan: &Plan,
        run: &RunId,
        docker: &Docker,
        launched: &Launched,
        into: &Path,
    ) -> Self {
        let tree = |node: &NodeName, folder: &str| Tree {
            container: labels::node_name(run, node),
            folder: folder.to_owned(),
        };
        let network = &plan.network;
        let names = network.nodes.iter().map(|node| &node.name);
        let first = network.nodes.first().filter(|_| network.foreign.shares());
        let addresses = launched.nodes.values().next().map(|node| node.addresses);
        Self {
            docker: docker.clone(),
            nodes: names
                .map(|name| (name.clone(), tree(name, &network.disk.path)))
                .collect(),
            shared: first.map(|node| tree(&node.name, SHARED)),
            into: into.to_owned(),
            most: network.disk.size.saturating_mul(HOLES),
            subnets: addresses.map_or([0; 2], |addresses| {
                [addresses.data.octets()[2], addresses.management.octets()[2]]
            }),
        }
    }
}

/// Copies all of it.
pub(super) async fn copy(order: Order) -> Result<Copied, String> {
    let Order {
        docker,
        nodes,
        shared,
        into,
        most,
        subnets,
    } = order;
    let frozen = frozen(&docker, &nodes).await?;
    let again = nodes.clone();
    let copied: BTreeMap<NodeName, Part> = stream::iter(nodes)
        .map(|(name, tree)| {
            let (docker, into) = (&docker, &into);
            async move {
                let file = format!("{name}.tar.zst");
                let part = save(docker, &tree, into, &file, most, DISK).await;
                let part = part.map_err(|error| format!("{name}: {}", chain(&error)))?;
                Ok::<_, String>((name, part))
            }
        })
        .buffer_unordered(WIDTH)
        .try_collect()
        .await?;
    let shared = match shared {
        Some(tree) => {
            let part = save(&docker, &tree, &into, SHARED_FILE, SHARED_MOST, DISK).await;
            Some(part.map_err(|error| format!("the shared folder: {}", chain(&error)))?)
        }
        None => None,
    };
    if self::frozen(&docker, &again).await? != frozen {
        return Err("a node was started or let go while the disks were copied".to_owned());
    }
    Ok(Copied {
        nodes: copied,
        shared,
        subnets,
    })
}

/// When each node was started, none of which moves: frozen, or not there.
async fn frozen(docker: &Docker, nodes: &[(NodeName, Tree)]) -> Result<Vec<String>, String> {
    let mut starts = Vec::new();
    for (name, tree) in nodes {
        let facts = docker.inspect(&tree.container).await;
        let facts = facts.map_err(|error| format!("{name}: {}", chain(&error)))?;
        if facts.running && !facts.paused {
            return Err(format!("{name} does not stand still"));
        }
        starts.push(facts.started_at);
    }
    Ok(starts)
}

/// A snapshot as somebody asks for it.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    name: Option<String>,
}

/// Asks the owner of a run for a snapshot; answers the name under which its steps can be read.
///
/// # Errors
/// When the file cannot be written.
pub fn ask(directory: &Path, name: Option<String>) -> Result<String, io::Error> {
    let folder = directory.join(arm::FOLDER);
    fs::create_dir_all(&folder)?;
    // A process id may be used again, and then the answers to the one before it would be read.
    let own = format!("hand-{}-{}", std::process::id(), RunClock::wall().0);
    let temporary = folder.join(format!("{own}.tmp"));
    fs::write(&temporary, serde_json::to_vec(&Asked { name })?)?;
    fs::rename(temporary, folder.join(format!("{own}{ASKED}")))?;
    Ok(own)
}

/// Requests that came since the last look, each once.
pub(super) fn take(directory: &Path) -> Vec<(String, Option<String>)> {
    let Ok(entries) = fs::read_dir(directory.join(arm::FOLDER)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = file.strip_suffix(ASKED)?.to_owned();
            let bytes = fs::read(entry.path()).ok()?;
            fs::remove_file(entry.path()).ok()?;
            let asked: Asked = serde_json::from_slice(&bytes).ok()?;
            Some((name, asked.name))
        })
        .take(MOST)
        .collect()
}
