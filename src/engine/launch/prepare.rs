//! Images of a run: made or found before anything else.

use std::path::Path;

use crate::{
    engine::{
        docker::Docker,
        error::EngineError,
        pack::{self, PackedImage},
    },
    plan::{DiskKind, NetworkPlan, Program},
};

/// The images that a run needs.
#[derive(Debug, Clone)]
pub struct Images {
    /// The nodes' image.
    pub node: String,
    /// The nodes' image by content: the engine's id or the registry's digest.
    pub node_digest: String,
    /// File name of the program that is the image's entry point; empty if it has none.
    pub node_program: String,
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
    let (node, node_program) = match &network.program {
        Program::Itself => (program.reference.clone(), program.program.clone()),
        Program::Binary(path) => {
            let image = pack::binary_image(docker, path, &network.foreign.programs).await?;
            (image.reference, image.program)
        }
        Program::Image(reference) => (reference.clone(), String::new()),
    };
    let facts = docker
        .image(&node)
        .await?
        .ok_or_else(|| EngineError::ImageMissing {
            image: node.clone(),
        })?;
    let node_program = if node_program.is_empty() {
        let last = facts
            .entrypoint
            .last()
            .map(String::as_str)
            .unwrap_or_default();
        last.rsplit('/').next().unwrap_or_default().to_owned()
    } else {
        node_program
    };
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
        node_digest: facts.digests.into_iter().next().unwrap_or(facts.id),
        node_program,
        program,
        helper,
        helper_missing,
    })
}
