//! Images of a run: made or found before anything else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    engine::{
        docker::{Docker, ImageFacts},
        error::EngineError,
        pack::{self, PackedImage},
        pull,
    },
    plan::{DiskKind, NetworkPlan, Program, image::digest_of},
};

/// An image that nodes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// Its reference.
    pub reference: String,
    /// By content: the engine's id or the registry's digest.
    pub digest: String,
    /// File name of the program that is its entry point; empty if it has none.
    pub program: String,
}

/// The images that a run needs.
#[derive(Debug, Clone)]
pub struct Images {
    /// The nodes' image.
    pub node: NodeImage,
    /// ... of other versions of the plan, by name.
    pub versions: BTreeMap<String, NodeImage>,
    /// This program: watcher and toolbox.
    pub program: PackedImage,
    /// The privileged helper's, where the plan may use it.
    pub helper: Option<PackedImage>,
    /// Why there is no helper although the plan allows it, for people.
    pub helper_missing: Option<String>,
}

impl Images {
    /// The image in which faults have the helper work, where it is allowed: what makes file systems is in the helper's
    /// own image, which not all disks need; all else this program does alone.
    #[must_use]
    pub fn helper_of_faults(&self, allowed: bool) -> Option<String> {
        let image = self.helper.as_ref().unwrap_or(&self.program);
        allowed.then(|| image.reference.clone())
    }
}

impl Images {
    /// How a toolbox program is called inside the run's containers.
    #[must_use]
    pub fn toolbox_command(&self, arguments: &[&str]) -> Vec<String> {
        pack::toolbox_command(&self.program.linkage, arguments)
    }
}

/// Makes or finds all images that the network needs. `linux_binary` stands in for this program where it is no Linux
/// executable for the engine.
///
/// # Errors
/// The image that is missing, or why something cannot be packed.
pub async fn prepare(
    docker: &Docker,
    network: &NetworkPlan,
    allow_helper: bool,
    linux_binary: Option<&Path>,
) -> Result<Images, EngineError> {
    let own = pack::own_program(docker, linux_binary)?;
    let program = pack::program_image(docker, &own).await?;
    let programs = &network.foreign.programs;
    let node = node_image(docker, &program, network, &network.program, programs).await?;
    let mut versions = BTreeMap::new();
    for version in &network.versions {
        let image = match &version.program {
            Some(other) => node_image(docker, &program, network, other, &[]).await?,
            None => node.clone(),
        };
        versions.insert(version.name.clone(), image);
    }
    let (mut helper, mut helper_missing) = (None, None);
    if allow_helper && network.disk.kind != DiskKind::Tmpfs {
        let xfs = network.disk.kind == DiskKind::Xfs;
        match pack::helper_image(docker, &own, xfs).await {
            Ok(image) => helper = Some(image),
            Err(error) if network.disk.kind == DiskKind::Auto => {
                helper_missing = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Images {
        node,
        versions,
        program,
        helper,
        helper_missing,
    })
}

/// Makes or finds the image of what nodes run; `own` is that of this program.
async fn node_image(
    docker: &Docker,
    own: &PackedImage,
    network: &NetworkPlan,
    program: &Program,
    programs: &[PathBuf],
) -> Result<NodeImage, EngineError> {
    let (reference, packed) = match program {
        Program::Itself => (own.reference.clone(), own.program.clone()),
        Program::Binary(path) => {
            let image = pack::binary_image(docker, path, programs).await?;
            (image.reference, image.program)
        }
        Program::Image(reference) => return named_image(docker, network, reference).await,
    };
    known_image(docker, reference, packed).await
}

/// An image by reference, pulled where the plan says so.
///
/// # Errors
/// Why it is not there.
pub async fn named_image(
    docker: &Docker,
    network: &NetworkPlan,
    reference: &str,
) -> Result<NodeImage, EngineError> {
    let facts = pull::ensure(docker, reference, &network.images).await?;
    Ok(of_facts(reference.to_owned(), String::new(), facts))
}

/// An image that was packed here.
pub(crate) async fn known_image(
    docker: &Docker,
    reference: String,
    program: String,
) -> Result<NodeImage, EngineError> {
    let facts = docker.image(&reference).await?;
    let facts = facts.ok_or_else(|| EngineError::ImageMissing {
        image: reference.clone(),
    })?;
    Ok(of_facts(reference, program, facts))
}

fn of_facts(reference: String, packed: String, facts: ImageFacts) -> NodeImage {
    let program = if packed.is_empty() {
        let last = facts.entrypoint.last().map(String::as_str);
        let last = last.unwrap_or_default();
        last.rsplit('/').next().unwrap_or_default().to_owned()
    } else {
        packed
    };
    NodeImage {
        digest: digest_of(&reference, &facts.digests, &facts.id),
        reference,
        program,
    }
}
