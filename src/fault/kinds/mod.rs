//! Fault kinds, one a file and one line in [`KINDS`].

pub mod cpu_hog;
pub mod disk_fill;
pub mod fd_exhaustion;
pub mod freeze_main;
pub mod inode_exhaustion;
pub mod kill;
pub mod log_scraper;
pub mod memory_hog;
pub mod pause;
pub mod pid_exhaustion;
pub mod restart;
pub mod stop;

use std::{fmt, time::Duration};

use serde_json::Value;

use super::{effect::Effect, operation::Operation};
use crate::{ids::NodeName, plan::NodePlan};

/// What a kind may know when its operations are made: all of it is decided when the fault fires, and journalled.
#[derive(Debug)]
pub struct Cast<'a> {
    /// The fault's id, unique in its run: marks what must be found again to be healed.
    pub fault: &'a str,
    /// The targets as resolved.
    pub targets: &'a [NodeName],
    /// All nodes of the network.
    pub nodes: &'a [NodePlan],
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

    /// Whether a node that starts again while it is in force must be broken again (rules in its network namespace are
    /// gone with it). Default: no.
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
    /// The FUSE disk.
    FaultyDisk,
    /// Packet filters in a node's network.
    PacketFilter,
    /// Rate limits in a node's network.
    Queues,
    /// Packets through a program in a node's network.
    Tunnel,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct KindInfo {
    /// Stable id.
    pub kind: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Whether it decides if a node's process runs: two such faults on one node would undo each other.
    pub decides_running: bool,
    /// What it needs of the machine.
    pub needs: &'static [Need],
    /// Reads the parameters, with their defaults; an unknown one is an error.
    pub parse: fn(&Value) -> Result<Box<dyn Fault>, serde_json::Error>,
}

impl fmt::Debug for KindInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind)
    }
}

/// A fault of these parameters, whatever they are.
fn parse<Parameters: Fault + serde::de::DeserializeOwned + 'static>(
    parameters: &Value,
) -> Result<Box<dyn Fault>, serde_json::Error> {
    Parameters::deserialize(parameters).map(|fault| Box::new(fault) as Box<dyn Fault>)
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
            },)*
        ];
    };
}

kinds! {
    "kill", kill, true, [], "killed, started again by the heal";
    "stop", stop, true, [], "stopped in order, started again by the heal";
    "restart", restart, true, [], "stopped and started at once";
    "pause", pause, true, [], "all processes stand still";
    "freeze-main", freeze_main, false, [], "the main process stands still";
    "fd-exhaustion", fd_exhaustion, false, [], "no more files can be opened";
    "pid-exhaustion", pid_exhaustion, false, [], "no more processes or threads can be started";
    "cpu-hog", cpu_hog, false, [], "processor time is taken within the node's limit";
    "memory-hog", memory_hog, false, [], "memory is taken within the node's limit";
    "log-scraper", log_scraper, false, [], "the incident's antagonist: unpacks the log history into an unlinked file";
    "disk-fill", disk_fill, false, [], "a ballast file takes the free space of the data disk";
    "inode-exhaustion", inode_exhaustion, false, [], "empty files take the inodes of the data disk";
}

/// The kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn every_kind_has_defaults_refuses_what_it_does_not_know_and_heals_every_target() {
        let targets = [NodeName::of(ShardId(0), 0), NodeName::of(ShardId(0), 1)];
        let cast = Cast {
            fault: "f1",
            targets: &targets,
            nodes: &[],
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
