//! # What it reports
//! Space on a node's data disk that no visible file accounts for: `minor` from a tenth of the disk, `major` from half
//! of it, or from a tenth once nine tenths of the disk are used, or when it grows and would fill the disk within the
//! plan's horizon of mainnet time.
//!
//! # Why it matters
//! It is the incident's culprit: a tool unpacked the logs into an unlinked file, `df` went up and down and `du` saw
//! nothing.
//!
//! # Evidence
//! The first two samples that showed it; of a growth samples from along it, and its slope with its interval.
//!
//! # When it stays quiet
//! For a single sample: a file may just have been removed while it is still open. It closes when the space is back.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    growth::{Growth, Kind, Limit},
    judgement::Source,
    outlook::Unit,
    world::{Series, World},
};
use crate::{
    ids::Seq,
    journal::{Entry, Event, event::Sample},
    plan::values::human_size,
    time::Elapsed,
};

const KIND: Kind = Kind {
    id: "ghost-bytes",
    series: Series::GhostBytes,
    name: "space that nobody can see on the data disk",
    quantum: 4096.0,
    noise: 1.0,
    expected: |_| 0.0,
    limit: |world, node, _| {
        let size = world.nodes[node].disk.size();
        (size > 0).then(|| Limit {
            value: size as f64,
            what: format!("the disk's size of {}", human_size(size)),
        })
    },
    unit: Unit::Bytes,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    growth: Growth,
    open: Slots,
    /// The first sample that showed it, by the node's place.
    first: Vec<Option<(Elapsed, Seq)>>,
}

/// Bytes that are used and cannot be seen.
fn ghost(sample: &Sample) -> u64 {
    sample.disk_used.saturating_sub(sample.visible)
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.growth.step(&KIND, world, findings);
        let (Event::Sample(sample), Some(place)) = (&entry.event, world.touched_node) else {
            return;
        };
        let size = sample.disk_used.saturating_add(sample.disk_free);
        if size == 0 || !world.judging() {
            return;
        }
        self.first.resize(world.nodes.len(), None);
        if ghost(sample) < size / 10 {
            self.first[place] = None;
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
            return;
        }
        let Some((since, seq)) = self.first[place] else {
            self.first[place] = Some((world.now, entry.seq));
            return;
        };
        let handle = match self.open.get(place) {
            Some(handle) => handle,
            None => {
                let node = &world.nodes[place];
                let summary = format!(
                    "{} of the data disk of {} are used by files that nobody can see",
                    human_size(ghost(sample)),
                    node.name
                );
                let opening = Opening::new("ghost-bytes", Severity::Minor, since, summary)
                    .shard(world.shards[node.shard].id)
                    .node(&node.name)
                    .resting_on([seq]);
                let handle = findings.open(opening);
                self.open.put(place, handle);
                handle
            }
        };
        if ghost(sample) >= size / 2 || sample.disk_used >= size / 10 * 9 {
            findings.raise(handle, Severity::Major);
        }
    }

    fn wants(&self) -> Wants {
        Wants::SAMPLES | Wants::TREND
    }
}
