//! Acceleration: every clock of the protocol, scaled where a lever sets it, and the audit of what does not scale.

use std::{collections::BTreeMap, time::Duration};

use super::{Lever, error::PlanError, resolve::Sources};
use crate::{
    profile::manifest::{Clock, Mainnet, NoLever, Profile},
    time::Clocks,
};

/// The clocks in force, with the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Accelerated {
    /// Asked-for speedup.
    pub speedup: f64,
    /// What detectors and windows count in.
    pub clocks: Clocks,
    /// All clocks, `block_interval` first.
    pub levers: Vec<Lever>,
}

/// Beyond this no clock keeps a microsecond of meaning.
const FASTEST: f64 = 100_000.0;

/// A block interval below this is refused: the measured floor of any node is far above it.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// What a plan asks for.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// `speedup`.
    Speedup(f64),
    /// `block_interval`.
    BlockInterval(Duration),
}

/// Scales all clocks of the profile.
///
/// # Errors
/// A required clock that is missing, or values that contradict each other.
pub fn accelerate(
    sources: &Sources,
    mainnet: &Mainnet,
    clocks: &BTreeMap<String, Clock>,
    pace: Pace,
) -> Result<Accelerated, PlanError> {
    let own = clocks.get("block_interval").and_then(|clock| clock.mainnet);
    let Some(interval) = mainnet.block_interval.or(own).map(|span| span.0) else {
        return Err(sources.missing(
            "profile.mainnet.block_interval",
            "the block interval of mainnet, like `8s`",
        ));
    };
    if interval < SHORTEST_INTERVAL {
        return Err(sources.bad("profile.mainnet.block_interval", "at least 1ms"));
    }
    for (key, what) in [
        (
            "block_interval",
            "what sets the block interval, or `lever = \"none\"`",
        ),
        (
            "view_change",
            "the timeout after which a leader is replaced, and what sets it (or `lever = \"none\"`)",
        ),
    ] {
        if !clocks.contains_key(key) {
            return Err(sources.missing(&format!("profile.accelerate.{key}"), what));
        }
    }
    let speedup = speedup(sources, interval, pace)?;
    let mut levers = Vec::with_capacity(clocks.len());
    for (name, clock) in clocks {
        levers.push(lever(sources, name, clock, speedup, interval)?);
    }
    levers.sort_by_key(|lever| lever.clock != "block_interval");
    let canary = |name: &str| {
        levers
            .iter()
            .find(|lever| lever.clock == name)
            .map(|lever| lever.canary)
    };
    let first = levers.first().map_or(1.0, |lever| {
        lever.canary.as_secs_f64() / lever.mainnet.as_secs_f64()
    });
    let view_change = canary("view_change").unwrap_or_default();
    let clocks = Clocks {
        // Not the lever's own value: chains whose lever is a part of the interval scale with that part.
        block_interval: whole_micros(interval.mul_f64(first)),
        mainnet_block_interval: interval,
        view_change_timeout: view_change,
        view_change_slot: canary("view_change_slot").unwrap_or_default(),
        view_change_timeout_max: canary("view_change_max").unwrap_or(view_change),
    };
    check_clocks(sources, &clocks)?;
    Ok(Accelerated {
        speedup,
        clocks,
        levers,
    })
}

/// The shortest block interval that a profile allows; mainnet's own where nothing sets it.
#[must_use]
pub fn shortest_interval(profile: &Profile, mainnet: Duration) -> Duration {
    let clock = profile
        .accelerate
        .as_ref()
        .and_then(|clocks| clocks.get("block_interval"));
    let Some(clock) = clock.filter(|clock| clock.set.is_some()) else {
        return mainnet;
    };
    let own = clock
        .mainnet
        .map_or(mainnet, |span| span.0)
        .as_secs_f64()
        .max(1e-6);
    let floor = clock.floor.map_or(0.0, |span| span.0.as_secs_f64());
    whole_micros(mainnet.mul_f64((floor / own).min(1.0))).max(SHORTEST_INTERVAL)
}

fn speedup(sources: &Sources, interval: Duration, pace: Pace) -> Result<f64, PlanError> {
    match pace {
        Pace::Speedup(speedup) if (1.0..=FASTEST).contains(&speedup) => Ok(speedup),
        Pace::Speedup(speedup) => Err(sources.bad(
            "speedup",
            &format!("{speedup} is not between 1 (mainnet's own pace) and {FASTEST}"),
        )),
        Pace::BlockInterval(asked) if asked >= SHORTEST_INTERVAL && asked <= interval => {
            Ok(interval.as_secs_f64() / asked.as_secs_f64())
        }
        Pace::BlockInterval(asked) => Err(sources.bad(
            "block_interval",
            &format!("{asked:?} is not between 1ms and mainnet's block interval {interval:?}"),
        )),
    }
}

fn lever(
    sources: &Sources,
    name: &str,
    clock: &Clock,
    speedup: f64,
    interval: Duration,
) -> Result<Lever, PlanError> {
    let key = format!("profile.accelerate.{name}");
    let implied = (name == "block_interval").then_some(interval);
    let Some(mainnet) = clock.mainnet.map(|span| span.0).or(implied) else {
        return Err(sources.missing(
            &format!("{key}.mainnet"),
            "the clock's value on mainnet, like `27s`",
        ));
    };
    if mainnet.is_zero() && name != "view_change_slot" {
        return Err(sources.bad(
            &format!("{key}.mainnet"),
            "a clock of zero length cannot be scaled",
        ));
    }
    let set = match (&clock.set, clock.lever) {
        (Some(_), Some(NoLever::None)) => {
            return Err(sources.bad(&key, "`set` and `lever = \"none\"` contradict each other"));
        }
        (None, None) => {
            return Err(sources.missing(
                &format!("{key}.set"),
                "what sets this clock; `lever = \"none\"` if nothing does",
            ));
        }
        (set, _) => set.clone(),
    };
    let scaled = whole_micros(mainnet.div_f64(speedup));
    let floor = clock.floor.map_or(Duration::ZERO, |span| span.0);
    if floor > mainnet {
        return Err(sources.bad(
            &format!("{key}.floor"),
            "the floor is longer than mainnet's value",
        ));
    }
    let canary = if set.is_some() {
        scaled.max(floor)
    } else {
        mainnet
    };
    Ok(Lever {
        clock: name.to_owned(),
        mainnet,
        canary,
        at_floor: set.is_some() && canary > scaled,
        lever: set.unwrap_or_else(|| "none".to_owned()),
        hides: clock.hides.clone(),
    })
}

fn check_clocks(sources: &Sources, clocks: &Clocks) -> Result<(), PlanError> {
    if clocks.block_interval < SHORTEST_INTERVAL {
        let message = format!(
            "makes the block interval {:?}, and 1ms is the least",
            clocks.block_interval
        );
        return Err(sources.bad("speedup", &message));
    }
    if clocks.view_change_timeout < clocks.block_interval {
        let message = format!(
            "is {:?} in the canary, shorter than the block interval {:?}: every block would change the leader",
            clocks.view_change_timeout, clocks.block_interval
        );
        return Err(sources.bad("profile.accelerate.view_change", &message));
    }
    if clocks.view_change_timeout_max < clocks.view_change_timeout {
        let message = format!(
            "is {:?} in the canary, shorter than view_change {:?}",
            clocks.view_change_timeout_max, clocks.view_change_timeout
        );
        return Err(sources.bad("profile.accelerate.view_change_max", &message));
    }
    Ok(())
}

/// Plans keep microseconds; rounding once here keeps what is shown equal to what is judged.
fn whole_micros(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX))
}
