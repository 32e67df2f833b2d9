//! `plan reach --height N --within T`: the interval, speedup, disk and hours that a height takes, or why it is out of
//! reach.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    Plan, PlanError, PlanRequest,
    acceleration::shortest_interval,
    check::{DiskCheck, check, round},
    load,
    values::{human_size, one_unit},
};
use crate::{
    profile::manifest::Profile,
    time::{human, micros},
};

/// Share of the time that is kept for starting and for leaders' deaths: a net that makes every block in time is rare.
const RESERVE: f64 = 0.05;

/// Answer to "can this network reach that height in that time".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReachAnswer {
    /// The height asked for.
    pub height: u64,
    /// The time asked for, in microseconds.
    #[serde(with = "micros")]
    pub within: Duration,
    /// How long mainnet takes for it, in microseconds.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Time that the plan as it is would take, in microseconds.
    #[serde(with = "micros")]
    pub as_planned: Duration,
    /// What it takes.
    pub needs: Reach,
}

/// What a height takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// It can be done.
    Possible {
        /// Block interval that suffices, in microseconds.
        #[serde(with = "micros")]
        interval: Duration,
        /// The speedup for it.
        speedup: f64,
        /// Time at that interval, in microseconds.
        #[serde(with = "micros")]
        takes: Duration,
        /// Bytes of a node's disk that hold it.
        disk_needed: Option<u64>,
        /// The profile's own disk, and whether it suffices.
        disk: DiskCheck,
        /// Clocks that do not scale at this speedup, with what that hides.
        audit: Vec<String>,
    },
    /// It cannot.
    Impossible {
        /// Why.
        because: String,
        /// The shortest interval of this profile, in microseconds.
        #[serde(with = "micros")]
        floor: Duration,
        /// Time that the height takes at it, in microseconds.
        #[serde(with = "micros")]
        takes_at_floor: Duration,
    },
}

/// Asks what it takes to reach `height` in `within`, with the plan and profile of the request.
///
/// # Errors
/// A plan that cannot be resolved, or a height or time of zero.
pub fn reach(
    request: &PlanRequest,
    height: u64,
    within: Duration,
) -> Result<ReachAnswer, PlanError> {
    let plan = load::load(request)?;
    if height == 0 || height > 1_000_000_000_000 || within < Duration::from_secs(1) {
        return Err(PlanError::Set {
            place: super::error::Place::whole("reach"),
            message: "a height of at least 1 and a time of at least a second make sense".to_owned(),
        });
    }
    let mainnet_interval = plan.clocks.mainnet_block_interval;
    let usable = within.mul_f64(1.0 - RESERVE);
    let needed = usable.div_f64(height as f64).min(mainnet_interval);
    let floor = shortest_interval(&profile(request)?, mainnet_interval);
    let needs = if needed < floor {
        impossible(&plan, needed, floor, height)
    } else {
        let interval = Duration::from_micros(u64::try_from(needed.as_micros()).unwrap_or(u64::MAX));
        possible(request, &plan, interval.max(floor), height)?
    };
    Ok(ReachAnswer {
        height,
        within,
        mainnet: times(mainnet_interval, height),
        as_planned: times(plan.clocks.block_interval, height),
        needs,
    })
}

fn times(interval: Duration, height: u64) -> Duration {
    Duration::try_from_secs_f64(interval.as_secs_f64() * height as f64).unwrap_or(Duration::MAX)
}

/// The profile of a plan that has been resolved once already.
fn profile(request: &PlanRequest) -> Result<Profile, PlanError> {
    let sources = load::sources(request)?;
    sources.typed("profile", &sources.profile.table)
}

/// The plan at another pace.
fn at_interval(request: &PlanRequest, plan: &Plan, interval: Duration) -> Result<Plan, PlanError> {
    let mut request = request.clone();
    let speedup = plan.clocks.mainnet_block_interval.as_secs_f64() / interval.as_secs_f64();
    request.set.push(format!("speedup={speedup:?}"));
    load::load(&request)
}

fn impossible(plan: &Plan, needed: Duration, floor: Duration, height: u64) -> Reach {
    let lever = plan
        .levers
        .iter()
        .find(|lever| lever.clock == "block_interval");
    let because = match lever {
        Some(lever) if lever.lever == "none" => {
            "nothing sets the block interval of this profile, so it stays at mainnet's".to_owned()
        }
        _ => format!(
            "it takes a block every {}, and the shortest interval that works is {} (profile.accelerate.block_interval.floor)",
            human(needed),
            one_unit(floor)
        ),
    };
    Reach::Impossible {
        because,
        floor,
        takes_at_floor: times(floor, height),
    }
}

fn possible(
    request: &PlanRequest,
    plan: &Plan,
    interval: Duration,
    height: u64,
) -> Result<Reach, PlanError> {
    let mut faster = at_interval(request, plan, interval)?;
    faster.soak = None;
    faster.until_height = Some(height);
    let report = check(&faster);
    let disk = &faster.network.disk;
    let kept = height.min(disk.retention.unwrap_or(u64::MAX));
    let disk_needed = disk.bytes_per_block.map(|bytes| {
        bytes
            .saturating_mul(kept)
            .saturating_add(disk.bytes_at_rest.unwrap_or(0))
    });
    Ok(Reach::Possible {
        interval: faster.clocks.block_interval,
        speedup: faster.clocks.acceleration(),
        takes: times(faster.clocks.block_interval, height),
        disk_needed,
        disk: report.disk,
        audit: report
            .warnings
            .into_iter()
            .filter(|warning| warning.starts_with("clock "))
            .collect(),
    })
}

impl fmt::Display for ReachAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.height;
        writeln!(
            formatter,
            "height {height} takes {} on mainnet and {} at the plan's interval",
            human(self.mainnet),
            human(self.as_planned)
        )?;
        match &self.needs {
            Reach::Possible {
                interval,
                speedup,
                takes,
                disk_needed,
                disk,
                audit,
            } => {
                writeln!(
                    formatter,
                    "within {}: a block every {} (speedup {}), {} of blocks with {} % in reserve",
                    human(self.within),
                    human(*interval),
                    round(*speedup),
                    human(*takes),
                    round(RESERVE * 100.0)
                )?;
                if let Some(needed) = disk_needed {
                    let enough = if *needed <= disk.size {
                        "suffices"
                    } else {
                        "does not suffice"
                    };
                    let has = human_size(disk.size);
                    writeln!(
                        formatter,
                        "disk   {} a node; the profile's {has} {enough} ({})",
                        human_size(*needed),
                        disk.says
                    )?;
                } else {
                    writeln!(formatter, "disk   {}", disk.says)?;
                }
                for line in audit {
                    writeln!(formatter, "audit  {line}")?;
                }
                Ok(())
            }
            Reach::Impossible {
                because,
                floor,
                takes_at_floor,
            } => {
                writeln!(
                    formatter,
                    "impossible within {}: {because}",
                    human(self.within)
                )?;
                writeln!(
                    formatter,
                    "at {} it takes {}",
                    one_unit(*floor),
                    human(*takes_at_floor)
                )
            }
        }
    }
}
