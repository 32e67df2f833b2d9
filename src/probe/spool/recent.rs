//! What a watcher told its owner just now. An owner that is killed takes with it what it had not written down yet, and
//! whoever comes after it needs the newest block of each shard, however old. Pure.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{FRESH, Moment, Told};
use crate::{ids::ShardId, journal::event::Event};

/// Longer than an owner takes to write down what it was told, and its end to be noticed.
const KEPT: Duration = Duration::from_secs(3);
/// More than is told in that time of a network of any size that a machine carries.
const MOST: usize = 4096;

/// The last few seconds of a watcher that has an owner.
#[derive(Debug)]
pub struct Recent {
    events: VecDeque<(Moment, Event)>,
    /// The newest block of each shard among those that are not kept any more.
    before: BTreeMap<ShardId, Before>,
    /// All that was told from here on is kept.
    from: Moment,
}

#[derive(Debug)]
struct Before {
    block: Event,
    /// When it came; later by as much as the shard was not seen since then.
    at: Moment,
    answered: Moment,
}

impl Recent {
    /// Nothing was told before this moment.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            events: VecDeque::new(),
            before: BTreeMap::new(),
            from: now,
        }
    }

    /// Takes note of what was told.
    pub fn note(&mut self, at: Moment, event: Event) {
        self.events.push_back((at, event));
        let old = |(moment, _): &(Moment, Event)| at.since(*moment) > KEPT;
        while self.events.len() > MOST || self.events.front().is_some_and(old) {
            let Some((moment, event)) = self.events.pop_front() else {
                return;
            };
            self.from = moment;
            self.leave(moment, event);
        }
    }

    /// What is not kept any more is still good for the newest block, and how long ago that was.
    fn leave(&mut self, at: Moment, event: Event) {
        match event {
            Event::Block { shard, height, .. } => {
                let newer = |before: &Before| matches!(before.block, Event::Block { height: known, .. } if known < height);
                if self.before.get(&shard).is_none_or(newer) {
                    let before = Before {
                        block: event,
                        at,
                        answered: at,
                    };
                    self.before.insert(shard, before);
                }
            }
            Event::Heads { shard, .. } | Event::Head { shard, .. } => {
                if let Some(before) = self.before.get_mut(&shard) {
                    let unseen = at.since(before.answered).saturating_sub(FRESH);
                    before.at = before.at + unseen;
                    before.answered = at;
                }
            }
            _ => {}
        }
    }

    /// All of it, as a spool begins with it.
    pub fn lines(self) -> impl Iterator<Item = (Moment, Told)> {
        let before = self.before.into_values();
        let mut before: Vec<_> = before.map(|before| (before.at, before.block)).collect();
        before.sort_by_key(|(at, _)| *at);
        let fact = |(at, event)| (at, Told::Event(event));
        let begins = (self.from, Told::Begins {});
        let before = before.into_iter().map(fact);
        before
            .chain([begins])
            .chain(self.events.into_iter().map(fact))
    }
}
