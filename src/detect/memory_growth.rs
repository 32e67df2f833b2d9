//! # What it reports
//! A node whose resident memory grows without end and would reach its limit within the plan's horizon of mainnet time.
//! `major`.
//!
//! # Why it matters
//! A leak of some bytes a block is nothing in any test, and an ended process after some weeks on mainnet.
//!
//! # Evidence
//! Samples from along the growth, its slope per block and mainnet day with its interval, the earliest time at which
//! the limit is reached, and when the pace last changed.
//!
//! # When it stays quiet
//! In the warm-up and after each start of the node; while the chain fills what it keeps, unless the limit would be
//! reached before; for the teeth of a garbage collector, for steps and for growth that ends; while a fault is in force on
//! the node or its shard and until it has recovered. It closes when the growth ends or the node starts anew.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::{journal::Entry, plan::values::human_size};

const KIND: Kind = Kind {
    id: "memory-growth",
    series: Series::Memory,
    name: "memory",
    // A page.
    quantum: 4096.0,
    noise: 1.0,
    expected: |_| 0.0,
    limit: |world, _, _| {
        let limit = world.trends.capacity.memory;
        Some(Limit {
            value: limit as f64,
            what: format!("its limit of {}", human_size(limit)),
        })
    },
    unit: Unit::Bytes,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(Growth);

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(&KIND, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::TREND
    }
}
