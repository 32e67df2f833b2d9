//! Manifest and profile, as typed and merged, become the [`Plan`]: every default, window and limit decided once.
//!
//! Pure: no clock, no file, no environment. What depends on those came in as data.

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;
use toml::Table;

use super::{
    Budget, DiskKind, FORMAT, Keep, LoadPlan, Plan, RestartPlan, Side, SoakTime,
    acceleration::{Pace, accelerate},
    alerts,
    error::{Place, PlanError, clean, did_you_mean},
    faults::OnMissing,
    judging,
    manifest::{self, Manifest, RestartPolicy},
    network, recovery,
    reserve::ReservePlan,
    snapshots,
    source::Layer,
    thresholds::Basis,
    until::Until,
    values::{LONGEST, Seed},
    versions,
};
use crate::{
    fault::{
        kinds::Need,
        needs::needs_of_plan,
        schedule::{self, Permits, Sweep, Typed},
    },
    profile::{manifest::Profile, render},
    time::{Clocks, Window},
};

/// What is resolved: the merged layers of the plan and of its profile.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The plan's name.
    pub name: String,
    /// The profile's name, where it does not name itself.
    pub profile_name: String,
    /// The plan.
    pub plan: Layer,
    /// The profile.
    pub profile: Layer,
    /// Runs of the baseline that the gate names.
    pub baseline: Option<Vec<Side>>,
}

impl Sources {
    /// An error about a value; keys of the profile begin with `profile.`.
    pub(crate) fn bad(&self, key: &str, message: &str) -> PlanError {
        let place = match key.strip_prefix("profile.") {
            Some(key) => self.profile.place(key),
            None => self.plan.place(key),
        };
        let place = place.cloned().unwrap_or_else(|| self.default_place(key));
        PlanError::Value {
            place,
            key: key.to_owned(),
            message: clean(message),
        }
    }

    /// An error about a key of a free-form table that nobody knows.
    pub(crate) fn unknown(&self, table: &str, name: &str, allowed: &[&str]) -> PlanError {
        let key = super::source::join(table, name);
        let place = self.plan.place(&key).cloned();
        PlanError::UnknownKey {
            place: place.unwrap_or_else(|| self.default_place(&key)),
            hint: did_you_mean(name, allowed.iter().copied()).into(),
            allowed: allowed.join(", ").into(),
            key,
        }
    }

    /// An error about a key without a value.
    pub(crate) fn missing(&self, key: &str, message: &'static str) -> PlanError {
        PlanError::Missing {
            what: self.default_place(key).source.to_string(),
            key: key.to_owned(),
            message,
        }
    }

    fn default_place(&self, key: &str) -> Place {
        if key.starts_with("profile.") {
            Place::whole(&format!("profile {}", self.profile_name))
        } else {
            Place::whole(&format!("plan {}", self.name))
        }
    }

    /// The typed form of a merged layer. Each layer was checked before, so this fails only where two of them together
    /// make no sense.
    pub(crate) fn typed<T: DeserializeOwned>(
        &self,
        what: &str,
        table: &Table,
    ) -> Result<T, PlanError> {
        T::deserialize(table.clone()).map_err(|error| PlanError::Value {
            place: Place::whole(what),
            key: what.to_owned(),
            message: clean(error.message()),
        })
    }

    fn origins(&self) -> BTreeMap<String, String> {
        let named = |prefix: &'static str, layer: &Layer| {
            let entries = layer
                .places
                .iter()
                .map(move |(key, place)| (format!("{prefix}{key}"), place.to_string()));
            entries.collect::<Vec<_>>()
        };
        named("", &self.plan)
            .into_iter()
            .chain(named("profile.", &self.profile))
            .collect()
    }
}

/// Default length of a soak: the shortest that says something about rates.
const SOAK: Duration = Duration::from_secs(300);

/// Resolves a plan.
///
/// # Errors
/// The first value that is missing, out of range, or contradicts another.
pub fn resolve(sources: &Sources) -> Result<Plan, PlanError> {
    let manifest: Manifest = sources.typed("plan", &sources.plan.table)?;
    let profile: Profile = sources.typed("profile", &sources.profile.table)?;
    let mainnet = profile.mainnet.clone().unwrap_or_default();
    let levers = profile.accelerate.clone().unwrap_or_default();
    let accelerated = accelerate(sources, &mainnet, &levers, pace(sources, &manifest)?)?;
    let clocks = accelerated.clocks;
    let mut network = network::resolve(sources, &profile, &clocks)?;
    let typed = manifest.versions.as_deref().unwrap_or_default();
    network.versions = versions::resolve(sources, typed, &network.nodes)?;
    let validators = profile
        .nodes
        .as_ref()
        .and_then(|nodes| nodes.validator)
        .unwrap_or_default();
    let probe = network
        .probe
        .interval
        .saturating_add(network.probe.deadline);
    let basis = Basis {
        clocks,
        validators,
        leaders: network.foreign.leaders,
        quorum: network.foreign.quorum,
        probe,
    };
    let thresholds = judging::thresholds(sources, &basis, manifest.detectors.as_ref())?;
    let allow_helper = manifest.allow_helper.unwrap_or(false);
    let permits = Permits {
        allow_helper,
        network: &network,
    };
    let sweep = manifest.sweep.as_ref();
    let swept = sweep
        .map(|sweep| Sweep::resolve(sources, sweep, permits, &clocks, thresholds.recovery))
        .transpose()?;
    let stages = stages(
        sources,
        &manifest,
        &clocks,
        thresholds.never_started,
        swept.as_ref().map(Sweep::time),
    )?;
    let until = stages.until;
    let (start, ladder) = snapshots::resolve(sources, &manifest, &clocks)?;
    let recovery = recovery::resolve(sources, &manifest, &clocks, thresholds.recovery, &network)?;
    let mut plan = Plan {
        format: FORMAT,
        name: sources.name.clone(),
        profile: profile
            .name
            .clone()
            .unwrap_or_else(|| sources.profile_name.clone()),
        seed: manifest
            .seed
            .clone()
            .unwrap_or_else(|| Seed("canarynet".to_owned()))
            .0,
        speedup: accelerated.speedup,
        clocks,
        levers: accelerated.levers,
        gate: judging::gate(sources, &manifest, &clocks, &network, &until)?,
        network,
        warm_up_blocks: stages.warm_up_blocks,
        start_deadline: stages.start_deadline,
        soak: until.time.map(SoakTime),
        until_height: until.height,
        deadline: Some(SoakTime(stages.deadline)),
        settle: stages.settle,
        observer_ab: manifest.observer_ab.unwrap_or(false),
        load: load(&manifest),
        keep: manifest.keep.unwrap_or(Keep::Never),
        stop_on_failure: manifest
            .on_failure
            .as_ref()
            .and_then(|failure| failure.stop)
            .unwrap_or(false),
        allow_helper,
        restart: restart(sources, &manifest, &profile, &clocks)?,
        thresholds,
        budget: budget(&manifest),
        reserve: ReservePlan::of(manifest.reserve.as_ref()),
        start,
        ladder,
        recovery,
        schedule: Vec::new(),
        drill: None,
        on_missing: manifest.on_missing.unwrap_or_default(),
        log_baseline: None,
        alerts: alerts::resolve(sources, &manifest)?,
        origins: sources.origins(),
    };
    let typed = Typed {
        faults: manifest.fault.as_deref().unwrap_or_default(),
        sweep: swept.as_ref(),
        chaos: manifest.chaos.as_ref(),
        drill: manifest.drill.as_ref(),
    };
    (plan.schedule, plan.drill) = schedule::schedule(sources, &typed, &plan)?;
    versions::fill_schedule(sources, &mut plan.schedule, &plan.network)?;
    // Only a disk that was made for it can run dry.
    plan.network.disk.thin |= plan.schedule.iter().any(|fault| fault.kind == "device-dry");
    // Free space in pieces rules out the disk that `auto` falls back to.
    let age = plan.network.disk.age.as_ref();
    if plan.network.disk.kind == DiskKind::Auto && age.is_some_and(|age| age.fragments.is_some()) {
        plan.network.disk.kind = DiskKind::Ext4;
    }
    // Faults on block devices rule out the disk that `auto` falls back to.
    if plan.network.disk.kind == DiskKind::Auto
        && plan.on_missing == OnMissing::Refuse
        && needs_of_plan(&plan).contains(&Need::BlockDisk)
    {
        plan.network.disk.kind = DiskKind::Ext4;
    }
    render::verify(&plan).map_err(|error| {
        let key = key_of_template(&profile, &plan, &error.key);
        sources.bad(&key, &error.to_string())
    })?;
    Ok(plan)
}

/// Where a template of the command was typed: one that `arguments` put there stands under its option.
fn key_of_template(profile: &Profile, plan: &Plan, key: &str) -> String {
    let index = key
        .strip_prefix("profile.command[")
        .and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
    let typed = profile.arguments.iter().flatten();
    let of_option = index
        .and_then(|index| plan.network.command.get(index))
        .and_then(|text| typed.clone().find(|(_, value)| *value == text));
    of_option.map_or_else(
        || key.to_owned(),
        |(option, _)| super::source::join("profile.arguments", option),
    )
}

/// When the stages of a run begin and end.
struct Stages {
    warm_up_blocks: u64,
    start_deadline: Duration,
    until: Until,
    settle: Duration,
    deadline: Duration,
}

fn stages(
    sources: &Sources,
    manifest: &Manifest,
    clocks: &Clocks,
    never_started: Duration,
    sweep: Option<Duration>,
) -> Result<Stages, PlanError> {
    let warm_up_blocks = manifest.warm_up.map_or(20, |blocks| blocks.0);
    let warm_up = clocks.blocks(warm_up_blocks).saturating_mul(3);
    let start = never_started
        .saturating_add(warm_up)
        .max(Duration::from_secs(60));
    let start_deadline = manifest.start_deadline.map_or(start, |span| span.0);
    let until = manifest.until.unwrap_or(Until {
        time: Some(sweep.unwrap_or(SOAK)),
        height: None,
    });
    if until.height.is_some_and(|height| height <= warm_up_blocks) {
        return Err(sources.bad("until", "the height is reached in the warm-up already"));
    }
    let settle = window(sources, "settle", manifest.settle, clocks)?.unwrap_or(clocks.blocks(20));
    // Twice the time to a height: a net may be slower than asked for. A minute more for collecting.
    let to_height = until
        .height
        .map_or(LONGEST, |height| clocks.blocks(height).saturating_mul(2));
    let soak = until.time.unwrap_or(LONGEST).min(to_height);
    let turns = match manifest.observer_ab {
        Some(true) => super::observer::takes(clocks),
        _ => Duration::ZERO,
    };
    let needed = start_deadline
        .saturating_add(soak)
        .saturating_add(turns)
        .saturating_add(settle);
    let all = needed.saturating_add(Duration::from_secs(60));
    Ok(Stages {
        warm_up_blocks,
        start_deadline,
        until,
        settle,
        deadline: deadline(sources, manifest, all),
    })
}

/// A deadline that the plan's file sets is for the length that the file sets: `--for` with another length and
/// `--observer-ab` lift it, unless a deadline was set from outside too.
fn deadline(sources: &Sources, manifest: &Manifest, all: Duration) -> Duration {
    let from_file = |key: &str| {
        sources
            .plan
            .place(key)
            .is_some_and(|place| place.position.is_some())
    };
    let as_typed = manifest.observer_ab != Some(true) || from_file("observer_ab");
    match manifest.deadline {
        Some(deadline) if from_file("deadline") && !(from_file("until") && as_typed) => {
            deadline.0.max(all)
        }
        Some(deadline) => deadline.0,
        None => all,
    }
}

fn pace(sources: &Sources, manifest: &Manifest) -> Result<Pace, PlanError> {
    match (manifest.speedup, manifest.block_interval) {
        (Some(_), Some(_)) => Err(sources.bad(
            "speedup",
            "`speedup` and `block_interval` exclude each other",
        )),
        (speedup, None) => Ok(Pace::Speedup(speedup.unwrap_or(1.0))),
        (None, Some(interval)) => Ok(Pace::BlockInterval(interval.0)),
    }
}

fn load(manifest: &Manifest) -> LoadPlan {
    let load = manifest.load.clone().unwrap_or_default();
    LoadPlan {
        rate: load.rate.map_or(50.0, |rate| rate.0),
        cross_shard: load.cross_shard.map_or(0.1, |share| share.0),
    }
}

fn budget(manifest: &Manifest) -> Budget {
    let budget = manifest.budget.clone().unwrap_or_default();
    Budget {
        cpu_share: budget.cpu.map_or(0.1, |share| share.0),
        memory: budget.memory.map_or(80 << 20, |size| size.0),
        journal: budget.journal.map_or(1 << 30, |size| size.0),
        logs: budget.logs.map_or(512 << 20, |size| size.0),
    }
}

fn restart(
    sources: &Sources,
    manifest: &Manifest,
    profile: &Profile,
    clocks: &Clocks,
) -> Result<RestartPlan, PlanError> {
    let (prefix, restart) = match (&manifest.restart, &profile.restart) {
        (Some(restart), _) => ("restart", restart.clone()),
        (None, Some(restart)) => ("profile.restart", restart.clone()),
        (None, None) => ("restart", manifest::Restart::default()),
    };
    let value = |key: &str, value| window(sources, &format!("{prefix}.{key}"), value, clocks);
    let after = value("after", restart.after)?.unwrap_or(Duration::from_secs(1));
    let hundred_minutes = Window::Mainnet(Duration::from_secs(6_000)).resolve(clocks);
    let restarts = restart.policy == Some(RestartPolicy::After);
    Ok(RestartPlan {
        after: restarts.then_some(SoakTime(after)),
        most: restart.most.unwrap_or(5),
        window: value("window", restart.window)?.unwrap_or(hundred_minutes),
    })
}

/// A window in wall time; zero and absurd lengths are refused.
pub(crate) fn window(
    sources: &Sources,
    key: &str,
    window: Option<Window>,
    clocks: &Clocks,
) -> Result<Option<Duration>, PlanError> {
    let Some(window) = window else {
        return Ok(None);
    };
    // Before it is resolved: what a window counts may be any number.
    let absurd = match window {
        Window::Wall(span) | Window::Mainnet(span) => span > LONGEST,
        Window::Blocks(count) => count > 1_000_000_000,
    };
    let wall = if absurd {
        LONGEST
    } else {
        window.resolve(clocks)
    };
    if wall >= LONGEST {
        return Err(sources.bad(key, "is longer than a hundred years"));
    }
    if wall < Duration::from_millis(1) {
        return Err(sources.bad(key, "is shorter than a millisecond of wall time"));
    }
    Ok(Some(wall))
}
