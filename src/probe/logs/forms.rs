//! The forms of one node's lines: which are new, and how often each comes. All nodes of a run share the forms.
//!
//! Bounded in time as well as in memory: of a flood only so many lines a second are looked at, the rest is counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    ids::NodeName,
    journal::event::Event,
    profile::log_templates::{MOST_TEMPLATES, Miner},
};

/// Lines between two ticks (a second) that are looked at: more than a node says at 50 ms a block, and at some
/// microseconds a line a few percent of a core when all sixteen nodes flood.
const LINES: u32 = 500;
/// Forms of which the counts are told one by one; more are one number.
const TOLD: usize = 32;
/// New forms between two counts that are told one by one: what says more new things than this says nothing.
const NEW: u32 = 50;

/// The forms of all nodes of a run.
pub type SharedMiner = Arc<Mutex<Miner>>;

/// Counts the forms of one node.
#[derive(Debug)]
pub struct Forms {
    miner: SharedMiner,
    looked_at: u32,
    dropped: u64,
    new: u32,
    counts: BTreeMap<u64, u64>,
}

impl Forms {
    /// For one node.
    #[must_use]
    pub fn new(miner: SharedMiner) -> Self {
        Self {
            miner,
            looked_at: 0,
            dropped: 0,
            new: 0,
            counts: BTreeMap::new(),
        }
    }

    /// A second has passed.
    pub fn tick(&mut self) {
        self.looked_at = 0;
    }

    /// Takes a line; answers what is to be told if its form is new.
    pub fn line(&mut self, node: &NodeName, line: &[u8]) -> Option<Event> {
        if self.looked_at >= LINES {
            self.dropped += 1;
            return None;
        }
        self.looked_at += 1;
        let mut miner = self.miner.lock().unwrap_or_else(PoisonError::into_inner);
        let mined = miner.mine(line);
        if self.counts.len() < MOST_TEMPLATES || self.counts.contains_key(&mined.id) {
            *self.counts.entry(mined.id).or_default() += 1;
        }
        if !mined.new || self.new >= NEW {
            return None;
        }
        self.new += 1;
        let (text, level) = miner.text(mined.id)?;
        Some(Event::TemplateSeen {
            node: node.clone(),
            id: mined.id,
            level: level.name().into(),
            text,
        })
    }

    /// What came since this was last asked.
    pub fn take_counts(&mut self, node: &NodeName) -> Event {
        self.new = 0;
        let mut counts: Vec<(u64, u64)> = std::mem::take(&mut self.counts).into_iter().collect();
        counts.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        let rest = counts.iter().skip(TOLD).map(|(_, count)| count).sum();
        counts.truncate(TOLD);
        counts.sort_unstable();
        Event::TemplateCounts {
            node: node.clone(),
            counts,
            rest,
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    fn node(index: u32) -> NodeName {
        NodeName::of(ShardId(0), index)
    }

    #[test]
    fn a_form_is_told_once_and_counted_per_node() {
        let miner = SharedMiner::default();
        let (mut one, mut other) = (Forms::new(Arc::clone(&miner)), Forms::new(miner));
        let seen = one.line(&node(0), b"block 5 is done");
        let Some(Event::TemplateSeen { id, text, .. }) = seen else {
            panic!("{seen:?}")
        };
        assert_eq!((id, text.as_str()), (0, "block <*> is done"));
        assert_eq!(one.line(&node(0), b"block 6 is done"), None);
        assert_eq!(other.line(&node(1), b"block 6 is done"), None);
        let counts = |event| match event {
            Event::TemplateCounts {
                counts,
                rest,
                dropped,
                ..
            } => (counts, rest, dropped),
            other => panic!("{other:?}"),
        };
        assert_eq!(counts(one.take_counts(&node(0))), (vec![(0, 2)], 0, 0));
        assert_eq!(counts(one.take_counts(&node(0))), (vec![], 0, 0));
        assert_eq!(counts(other.take_counts(&node(1))), (vec![(0, 1)], 0, 0));
    }

    #[test]
    fn a_flood_is_counted_and_not_looked_at() {
        let mut forms = Forms::new(SharedMiner::default());
        let mut told = 0;
        for index in 0..2_000_u32 {
            let word: String = index
                .to_string()
                .bytes()
                .map(|digit| char::from(digit - b'0' + b'g'))
                .collect();
            told += u32::from(forms.line(&node(0), word.as_bytes()).is_some());
        }
        let Event::TemplateCounts {
            counts,
            rest,
            dropped,
            ..
        } = forms.take_counts(&node(0))
        else {
            panic!()
        };
        assert_eq!((counts.len(), rest, dropped, told), (32, 468, 1_500, NEW));
        forms.tick();
        forms.line(&node(0), b"again");
        let Event::TemplateCounts { dropped, .. } = forms.take_counts(&node(0)) else {
            panic!()
        };
        assert_eq!(dropped, 1_500);
    }
}
