//! Fault kinds, one a file and one line in [`KINDS`].

pub mod bandwidth;
pub mod clock_skew;
pub mod corrupt;
pub mod cpu_hog;
pub mod delay;
pub mod device_dry;
pub mod disk_error;
pub mod disk_fill;
pub mod disk_hang;
pub mod disk_read_only;
pub mod disk_slow;
pub mod fd_exhaustion;
pub mod freeze_main;
pub mod inode_exhaustion;
pub mod isolate;
pub mod kill;
pub mod log_scraper;
pub mod memory_hog;
pub mod packet_loss;
pub mod partition;
pub mod pause;
pub mod pid_exhaustion;
pub mod power_cut;
pub mod reject;
pub mod restart;
pub mod stop;
pub mod torn_write;
pub mod upgrade;

use std::{fmt, path::Path, time::Duration};

use serde_json::Value;

use super::{effect::Effect, operation::Operation};
use crate::{
    ids::{NodeName, ShardId},
    plan::{NodePlan, foreign::Quorum},
};

/// What a kind may know when its operations are made: all of it is decided when the fault fires, and journalled.
#[derive(Debug)]
pub struct Cast<'a> {
    /// The fault's id, unique in its run: marks what must be found again to be healed.
    pub fault: &'a str,
    /// The targets as resolved.
    pub targets: &'a [NodeName],
    /// All nodes of the network.
    pub nodes: &'a [NodePlan],
    /// How many of a shard must agree.
    pub quorum: Quorum,
    /// How long it lasts at most: whatever can end itself after this time, does.
    pub duration: Duration,
    /// A number of its own, drawn from the seed of the plan.
    pub seed: u64,
}

impl Cast<'_> {
    /// One operation on each target.
    pub fn on_each(&self, operation: impl Fn(NodeName) -> Operation) -> Vec<Operation> {
        self.targets.iter().cloned().map(operation).collect()
    }
}

/// One fault with its parameters.
pub trait Fault: fmt::Debug + Send + Sync {
    /// What breaks, in order.
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation>;

    /// What heals, in order; each is done even if one before it failed.
    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation>;

    /// Nodes that cannot be counted on while it is in force. Default: all targets.
    fn takes(&self, cast: &Cast<'_>) -> Vec<NodeName> {
        cast.targets.to_vec()
    }

    /// What it does to those nodes.
    fn effects(&self) -> &'static [Effect];

    /// A local executable that must be packed for it: better found missing before the start than in the soak.
    fn binary(&self) -> Option<&Path> {
        None
    }

    /// An image that the engine must have for it.
    fn image(&self) -> Option<&str> {
        None
    }

    /// Whether a node that starts again while it is in force must be broken again (rules in its network namespace and
    /// processes inside it are gone with it). Default: no.
    fn breaks_again(&self) -> bool {
        false
    }
}

/// What a fault needs from the machine; probed before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// The privileged helper (`--allow-helper`).
    Helper,
    /// A disk on a block device.
    BlockDisk,
    /// A file system that can give up while it is mounted: ext4's, not that of xfs.
    Ext4,
    /// The FUSE disk.
    FaultyDisk,
    /// Packet filters in a node's network.
    PacketFilter,
    /// Rate limits in a node's network.
    Queues,
    /// Packets held back in a node's network: by the kernel, else through a program.
    Tunnel,
    /// A profile that says how a node's clock is set wrong.
    ClockLever,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct KindInfo {
    /// Stable id.
    pub kind: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Whether it or its heal decides if a node's process runs: two such faults on one node would undo each other.
    pub decides_running: bool,
    /// What it needs of the machine.
    pub needs: &'static [Need],
    /// Reads the parameters, with their defaults; an unknown one is an error.
    pub parse: fn(&Value) -> Result<Box<dyn Fault>, serde_json::Error>,
    /// Names of its parameters.
    pub parameters: fn() -> Vec<String>,
}

impl KindInfo {
    /// The first parameter that this kind does not have.
    #[must_use]
    pub fn unknown<'a>(&self, parameters: &'a Value) -> Option<&'a str> {
        let known = (self.parameters)();
        let mut names = parameters.as_object().into_iter().flatten();
        names
            .find(|(name, _)| !known.contains(name))
            .map(|(name, _)| name.as_str())
    }
}

impl fmt::Debug for KindInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind)
    }
}

/// A fault of these parameters, whatever they are.
pub(super) fn parse<Parameters: Fault + serde::de::DeserializeOwned + 'static>(
    parameters: &Value,
) -> Result<Box<dyn Fault>, serde_json::Error> {
    Parameters::deserialize(parameters).map(|fault| Box::new(fault) as Box<dyn Fault>)
}

/// Names of these parameters, from their schema.
pub(super) fn parameters<Parameters: schemars::JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(Parameters);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

/// What decides whether two faults can be in force on one node at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    kind: &'static str,
    decides_running: bool,
    acts_inside: bool,
}

impl Claim {
    /// What a fault lays claim to.
    #[must_use]
    pub fn of(info: &KindInfo, fault: &dyn Fault) -> Self {
        let any = [NodeName::of(ShardId(0), 0)];
        let cast = Cast {
            fault: "any",
            targets: &any,
            nodes: &[],
            quorum: Quorum::default(),
            duration: Duration::ZERO,
            seed: 0,
        };
        // No program can be started in a node that is down, and no helper join its network.
        let acts_inside = |operation: &Operation| {
            matches!(operation, Operation::Inside { .. } | Operation::Link { .. })
        };
        Self {
            kind: info.kind,
            decides_running: info.decides_running,
            acts_inside: fault.breaks(&cast).iter().any(acts_inside),
        }
    }

    /// Whether the fault or its heal decides if a node's process runs.
    #[must_use]
    pub fn decides_running(self) -> bool {
        self.decides_running
    }

    /// Whether `later` cannot begin while this one is in force on the same node: the heal of the one would heal the
    /// other, or nothing can be started in a node that does not run.
    #[must_use]
    pub fn forbids(self, later: Self) -> bool {
        self.kind == later.kind
            || share_queue(self.kind, later.kind)
            || (self.decides_running && (later.decides_running || later.acts_inside))
    }
}

macro_rules! kinds {
    ($($kind:literal, $module:ident, $decides_running:literal, [$($need:ident),*], $summary:literal;)*) => {
        /// All kinds, in the order of the documentation.
        pub const KINDS: &[KindInfo] = &[
            $(KindInfo {
                kind: $kind,
                summary: $summary,
                decides_running: $decides_running,
                needs: &[$(Need::$need),*],
                parse: parse::<$module::Parameters>,
                parameters: parameters::<$module::Parameters>,
            },)*
        ];
    };
}

kinds! {
    "kill", kill, true, [], "killed, started again by the heal";
    "stop", stop, true, [], "stopped in order, started again by the heal";
    "restart", restart, true, [], "stopped and started at once";
    "upgrade", upgrade, true, [], "goes on as another build or with other options, on the same data";
    "pause", pause, true, [], "all processes stand still";
    "freeze-main", freeze_main, false, [], "the main process stands still";
    "fd-exhaustion", fd_exhaustion, false, [], "no more files can be opened";
    "pid-exhaustion", pid_exhaustion, false, [], "no more processes or threads can be started";
    "cpu-hog", cpu_hog, false, [], "processor time is taken within the node's limit";
    "memory-hog", memory_hog, false, [], "memory is taken within the node's limit";
    "log-scraper", log_scraper, false, [], "the incident's antagonist: unpacks the log history into an unlinked file";
    "disk-fill", disk_fill, false, [], "a ballast file takes the free space of the data disk";
    "inode-exhaustion", inode_exhaustion, false, [], "empty files take the inodes of the data disk";
    "disk-slow", disk_slow, false, [Helper, BlockDisk], "the data disk takes few writes a second: slow fsync";
    "disk-hang", disk_hang, false, [Helper, BlockDisk], "who writes to the data disk waits, without an error";
    "disk-read-only", disk_read_only, true, [Helper, BlockDisk, Ext4], "the file system of the data disk gives up: no more writes";
    "device-dry", device_dry, true, [Helper, BlockDisk], "the block device runs out of blocks under its file system";
    "power-cut", power_cut, true, [Helper, BlockDisk], "what was not synced is gone, the process too";
    "partition", partition, false, [Helper, PacketFilter], "nodes on two sides, or in a ring, do not reach each other";
    "isolate", isolate, false, [Helper, PacketFilter], "a node reaches no other, and no other reaches it";
    "reject", reject, false, [Helper, PacketFilter], "connections with a node's peers are reset and refused";
    "packet-loss", packet_loss, false, [Helper, PacketFilter], "packets of a node are lost by chance";
    "corrupt", corrupt, false, [Helper, PacketFilter], "packets of a node are damaged by chance";
    "bandwidth", bandwidth, false, [Helper, Queues], "packets of a node pass at a limited rate";
    "delay", delay, false, [Helper, Tunnel], "packets of a node come later";
    "disk-error", disk_error, false, [Helper, FaultyDisk], "operations on the FUSE disk fail";
    "torn-write", torn_write, true, [Helper, FaultyDisk], "the power fails in the middle of a write to the FUSE disk";
    "clock-skew", clock_skew, false, [ClockLever], "a node's clock is wrong, where the profile says how";
}

/// Kinds that share what a network interface has but one of: its queue, and the place where damaged packets are made,
/// which packets on their way into a queue pass by.
const ONE_QUEUE: &[&str] = &["bandwidth", "corrupt", "delay"];

/// Whether faults of these kinds would need the same queue of a node.
#[must_use]
pub fn share_queue(one: &str, other: &str) -> bool {
    ONE_QUEUE.contains(&one) && ONE_QUEUE.contains(&other)
}

/// The kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_defaults_refuses_what_it_does_not_know_and_heals_every_target() {
        let targets = [NodeName::of(ShardId(0), 0), NodeName::of(ShardId(0), 1)];
        let cast = Cast {
            fault: "f1",
            targets: &targets,
            nodes: &[],
            quorum: Quorum::default(),
            duration: Duration::from_secs(3),
            seed: 7,
        };
        for info in KINDS {
            let fault = (info.parse)(&serde_json::json!({})).unwrap();
            assert!(
                (info.parse)(&serde_json::json!({ "no_such": 1 })).is_err(),
                "{}",
                info.kind
            );
            assert_eq!(
                info.unknown(&serde_json::json!({ "no_such": 1 })),
                Some("no_such")
            );
            assert!(!fault.effects().is_empty(), "{}", info.kind);
            for operations in [fault.breaks(&cast), fault.heals(&cast)] {
                for target in &targets {
                    assert!(
                        operations
                            .iter()
                            .any(|operation| operation.node() == target),
                        "{}: {target}",
                        info.kind
                    );
                }
                // What is armed must come back as it was.
                let text = serde_json::to_string(&operations).unwrap();
                assert_eq!(
                    serde_json::from_str::<Vec<Operation>>(&text).unwrap(),
                    operations
                );
            }
        }
        let mut names: Vec<_> = KINDS.iter().map(|info| info.kind).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        assert!(kind("kill").is_some() && kind("hug").is_none());
    }
}
