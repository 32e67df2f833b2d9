//! # What it reports
//! A shard that makes no block: `minor` (suspected) after the first window, `critical` after the full one. The page
//! goes out at its own window, whatever the severity.
//!
//! # Why it matters
//! It is the incident. A shard that stops pays nobody, and every minute of it is a minute of the outage.
//!
//! # Evidence
//! The last block, the last answer of a node that shows no newer one, the ends, full disks and silences of nodes.
//!
//! Of a stall that was over before the canary looked again: what the watcher told of the time without an owner. Its start
//! lies as far back as it lasted, though the run's clock stood still meanwhile.
//!
//! # When it stays quiet
//! While the canary does not see the shard (a gap in our sight is no gap in the chain), before the first block
//! (`never-started`), during teardown. A node that is down excuses nothing; only an injected fault does, and the
//! finding then says which. Windows count from the arrival of the last block, without the time that nothing was seen.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, shards_at},
    finding::Severity,
    findings::{Findings, Opening},
    world::{Best, Shard, World},
};
use crate::{
    ids::{Height, Seq},
    journal::{
        Entry, Event,
        unattended::{Unattended, Wait},
    },
    time::{Elapsed, human},
};

/// Watches every shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    paged: Vec<bool>,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if let (Event::Unattended(told), Some(place)) = (&entry.event, world.touched_shard) {
            self.look_back(place, told, world, findings);
        }
        for place in shards_at(world) {
            let shard = &world.shards[place];
            if shard.new_block.is_some() {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                if let Some(paged) = self.paged.get_mut(place) {
                    *paged = false;
                }
            } else if world.judging_progress() {
                self.look(place, world, findings);
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS | Wants::PULSE
    }
}

impl Watch {
    /// What nobody was attached for: waits that are over.
    fn look_back(
        &mut self,
        place: usize,
        told: &Unattended,
        world: &World,
        findings: &mut Findings,
    ) {
        let before = world.unattended.as_ref();
        let moved = told
            .newest
            .as_ref()
            .is_some_and(|newest| before.is_none_or(|before| newest.height > before.height));
        let open = self.open.get(place);
        let unwritten = world.unwritten();
        let long = |wait: &&Wait| wait.lasted >= world.thresholds.stall_suspected + unwritten;
        if let Some(wait) = told.longest.as_ref().filter(long)
            && world.judging_progress()
        {
            let waited = before.is_some_and(|before| wait.until.0 == before.height.0 + 1);
            let handle = match open.filter(|_| waited) {
                Some(handle) => handle,
                None => findings.open(over(told, wait, before, world.now)),
            };
            let paged = waited && self.paged.get(place).is_some_and(|paged| *paged);
            if wait.lasted >= world.thresholds.page + unwritten && !paged {
                findings.page(handle);
            }
            if wait.lasted >= world.thresholds.stall + unwritten {
                findings.raise(handle, Severity::Critical);
            }
            findings.close(handle, world.now);
            // A slot holds what is open: at quiet blocks nobody would look.
            if waited {
                self.open.take(place);
                if let Some(paged) = self.paged.get_mut(place) {
                    *paged = false;
                }
            }
        }
        if moved {
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
            if let Some(paged) = self.paged.get_mut(place) {
                *paged = false;
            }
        }
    }

    fn look(&mut self, place: usize, world: &World, findings: &mut Findings) {
        let shard = &world.shards[place];
        let Some(gap) = shard.seen_gap(world.now) else {
            return;
        };
        let unwritten = world.unwritten();
        if gap < world.thresholds.stall_suspected + unwritten || !world.sees_no_block(shard) {
            return;
        }
        let handle = match self.open.get(place) {
            Some(handle) => handle,
            None => {
                let Some(opening) = opening(shard, world) else {
                    return;
                };
                let handle = findings.open(opening);
                self.open.put(place, handle);
                handle
            }
        };
        if self.paged.len() <= place {
            self.paged.resize(place + 1, false);
        }
        if gap >= world.thresholds.page + unwritten && !self.paged[place] {
            self.paged[place] = true;
            findings.page(handle);
        }
        if gap >= world.thresholds.stall + unwritten {
            for node in world.troubles(shard).0 {
                findings.name_node(handle, &node);
            }
            findings.raise(handle, Severity::Critical);
        }
    }
}

/// A stall that came and went while nobody was attached.
fn over(told: &Unattended, wait: &Wait, before: Option<&Best>, now: Elapsed) -> Opening {
    let summary = format!(
        "no block in shard {} for {} after height {}, while nobody was attached",
        told.shard,
        human(wait.lasted),
        wait.after
    );
    let start = now - wait.lasted;
    let mut opening = Opening::new("stall", Severity::Minor, start, summary)
        .shard(told.shard)
        .resting_on(before.map(|best| best.seq))
        .after(["the watcher saw it and kept it for the next owner".to_owned()]);
    opening.heights = Some((wait.until, wait.until));
    opening
}

fn opening(shard: &Shard, world: &World) -> Option<Opening> {
    let best = shard.best.as_ref()?;
    let waiting = Height(best.height.0.saturating_add(1));
    let (nodes, causes) = world.troubles(shard);
    let quorum = if shard.has_quorum() {
        String::new()
    } else {
        format!(
            ", voting power {} of {} runs, no quorum",
            shard.running_power, shard.total_power
        )
    };
    let summary = format!(
        "no block in shard {}, waiting for height {waiting}{quorum}",
        shard.id
    );
    let mut opening = Opening::new("stall", Severity::Minor, best.at, summary)
        .shard(shard.id)
        .resting_on([best.seq])
        .resting_on(shard.answered_seq)
        .resting_on(shard.view_evidence.iter().copied())
        .resting_on(trouble_evidence(shard, world))
        .after(causes);
    opening.nodes = nodes;
    opening.heights = Some((waiting, waiting));
    Some(opening)
}

/// Entries that tell of what is wrong with a shard's nodes.
pub(super) fn trouble_evidence(shard: &Shard, world: &World) -> Vec<Seq> {
    let mut evidence = Vec::new();
    for &node in &shard.nodes {
        let node = &world.nodes[node];
        evidence.extend(node.down.map(|down| down.seq));
        if node.down.is_none() && node.rpc.failing_since.is_some() {
            evidence.extend(node.rpc.seq);
        }
        if node.disk.full_since.is_some() {
            evidence.extend(node.severe.last().map(|(_, seq, _)| *seq));
        }
    }
    evidence
}
