//! Carries out [`ProcessOp::Empty`] and [`ProcessOp::Refill`]: what is on the disk of a node that does not run.
//!
//! [`ProcessOp::Empty`]: crate::fault::operation::ProcessOp::Empty
//! [`ProcessOp::Refill`]: crate::fault::operation::ProcessOp::Refill

use std::{path::Path, time::Duration};

use super::{Scene, inside::on_disk};
use crate::{
    disk::tmpfs::user_ids,
    engine::{
        error::EngineError,
        snapshots::{self, Tree},
    },
    fault::operation::Outcome,
    ids::NodeName,
    plan::DiskKind,
    snapshot::Stored,
};

/// Deadline of filling: a second for each megabyte, and this.
const FILL: Duration = Duration::from_secs(60);

/// Empties a node's disk.
pub(super) async fn empty(scene: &Scene, node: &NodeName) -> Result<Outcome, EngineError> {
    must_be_down(scene, node).await?;
    let removed: u64 = on_disk(scene, node, &["empty", &scene.disk_path]).await?;
    Ok(Outcome {
        // A node that never wrote anything has nothing to lose.
        effective: true,
        proof: format!("{removed} entries of its disk removed"),
    })
}

/// Fills a node's disk from a snapshot.
pub(super) async fn refill(
    scene: &Scene,
    node: &NodeName,
    snapshot: &Path,
) -> Result<Outcome, EngineError> {
    must_be_down(scene, node).await?;
    let unreadable = |error: &dyn std::error::Error| {
        EngineError::inside("reading a snapshot", &error.to_string())
    };
    let stored = Stored::read(snapshot).map_err(|error| unreadable(&error))?;
    // Nobody removes it meanwhile.
    let _held = stored.hold().map_err(|error| unreadable(&error))?;
    let part = stored.manifest.nodes.get(node);
    let part = part.ok_or_else(|| EngineError::Incomplete {
        subject: node.to_string(),
        what: "a disk in the snapshot",
    })?;
    let tree = Tree {
        container: scene.container(node),
        folder: scene.disk_path.clone(),
    };
    let deadline = FILL + Duration::from_secs(part.bytes >> 20);
    let owner = Some(user_ids(&scene.user)?);
    snapshots::fill(&scene.docker, &tree, &stored.path, part, owner, deadline).await?;
    // A FUSE disk takes for synced what somebody has synced there.
    if scene.handle(node)?.disk.kind == DiskKind::Faulty {
        on_disk(scene, node, &["sync-tree", &scene.disk_path]).await?;
    }
    Ok(Outcome {
        effective: true,
        proof: format!(
            "{} entries of snapshot {} put back",
            part.entries, stored.manifest.name
        ),
    })
}

/// Two programs that write to one disk would both lose.
async fn must_be_down(scene: &Scene, node: &NodeName) -> Result<(), EngineError> {
    if scene.docker.inspect(&scene.container(node)).await?.running {
        return Err(EngineError::inside(
            "changing a disk",
            "the node runs again: somebody has started it",
        ));
    }
    Ok(())
}
