//! # What it reports
//! A shard whose blocks hold no transaction, one after the other, while its nodes tell that some are ready for the next
//! block. `major`.
//!
//! # Why it matters
//! The chain advances, every check of progress is green, and nothing that users sent is done. In the incident the leader
//! that came back proposed a block with no transactions.
//!
//! # Evidence
//! The figures that told of waiting transactions, and the empty block at which it was sure.
//!
//! # When it stays quiet
//! Without load, for chains that do not tell what their blocks hold, and while fewer than half of the nodes that tell
//! have anything ready. It closes at the first block that holds something.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    ids::{Height, Seq},
    journal::{Entry, Event},
    time::Elapsed,
};

/// A row of empty blocks, and what a node had ready in it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Row {
    /// Empty blocks so far, the first one and when it came.
    blocks: u64,
    first: Option<(Height, Elapsed)>,
}

/// What a node told within the row at hand: empty blocks by then, and how many transactions were ready.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Mark {
    blocks: u64,
    ready: u64,
    seq: Seq,
    /// Still as many after enough further blocks.
    confirmed: bool,
}

/// Watches every shard's blocks and its nodes' figures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    rows: Vec<Row>,
    marks: Vec<Option<Mark>>,
    /// Nodes that tell at all.
    tells: Vec<bool>,
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Chain, Source::Metrics]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Block {
                content: Some(content),
                height,
                ..
            } => {
                let (Some(place), Some(transactions)) = (world.touched_shard, content.transactions)
                else {
                    return;
                };
                let Some(new) = world.shards[place].new_block else {
                    return;
                };
                self.size(world);
                let row = &mut self.rows[place];
                // What a block held that was not seen nobody knows.
                if transactions > 0 || new.blocks > 1 {
                    if row.blocks > 0 {
                        *row = Row::default();
                        for &node in &world.shards[place].nodes {
                            self.marks[node] = None;
                        }
                    }
                    if let Some(handle) = self.open.take(place) {
                        findings.close(handle, world.now);
                    }
                    return;
                }
                row.blocks += 1;
                row.first.get_or_insert((*height, world.now));
            }
            Event::Figures(figures) => {
                if let (Some(place), Some(ready)) = (world.touched_node, figures.ready) {
                    self.size(world);
                    self.tells[place] = true;
                    self.mark(place, ready, world);
                    self.look(world.nodes[place].shard, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::BLOCKS | Wants::FIGURES
    }
}

impl Watch {
    fn size(&mut self, world: &World) {
        if self.tells.len() < world.nodes.len() {
            self.rows.resize_with(world.shards.len(), Row::default);
            self.marks.resize(world.nodes.len(), None);
            self.tells.resize(world.nodes.len(), false);
        }
    }

    fn mark(&mut self, place: usize, ready: u64, world: &World) {
        let row = &self.rows[world.nodes[place].shard];
        let level = world.takes_part(&world.nodes[place], world.now);
        if ready == 0 || row.blocks == 0 || !level {
            self.marks[place] = None;
            return;
        }
        match &mut self.marks[place] {
            Some(mark) if ready >= mark.ready => {
                mark.confirmed |= row.blocks - mark.blocks >= world.told.empty_blocks;
            }
            mark => {
                *mark = Some(Mark {
                    blocks: row.blocks,
                    ready,
                    seq: world.seq,
                    confirmed: false,
                });
            }
        }
    }

    fn look(&mut self, place: usize, world: &World, findings: &mut Findings) {
        let shard = &world.shards[place];
        if self.open.get(place).is_some() || !world.judging_progress() {
            return;
        }
        let telling = shard.nodes.iter().filter(|node| self.tells[**node]).count();
        let confirmed = || {
            let marks = shard.nodes.iter().filter_map(|node| self.marks[*node]);
            marks.filter(|mark| mark.confirmed)
        };
        let count = confirmed().count();
        let row = &self.rows[place];
        let Some((first, since)) = row.first else {
            return;
        };
        if count == 0 || count * 2 < telling {
            return;
        }
        let summary = format!(
            "{} blocks of shard {} in a row hold no transaction, {} are ready",
            row.blocks,
            shard.id,
            confirmed().map(|mark| mark.ready).max().unwrap_or(0)
        );
        let mut opening = Opening::new("empty-blocks", Severity::Major, since, summary)
            .shard(shard.id)
            .resting_on(confirmed().map(|mark| mark.seq));
        let last = shard.best.as_ref().map_or(first, |best| best.height);
        opening.heights = Some((first, last));
        self.open.put(place, findings.open(opening));
    }
}
