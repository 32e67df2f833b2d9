//! # What it reports
//! A node whose data would fill its disk on mainnet (the profile's `mainnet.disk`, or else the disk that it has here)
//! within the plan's horizon, or use up its inodes. `major`.
//!
//! # Why it matters
//! Whether the growth was expected or not: the day on which the disk is full is the one that somebody must know.
//!
//! # Evidence
//! Samples from along the growth, its slope per block and mainnet day with its interval, and the earliest time at which
//! the disk is full.
//!
//! # When it stays quiet
//! As `disk-growth`, but for growth that the profile expects: that fills disks too.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::{journal::Entry, plan::values::human_size};

const BYTES: Kind = Kind {
    id: "disk-exhaustion-forecast",
    series: Series::Disk,
    name: "the data",
    quantum: 4096.0,
    noise: 1.0,
    expected: |_| 0.0,
    limit: |world, node, _| {
        let (size, whose) = match world.trends.capacity.mainnet_disk {
            Some(size) => (size, "mainnet's"),
            None => (world.nodes[node].disk.size(), "its"),
        };
        (size > 0).then(|| Limit {
            value: size as f64,
            what: format!("the end of {whose} disk of {}", human_size(size)),
        })
    },
    unit: Unit::Bytes,
};

const INODES: Kind = Kind {
    series: Series::Inodes,
    name: "the number of files on the data disk",
    quantum: 1.0,
    limit: |world, node, _| {
        let (inodes, size) = (world.nodes[node].disk.inodes, world.nodes[node].disk.size());
        // A larger disk has more of them, in proportion.
        let factor = match world.trends.capacity.mainnet_disk {
            Some(mainnet) => (mainnet as f64 / size.max(1) as f64).max(1.0),
            None => 1.0,
        };
        (inodes > 0).then(|| Limit {
            value: inodes as f64 * factor,
            what: "the last inode".to_owned(),
        })
    },
    unit: Unit::Count,
    ..BYTES
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    bytes: Growth,
    inodes: Growth,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        self.bytes.step(&BYTES, world, findings);
        self.inodes.step(&INODES, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::TREND
    }
}
