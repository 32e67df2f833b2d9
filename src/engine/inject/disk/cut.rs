//! A power cut that several nodes share: one helper does it to all of them at one moment.
//!
//! Operations are carried out for each node by itself, side by side. The first of a fault starts the helper for all of
//! its nodes, the others wait for what it comes to: containers of their own would start tenths of a second apart.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OnceCell;

use super::{Site, told};
use crate::{
    disk::{
        ext4::disk_ref,
        faults::{Cut, CutOff},
        helper::HelperOp,
    },
    engine::error::EngineError,
    fault::operation::{Outcome, disk::Keep},
    ids::NodeName,
    probe::events::Operation,
};

type Shared = OnceCell<Result<BTreeMap<NodeName, CutOff>, String>>;

/// Cuts that somebody waits for, by run and fault. An entry lives as long as one of its operations.
static CUTS: Mutex<BTreeMap<String, Weak<Shared>>> = Mutex::new(BTreeMap::new());

fn shared(key: String) -> Arc<Shared> {
    let mut cuts = CUTS.lock().unwrap_or_else(PoisonError::into_inner);
    cuts.retain(|_, cut| cut.strong_count() > 0);
    if let Some(cut) = cuts.get(&key).and_then(Weak::upgrade) {
        return cut;
    }
    let cut = Arc::new(Shared::new());
    cuts.insert(key, Arc::downgrade(&cut));
    cut
}

/// Cuts the power of all nodes of a fault, and tells what became of this one.
pub(super) async fn cut(
    site: &Site<'_>,
    fault: &str,
    together: &[NodeName],
    keep: Keep,
) -> Result<Outcome, EngineError> {
    let shared = shared(format!("{} {fault}", site.scene.labels.run()));
    let all = shared
        .get_or_init(|| async {
            cut_all(site, together, keep)
                .await
                .map_err(|error| error.to_string())
        })
        .await;
    let failed = |why: &str| EngineError::inside("cutting the power", why);
    let all = all.as_ref().map_err(|why| failed(why))?;
    let off = all
        .get(site.node)
        .ok_or_else(|| failed("the helper says nothing of this node"))?;
    if let Some(why) = &off.error {
        return Err(failed(why));
    }
    let container = site.scene.container(site.node);
    site.scene.docker.wait(&container, super::PROBE).await?;
    let running = site.facts().await?.running;
    Ok(told(
        !running,
        format!(
            "file system shut down at {}, process killed at {} after the first of {}{}",
            millis(off.disk_after_micros),
            millis(off.process_after_micros),
            all.len(),
            if running { ", and the node runs" } else { "" }
        ),
    ))
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}

async fn cut_all(
    site: &Site<'_>,
    together: &[NodeName],
    keep: Keep,
) -> Result<BTreeMap<NodeName, CutOff>, EngineError> {
    let mut cuts = Vec::new();
    for node in together {
        let facts = site
            .scene
            .docker
            .inspect(&site.scene.container(node))
            .await?;
        site.mark(node, Operation::Stop);
        cuts.push(Cut {
            disk: disk_ref(site.scene.labels.run(), node),
            container: facts.id,
            pid: facts.pid,
        });
    }
    site.help(&HelperOp::CutPower { cuts, keep }).await
}
