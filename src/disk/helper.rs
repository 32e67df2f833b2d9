//! The privileged helper: a one-shot container for one batch of work, with exactly the capabilities that it needs.
//!
//! The operations are a closed set. An order goes in as one argument of JSON, an answer comes out as one line of JSON;
//! the container is gone afterwards, whatever happened.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    abilities, crash_image,
    faults::{self, Cut, freeze, power, renew},
    faulty::mount,
    file_system::FileSystem,
    make,
    throttle::{self, Throttles},
};
use crate::{
    engine::{
        docker::{ContainerSpec, Docker, Mount},
        error::EngineError,
        inside::{ask_and_leave, one_shot},
        labels::{self, Role, RunLabels},
        network_probe,
    },
    exit::Exit,
    fault::operation::{Outcome, disk::Keep},
    ids::NodeName,
    link::{self, LinkOrder},
    time::micros,
};

/// Where the disks volume is in the helper.
pub(super) const DISKS: &str = "/disks";
/// A small tmpfs of the helper: device nodes and mount points are made there.
pub(super) const WORK: &str = "/work";
/// Making sixteen disks takes a second or two; two hundred on a slow disk take minutes.
const DEADLINE: Duration = Duration::from_secs(180);
/// Where the engine machine's cgroup tree is in helpers that write to it.
pub(super) const CGROUPS: &str = "/cgroup";

/// One disk of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRef {
    /// Whose.
    pub node: NodeName,
    /// Mark of the run on its loop devices: nothing is done to a device without it.
    pub mark: String,
}

/// What a helper can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HelperOp {
    /// Makes image files with a file system in the disks volume, attaches loop devices to them, tests their usable bytes
    /// and makes a symlink to each device. Answers [`MadeDisks`].
    MakeDisks {
        /// Names of the disks: node names.
        disks: Vec<NodeName>,
        /// What is made on them.
        file_system: FileSystem,
        /// Their blocks are taken from a backing when they are first written.
        thin: bool,
        /// Bytes that must be usable.
        bytes: u64,
        /// Inodes, or what the file system chooses.
        inodes: Option<u64>,
        /// Owner of the root folder.
        user_id: u32,
        /// Its group.
        group_id: u32,
        /// Mark of the run on its loop devices.
        mark: String,
        /// FUSE disks are to be mounted over them.
        faulty: bool,
    },
    /// Mounts FUSE disks where the engine sees them and hands them to the processes that wait for them. Answers
    /// [`mount::Mounted`].
    MountFaulty {
        /// Where the engine has the disks volume.
        volume: PathBuf,
        /// Names of the disks: node names.
        disks: Vec<NodeName>,
    },
    /// Takes away all mounts of FUSE disks. Answers [`mount::Mounted`].
    UnmountFaulty {
        /// Where the engine has the disks volume.
        volume: PathBuf,
    },
    /// Detaches all loop devices that carry the mark or whose file is in the disks volume. Answers [`Detached`].
    DetachLoops {
        /// Mark of the run.
        mark: String,
    },
    /// Throttles what a container writes to its disk. Answers the [`Throttles`] that the kernel has then.
    Throttle {
        /// The disk.
        disk: DiskRef,
        /// The container's id.
        container: String,
        /// The throttles.
        throttles: Throttles,
    },
    /// Freezes a file system that is in use, and thaws it after some time. Answers [`faults::Frozen`] at once and stays.
    Freeze {
        /// The disk.
        disk: DiskRef,
        /// The time.
        #[serde(with = "micros")]
        thaw_after: Duration,
    },
    /// Freezes it and ends: only ever started by `Freeze`. Answers [`faults::Frozen`].
    FreezeNow {
        /// The disk.
        disk: DiskRef,
    },
    /// Thaws these disks, or all of the run if none is named. Answers [`faults::Thawed`].
    Thaw {
        /// The disks.
        disks: Vec<DiskRef>,
        /// Mark of the run.
        mark: String,
    },
    /// Makes ext4 that is in use give up. Answers its mount options.
    Abort {
        /// The disk.
        disk: DiskRef,
    },
    /// Takes what a thin disk's backing has left. Answers [`faults::Dried`].
    RunDry {
        /// The disk.
        disk: DiskRef,
        /// Bytes that stay.
        leave: u64,
    },
    /// Gives a thin disk's backing its room back; nothing is done to a thick one. Answers nothing.
    Refill {
        /// The disk.
        disk: DiskRef,
    },
    /// Shuts file systems down and kills the processes that use them. Answers a [`faults::CutOff`] for each node.
    CutPower {
        /// The nodes.
        cuts: Vec<Cut>,
        /// What survives of what was not synced.
        keep: Keep,
    },
    /// Checks the disk of a node that does not run and puts it on a fresh loop device. Answers [`faults::Renewed`].
    Renew {
        /// The disk.
        disk: DiskRef,
    },
    /// Copies a disk's image while it is in use. Answers [`crash_image::Copied`].
    CopyImage {
        /// The disk.
        disk: DiskRef,
        /// Name of the copy.
        name: String,
    },
    /// Mounts a copy, opens the store on it if asked, and removes it. Answers [`crash_image::Checked`].
    CheckImage {
        /// Name of the copy.
        name: String,
        /// Mark of the run.
        mark: String,
        /// Whether there is a store of the reference node on it.
        store: bool,
    },
    /// Tries on a disk of its own what the operations above do. Answers [`abilities::DiskAbilities`].
    ProbeDisks {
        /// Mark of the run.
        mark: String,
    },
    /// Tries what faults on the network would use, in a network of the helper's own. Answers
    /// [`crate::engine::network_probe::NetworkAbilities`].
    ProbeNetwork,
    /// Faults on the network of a node, in that network. See [`LinkOrder`] for its answers.
    Link(LinkOrder),
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
            Self::MakeDisks { .. } => "making disks",
            Self::MountFaulty { .. } => "mounting FUSE disks",
            Self::UnmountFaulty { .. } => "unmounting FUSE disks",
            Self::DetachLoops { .. } => "detaching loop devices",
            Self::Throttle { .. } => "throttling a disk",
            Self::Freeze { .. } | Self::FreezeNow { .. } => "freezing a disk",
            Self::Thaw { .. } => "thawing disks",
            Self::Abort { .. } => "making a file system give up",
            Self::RunDry { .. } => "letting a device run dry",
            Self::Refill { .. } => "giving a device its room back",
            Self::CutPower { .. } => "cutting the power",
            Self::Renew { .. } => "renewing a disk",
            Self::CopyImage { .. } => "copying a disk's image",
            Self::CheckImage { .. } => "checking a crash image",
            Self::ProbeDisks { .. } => "probing the kernel's disk faults",
            Self::ProbeNetwork => "probing the kernel's network faults",
            Self::Link(_) => "a fault on the network",
        }
    }

    /// Exactly what the operation needs: loop devices are configured and file systems mounted, frozen and shut down with
    /// `SYS_ADMIN`, device nodes are made with `MKNOD`. In a folder of the node's user lost+found is removed, and a write
    /// tried: `DAC_OVERRIDE`; a node's file is read: `DAC_READ_SEARCH`; its process is killed: `KILL`. The engine's mount
    /// namespace is found through its process (`SYS_PTRACE`) and entered with `SYS_ADMIN` and `SYS_CHROOT`.
    fn capabilities(&self) -> &'static [&'static str] {
        match self {
            Self::MakeDisks { .. } | Self::Renew { .. } => &["SYS_ADMIN", "MKNOD", "DAC_OVERRIDE"],
            Self::DetachLoops { .. }
            | Self::Freeze { .. }
            | Self::FreezeNow { .. }
            | Self::Thaw { .. }
            | Self::Abort { .. }
            | Self::RunDry { .. }
            | Self::Refill { .. }
            | Self::CopyImage { .. }
            | Self::ProbeDisks { .. } => &["SYS_ADMIN", "MKNOD"],
            Self::MountFaulty { .. } => &["SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "MKNOD"],
            Self::UnmountFaulty { .. } => &["SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT"],
            // The cgroup files belong to root, who it is; the device is only asked whose it is.
            Self::Throttle { .. } => &["MKNOD"],
            Self::CutPower { .. } => &["SYS_ADMIN", "MKNOD", "KILL"],
            Self::CheckImage { .. } => &["SYS_ADMIN", "MKNOD", "DAC_READ_SEARCH"],
            Self::ProbeNetwork | Self::Link(_) => &["NET_ADMIN"],
        }
    }

    /// Whether it works on the disks volume, and mounts something.
    fn is_about_disks(&self) -> bool {
        !matches!(self, Self::ProbeNetwork | Self::Link(_))
    }

    /// Whether it writes to the cgroup tree of the engine's machine.
    fn writes_cgroups(&self) -> bool {
        matches!(self, Self::Throttle { .. } | Self::ProbeDisks { .. })
    }

    /// Whether it enters the engine's mount namespace.
    fn enters_engine(&self) -> bool {
        matches!(self, Self::MountFaulty { .. } | Self::UnmountFaulty { .. })
    }

    /// Devices: loop devices (major 7) and their control device, or FUSE.
    fn devices(&self) -> &'static [&'static str] {
        match self {
            Self::MountFaulty { .. } => &["c 10:229 rmw"],
            Self::UnmountFaulty { .. } | Self::ProbeNetwork | Self::Link(_) => &[],
            _ => &["b 7:* rmw", "c 10:237 rmw"],
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
    let spec = helper_spec(image, labels, operation)?;
    answer(operation, &one_shot(docker, spec, DEADLINE).await?)
}

/// Starts an operation that answers and stays, in a container of this name; one that stayed before is removed first.
///
/// # Errors
/// What the engine said; what the operation said. Nothing of it runs then.
pub async fn begin_helper<Answer: serde::de::DeserializeOwned>(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
    operation: &HelperOp,
    name: String,
) -> Result<Answer, EngineError> {
    docker.remove(&name).await?;
    let mut spec = helper_spec(image, labels, operation)?;
    spec.name = name;
    answer(operation, &ask_and_leave(docker, spec, DEADLINE).await?)
}

/// What a helper said.
pub(crate) fn answer<Answer: serde::de::DeserializeOwned>(
    operation: &HelperOp,
    output: &[u8],
) -> Result<Answer, EngineError> {
    serde_json::from_slice(output).map_err(|error| {
        let text = String::from_utf8_lossy(output);
        EngineError::inside(operation.name(), &format!("{error}: {text}"))
    })
}

/// The container of an operation, with a name of its own.
pub(crate) fn helper_spec(
    image: &str,
    labels: &RunLabels,
    operation: &HelperOp,
) -> Result<ContainerSpec, EngineError> {
    let order = serde_json::to_string(operation)
        .map_err(|error| EngineError::inside(operation.name(), &error.to_string()))?;
    let disks = operation.is_about_disks();
    let mut mounts = Vec::new();
    if disks {
        mounts.push(Mount::Volume {
            name: labels::disks_volume(labels.run()),
            target: DISKS.to_owned(),
            read_only: false,
            fill: false,
            options: BTreeMap::new(),
            labels: labels.of(Role::Images),
        });
    }
    if operation.writes_cgroups() {
        mounts.push(Mount::Folder {
            source: "/sys/fs/cgroup".to_owned(),
            target: CGROUPS.to_owned(),
            read_only: false,
        });
    }
    Ok(ContainerSpec {
        name: format!("{}-helper-{}", labels.run(), unique()),
        image: image.to_owned(),
        entrypoint: Some(vec!["/bin/canarynet".to_owned()]),
        command: vec!["helper".to_owned(), order],
        user: "0:0".to_owned(),
        labels: labels.of(Role::Helper),
        mounts,
        scratch: [(WORK.to_owned(), 1 << 20)].into(),
        memory: 256 << 20,
        // A thread for each node whose power is cut, of which there are up to 239.
        pids: 320,
        capabilities: owned(operation.capabilities()),
        device_rules: owned(operation.devices()),
        unconfined: disks,
        host_processes: operation.enters_engine() || matches!(operation, HelperOp::CutPower { .. }),
        read_only_root: true,
        ..ContainerSpec::default()
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
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
    match operation {
        HelperOp::MakeDisks {
            disks,
            file_system,
            thin,
            bytes,
            inodes,
            user_id,
            group_id,
            mark,
            faulty,
        } => line(make::make_disks(&make::Order {
            disks,
            file_system: *file_system,
            thin: *thin,
            bytes: *bytes,
            inodes: *inodes,
            owner: (*user_id, *group_id),
            mark,
            faulty: *faulty,
        })),
        HelperOp::MountFaulty { volume, disks } => line(mount::mount_disks(volume, disks)),
        HelperOp::UnmountFaulty { volume } => line(mount::unmount_disks(volume)),
        HelperOp::DetachLoops { mark } => line(make::detach_loops(mark)),
        HelperOp::Throttle {
            disk,
            container,
            throttles,
        } => line(throttle::throttle(disk, container, *throttles)),
        HelperOp::Freeze { disk, thaw_after } => line(freeze::hold(disk, *thaw_after)),
        HelperOp::FreezeNow { disk } => line(freeze::now(disk)),
        HelperOp::Thaw { disks, mark } => line(freeze::thaw(disks, mark)),
        HelperOp::Abort { disk } => line(faults::abort(disk)),
        HelperOp::RunDry { disk, leave } => line(faults::run_dry(disk, *leave)),
        HelperOp::Refill { disk } => line(faults::refill(disk)),
        HelperOp::CutPower { cuts, keep } => line(power::cut(cuts, *keep)),
        HelperOp::Renew { disk } => line(renew::renew(disk)),
        HelperOp::CopyImage { disk, name } => line(crash_image::take(disk, name)),
        HelperOp::CheckImage { name, mark, store } => {
            line(crash_image::look_at(name, mark, *store))
        }
        HelperOp::ProbeDisks { mark } => line(abilities::probe(mark)),
        HelperOp::ProbeNetwork => line(network_probe::probe()),
        HelperOp::Link(order) => link::perform(order, &say),
    }
}

fn line<Answer: Serialize>(result: Result<Answer, io::Error>) -> Result<String, io::Error> {
    serde_json::to_string(&result?).map_err(io::Error::from)
}

/// What is said before the work is over: a line of its own.
fn say(outcome: &Outcome) {
    if let Ok(line) = serde_json::to_string(outcome) {
        // Nobody listens any more: the work goes on to its end all the same.
        let _ = writeln!(io::stdout(), "{line}");
    }
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
