//! # What it reports
//! A node that opens more and more files and would reach its limit within the plan's horizon of mainnet time. `major`.
//!
//! # Why it matters
//! At the limit no peer can connect and no file of the database can be opened; a restart hides it until the next time.
//!
//! # Evidence
//! Samples from along the growth, its slope per block and mainnet day with its interval, the earliest time at which
//! the limit is reached, and when the pace last changed.
//!
//! # When it stays quiet
//! In the warm-up and after each start of the node; for connections that come and go and for single steps; while a
//! fault is in force on the node or its shard and until it has recovered. It closes when the growth ends or the node
//! starts anew.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::journal::Entry;

const KIND: Kind = Kind {
    id: "fd-growth",
    series: Series::OpenFiles,
    name: "the number of open files",
    quantum: 1.0,
    noise: 1.0,
    expected: |_| 0.0,
    limit: |world, _, _| {
        let limit = world.trends.capacity.open_files;
        Some(Limit {
            value: limit as f64,
            what: format!("its limit of {limit}"),
        })
    },
    unit: Unit::Count,
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
