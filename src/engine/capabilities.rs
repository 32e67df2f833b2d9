//! What faults need of this machine: each back end tried by doing it, cheaply, and only where a plan needs it.
//!
//! One helper container answers for everything that works in a network of its own. Disks are proved by the launch
//! itself, which makes them, tests their sizes and lets no node start on another kind.

use super::{
    Docker, EngineError, Launched,
    labels::RunLabels,
    network_probe::{NetworkAbilities, Tried},
};
use crate::{
    disk::helper::{HelperOp, run_helper},
    fault::{kinds::Need, needs::Permits},
    journal::{Capability, text::clean},
    plan::DiskKind,
};

/// Longest text of a proof.
const LONGEST: usize = 300;

/// Tries what can be tried before anything is made: all of `needs` but disks.
pub async fn probe(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
    permits: Permits<'_>,
    needs: &[Need],
) -> Vec<Capability> {
    let (ruled_out, allowed): (Vec<Need>, Vec<Need>) = needs
        .iter()
        .partition(|need| permits.rules_out(**need).is_some());
    let mut found: Vec<Capability> = ruled_out
        .into_iter()
        .map(|need| {
            let why = permits.rules_out(need).unwrap_or_default();
            Capability::unable(need.id(), "not tried: the plan does not permit it", why)
        })
        .collect();
    let by_helper: Vec<Need> = allowed
        .into_iter()
        .filter(|need| need.by_helper())
        .collect();
    if !by_helper.is_empty() {
        let tried = network_abilities(docker, image, labels).await;
        found.extend(by_helper.into_iter().map(|need| {
            let answer = tried.iter().find(|answer| answer.id == need.id());
            answer.cloned().unwrap_or_else(|| {
                Capability::unable(
                    need.id(),
                    "nothing was tried for it",
                    "see the other answers",
                )
            })
        }));
    }
    found
}

/// What one helper container in a network of its own can do.
pub(super) async fn network_abilities(
    docker: &Docker,
    image: &str,
    labels: &RunLabels,
) -> Vec<Capability> {
    let probed: Result<NetworkAbilities, EngineError> =
        run_helper(docker, image, labels, &HelperOp::ProbeNetwork).await;
    let abilities = match probed {
        Ok(abilities) => abilities,
        Err(error) => {
            let why = chain(&error);
            let remedy = "the engine must grant NET_ADMIN to a container";
            return [Need::Helper, Need::PacketFilter, Need::Queues, Need::Tunnel]
                .map(|need| Capability::unable(need.id(), why.clone(), remedy))
                .into();
        }
    };
    let ability = |id: &str, tried: &Tried, modules: &str| {
        let remedy = format!(
            "load the kernel modules {modules} on the engine's machine (`modprobe -a {modules}`)"
        );
        Capability::of(id, tried.able, clean(&tried.proof, LONGEST), &remedy)
    };
    vec![
        Capability::able(
            Need::Helper.id(),
            "a container with a single capability did what it was told",
        ),
        ability("netem", &abilities.netem, "sch_netem"),
        ability(
            Need::PacketFilter.id(),
            &abilities.nftables,
            "nf_tables nft_numgen nft_reject_ipv4",
        ),
        ability(
            Need::Queues.id(),
            &abilities.queues,
            "sch_htb sch_ingress cls_u32 act_mirred ifb",
        ),
        ability(
            Need::Tunnel.id(),
            &abilities.tunnel,
            "nf_tables nfnetlink_queue nft_queue",
        ),
    ]
}

/// What a launch has proved of the disks that faults need.
#[must_use]
pub fn of_launch(launched: &Launched, needs: &[Need]) -> Vec<Capability> {
    let kind = launched.disk_kind;
    let disk = |need: &Need| {
        let able = match need {
            Need::BlockDisk => matches!(kind, DiskKind::Ext4 | DiskKind::Xfs),
            Need::Ext4 => kind == DiskKind::Ext4,
            Need::FaultyDisk => kind == DiskKind::Faulty,
            _ => return None,
        };
        let proof = format!(
            "{} disks were launched ({})",
            format!("{kind:?}").to_lowercase(),
            clean(&launched.disk_reason, LONGEST)
        );
        let remedy = "see the reason; `disk.kind` of the profile chooses the kind of disk";
        Some(Capability::of(need.id(), able, proof, remedy))
    };
    needs.iter().filter_map(disk).collect()
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    clean(&text, 2 * LONGEST)
}
