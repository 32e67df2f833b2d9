//! # What it reports
//! A node whose sources disagree on where it stands: its RPC, the height that it says it agrees on, its metrics, its
//! log, its disk. `critical`.
//!
//! # Why it matters
//! It was the incident's core: consensus was at 270,109 in memory, the chain at 270,108 on disk, and a leader announced
//! a block that nobody could follow.
//!
//! # Evidence
//! The positions that disagree.
//!
//! # When it stays quiet
//! While a node is down, silent or fetches blocks, and for a disagreement that does not last: sources are read one after
//! the other. What a disk lacks that the node had shown is told at once, since no later look can mend it. It closes when
//! the sources agree again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    ids::{Height, Seq, ViewId},
    journal::{
        Entry, Event,
        event::{Mode, NodeHead, Origin, Position},
    },
    time::Elapsed,
};

/// Heights by RPC that are remembered, one a second: a disk that was copied is read within minutes.
const REMEMBERED: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
/// What a node shows may be on its way to the disk for this long: RPC shows what is durable, and two clocks differ.
const SLACK: Duration = Duration::from_secs(1);
/// Heights may move this much between two reads of one moment.
const IN_FLIGHT: u64 = 2;
/// Seen this often before it is told.
const CONFIRMED: u32 = 3;

/// Two sources that can disagree.
const PAIRS: usize = 5;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    /// RPC's head and the height that consensus agrees on.
    Consensus = 0,
    /// RPC's head and the metrics'.
    Metrics = 1,
    /// Consensus by RPC and by the metrics.
    MetricsConsensus = 2,
    /// RPC's head and the log's.
    Log = 3,
    /// RPC's block and the log's at one height.
    LogHash = 4,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// When each pair began to disagree, and how often it was seen so.
    disagree: [Option<(Elapsed, u32)>; PAIRS],
    /// Heights by RPC, oldest first.
    heights: VecDeque<(Elapsed, Height)>,
    agreeing: Option<(Height, Option<ViewId>)>,
    /// Head and agreed height that disagreed last: a pair that moves is a node at work.
    apart: Option<(Height, Height)>,
    mode: Option<Mode>,
    /// The newest block by the log, until RPC has told of that height.
    log: Option<(Height, Option<Arc<str>>, Seq)>,
}

/// Watches every node's positions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    nodes: Vec<Known>,
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Chain, Source::Metrics, Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Heads { nodes, .. } => {
                for head in nodes {
                    if let Some(place) = world.node(&head.node) {
                        self.size(world);
                        self.head(place, head, world, findings);
                    }
                }
            }
            Event::Position(position) => {
                if let Some(place) = world.touched_node {
                    self.size(world);
                    self.position(place, position, world, findings);
                }
            }
            Event::Container { .. } => {
                if let Some(place) = world.touched_node
                    && let Some(known) = self.nodes.get_mut(place)
                {
                    *known = Known::default();
                    self.over(place, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::HEADS | Wants::CONTAINERS | Wants::OTHERS
    }
}

impl Watch {
    fn size(&mut self, world: &World) {
        if self.nodes.len() < world.nodes.len() {
            self.nodes.resize_with(world.nodes.len(), Known::default);
        }
    }

    fn head(&mut self, place: usize, head: &NodeHead, world: &World, findings: &mut Findings) {
        let known = &mut self.nodes[place];
        let due = known
            .heights
            .back()
            .is_none_or(|(at, _)| world.now.since(*at) >= EVERY);
        if due {
            if known.heights.len() == REMEMBERED {
                known.heights.pop_front();
            }
            known.heights.push_back((world.now, head.height));
        } else if let Some(last) = known.heights.back_mut() {
            last.1 = last.1.max(head.height);
        }
        known.mode = head.mode;
        known.agreeing = head.agreeing.map(|agreeing| (agreeing, head.view));
        let (height, log) = (head.height, known.log.clone());
        let next = height.0.saturating_add(1);
        // The consensus of a node that fetches blocks waits behind its head.
        let odd = head.agreeing.filter(|agreeing| match head.mode {
            Some(Mode::Listening) => false,
            Some(Mode::Syncing) => agreeing.0 > next,
            _ => agreeing.0 != next,
        });
        let apart = odd.map(|agreeing| (height, agreeing));
        if known.apart != apart {
            known.apart = apart;
            known.disagree[Pair::Consensus as usize] = None;
        }
        let (odd, agreeing) = (odd.is_some(), head.agreeing.unwrap_or(height));
        self.see(place, Pair::Consensus, odd, world, findings, || {
            format!("has block {height} and agrees on {agreeing}")
        });
        if let Some((told, _, _)) = log {
            let ahead = told.0 > height.0.saturating_add(IN_FLIGHT);
            self.see(place, Pair::Log, ahead, world, findings, || {
                format!("has block {height}, its log says {told}")
            });
        }
    }

    fn position(
        &mut self,
        place: usize,
        position: &Position,
        world: &World,
        findings: &mut Findings,
    ) {
        match position.origin {
            Origin::Metrics => self.metrics(place, position, world, findings),
            Origin::Log => self.log(place, position, world, findings),
            Origin::Disk => self.disk(place, position, world, findings),
        }
    }

    fn metrics(
        &mut self,
        place: usize,
        position: &Position,
        world: &World,
        findings: &mut Findings,
    ) {
        let known = &self.nodes[place];
        let takes_part = !matches!(known.mode, Some(Mode::Syncing | Mode::Listening));
        let fresh = known
            .heights
            .back()
            .is_some_and(|(at, _)| world.now.since(*at) <= world.fresh());
        if !takes_part || !fresh {
            return;
        }
        let agreeing = known.agreeing;
        let since_told = world.blocks_in(world.fresh()) + IN_FLIGHT;
        if let (Some(told), Some((_, head))) = (position.height, known.heights.back().copied()) {
            // The metrics are read later: they may be ahead by what came meanwhile, never behind.
            let apart = told < head || told.0 > head.0.saturating_add(since_told);
            self.see(place, Pair::Metrics, apart, world, findings, || {
                format!("has block {head} by RPC and {told} by its metrics")
            });
        }
        if let (Some(told), Some((agreed, _))) = (position.agreeing, agreeing) {
            let apart = told < agreed || told.0 > agreed.0.saturating_add(since_told);
            self.see(
                place,
                Pair::MetricsConsensus,
                apart,
                world,
                findings,
                || format!("agrees on {agreed} by RPC and on {told} by its metrics"),
            );
        }
    }

    fn log(&mut self, place: usize, position: &Position, world: &World, findings: &mut Findings) {
        let Some(told) = position.height else { return };
        self.nodes[place].log = Some((told, position.hash.clone(), world.seq));
        let shard = &world.shards[world.nodes[place].shard];
        let known = shard.known_hash(told);
        let odd = match (known, &position.hash) {
            (Some(known), Some(hash)) => known != hash,
            _ => return,
        };
        self.see(place, Pair::LogHash, odd, world, findings, || {
            format!("says in its log that block {told} is another than its shard has")
        });
    }

    /// A disk that was read aside: what it lacks is lost, what it has beside it was never shown.
    fn disk(&mut self, place: usize, position: &Position, world: &World, findings: &mut Findings) {
        let Some(told) = position.height else { return };
        let taken = world.now - position.age;
        let before = taken - SLACK;
        let heights = &self.nodes[place].heights;
        let shown = heights
            .iter()
            .take_while(|(at, _)| *at <= before)
            .last()
            .map(|(_, height)| *height);
        let node = &world.nodes[place];
        let shard = &world.shards[node.shard];
        let other = match (&position.hash, shard.known_hash(told)) {
            (Some(hash), Some(known)) => hash != known,
            _ => false,
        };
        let what = match shown {
            Some(shown) if told < shown => {
                format!("had shown block {shown}, its disk has {told}")
            }
            _ if other => format!("has another block {told} on its disk than its shard"),
            _ => return,
        };
        if self.open.get(place).is_some() || !world.judging() {
            return;
        }
        self.report(
            place,
            taken,
            &what,
            (told, shown.unwrap_or(told)),
            world,
            findings,
        );
    }

    fn see(
        &mut self,
        place: usize,
        pair: Pair,
        odd: bool,
        world: &World,
        findings: &mut Findings,
        what: impl FnOnce() -> String,
    ) {
        let known = &mut self.nodes[place];
        let slot = &mut known.disagree[pair as usize];
        if !odd {
            *slot = None;
            if known.disagree.iter().all(Option::is_none) {
                self.over(place, world, findings);
            }
            return;
        }
        let (since, seen) = slot.get_or_insert((world.now, 0));
        *seen += 1;
        let (since, seen) = (*since, *seen);
        // A gap in what we saw begins the wait anew.
        let shard = &world.shards[world.nodes[place].shard];
        let waited = world.now.since(since.max(shard.from));
        let (looks, window) = match pair {
            // One answer tells both: two looks a block apart suffice.
            Pair::Consensus => (2, world.clocks.block_interval),
            _ => (CONFIRMED, world.told.height_mismatch),
        };
        if self.open.get(place).is_some()
            || seen < looks
            || waited < window
            || !world.judging_progress()
        {
            return;
        }
        let head = world.nodes[place].height.unwrap_or_default();
        self.report(place, since, &what(), (head, head), world, findings);
    }

    fn report(
        &mut self,
        place: usize,
        since: Elapsed,
        what: &str,
        heights: (Height, Height),
        world: &World,
        findings: &mut Findings,
    ) {
        let node = &world.nodes[place];
        let restarted = node.starts > 1;
        let summary = format!("{} {what}", node.name);
        let mut opening = Opening::new("height-mismatch", Severity::Critical, since, summary)
            .shard(world.shards[node.shard].id)
            .node(&node.name)
            .resting_on(self.nodes[place].log.as_ref().map(|(_, _, seq)| *seq))
            .resting_on(node.severe.last().map(|line| line.1))
            .resting_on(node.container_seq.filter(|_| restarted))
            .after(restarted.then(|| format!("{} was started again before", node.name)))
            .after(node.trouble(world.now, world.thresholds.hung));
        opening.heights = Some(heights);
        self.open.put(place, findings.open(opening));
    }

    fn over(&mut self, place: usize, world: &World, findings: &mut Findings) {
        if let Some(handle) = self.open.take(place) {
            findings.close(handle, world.now);
        }
    }
}
