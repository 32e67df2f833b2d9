//! The privileged helper: a one-shot container for one batch of work, with exactly the capabilities that it needs.
//!
//! The operations are a closed set. An order goes in as one argument of JSON, an answer comes out as one line of JSON;
//! the container is gone afterwards, whatever happened.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::make;
use crate::{
    engine::{
        docker::{ContainerSpec, Docker, Mount},
        error::EngineError,
        inside::one_shot,
        labels::{self, Role, RunLabels},
        network_probe,
    },
    exit::Exit,
    ids::NodeName,
};

/// Where the disks volume is in the helper.
pub(super) const DISKS: &str = "/disks";
/// A small tmpfs of the helper: device nodes and mount points are made there.
pub(super) const WORK: &str = "/work";
/// Making sixteen disks takes a second or two; two hundred on a slow disk take minutes.
const DEADLINE: Duration = Duration::from_secs(180);

/// What a helper can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HelperOp {
    /// Makes image files with ext4 in the disks volume, attaches loop devices to them, tests their usable bytes and
    /// makes a symlink to each device. Answers [`MadeDisks`].
    MakeDisks {
        /// Names of the disks: node names.
        disks: Vec<NodeName>,
        /// Bytes that must be usable.
        bytes: u64,
        /// Inodes, or what mke2fs chooses.
        inodes: Option<u64>,
        /// Owner of the root folder.
        user_id: u32,
        /// Its group.
        group_id: u32,
        /// Mark of the run on its loop devices.
        mark: String,
    },
    /// Detaches all loop devices that carry the mark or whose file is in the disks volume. Answers [`Detached`].
    DetachLoops {
        /// Mark of the run.
        mark: String,
    },
    /// Tries what faults on the network would use, in a network of the helper's own. Answers
    /// [`crate::engine::network_probe::NetworkAbilities`].
    ProbeNetwork,
}

/// Disks that were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeDisks {
    /// Devices and usable bytes by name.
    pub disks: BTreeMap<NodeName, super::ext4::MadeDisk>,
}

/// Loop devices that were detached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// How many.
    pub count: usize,
}

impl HelperOp {
    /// For messages.
    fn name(&self) -> &'static str {
        match self {
            Self::MakeDisks { .. } => "making ext4 disks",
            Self::DetachLoops { .. } => "detaching loop devices",
            Self::ProbeNetwork => "probing the kernel's network faults",
        }
    }

    /// Exactly what the operation needs: loop devices are configured and file systems mounted with `SYS_ADMIN`,
    /// device nodes are made with `MKNOD`. A lost+found folder of root is removed from a folder of the node's user:
    /// `DAC_OVERRIDE`.
    fn capabilities(&self) -> &'static [&'static str] {
        match self {
            Self::MakeDisks { .. } => &["SYS_ADMIN", "MKNOD", "DAC_OVERRIDE"],
            Self::DetachLoops { .. } => &["SYS_ADMIN", "MKNOD"],
            Self::ProbeNetwork => &["NET_ADMIN"],
        }
    }

    /// Whether it works on the disks volume and on loop devices.
    fn is_about_disks(&self) -> bool {
        match self {
            Self::MakeDisks { .. } | Self::DetachLoops { .. } => true,
            Self::ProbeNetwork => false,
        }
    }
}

/// Runs one operation in a container of its own and reads its answer.
///
/// # Errors
/// What the engine said; what the operation said.
pub async fn run_helper<Answer: serde::de::DeserializeOwned>(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
    operation: &HelperOp,
) -> Result<Answer, EngineError> {
    let broken =
        |error: serde_json::Error| EngineError::inside(operation.name(), &error.to_string());
    let order = serde_json::to_string(operation).map_err(broken)?;
    let unique = unique();
    let disks = operation.is_about_disks();
    let volume = Mount::Volume {
        name: labels::disks_volume(labels.run()),
        target: DISKS.to_owned(),
        read_only: false,
        fill: false,
        options: BTreeMap::new(),
        labels: labels.of(Role::Images),
    };
    // Loop devices (major 7) and their control device.
    let loop_rules = vec!["b 7:* rmw".to_owned(), "c 10:237 rmw".to_owned()];
    let spec = ContainerSpec {
        name: format!("{}-helper-{unique}", labels.run()),
        image: image.to_owned(),
        entrypoint: Some(vec!["/bin/canarynet".to_owned()]),
        command: vec!["helper".to_owned(), order],
        user: "0:0".to_owned(),
        labels: labels.of(Role::Helper),
        mounts: if disks { vec![volume] } else { Vec::new() },
        scratch: [(WORK.to_owned(), 1 << 20)].into(),
        memory: 256 << 20,
        pids: 64,
        capabilities: operation
            .capabilities()
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        device_rules: if disks { loop_rules } else { Vec::new() },
        unconfined: disks,
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let output = one_shot(docker, spec, DEADLINE).await?;
    serde_json::from_slice(&output).map_err(broken)
}

/// Parallel helpers of one run need different names, also those of another process that cleans the same run.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

/// The helper inside its container: `canarynet helper ORDER`, hidden from people.
#[must_use]
pub fn helper_main(arguments: &[String]) -> ExitCode {
    let answer = match arguments {
        [order] => serde_json::from_str::<HelperOp>(order)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
            .and_then(|operation| perform(&operation)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "exactly one argument, the order, is needed",
        )),
    };
    let (line, exit) = match answer {
        Ok(line) => (line, Exit::Pass),
        Err(error) => (error.to_string(), Exit::Infra),
    };
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => exit.into(),
        Err(_) => Exit::Infra.into(),
    }
}

fn perform(operation: &HelperOp) -> Result<String, io::Error> {
    let line = match operation {
        HelperOp::MakeDisks {
            disks,
            bytes,
            inodes,
            user_id,
            group_id,
            mark,
        } => serde_json::to_string(&make::make_disks(&make::Order {
            disks,
            bytes: *bytes,
            inodes: *inodes,
            user_id: *user_id,
            group_id: *group_id,
            mark,
        })?),
        HelperOp::DetachLoops { mark } => serde_json::to_string(&make::detach_loops(mark)?),
        HelperOp::ProbeNetwork => serde_json::to_string(&network_probe::probe()?),
    };
    line.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_trip_and_unknown_ones_are_refused() {
        let order = HelperOp::DetachLoops {
            mark: "canarynet:0".to_owned(),
        };
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<HelperOp>(&text).unwrap(), order);
        assert!(serde_json::from_str::<HelperOp>(r#"{"run":{"command":"sh"}}"#).is_err());
        assert_eq!(helper_main(&["{".to_owned()]), Exit::Infra.into());
    }
}
