//! Carries out [`ProcessOp::Replace`] and [`ProcessOp::Restore`].
//!
//! ```text
//!  <name>  stopped            removed
//!  <name>-next  created            renamed to <name>, started
//! ```
//! Invariant: at every moment one of the two exists, so that a replacement that was cut short can be ended by anyone who
//! finds it. The name stays, and with it everything that asks for the container by it.
//!
//! [`ProcessOp::Replace`]: crate::fault::operation::ProcessOp::Replace
//! [`ProcessOp::Restore`]: crate::fault::operation::ProcessOp::Restore

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::Mutex;

use super::Scene;
use crate::{
    engine::{docker::Runs, error::EngineError, labels, pack},
    fault::operation::{Build, Outcome},
    ids::{NodeName, RunId},
    plan::versions,
    probe::events::Operation,
    profile::arguments,
};

/// Nodes take turns: several that leave and enter a network at once make some engines lose count of it.
static TURN: Mutex<()> = Mutex::const_new(());

/// It was asked to stop before; this is for one that was started meanwhile.
const GRACE: Duration = Duration::from_secs(5);

/// What a node ran before it was replaced: what a heal puts back.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Before {
    #[serde(flatten)]
    runs: Runs,
    #[serde(default)]
    version: Option<String>,
}

/// Makes a node's container anew and starts it.
pub(super) async fn replace(
    scene: &Scene,
    node: &NodeName,
    build: &Build,
    options: &BTreeMap<String, String>,
    version: Option<&str>,
) -> Result<Outcome, EngineError> {
    let docker = &scene.docker;
    finish(scene, node).await?;
    let container = scene.container(node);
    let before = docker.runs(&container).await?;
    let facts = docker.inspect(&container).await?;
    let base = match version {
        Some(_) => base(node, &facts.labels)?,
        None => before.clone(),
    };
    let image = match build {
        Build::Same => before.image.clone(),
        Build::Base => base.image.clone(),
        Build::Image(image) => image.clone(),
        Build::Binary(path) => pack::binary_image(docker, path, &[]).await?.reference,
    };
    let runs = Runs {
        image,
        command: arguments::with(&base.command, options),
    };
    let version = version.map(str::to_owned).or_else(|| named(build));
    let note = Before {
        runs: before,
        version: facts.labels.get(labels::VERSION).cloned(),
    };
    let note = serde_json::to_string(&note)
        .map_err(|error| EngineError::inside("a replacement", &error.to_string()))?;
    swap(scene, node, &runs, |labels| {
        // The first of several replacements is what is put back.
        labels.entry(labels::BEFORE.to_owned()).or_insert(note);
        if let Some(version) = version {
            labels.insert(labels::VERSION.to_owned(), version);
        }
    })
    .await
}

/// What the node is as the plan's version `base`.
fn base(node: &NodeName, known: &labels::Labels) -> Result<Runs, EngineError> {
    let note = known.get(labels::BASE);
    let runs = note.and_then(|note| serde_json::from_str(note).ok());
    runs.ok_or_else(|| EngineError::Incomplete {
        subject: node.to_string(),
        what: "what it runs as the plan's own version",
    })
}

/// What reports call a build that is no version of the plan.
fn named(build: &Build) -> Option<String> {
    match build {
        Build::Same | Build::Base => None,
        Build::Image(image) => Some(image.clone()),
        Build::Binary(path) => path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
    }
}

/// Ends a replacement that was cut short, puts the former build back if asked to, and sees to it that the node runs.
pub(super) async fn restore(
    scene: &Scene,
    node: &NodeName,
    back: bool,
) -> Result<Outcome, EngineError> {
    let docker = &scene.docker;
    finish(scene, node).await?;
    let container = scene.container(node);
    let facts = docker.inspect(&container).await?;
    let former = facts.labels.get(labels::BEFORE).filter(|_| back);
    if let Some(former) = former.and_then(|note| serde_json::from_str::<Before>(note).ok()) {
        return swap(scene, node, &former.runs, |labels| {
            labels.remove(labels::BEFORE);
            let version = former.version.as_deref().unwrap_or(versions::BASE);
            labels.insert(labels::VERSION.to_owned(), version.to_owned());
        })
        .await;
    }
    super::process::start(scene, node).await
}

async fn swap(
    scene: &Scene,
    node: &NodeName,
    runs: &Runs,
    change: impl FnOnce(&mut labels::Labels),
) -> Result<Outcome, EngineError> {
    let _turn = TURN.lock().await;
    let docker = &scene.docker;
    let container = scene.container(node);
    let next = next_name(scene.labels.run(), node);
    docker
        .create_like(&container, &next, runs.clone(), change)
        .await?;
    scene.mark(node, Operation::Stop);
    docker.stop(&container, GRACE).await?;
    finish(scene, node).await?;
    let started = super::process::start(scene, node).await?;
    let now = docker.runs(&container).await?;
    Ok(Outcome {
        effective: started.effective && now == *runs,
        proof: format!(
            "{}, {}: {}",
            started.proof,
            now.image,
            now.command.join(" ")
        ),
    })
}

/// Name of the container that is to take a node's place.
fn next_name(run: &RunId, node: &NodeName) -> String {
    labels::node_name(run, node) + labels::NEXT
}

/// The rest of a replacement, if one was begun.
async fn finish(scene: &Scene, node: &NodeName) -> Result<(), EngineError> {
    let next = next_name(scene.labels.run(), node);
    if !scene.docker.container_exists(&next).await? {
        return Ok(());
    }
    let name = scene.container(node);
    scene.mark(node, Operation::Remove);
    scene.docker.remove(&name).await?;
    scene.docker.rename(&next, &name).await
}
