//! What faults need of the machine, and what a plan permits of it before any machine is asked.

use super::kinds::{KINDS, KindInfo, Need};
use crate::plan::{DiskKind, NetworkPlan, Plan};

impl Need {
    /// Stable id, the same as of the capability that answers it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::BlockDisk => "block-disk",
            Self::Ext4 => "ext4-disk",
            Self::FaultyDisk => "faulty-disk",
            Self::PacketFilter => "nftables",
            Self::Queues => "queues",
            Self::Tunnel => "tunnel",
            Self::ClockLever => "clock-lever",
        }
    }

    /// Whether it is had by a privileged helper container.
    #[must_use]
    pub fn by_helper(self) -> bool {
        match self {
            Self::Helper | Self::PacketFilter | Self::Queues | Self::Tunnel => true,
            // The disk or the profile decides, and says what that needs.
            Self::BlockDisk | Self::Ext4 | Self::FaultyDisk | Self::ClockLever => false,
        }
    }

    /// All needs that any kind has, each once.
    #[must_use]
    pub fn all() -> Vec<Self> {
        needs_of(KINDS)
    }
}

/// All needs of these kinds, each once, in order.
pub fn needs_of<'a>(kinds: impl IntoIterator<Item = &'a KindInfo>) -> Vec<Need> {
    let mut needs: Vec<Need> = kinds
        .into_iter()
        .flat_map(|info| info.needs.iter().copied())
        .collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// What a plan permits, as far as faults need it.
#[derive(Debug, Clone, Copy)]
pub struct Permits<'a> {
    /// The privileged helper.
    pub allow_helper: bool,
    /// Disks and profile.
    pub network: &'a NetworkPlan,
}

impl<'a> Permits<'a> {
    /// Of a resolved plan.
    #[must_use]
    pub fn of(plan: &'a Plan) -> Self {
        Self {
            allow_helper: plan.allow_helper,
            network: &plan.network,
        }
    }

    /// Why the plan itself rules a need out, with the remedy; `None` where only the machine can tell.
    #[must_use]
    pub fn rules_out(self, need: Need) -> Option<&'static str> {
        let disk = self.network.disk.kind;
        match need {
            need if need.by_helper() && !self.allow_helper => {
                Some("needs the privileged helper: add `allow_helper = true` or --allow-helper")
            }
            Need::BlockDisk if disk == DiskKind::Auto && !self.allow_helper => Some(
                "needs a disk on a block device, which only the privileged helper makes: add `allow_helper = true` or --allow-helper",
            ),
            // A FUSE disk's block device is not the node's: what is done to it would hit the process between them.
            Need::BlockDisk | Need::Ext4 if matches!(disk, DiskKind::Tmpfs | DiskKind::Faulty) => {
                Some("needs a disk on a block device: `disk.kind = \"ext4\"` in the profile")
            }
            Need::Ext4 if disk == DiskKind::Xfs => Some(
                "needs ext4: xfs has no way to turn read-only while it is mounted (its shutdown answers with input/output errors, which is `power-cut`)",
            ),
            Need::FaultyDisk if disk != DiskKind::Faulty => {
                Some("needs the FUSE disk: `disk.kind = \"faulty\"` in the profile")
            }
            Need::ClockLever if self.network.clock_skew.is_none() => Some(
                "needs a way to set the clock of one node wrong, and the profile names none (`clock_skew`): all containers share the machine's clock, which is nobody's to change",
            ),
            _ => None,
        }
    }

    /// Why the plan itself rules a kind out.
    #[must_use]
    pub fn rules_out_kind(self, info: &KindInfo) -> Option<&'a str> {
        let refused = self.network.foreign.refuses.get(info.kind);
        if let Some(reason) = refused {
            return Some(reason.as_str());
        }
        info.needs.iter().find_map(|need| self.rules_out(*need))
    }
}

/// What the faults of a plan's schedule need, each once.
#[must_use]
pub fn needs_of_plan(plan: &Plan) -> Vec<Need> {
    let kinds = plan.schedule.iter();
    needs_of(kinds.filter_map(|fault| super::kinds::kind(&fault.kind)))
}
