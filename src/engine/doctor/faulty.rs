//! Whether FUSE disks can be had: by launching two nodes on them and filling one.

use super::{
    Capability, DiskKind, Docker, Path, RunId, answer, chain, clean, fill, launch, launch_idle,
    network,
};

/// Examines it. Leaves nothing behind but packed images.
pub(super) async fn faulty(
    docker: &Docker,
    run: &RunId,
    linux_binary: Option<&Path>,
) -> Vec<Capability> {
    const REMEDY: &str = "the kernel needs FUSE, the engine must grant SYS_ADMIN, SYS_PTRACE and the machine's process namespace to a container; use another disk.kind otherwise";
    let network = network(DiskKind::Faulty);
    let launched = match launch::prepare(docker, &network, true, linux_binary).await {
        Ok(images) => launch_idle(docker, run, &network, true, &images).await,
        Err(error) => Err(error),
    };
    let mut found = vec![match launched {
        Ok(launched) => answer("faulty-disk", fill(docker, &launched).await, REMEDY),
        Err(error) => Capability::unable("faulty-disk", chain(&error), REMEDY),
    }];
    found.extend(clean(docker, run).await);
    found
}
