//! What a run reserves of the engine's machine, and whether it fits beside the reservations of others.
//!
//! Pure. Who asks first goes first: a run looks only at reservations that were made before its own, and at those whose
//! nodes are there already. So of two that start at the same moment one goes, and both know which.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DiskKind, NetworkPlan, Plan, check,
    values::{Size, human_size},
};
use crate::ids::RunId;

/// Bytes that one container's logs may take on the engine's disk.
pub const LOG_BYTES: u64 = 16 * 3 * 1024 * 1024;

/// Bytes that stay free where the engine keeps its data: with less, the engine itself begins to fail.
pub const ROOM_RESERVE: u64 = 512 * 1024 * 1024;

/// Thousandths of a core that a node takes for one block a second. Measured: sixteen reference nodes at 200 ms, watched,
/// take 1.35 cores.
const MILLICORES_PER_BLOCK: f64 = 1_350.0 / 80.0;

/// What a run reserves of the engine's machine, where the estimate is not to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveManifest {
    /// Processor cores: `"1.5"`. Default: what the reference network takes for as many nodes and blocks a second.
    pub cores: Option<Cores>,
    /// Memory. Default: all that the containers and the canary may use.
    pub memory: Option<Size>,
    /// Room where the engine keeps its data. Default: the disks of the nodes, where they are not in memory, and logs.
    pub disk: Option<Size>,
}

/// A number of processor cores, as a text or a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CoresTyped", into = "f64")]
pub struct Cores(pub f64);

impl JsonSchema for Cores {
    fn schema_name() -> Cow<'static, str> {
        "Cores".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string"],
            "description": "A number of processor cores, like `1.5` or `\"1.5\"`.",
        })
    }
}

/// How cores are typed.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum CoresTyped {
    /// `1.5`
    Number(f64),
    /// `"1.5"`
    Text(String),
}

impl TryFrom<CoresTyped> for Cores {
    type Error = String;

    fn try_from(typed: CoresTyped) -> Result<Self, String> {
        let number = match &typed {
            CoresTyped::Number(number) => Some(*number),
            CoresTyped::Text(text) => text.trim().parse().ok(),
        };
        number
            .filter(|cores| (0.0..=100_000.0).contains(cores))
            .map(Self)
            .ok_or_else(|| "write a number of processor cores from 0 on, like \"1.5\"".to_owned())
    }
}

impl From<Cores> for f64 {
    fn from(cores: Cores) -> Self {
        cores.0
    }
}

/// What the plan says of its reservation; what is absent is estimated where the whole plan is known.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ReservePlan {
    /// Processor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes where the engine keeps its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

impl ReservePlan {
    /// As typed.
    #[must_use]
    pub fn of(typed: Option<&ReserveManifest>) -> Self {
        let typed = typed.copied().unwrap_or_default();
        Self {
            cores: typed.cores.map(|cores| cores.0),
            memory: typed.memory.map(|size| size.0),
            disk: typed.disk.map(|size| size.0),
        }
    }

    /// Nothing was typed.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reserve {
    /// Thousandths of a processor core.
    pub millicores: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes where the engine keeps its data.
    pub disk: u64,
    /// How many of these are not yet taken when the nodes run: logs, and disks that were made thin.
    pub disk_later: u64,
}

impl Reserve {
    /// What a run of this plan reserves.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let network = &plan.network;
        let nodes = network.nodes.len() as f64;
        let a_second = nodes / plan.clocks.block_interval.as_secs_f64().max(1e-6);
        let may_use = nodes * network.limits.cpus * 1_000.0;
        let estimate = (a_second * MILLICORES_PER_BLOCK).min(may_use);
        let typed = plan.reserve;
        let millicores = typed.cores.map_or(estimate, |cores| cores * 1_000.0);
        let disk = typed
            .disk
            .unwrap_or_else(|| bytes_on_disk(network, plan.allow_helper));
        let at_once = if network.disk.thin {
            0
        } else {
            disks_on_disk(network, plan.allow_helper)
        };
        Self {
            millicores: millicores.round() as u64,
            memory: typed.memory.unwrap_or_else(|| check::memory(plan).all),
            disk,
            disk_later: disk.saturating_sub(at_once),
        }
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} cores, {} of memory, {} of disk",
            cores(self.millicores),
            human_size(self.memory),
            human_size(self.disk)
        )
    }
}

fn cores(millicores: u64) -> String {
    let text = format!("{:.2}", millicores as f64 / 1_000.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes that the nodes' disks take on the engine's file system; nothing, where they are in memory.
fn disks_on_disk(network: &NetworkPlan, allow_helper: bool) -> u64 {
    let each = match network.disk.kind {
        DiskKind::Tmpfs => 0,
        // An image is larger than what is usable in it: journal, tables, the file system's own reserve.
        kind if allow_helper => {
            let size = network.disk.size;
            // The log of xfs alone takes 64 MiB.
            let own = if kind == DiskKind::Xfs { 128 } else { 32 } << 20;
            size.saturating_add(size / 16).saturating_add(own)
        }
        _ => 0,
    };
    each.saturating_mul(network.nodes.len() as u64)
}

/// Bytes that a run may write on the engine's file system: logs of all containers, and disks that live there.
#[must_use]
pub fn bytes_on_disk(network: &NetworkPlan, allow_helper: bool) -> u64 {
    let containers = network.nodes.len() as u64 + 1;
    disks_on_disk(network, allow_helper).saturating_add(containers.saturating_mul(LOG_BYTES))
}

/// A run's place in the queue: when it made its reservation, by the engine's clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The run: decides between two of the same moment.
    pub run: RunId,
}

/// A reservation of a run that others have to respect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run's name, as people type it.
    pub name: String,
    /// Its place.
    pub ticket: Ticket,
    /// What it reserves.
    pub reserve: Reserve,
    /// Its nodes are there.
    pub launched: bool,
}

/// What the engine's machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that may still be written where the engine keeps its data; `None` where nobody asked.
    pub room: Option<u64>,
}

/// A run that does not fit beside others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct Taken {
    /// What it needs.
    pub wants: Reserve,
    /// What there is too little of, in words.
    pub short: Vec<String>,
    /// Who is before it.
    pub holders: Vec<Holder>,
}

impl Taken {
    /// Names of those that it waits for.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.holders.iter().map(|holder| &*holder.name).collect();
        names.join(", ")
    }

    fn describe(&self) -> String {
        let mut text = format!("the machine is taken: {}", self.short.join("; "));
        for holder in &self.holders {
            let state = if holder.launched {
                ""
            } else {
                " (it starts, or waits itself)"
            };
            text.push_str(&format!(
                "\n{} reserves {}{state}",
                holder.name, holder.reserve
            ));
        }
        let first = self.holders.first().map_or("RUN", |holder| &*holder.name);
        text.push_str(&format!(
            "\nthis run reserves {}\nwait for them (`--wait`), end one (`canarynet stop {first}`), or start all the same (`--no-reserve`); `reserve` in the plan changes what it reserves",
            self.wants
        ));
        text
    }
}

/// Whether a run may start. One that nobody is before always may: what a machine lacks for it alone is found elsewhere,
/// and too few processors are only warned of.
///
/// # Errors
/// What there is too little of, and who holds it.
pub fn admit(
    own: &Ticket,
    wants: &Reserve,
    others: &[Holder],
    machine: &Machine,
) -> Result<(), Taken> {
    let before = |holder: &&Holder| {
        holder.ticket.run != own.run && (holder.launched || holder.ticket < *own)
    };
    let mut holders: Vec<Holder> = others.iter().filter(before).cloned().collect();
    holders.sort_by(|one, other| one.ticket.cmp(&other.ticket));
    if holders.is_empty() {
        return Ok(());
    }
    let sum = |of: fn(&Reserve) -> u64| {
        let held = holders.iter().map(|holder| of(&holder.reserve));
        held.fold(0, u64::saturating_add)
    };
    let mut short = Vec::new();
    let held = sum(|reserve| reserve.millicores);
    let has = machine.cpus.saturating_mul(1_000);
    if held.saturating_add(wants.millicores) > has {
        short.push(format!(
            "{} of {} cores are reserved, {} more are wanted",
            cores(held),
            cores(has),
            cores(wants.millicores)
        ));
    }
    let held = sum(|reserve| reserve.memory);
    if held.saturating_add(wants.memory) > machine.memory {
        short.push(format!(
            "{} of {} of memory are reserved, {} more are wanted",
            human_size(held),
            human_size(machine.memory),
            human_size(wants.memory)
        ));
    }
    if let Some(room) = machine.room {
        // What a run has taken already is no longer free.
        let to_come = |holder: &Holder| match holder.launched {
            true => holder.reserve.disk_later,
            false => holder.reserve.disk,
        };
        let held = holders.iter().map(to_come).fold(0, u64::saturating_add);
        let needed = wants.disk.saturating_add(ROOM_RESERVE);
        if held.saturating_add(needed) > room {
            short.push(format!(
                "{} are free where the engine keeps its data, others may still write {}, {} more are wanted",
                human_size(room),
                human_size(held),
                human_size(needed)
            ));
        }
    }
    if short.is_empty() {
        Ok(())
    } else {
        Err(Taken {
            wants: *wants,
            short,
            holders,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::generate::Shape;

    const MIB: u64 = 1 << 20;

    fn ticket(at: u64, run: &str) -> Ticket {
        Ticket {
            at,
            run: run.parse().unwrap(),
        }
    }

    fn reserve(millicores: u64, memory: u64, disk: u64) -> Reserve {
        Reserve {
            millicores,
            memory: memory * MIB,
            disk: disk * MIB,
            disk_later: disk * MIB / 4,
        }
    }

    fn holder(at: u64, run: &str, reserve: Reserve) -> Holder {
        Holder {
            name: format!("{run}/1"),
            ticket: ticket(at, run),
            reserve,
            launched: false,
        }
    }

    const MACHINE: Machine = Machine {
        cpus: 2,
        memory: 4096 * MIB,
        room: Some(8192 * MIB),
    };

    #[test]
    fn the_default_network_takes_what_was_measured() {
        let mut plan = Shape::default().plan();
        assert_eq!(plan.network.nodes.len(), 16);
        let estimated = Reserve::of(&plan);
        assert_eq!(estimated.millicores, 1_350);
        assert_eq!(estimated.memory, check::memory(&plan).all);
        assert_eq!(
            estimated.disk,
            17 * LOG_BYTES + disks_on_disk(&plan.network, plan.allow_helper)
        );
        // Never more than the nodes may use.
        plan.network.limits.cpus = 0.05;
        assert_eq!(Reserve::of(&plan).millicores, 800);
        let typed: ReserveManifest =
            toml::from_str("cores = \"1.5\"\nmemory = \"1 GiB\"\ndisk = \"2 GiB\"").unwrap();
        plan.reserve = ReservePlan::of(Some(&typed));
        let typed = Reserve::of(&plan);
        assert_eq!(
            (typed.millicores, typed.memory, typed.disk),
            (1_500, 1024 * MIB, 2048 * MIB)
        );
        assert!(
            toml::from_str::<ReserveManifest>("cores = 2")
                .is_ok_and(|two| two.cores == Some(Cores(2.0)))
        );
        for wrong in [
            "cores = \"many\"",
            "cores = -1.0",
            "cores = nan",
            "core = 1",
        ] {
            assert!(toml::from_str::<ReserveManifest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_is_alone_may_and_who_comes_later_is_told_who_is_before() {
        let own = ticket(5, "own");
        let much = reserve(9_000, 9_000, 9_000);
        assert_eq!(admit(&own, &much, &[], &MACHINE), Ok(()));
        // Its own reservation, and one that came later, are before nobody.
        let others = [holder(5, "own", much), holder(6, "later", much)];
        assert_eq!(admit(&own, &much, &others, &MACHINE), Ok(()));

        let half = reserve(1_000, 2_048, 1_024);
        let others = [holder(4, "first", half)];
        assert_eq!(admit(&own, &half, &others, &MACHINE), Ok(()), "just fits");
        let more = reserve(1_001, 2_048, 1_024);
        let taken = admit(&own, &more, &others, &MACHINE).unwrap_err();
        assert_eq!(taken.names(), "first/1");
        assert_eq!(taken.short.len(), 1, "{taken}");
        let text = taken.to_string();
        for word in [
            "1 of 2 cores are reserved",
            "first/1 reserves 1 cores, 2 GiB of memory, 1 GiB of disk",
            "--wait",
            "canarynet stop first/1",
            "--no-reserve",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let more = reserve(1_000, 2_049, 1_024);
        assert!(admit(&own, &more, &others, &MACHINE).is_err());
    }

    #[test]
    fn what_is_on_the_disk_already_is_not_counted_again() {
        let own = ticket(5, "own");
        let mut first = holder(4, "first", reserve(10, 10, 4_096));
        let wants = reserve(10, 10, 8_192 - 512 - 1_024);
        assert!(admit(&own, &wants, &[first.clone()], &MACHINE).is_err());
        first.launched = true;
        assert_eq!(admit(&own, &wants, &[first.clone()], &MACHINE), Ok(()));
        let unknown = Machine {
            room: None,
            ..MACHINE
        };
        first.launched = false;
        assert_eq!(admit(&own, &wants, &[first], &unknown), Ok(()));
    }

    #[test]
    fn one_that_runs_counts_whenever_it_came() {
        let own = ticket(5, "own");
        let much = reserve(2_000, 10, 10);
        let mut later = holder(9, "started-all-the-same", much);
        assert_eq!(admit(&own, &much, &[later.clone()], &MACHINE), Ok(()));
        later.launched = true;
        assert!(admit(&own, &much, &[later], &MACHINE).is_err());
    }

    proptest! {
        /// Runs that start together, each having made its reservation before it looks: those that go fit together, the
        /// first always goes, and nobody who does not fit goes.
        #[test]
        fn of_runs_that_start_together_those_that_go_fit(
            wants in proptest::collection::vec((0_u64..4, 0_u64..2_000, 0_u64..4_096), 1..8),
        ) {
            let all: Vec<Holder> = wants
                .iter()
                .enumerate()
                .map(|(index, (at, millicores, memory))| {
                    holder(*at, &format!("run-{index}"), reserve(*millicores, *memory, 0))
                })
                .collect();
            let goes = |holder: &Holder| {
                admit(&holder.ticket, &holder.reserve, &all, &MACHINE).is_ok()
            };
            let went: Vec<&Holder> = all.iter().filter(|holder| goes(holder)).collect();
            let first = all.iter().min_by_key(|holder| &holder.ticket).unwrap();
            prop_assert!(goes(first));
            if went.len() > 1 {
                let millicores: u64 = went.iter().map(|holder| holder.reserve.millicores).sum();
                let memory: u64 = went.iter().map(|holder| holder.reserve.memory).sum();
                prop_assert!(millicores <= 2_000 && memory <= 4_096 * MIB);
            }
        }
    }
}
