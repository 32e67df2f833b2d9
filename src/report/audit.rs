//! The acceleration audit: which clocks of the protocol shrank with the blocks, and what those that did not hide.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::ratio;
use crate::{
    plan::{Lever, Plan},
    time::{human, micros},
};

/// One clock held against the block interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The clock.
    pub clock: String,
    /// Its value on mainnet.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Its value in the canary.
    #[serde(with = "micros")]
    pub canary: Duration,
    /// What sets it, or `none`.
    pub lever: String,
    /// How many times faster than on mainnet it runs.
    pub factor: f64,
    /// In block intervals of the canary.
    pub blocks: f64,
    /// In block intervals of mainnet.
    pub mainnet_blocks: f64,
    /// How it scaled.
    pub scaling: Scaling,
    /// The classes of bug that its not scaling hides or fakes.
    pub hides: Option<String>,
}

/// How a clock scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// With the blocks.
    Scaled,
    /// Less than the blocks, because of a floor.
    AtFloor,
    /// Less or more than the blocks.
    Partly,
    /// Not at all: no lever.
    Unscaled,
}

impl Scaling {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::AtFloor => "at its floor",
            Self::Partly => "scaled differently",
            Self::Unscaled => "not scaled",
        }
    }
}

/// Clocks are set in whole milliseconds: at the fastest networks (50 ms blocks) rounding is within this share.
const TOLERANCE: f64 = 0.02;

/// The audit of every clock in the plan.
#[must_use]
pub fn audit(plan: &Plan) -> Vec<AuditRow> {
    plan.levers.iter().map(|lever| row(plan, lever)).collect()
}

fn row(plan: &Plan, lever: &Lever) -> AuditRow {
    let over = |span: Duration, unit: Duration| span.as_secs_f64() / unit.as_secs_f64().max(1e-9);
    let factor = over(lever.mainnet, lever.canary);
    let asked = plan.clocks.acceleration();
    let close = (factor - asked).abs() <= asked * TOLERANCE
        || lever.mainnet == lever.canary && lever.mainnet.is_zero();
    let scaling = if close {
        Scaling::Scaled
    } else if lever.at_floor {
        Scaling::AtFloor
    } else if lever.lever == "none" {
        Scaling::Unscaled
    } else {
        Scaling::Partly
    };
    AuditRow {
        clock: lever.clock.clone(),
        mainnet: lever.mainnet,
        canary: lever.canary,
        lever: lever.lever.clone(),
        factor,
        blocks: over(lever.canary, plan.clocks.block_interval),
        mainnet_blocks: over(lever.mainnet, plan.clocks.mainnet_block_interval),
        scaling,
        hides: lever.hides.clone(),
    }
}

/// What acceleration cannot reach or may fake, a sentence each; empty when every clock scaled.
#[must_use]
pub fn remarks(plan: &Plan) -> Vec<String> {
    let mut remarks: Vec<String> = audit(plan)
        .into_iter()
        .filter(|row| row.scaling != Scaling::Scaled)
        .map(|row| {
            let hides = row
                .hides
                .map_or_else(String::new, |hides| format!(", hides {hides}"));
            format!(
                "{} {}: {} is {} intervals (mainnet {}){hides}",
                row.clock.replace('_', " "),
                row.scaling.word(),
                human(row.canary),
                ratio(row.blocks),
                ratio(row.mainnet_blocks),
            )
        })
        .collect();
    let minute = plan.clocks.from_mainnet(Duration::from_secs(60));
    if plan.thresholds.page > minute {
        remarks.push(format!(
            "the page waits {} and not {} (one mainnet minute): a view change may take that long",
            human(plan.thresholds.page),
            human(minute),
        ));
    }
    remarks
}
