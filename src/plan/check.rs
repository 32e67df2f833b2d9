//! `plan check`: what a plan means, before anything is started. Every window with the term that decided it, the
//! acceleration audit, the disk and memory arithmetic, warnings, and what cannot work.
//!
//! Pure arithmetic over the [`Plan`]; what the machine has is compared where the engine is known.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    DiskKind, Lever, Plan,
    foreign::{LOAD_MEMORY, Quorum},
    image,
    journal_size::JournalCheck,
    recovery,
    reserve::Reserve,
    thresholds::{Basis, by_key},
    values::human_size,
    versions,
};
use crate::{
    fault::{kinds, needs::Permits},
    time::{human, micros},
};

/// What a plan means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The plan's name.
    pub plan: String,
    /// The profile's name.
    pub profile: String,
    /// How long it takes, in all three clocks.
    pub length: LengthCheck,
    /// Every window.
    pub windows: Vec<WindowCheck>,
    /// The acceleration audit.
    pub clocks: Vec<ClockCheck>,
    /// The disk of each node.
    pub disk: DiskCheck,
    /// Memory of all nodes.
    pub memory: MemoryCheck,
    /// How large the journal becomes, and from when on it is thinned.
    pub journal: JournalCheck,
    /// What the run reserves of the engine's machine.
    pub reserve: Reserve,
    /// Versions of the nodes' program and who runs them; empty where there is one only.
    pub versions: Vec<String>,
    /// What is tried on a shard that stands still; empty where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What cannot work; the plan is refused.
    pub refusals: Vec<String>,
}

/// Length of the soak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthCheck {
    /// Wall time of the soak at the asked-for interval, in microseconds.
    #[serde(with = "micros")]
    pub soak: Duration,
    /// Blocks of each shard, warm-up included.
    pub blocks: u64,
    /// Mainnet time of the soak, in microseconds.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Longest the whole run may take, in microseconds.
    #[serde(with = "micros")]
    pub at_most: Duration,
}

/// One window in all three clocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowCheck {
    /// Its key under `[detectors]`.
    pub key: &'static str,
    /// Wall time in the canary, in microseconds.
    #[serde(with = "micros")]
    pub wall: Duration,
    /// The same in block intervals.
    pub blocks: f64,
    /// The same in mainnet time, in microseconds.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// The formula's term that decided, or where the plan set it.
    pub decided_by: String,
    /// All terms with their wall time: `20 B = 4s, 2 V + S = 1.35s`.
    pub terms: String,
}

/// One clock under acceleration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockCheck {
    /// The clock.
    #[serde(flatten)]
    pub lever: Lever,
    /// Its value over the block interval on mainnet.
    pub ratio_mainnet: f64,
    /// ... and in the canary. Where the two differ, the canary is not mainnet made faster.
    pub ratio_canary: f64,
    /// Whether it scaled with the blocks.
    pub scaled: bool,
}

/// Disk arithmetic of one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiskCheck {
    /// Usable bytes.
    pub size: u64,
    /// Bytes used at the end of the run; `None` where the profile does not say what a block costs.
    pub at_end: Option<u64>,
    /// When the data stops growing, in blocks from the start.
    pub flat_after: Option<u64>,
    /// When the disk is full, in blocks from the start; beyond the end of the run it is only told.
    pub full_after: Option<u64>,
    /// In one sentence.
    pub says: String,
}

/// Memory of all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryCheck {
    /// Nodes.
    pub nodes: u64,
    /// Limit of one node, its tmpfs disk and scratch included.
    pub each: u64,
    /// What makes load and services, beside the nodes.
    pub beside: u64,
    /// All together, the canary's budget included: what may be used at most.
    pub all: u64,
    /// Whether disks are counted (a tmpfs disk is memory).
    pub disks_in_memory: bool,
}

/// Checks a plan.
#[must_use]
pub fn check(plan: &Plan) -> CheckReport {
    let length = length(plan);
    let disk = disk(plan, length.blocks);
    let mut warnings = Vec::new();
    let mut refusals = Vec::new();
    if disk.full_after.is_some_and(|full| full < length.blocks) {
        refusals.push(format!("the disks do not suffice: {}", disk.says));
    } else if disk.at_end.is_none() {
        warnings.push(disk.says.clone());
    } else if disk
        .at_end
        .is_some_and(|used| used as f64 > plan.thresholds.disk_used_share * disk.size as f64)
    {
        warnings.push(format!("little room is left on the disks: {}", disk.says));
    }
    let clocks = clocks(plan);
    for clock in clocks.iter().filter(|clock| !clock.scaled) {
        warnings.push(unscaled(clock));
    }
    let journal = JournalCheck::of(plan, plan.clocks.blocks(length.blocks));
    warnings.extend(journal.warning());
    warn(plan, &length, &mut warnings);
    CheckReport {
        plan: plan.name.clone(),
        profile: plan.profile.clone(),
        windows: windows(plan),
        memory: memory(plan),
        journal,
        reserve: Reserve::of(plan),
        versions: versions::lines(plan),
        recovery: recovery::lines(plan),
        length,
        clocks,
        disk,
        warnings,
        refusals,
    }
}

fn length(plan: &Plan) -> LengthCheck {
    let interval = plan.clocks.block_interval.as_nanos().max(1);
    let by_time = plan
        .soak
        .map(|soak| u64::try_from(soak.0.as_nanos() / interval).unwrap_or(u64::MAX));
    let by_height = plan
        .until_height
        .map(|height| height.saturating_sub(plan.warm_up_blocks));
    let soak_blocks = by_time
        .unwrap_or(u64::MAX)
        .min(by_height.unwrap_or(u64::MAX));
    let settle = u64::try_from(plan.settle.as_nanos() / interval).unwrap_or(u64::MAX);
    let soak = plan.clocks.blocks(soak_blocks);
    LengthCheck {
        soak,
        blocks: soak_blocks
            .saturating_add(plan.warm_up_blocks)
            .saturating_add(settle),
        mainnet: plan.clocks.to_mainnet(soak),
        at_most: plan.deadline.map_or(Duration::MAX, |deadline| deadline.0),
    }
}

fn windows(plan: &Plan) -> Vec<WindowCheck> {
    let validators = plan
        .network
        .nodes
        .iter()
        .filter(|node| node.shard.0 == 0 && node.voting_power > 0)
        .count();
    let basis = Basis {
        clocks: plan.clocks,
        validators: u32::try_from(validators).unwrap_or(u32::MAX),
        leaders: plan.network.foreign.leaders,
        quorum: plan.network.foreign.quorum,
        probe: plan
            .network
            .probe
            .interval
            .saturating_add(plan.network.probe.deadline),
    };
    let rules = basis.windows().into_iter().chain(basis.told_windows());
    let rows = rules.map(|rule| {
        let wall = by_key(&plan.thresholds, &plan.clocks, rule.key).unwrap_or_default();
        let default = rule.deciding().filter(|term| term.wall == wall);
        let key = format!("detectors.{}", rule.key);
        let origin = plan.origins.get(&key).map_or("the plan", String::as_str);
        let terms: Vec<String> = rule
            .terms
            .iter()
            .map(|term| format!("{} = {}", term.text, precise(term.wall)))
            .collect();
        WindowCheck {
            key: rule.key,
            wall,
            blocks: wall.as_secs_f64() / plan.clocks.block_interval.as_secs_f64().max(1e-9),
            mainnet: plan.clocks.to_mainnet(wall),
            decided_by: default
                .map_or_else(|| format!("set by {origin}"), |term| term.text.clone()),
            terms: terms.join(", "),
        }
    });
    rows.collect()
}

fn clocks(plan: &Plan) -> Vec<ClockCheck> {
    let (canary, mainnet) = (
        plan.clocks.block_interval,
        plan.clocks.mainnet_block_interval,
    );
    let ratio =
        |span: Duration, interval: Duration| span.as_secs_f64() / interval.as_secs_f64().max(1e-9);
    let rows = plan.levers.iter().map(|lever| {
        let (ratio_mainnet, ratio_canary) =
            (ratio(lever.mainnet, mainnet), ratio(lever.canary, canary));
        // One percent is rounding to microseconds at the shortest intervals, and no difference in behaviour.
        let follows = (ratio_canary - ratio_mainnet).abs() <= 0.01 * ratio_mainnet;
        let own = lever.clock == "block_interval";
        let scaled = if own {
            !lever.at_floor && (lever.lever != "none" || plan.speedup <= 1.0)
        } else {
            follows
        };
        ClockCheck {
            lever: lever.clone(),
            ratio_mainnet,
            ratio_canary,
            scaled,
        }
    });
    rows.collect()
}

fn unscaled(clock: &ClockCheck) -> String {
    let lever = &clock.lever;
    let why = match (lever.at_floor, lever.lever.as_str()) {
        (true, _) => "is at its floor",
        (false, "none") => "has no lever",
        (false, _) => "does not scale like the blocks",
    };
    let hides = lever
        .hides
        .as_deref()
        .unwrap_or("the profile does not say what that hides or fakes");
    format!(
        "clock {} {why}: {} block intervals in the canary, {} on mainnet; {hides}",
        lever.clock,
        round(clock.ratio_canary),
        round(clock.ratio_mainnet),
    )
}

fn disk(plan: &Plan, blocks: u64) -> DiskCheck {
    let disk = &plan.network.disk;
    let taken = disk.age.map_or(0, |age| age.takes(disk.size));
    let at_rest = disk.bytes_at_rest.unwrap_or(0).saturating_add(taken);
    let Some(per_block) = disk.bytes_per_block.filter(|bytes| *bytes > 0) else {
        return DiskCheck {
            size: disk.size,
            at_end: None,
            flat_after: None,
            full_after: None,
            says: "the profile does not say `disk.bytes_per_block`, so nobody can say when the disks fill".to_owned(),
        };
    };
    let used = |blocks: u64| at_rest.saturating_add(per_block.saturating_mul(blocks));
    let kept = |blocks: u64| blocks.min(disk.retention.unwrap_or(u64::MAX));
    let full = disk.size.saturating_sub(at_rest) / per_block;
    let full_after = (kept(u64::MAX) > full).then_some(full);
    let at_end = used(kept(blocks));
    let old = match taken {
        0 => String::new(),
        taken => format!(
            ", of which {} are taken before the start",
            human_size(taken)
        ),
    };
    let each = format!(
        "{} a block on {}{old}",
        human_size(per_block),
        human_size(disk.size)
    );
    let at = |blocks: u64| format!("{blocks} blocks ({})", human(plan.clocks.blocks(blocks)));
    let says = match (full_after, disk.retention) {
        (Some(full), _) if full < blocks => format!(
            "{each}: full after {}, before the end at {}",
            at(full),
            at(blocks)
        ),
        (Some(full), _) => {
            format!(
                "{each}: {} at the end; it would be full after {}",
                human_size(at_end),
                at(full)
            )
        }
        (None, Some(retention)) => {
            format!(
                "{each}: flat at {} from {} on",
                human_size(used(retention)),
                at(retention)
            )
        }
        // Without retention the data grows for ever, so it is full at some time.
        (None, None) => format!("{each}: {} at the end", human_size(at_end)),
    };
    DiskCheck {
        size: disk.size,
        at_end: Some(at_end),
        flat_after: disk.retention.filter(|_| full_after.is_none()),
        full_after,
        says,
    }
}

pub(super) fn memory(plan: &Plan) -> MemoryCheck {
    let network = &plan.network;
    let disks_in_memory = match network.disk.kind {
        DiskKind::Tmpfs => true,
        DiskKind::Auto => !plan.allow_helper,
        DiskKind::Ext4 | DiskKind::Xfs | DiskKind::Faulty => false,
    };
    let disk = if disks_in_memory {
        network.disk.size
    } else {
        0
    };
    let scratch = network
        .scratch
        .values()
        .fold(0, |sum: u64, size| sum.saturating_add(*size));
    let each = network
        .limits
        .memory
        .saturating_add(disk)
        .saturating_add(scratch);
    let nodes = network.nodes.len() as u64;
    let foreign = &network.foreign;
    let makes_load = foreign.load.is_some() && plan.load.rate > 0.0;
    let load = if makes_load { LOAD_MEMORY } else { 0 };
    let services = foreign.services.len() as u64;
    let beside = network
        .shards
        .saturating_mul(load)
        .saturating_add(services.saturating_mul(network.limits.memory));
    MemoryCheck {
        nodes,
        each,
        beside,
        all: each
            .saturating_mul(nodes)
            .saturating_add(beside)
            .saturating_add(plan.budget.memory),
        disks_in_memory,
    }
}

/// Kinds of faults that the plan itself rules out and that it skips.
fn skipped(plan: &Plan) -> Vec<String> {
    let permits = Permits::of(plan);
    let mut counts: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for fault in &plan.schedule {
        let Some(info) = kinds::kind(&fault.kind) else {
            continue;
        };
        if let Some(why) = permits.rules_out_kind(info) {
            counts.entry(info.kind).or_insert((0, why)).0 += 1;
        }
    }
    counts
        .into_iter()
        .map(|(kind, (count, why))| {
            format!(
                "{count} faults `{kind}` will be skipped and count against coverage: `{kind}` {why}"
            )
        })
        .collect()
}

fn warn(plan: &Plan, length: &LengthCheck, warnings: &mut Vec<String>) {
    warnings.extend(skipped(plan));
    warnings.extend(versions::unused(plan));
    warnings.extend(recovery::warnings(plan));
    let moving = image::moving(plan).into_iter();
    warnings.extend(moving.map(|image| {
        format!("image {image} is a tag, which may be another image tomorrow: pin it by its digest")
    }));
    let stages = plan
        .start_deadline
        .saturating_add(length.soak)
        .saturating_add(plan.settle);
    if let Some(deadline) = plan.deadline.filter(|deadline| deadline.0 < stages) {
        warnings.push(format!(
            "the deadline of {} may come before the end: start, soak and settling may take {}",
            human(deadline.0),
            human(stages)
        ));
    }
    let privileged = match plan.network.disk.kind {
        DiskKind::Ext4 | DiskKind::Xfs => Some("disks on block devices"),
        DiskKind::Faulty => Some("FUSE disks"),
        DiskKind::Auto | DiskKind::Tmpfs => None,
    };
    if let Some(disks) = privileged.filter(|_| !plan.allow_helper) {
        warnings.push(format!(
            "{disks} need the helper: `allow_helper = true` or `--allow-helper`"
        ));
    }
    let coverage = plan.gate.coverage.blocks;
    let possible = length.blocks.saturating_mul(plan.network.shards);
    if coverage > possible {
        warnings.push(format!("the gate wants {coverage} blocks, and this plan makes at most {possible}: it is always inconclusive"));
    }
    let validators = plan
        .network
        .nodes
        .iter()
        .filter(|node| node.shard.0 == 0 && node.voting_power > 0)
        .count();
    let least = match plan.network.foreign.quorum {
        Quorum::TwoThirds => 4,
        Quorum::Majority => 3,
    };
    if validators < least {
        warnings.push(format!(
            "{validators} validators a shard tolerate no failure; {least} tolerate one"
        ));
    }
    if plan.load.cross_shard > 0.0 && plan.network.shards == 1 {
        warnings.push(
            "there is one shard, so no transfer crosses shards whatever `load.cross_shard` says"
                .to_owned(),
        );
    }
}

/// A duration to the millisecond below a minute: windows differ by less than a tenth of a second.
pub(super) fn precise(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds >= 60.0 {
        return human(span);
    }
    let text = format!("{seconds:.3}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn round(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
