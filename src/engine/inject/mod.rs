//! Carries out the operations of faults, and reads their effect back.
//!
//! A [`Scene`] can be rebuilt from labels alone: the process that heals need not be the one that broke.

mod content;
mod disk;
mod faulty;
mod inside;
mod link;
mod process;
pub(crate) mod upgrade;

use std::sync::Arc;

use super::{
    Docker, EngineError, Launched,
    labels::{self, RunLabels},
    launch::NodeHandle,
};
use crate::{
    fault::operation::{Operation, Outcome},
    ids::NodeName,
    plan::ClockLever,
    probe::events::{self, Requested},
};

/// The network that operations are done to.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The engine.
    pub docker: Docker,
    /// The network as launched.
    pub launched: Arc<Launched>,
    /// Labels of the run, for containers that operations need.
    pub labels: RunLabels,
    /// Image of the privileged helper; `None` if the plan does not allow it.
    pub helper: Option<String>,
    /// `uid:gid` of the nodes.
    pub user: String,
    /// Where nodes have their data disk.
    pub disk_path: String,
    /// How a node's clock is set wrong, where the profile says so.
    pub clock_skew: Option<ClockLever>,
    /// The register of what the canary does itself; `None` where nobody watches.
    pub requested: Option<Requested>,
}

impl Scene {
    /// A node's container and addresses.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn handle(&self, node: &NodeName) -> Result<&NodeHandle, EngineError> {
        self.launched
            .nodes
            .get(node)
            .ok_or_else(|| EngineError::Incomplete {
                subject: node.to_string(),
                what: "a container",
            })
    }

    /// Name of a node's container. It stays when the container is made anew, unlike its id.
    #[must_use]
    pub fn container(&self, node: &NodeName) -> String {
        labels::node_name(self.labels.run(), node)
    }

    /// Id of the container that is the node now: one that was made anew has another.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn container_id(&self, node: &NodeName) -> Result<String, EngineError> {
        Ok(self.docker.inspect(&self.container(node)).await?.id)
    }

    /// Announces what is about to be done to a node, where somebody watches.
    fn mark(&self, node: &NodeName, operation: events::Operation) {
        if let Some(requested) = &self.requested {
            requested.mark(node, operation);
        }
    }

    /// The helper's image.
    ///
    /// # Errors
    /// When the plan does not allow the helper.
    pub fn helper(&self, what: &'static str) -> Result<&str, EngineError> {
        self.helper
            .as_deref()
            .ok_or(EngineError::HelperNotAllowed { what })
    }
}

/// Does one operation and reads its effect back.
///
/// # Errors
/// What the engine, the helper or the program inside said.
pub async fn perform(scene: &Scene, operation: &Operation) -> Result<Outcome, EngineError> {
    match operation {
        Operation::Process { node, what } => process::perform(scene, node, what).await,
        Operation::Inside { node, what } => inside::perform(scene, node, what).await,
        Operation::Disk { node, what } => disk::perform(scene, node, what).await,
        Operation::Faulty { node, what } => faulty::perform(scene, node, what).await,
        Operation::Link { node, what } => link::perform(scene, node, what).await,
    }
}

/// What faults have left in the network of a node that runs: names of tables, queues and interfaces; empty in health.
///
/// # Errors
/// What the engine or the helper said.
pub async fn network_remains(scene: &Scene, node: &NodeName) -> Result<Vec<String>, EngineError> {
    link::remains(scene, node).await
}
