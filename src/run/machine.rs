//! `machine.json` and `layers.json`: what a run was made on and from, for bundles, certificates and repetitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{directory::RunDirectory, error::RunError};
use crate::{
    engine::{
        Docker,
        launch::{self, Images},
    },
    plan::Recorded,
};

/// Version of the file.
const FORMAT: u32 = 1;

/// Facts about the machine that a run was made on. No names, no addresses: this file leaves the house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the file.
    pub format: u32,
    /// Version of canarynet.
    pub canarynet: String,
    /// Version of the engine.
    pub engine: String,
    /// API version in use.
    pub api: (usize, usize),
    /// Driver of image layers.
    pub storage_driver: String,
    /// `x86_64`, `aarch64`, ...
    pub architecture: String,
    /// The kernel.
    pub kernel: String,
    /// Processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The nodes' image.
    pub image: NodeImage,
    /// ... of other versions of the plan, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, NodeImage>,
    /// ... that `upgrade` faults of the plan put there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upgrades: Vec<NodeImage>,
}

/// The image that the nodes ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeImage {
    /// Its reference; images that were packed here are named by their content.
    pub reference: String,
    /// By content: the engine's id or the registry's digest.
    pub digest: String,
}

impl NodeImage {
    fn of(image: &launch::NodeImage) -> Self {
        Self {
            reference: image.reference.clone(),
            digest: image.digest.clone(),
        }
    }
}

impl Machine {
    fn of(docker: &Docker, images: &Images, upgrades: &[launch::NodeImage]) -> Self {
        let info = docker.info();
        Self {
            format: FORMAT,
            canarynet: env!("CARGO_PKG_VERSION").to_owned(),
            engine: info.version.clone(),
            api: info.api,
            storage_driver: info.storage_driver.clone(),
            architecture: info.architecture.clone(),
            kernel: info.kernel.clone(),
            cpus: info.cpus,
            memory: info.memory,
            cgroup_version: info.cgroup_version,
            image: NodeImage::of(&images.node),
            versions: images
                .versions
                .iter()
                .map(|(name, image)| (name.clone(), NodeImage::of(image)))
                .collect(),
            upgrades: upgrades.iter().map(NodeImage::of).collect(),
        }
    }

    /// The builds beside the nodes' own: by version of the plan, else by reference.
    #[must_use]
    pub fn others(&self) -> BTreeMap<String, NodeImage> {
        let upgrades = self.upgrades.iter();
        let known = |image: &&NodeImage| !self.versions.values().any(|other| other == *image);
        let upgrades = upgrades.filter(known);
        let upgrades = upgrades.map(|image| (image.reference.clone(), image.clone()));
        self.versions.clone().into_iter().chain(upgrades).collect()
    }

    /// Of a run directory; `None` where an older version made the run.
    #[must_use]
    pub fn read(directory: &RunDirectory) -> Option<Self> {
        let bytes = std::fs::read(directory.path().join("machine.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Keeps what the run is made on and from.
pub(super) fn keep(
    directory: &RunDirectory,
    docker: &Docker,
    images: &Images,
    upgrades: &[launch::NodeImage],
    layers: Option<&Recorded>,
) -> Result<(), RunError> {
    let machine = Machine::of(docker, images, upgrades);
    let machine = serde_json::to_vec_pretty(&machine).map_err(RunError::Encode)?;
    directory.write("machine.json", &machine)?;
    if let Some(layers) = layers {
        let layers = serde_json::to_vec_pretty(layers).map_err(RunError::Encode)?;
        directory.write("layers.json", &layers)?;
    }
    Ok(())
}
