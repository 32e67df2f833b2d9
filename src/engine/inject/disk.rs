//! Carries out [`DiskOp`]: the helper does it to the node's file system, the toolbox looks at it from inside the node.
//!
//! The helper's image is found by the label of the disks volume, so that all of it works from labels alone. What heals
//! succeeds where there is no block device: nothing was broken there.

mod cut;

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Scene;
use crate::{
    disk::{
        ext4::{self, disk_ref},
        faults::{Dried, Frozen, Renewed, Thawed},
        helper::{HelperOp, begin_helper, run_helper},
        mounted::is_dead,
        throttle::Throttles,
    },
    engine::{
        disk_probe::DiskProbe, docker::ContainerFacts, error::EngineError, inside::ask_toolbox,
        labels,
    },
    fault::operation::{DiskOp, Outcome},
    ids::NodeName,
    probe::events::Operation,
};

/// Numbers of errors, the same on all of Linux.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
/// A probe comes back within this from a disk that is only slow; what does not hangs.
const PROBE: Duration = Duration::from_secs(40);
/// A probe of a frozen disk is waited for this long: an exec on a busy machine takes a second.
const HANGS: Duration = Duration::from_millis(1_500);
/// The process that thaws whatever happens does so this long after the fault should have been healed: probing it takes
/// time, and who healed it in time should find it as it was.
const THAW_MARGIN: Duration = Duration::from_secs(10);
/// Sizes of the writes that look for a block that the device has not: more than a file system frees while it works.
const DRY: [u64; 4] = [1 << 20, 4 << 20, 8 << 20, 16 << 20];
/// A node that was stopped for its disk gets this long to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    scene: &Scene,
    node: &NodeName,
    what: &DiskOp,
) -> Result<Outcome, EngineError> {
    let site = Site { scene, node };
    let block = scene.handle(node)?.disk.kind.is_block();
    match what {
        DiskOp::Unslow | DiskOp::Thaw | DiskOp::Renew if !block => {
            Ok(told(true, "there is no block device: nothing was broken"))
        }
        _ if !block => Err(EngineError::NoBlockDisk { node: node.clone() }),
        DiskOp::Slow {
            write_iops,
            write_bytes_per_second,
        } => {
            let wanted = Throttles {
                write_iops: *write_iops,
                write_bytes_per_second: *write_bytes_per_second,
            };
            slow(&site, wanted).await
        }
        DiskOp::Unslow => unslow(&site).await,
        DiskOp::Freeze { lasts } => freeze(&site, *lasts).await,
        DiskOp::Thaw => thaw(&site).await,
        DiskOp::ReadOnly => read_only(&site).await,
        DiskOp::RunDry { leave } => run_dry(&site, *leave).await,
        DiskOp::CutPower {
            fault,
            together,
            keep,
        } => cut::cut(&site, fault, together, *keep).await,
        DiskOp::Renew => renew(&site).await,
    }
}

fn told(effective: bool, proof: impl Into<String>) -> Outcome {
    Outcome {
        effective,
        proof: proof.into(),
    }
}

/// A node and how its disk is reached.
struct Site<'a> {
    scene: &'a Scene,
    node: &'a NodeName,
}

impl Site<'_> {
    async fn container(&self) -> Result<String, EngineError> {
        self.scene.container_id(self.node).await
    }

    async fn facts(&self) -> Result<ContainerFacts, EngineError> {
        let container = self.scene.container(self.node);
        self.scene.docker.inspect(&container).await
    }

    fn mark(&self, node: &NodeName, operation: Operation) {
        if let Some(requested) = &self.scene.requested {
            requested.mark(node, operation);
        }
    }

    /// The helper's image.
    async fn image(&self) -> Result<String, EngineError> {
        let run = self.scene.labels.run();
        let volume = ext4::disks_volume(&self.scene.docker, run).await?;
        volume
            .map(|volume| volume.helper)
            .ok_or(EngineError::Incomplete {
                subject: format!("run {run}"),
                what: "its disks volume",
            })
    }

    async fn help<Answer: DeserializeOwned>(
        &self,
        operation: &HelperOp,
    ) -> Result<Answer, EngineError> {
        let image = self.image().await?;
        run_helper(&self.scene.docker, &image, &self.scene.labels, operation).await
    }

    /// Writes and syncs from inside the node.
    async fn probe(
        &self,
        count: u64,
        bytes: u64,
        deadline: Duration,
    ) -> Result<DiskProbe, EngineError> {
        let (count, bytes) = (count.to_string(), bytes.to_string());
        ask_toolbox(
            &self.scene.docker,
            &self.scene.container(self.node),
            &self.scene.launched.toolbox,
            &["probe-disk", &self.scene.disk_path, &count, &bytes],
            deadline,
        )
        .await
    }

    /// Name of the container that thaws when the time is over.
    fn thawer(&self) -> String {
        format!(
            "{}-thaw",
            labels::node_name(self.scene.labels.run(), self.node)
        )
    }
}

/// What a probe of a throttled disk writes, and the microseconds that it takes at least.
fn probe_for(wanted: Throttles) -> (u64, u64, u64) {
    // About a third of a second's worth of syncs, and half a second's of bytes, so that a burst does not hide it.
    let count = wanted.write_iops.map_or(1, |iops| (iops / 3).clamp(3, 60));
    let bytes = wanted
        .write_bytes_per_second
        .map_or(4096, |rate| (rate / 2 / count).clamp(4096, 4 << 20));
    let by_count = wanted
        .write_iops
        .map_or(0, |iops| (count - 1) * 1_000_000 / iops);
    let by_bytes = wanted
        .write_bytes_per_second
        .map_or(0, |rate| bytes * count * 1_000_000 / rate);
    (count, bytes, by_count.max(by_bytes))
}

async fn slow(site: &Site<'_>, wanted: Throttles) -> Result<Outcome, EngineError> {
    let (count, bytes, least) = probe_for(wanted);
    let before = site.probe(count, bytes, PROBE).await?;
    if let Some(errno) = before.error {
        return Ok(told(
            false,
            format!("the disk could not be written to before: error {errno}"),
        ));
    }
    let set = throttle(site, wanted).await?;
    let after = match site.probe(count, bytes, PROBE).await {
        Ok(after) => after.micros,
        // Slower than anything that was waited for.
        Err(EngineError::Deadline { deadline, .. }) => {
            u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX)
        }
        Err(error) => return Err(error),
    };
    let slower = after >= least / 2 && after > before.micros + before.micros / 4;
    Ok(told(
        set == wanted && slower,
        format!(
            "the kernel's file says {}; {count} fsyncs of {bytes} bytes took {} ms before and {} ms now",
            rates(set),
            before.micros / 1_000,
            after / 1_000
        ),
    ))
}

fn rates(throttles: Throttles) -> String {
    let mut words = Vec::new();
    if let Some(iops) = throttles.write_iops {
        words.push(format!("{iops} writes a second"));
    }
    if let Some(bytes) = throttles.write_bytes_per_second {
        words.push(format!("{bytes} bytes a second"));
    }
    if words.is_empty() {
        "no throttle".to_owned()
    } else {
        words.join(", ")
    }
}

async fn throttle(site: &Site<'_>, throttles: Throttles) -> Result<Throttles, EngineError> {
    site.help(&HelperOp::Throttle {
        disk: disk_ref(site.scene.labels.run(), site.node),
        container: site.container().await?,
        throttles,
    })
    .await
}

/// The throttles that the container was created with are in force again.
async fn unslow(site: &Site<'_>) -> Result<Outcome, EngineError> {
    let facts = site.facts().await?;
    if !facts.running {
        return Ok(told(
            true,
            "the node does not run: its throttle went with it",
        ));
    }
    let rate = |rates: &std::collections::BTreeMap<String, i64>| {
        let rate = rates.values().next().copied()?;
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    };
    let wanted = Throttles {
        write_iops: rate(&facts.limits.write_iops),
        write_bytes_per_second: rate(&facts.limits.write_bytes),
    };
    let set = throttle(site, wanted).await;
    let set = match set {
        // It ended meanwhile, and its throttle with it.
        Err(_) if !site.facts().await?.running => wanted,
        set => set?,
    };
    let proof = format!("the kernel's file says {}", rates(set));
    if set == wanted {
        Ok(told(true, proof))
    } else {
        Err(EngineError::inside("taking the throttle away", &proof))
    }
}

async fn freeze(site: &Site<'_>, lasts: Duration) -> Result<Outcome, EngineError> {
    let operation = HelperOp::Freeze {
        disk: disk_ref(site.scene.labels.run(), site.node),
        thaw_after: lasts + THAW_MARGIN,
    };
    let frozen: Frozen = begin_helper(
        &site.scene.docker,
        &site.image().await?,
        &site.scene.labels,
        &operation,
        site.thawer(),
    )
    .await?;
    let probed = site.probe(1, 4096, HANGS).await;
    let hangs = matches!(probed, Err(EngineError::Deadline { .. }));
    let inside = match probed {
        Ok(probe) => format!("took {} ms", probe.micros / 1_000),
        Err(EngineError::Deadline { deadline, .. }) => {
            format!("did not come back within {} ms", deadline.as_millis())
        }
        Err(error) => format!("could not be tried: {error}"),
    };
    Ok(told(
        frozen.by_us && frozen.frozen && hangs,
        format!(
            "frozen in {} ms; a write inside {inside}",
            frozen.micros / 1_000
        ),
    ))
}

async fn thaw(site: &Site<'_>) -> Result<Outcome, EngineError> {
    let run = site.scene.labels.run();
    let disk = disk_ref(run, site.node);
    let operation = HelperOp::Thaw {
        mark: disk.mark.clone(),
        disks: vec![disk],
    };
    let thawed: Thawed = site.help(&operation).await?;
    if let Some(why) = thawed.failures.first() {
        return Err(EngineError::inside("thawing a disk", why));
    }
    // Its time is over, and what it holds of the file system must be gone before the node's disk can be renewed.
    site.scene.docker.remove(&site.thawer()).await?;
    let facts = site.facts().await?;
    if !facts.running || facts.paused {
        return Ok(told(true, "thawed; the node does not run"));
    }
    let probe = site.probe(1, 4096, PROBE).await?;
    Ok(told(
        true,
        format!("thawed; a write inside took {} ms", probe.micros / 1_000),
    ))
}

async fn read_only(site: &Site<'_>) -> Result<Outcome, EngineError> {
    let operation = HelperOp::Abort {
        disk: disk_ref(site.scene.labels.run(), site.node),
    };
    let _: String = site.help(&operation).await?;
    let probe = site.probe(1, 4096, PROBE).await?;
    Ok(told(
        probe.error == Some(EROFS),
        format!(
            "a write inside: {}; mounted with {}",
            errno(probe.error),
            probe.options
        ),
    ))
}

fn errno(error: Option<i32>) -> String {
    match error {
        None => "succeeded".to_owned(),
        Some(EIO) => "input/output error".to_owned(),
        Some(ENOSPC) => "no space left on device".to_owned(),
        Some(EROFS) => "read-only file system".to_owned(),
        Some(other) => format!("error {other}"),
    }
}

async fn run_dry(site: &Site<'_>, leave: u64) -> Result<Outcome, EngineError> {
    let operation = HelperOp::RunDry {
        disk: disk_ref(site.scene.labels.run(), site.node),
        leave,
    };
    let dried: Dried = site.help(&operation).await?;
    let mut said = "was not tried".to_owned();
    // Blocks that were written before are there still: larger and larger writes, until one wants a new one.
    for bytes in DRY {
        let bytes = bytes.saturating_add(leave);
        let probe = site.probe(1, bytes, PROBE).await?;
        said = format!(
            "of {} KiB: {}, with {} KiB counted free",
            bytes >> 10,
            errno(probe.error),
            probe.free >> 10
        );
        // The kernel hands the device's "no space" through; a file system that is full itself proves nothing.
        let dry = match probe.error {
            Some(EIO | EROFS) => true,
            Some(ENOSPC) => probe.free > bytes,
            _ => false,
        };
        if dry {
            return Ok(told(
                true,
                format!("{} bytes left below; a write inside {said}", dried.left),
            ));
        }
        if probe.error.is_some() {
            break;
        }
    }
    Ok(told(
        false,
        format!("{} bytes left below; a write inside {said}", dried.left),
    ))
}

/// The node runs on a disk that takes writes. Whatever else may be the case before.
async fn renew(site: &Site<'_>) -> Result<Outcome, EngineError> {
    let docker = &site.scene.docker;
    let container = site.container().await?;
    let facts = site.facts().await?;
    if facts.running && !facts.paused {
        // A thin disk may be dry and the node not have noticed yet: it gets its room back in any case.
        if let Ok(probe) = site.probe(1, 4096, PROBE).await
            && probe.error.is_none()
            && !is_dead(&probe.options)
        {
            refill(site).await?;
            return Ok(told(true, "the disk is well"));
        }
    }
    if facts.running {
        site.mark(site.node, Operation::Stop);
        docker.stop(&container, GRACE).await?;
    }
    let operation = HelperOp::Renew {
        disk: disk_ref(site.scene.labels.run(), site.node),
    };
    let renewed: Renewed = site.help(&operation).await?;
    site.mark(site.node, Operation::Start);
    docker.start(&container).await?;
    let proof = format!("{}; {}", renewed.device, renewed.checked);
    match site.probe(1, 4096, PROBE).await {
        Ok(probe) if probe.error.is_none() && !is_dead(&probe.options) => Ok(told(
            true,
            format!(
                "{proof}; a write inside took {} ms; mounted with {}",
                probe.micros / 1_000,
                probe.options
            ),
        )),
        Ok(probe) => {
            let inside = errno(probe.error);
            let proof = format!(
                "{proof}; a write inside: {inside}; mounted with {}",
                probe.options
            );
            Err(EngineError::inside("renewing a disk", &proof))
        }
        Err(error) => {
            let facts = site.facts().await?;
            if facts.running || is_dead(&renewed.options) {
                return Err(error);
            }
            // The disk took a write before; that the node does not stay up on it is the node's own affair.
            let ended = format!(
                "{proof}; the node ended by itself, exit {}",
                facts.exit_code
            );
            Ok(told(true, ended))
        }
    }
}

async fn refill(site: &Site<'_>) -> Result<(), EngineError> {
    site.help(&HelperOp::Refill {
        disk: disk_ref(site.scene.labels.run(), site.node),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_long_enough_to_show_a_throttle_and_short_enough_to_wait_for() {
        for (iops, bytes) in [
            (Some(1), None),
            (Some(10), None),
            (Some(1_000), None),
            (None, Some(100 << 10)),
            (None, Some(100 << 20)),
            (Some(50), Some(1 << 20)),
        ] {
            let wanted = Throttles {
                write_iops: iops,
                write_bytes_per_second: bytes,
            };
            let (count, size, least) = probe_for(wanted);
            assert!(count >= 1 && size >= 4096);
            assert!((10_000..=3_000_000).contains(&least), "{wanted:?}: {least}");
        }
    }
}
