//! # What it reports
//! A validator that runs, answers, has what its shard has, and signs few of its blocks over the window of rates:
//! `minor` below the share at which chains stop to pay, `major` when it signs next to nothing.
//!
//! # Why it matters
//! It looks healthy to every check of the process, earns nothing, and is one of the votes that are missing when another
//! fails.
//!
//! # Evidence
//! The block at which it was noticed; its share is in the summary.
//!
//! # When it stays quiet
//! Before the soak, until the window has filled, for a node that was down, behind, syncing or full within it
//! (`low-signers` tells what its votes were missed for), and on chains whose blocks do not say who signed. It closes
//! when the node signs again or is down, not when it answers late for a moment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::journal::{Entry, Event};

/// Blocks of the window at most; its length in blocks is bounded by the plan's clocks, and a thousand say enough.
const MOST_BLOCKS: usize = 1_024;
/// Blocks before anything is said.
const LEAST_BLOCKS: usize = 50;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Signed {
    /// Who signed each block of the window, oldest first.
    blocks: VecDeque<u128>,
    /// How many of them each validator signed, by its place in the shard.
    counts: Vec<u32>,
}

impl Signed {
    fn add(&mut self, signed: u128, most: usize) {
        // In a healthy shard the same ones sign the block that comes and the one that leaves the window.
        if self.blocks.len() == most && self.blocks.front() == Some(&signed) {
            self.blocks.rotate_left(1);
            return;
        }
        self.count(signed, 1);
        self.blocks.push_back(signed);
        while self.blocks.len() > most {
            let oldest = self.blocks.pop_front().unwrap_or(0);
            self.count(oldest, -1);
        }
    }

    fn count(&mut self, signed: u128, by: i32) {
        let mut rest = signed;
        while rest != 0 {
            let seat = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if let Some(count) = self.counts.get_mut(seat) {
                *count = count.saturating_add_signed(by);
            }
        }
    }
}

/// Watches every validator at the blocks of its shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    shards: Vec<Signed>,
    open: Slots,
    /// Blocks of the window.
    #[serde(skip)]
    most: Option<usize>,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Block {
            content: Some(content),
            ..
        } = &entry.event
        else {
            return;
        };
        let (Some(set), Some(place)) = (content.signed.as_deref(), world.touched_shard) else {
            return;
        };
        let shard = &world.shards[place];
        if shard.new_block.is_none() {
            return;
        }
        let Some(signed) = parse(set) else { return };
        if self.shards.len() <= place {
            self.shards.resize_with(world.shards.len(), Signed::default);
        }
        let validators = shard.nodes.len().min(u128::BITS as usize);
        let state = &mut self.shards[place];
        state.counts.resize(validators, 0);
        let most = *self.most.get_or_insert_with(|| {
            let window = world.thresholds.rate_window.as_secs_f64();
            let blocks = window / world.clocks.block_interval.as_secs_f64().max(1e-6);
            (blocks as usize).clamp(LEAST_BLOCKS, MOST_BLOCKS)
        });
        state.add(signed, most);
        if !world.judging_rates() || state.blocks.len() < most {
            return;
        }
        // Well above the limit, as nearly all are at nearly all blocks: there is nothing to look at.
        let enough = world.told.idle_below * state.blocks.len() as f64 + 1.0;
        for seat in 0..validators {
            let few = f64::from(self.shards[place].counts[seat]) < enough;
            if few || self.open.get(shard.nodes[seat]).is_some() {
                self.look(place, seat, world, findings);
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::BLOCKS
    }
}

impl Watch {
    fn look(&mut self, place: usize, seat: usize, world: &World, findings: &mut Findings) {
        let state = &self.shards[place];
        let shard = &world.shards[place];
        let at = shard.nodes[seat];
        let told = state.blocks.len().max(1) as f64;
        let share = f64::from(state.counts[seat]) / told;
        if share >= world.told.idle_below && self.open.get(at).is_none() {
            return;
        }
        let node = &world.nodes[at];
        let from = world.now - world.thresholds.rate_window;
        let idle = share < world.told.idle_below && node.power > 0 && world.takes_part(node, from);
        match (self.open.get(at), idle) {
            // An answer that is late for a moment says nothing of its signatures: only who is seen to sign, or is away,
            // is idle no more.
            (Some(handle), false)
                if share >= world.told.idle_below
                    || node.power == 0
                    || !node.runs()
                    || node.was_down_since(from) =>
            {
                self.open.take(at);
                findings.close(handle, world.now);
            }
            (handle, true) => {
                let handle = handle.unwrap_or_else(|| {
                    let summary = format!(
                        "{} takes part and signed {:.0} % of the last {} blocks of shard {}",
                        node.name,
                        share * 100.0,
                        state.blocks.len(),
                        shard.id
                    );
                    let opening = Opening::new("idle-validator", Severity::Minor, from, summary)
                        .shard(shard.id)
                        .node(&node.name);
                    findings.open(opening)
                });
                self.open.put(at, handle);
                if share < world.told.idle_major_below {
                    findings.raise(handle, Severity::Major);
                }
            }
            (_, false) => {}
        }
    }
}

/// A set in hex, lowest bit of the first byte first; `None` for more validators than any shard here has.
pub(super) fn parse(set: &str) -> Option<u128> {
    let digits = set.as_bytes();
    let byte = |pair: &[u8]| {
        let [high, low] = *pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        Some(u128::from(digit(high)? << 4 | digit(low)?))
    };
    // Committees of eight at most are common, and each block comes by here.
    if digits.len() == 2 {
        return byte(digits);
    }
    let mut bits = 0_u128;
    for (place, pair) in digits.chunks(2).enumerate() {
        let byte = byte(pair)?;
        if place >= 16 {
            if byte != 0 {
                return None;
            }
            continue;
        }
        bits |= byte << (8 * place);
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_lowest_bit_first() {
        assert_eq!(parse("0b"), Some(0b1011));
        assert_eq!(parse("0001"), Some(1 << 8));
        assert_eq!(parse(""), Some(0));
        assert_eq!(parse("f"), None);
        assert_eq!(parse("zz"), None);
        assert_eq!(parse(&"00".repeat(40)), Some(0));
        assert_eq!(parse(&"ff".repeat(17)), None);
    }

    #[test]
    fn the_window_slides() {
        let mut signed = Signed {
            counts: vec![0; 3],
            ..Signed::default()
        };
        for round in 0..100_u128 {
            signed.add(if round < 90 { 0b101 } else { 0b111 }, 20);
        }
        assert_eq!(signed.counts, [20, 10, 20]);
        assert_eq!(signed.blocks.len(), 20);
    }
}
