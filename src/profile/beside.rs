//! What runs beside the nodes, and before them, rendered: files, steps, services, load. Pure.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use super::render::{RenderError, Renderer};
use crate::{
    ids::{NodeName, ShardId},
    plan::{
        NodeAddress, NodePlan, Plan,
        foreign::{Each, FIRST_SERVICE},
    },
    time::micros,
};

/// How long an init step may take that does not say.
const STEP_DEADLINE: Duration = Duration::from_secs(60);
/// How long one command of load may take that does not say.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);
/// Commands of load at the same time.
const PARALLEL: u32 = 4;
/// Last octet of the first load container's address: between the services and the nodes there is one place, and the
/// others follow at the end of the subnet, behind the nodes.
const FIRST_LOAD: u8 = 15;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// The folder of every node, with its files: path within it, and text.
    pub folders: BTreeMap<NodeName, BTreeMap<String, String>>,
    /// Steps, in order.
    pub steps: Vec<Step>,
    /// Services.
    pub services: Vec<Running>,
    /// Load, one for each shard.
    pub load: Vec<Load>,
}

/// A program with its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The program as the profile names it; `None` for the image's own.
    pub program: Option<String>,
    /// Its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// One init step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What runs.
    pub call: Call,
    /// How long at most.
    pub deadline: Duration,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// What runs.
    pub call: Call,
    /// Its address in the nodes' network.
    pub address: Ipv4Addr,
}

/// The load of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The shard.
    pub shard: ShardId,
    /// The node whose place it has in figures: the shard's first.
    pub node: NodeName,
    /// The program as the profile names it; `None` for the image's own.
    pub program: Option<String>,
    /// What is done.
    pub order: LoadOrder,
    /// Its address in the nodes' network.
    pub address: Ipv4Addr,
}

/// What a generator of load does, over and over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadOrder {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Times a second.
    pub rate: f64,
    /// After this long one is ended.
    #[serde(with = "micros")]
    pub deadline: Duration,
    /// At most so many at the same time.
    pub parallel: u32,
}

/// The address in a node's own network with this last octet.
#[must_use]
pub(super) fn address(node: NodeAddress, last: u8) -> Ipv4Addr {
    let [a, b, c, _] = node.data.octets();
    Ipv4Addr::new(a, b, c, last)
}

/// Renders all that is beside the nodes, for these addresses.
///
/// # Errors
/// The first template that fails.
pub fn render(
    plan: &Plan,
    addresses: &BTreeMap<NodeName, NodeAddress>,
) -> Result<Beside, RenderError> {
    let foreign = &plan.network.foreign;
    let nodes = &plan.network.nodes;
    let mut beside = Beside::default();
    let (Some(first), true) = (nodes.first(), *foreign != Default::default()) else {
        return Ok(beside);
    };
    let renderer = |node: &NodePlan| Renderer::new(plan, node, addresses);
    if foreign.shares() {
        for node in nodes {
            let renderer = renderer(node)?;
            let files = foreign.files.iter().enumerate();
            let files = files.map(|(index, file)| {
                let text = renderer.text(&format!("profile.file[{index}].text"), &file.text)?;
                Ok((file.path.clone(), text))
            });
            let files = files.collect::<Result<_, RenderError>>()?;
            beside.folders.insert(node.name.clone(), files);
        }
    }
    for (index, step) in foreign.init.iter().enumerate() {
        let key = format!("profile.init[{index}].command");
        let name = step.name.clone().unwrap_or_else(|| (index + 1).to_string());
        let whose = match step.each {
            Each::Network => std::slice::from_ref(first),
            Each::Node => nodes.as_slice(),
        };
        for node in whose {
            beside.steps.push(Step {
                name: match step.each {
                    Each::Network => name.clone(),
                    Each::Node => format!("{name} of {}", node.name),
                },
                call: Call {
                    program: step.program.clone(),
                    command: renderer(node)?.texts(&key, &step.command)?,
                    environment: BTreeMap::new(),
                },
                deadline: step.deadline.map_or(STEP_DEADLINE, |span| span.0),
            });
        }
    }
    let own = addresses.get(&first.name).copied();
    let own = own.ok_or_else(|| RenderError::new("profile.service", "no address".to_owned()))?;
    for ((index, service), last) in foreign.services.iter().enumerate().zip(FIRST_SERVICE..) {
        let (renderer, key) = (renderer(first)?, format!("profile.service[{index}]"));
        beside.services.push(Running {
            name: service.name.clone(),
            call: Call {
                program: service.program.clone(),
                command: renderer.texts(&format!("{key}.command"), &service.command)?,
                environment: renderer.table(&format!("{key}.environment"), &service.environment)?,
            },
            address: address(own, last),
        });
    }
    if let Some(load) = foreign.load.as_ref().filter(|_| plan.load.rate > 0.0) {
        for shard in (0..plan.network.shards).map(ShardId) {
            let Some(node) = nodes.iter().find(|node| node.shard == shard) else {
                continue;
            };
            let renderer = renderer(node)?;
            let last = match u8::try_from(shard.0) {
                Ok(0) => FIRST_LOAD,
                Ok(shard) => u8::MAX - shard,
                Err(_) => continue,
            };
            beside.load.push(Load {
                shard,
                node: node.name.clone(),
                program: load.program.clone(),
                order: LoadOrder {
                    command: renderer.texts("profile.load.command", &load.command)?,
                    environment: renderer.table("profile.load.environment", &load.environment)?,
                    rate: plan.load.rate,
                    deadline: load.deadline.map_or(LOAD_DEADLINE, |span| span.0),
                    parallel: load.parallel.unwrap_or(PARALLEL),
                },
                address: address(own, last),
            });
        }
    }
    Ok(beside)
}
