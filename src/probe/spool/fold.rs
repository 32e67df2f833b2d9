//! What a spool tells of each shard, as one fact. Pure.
//!
//! A wait for a block is what was seen of it: time in which no node of the shard answered is left out, as it is while
//! somebody is attached. The blocks' own times may show a longer one (nodes that were frozen answer nothing), and are
//! believed as far as the arrival of both blocks and of the one before them allows: a leader's wrong clock makes no stall.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Came, FRESH, Moment, Told};
use crate::{
    ids::{Height, ShardId},
    journal::{
        event::Event,
        unattended::{HAND_OVER, NewestBlock, Unattended, Wait},
    },
    time::WallTime,
};

/// Contradicting heads that are handed on: the first ones tell the story.
const MOST_CONTRADICTIONS: usize = 256;

/// Folds the lines of a spool.
#[derive(Debug, Default)]
pub struct Fold {
    shards: BTreeMap<ShardId, Shard>,
    contradictions: VecDeque<Event>,
    dropped: u64,
    /// What comes is all that was told; before, it is the newest block of each shard.
    begun: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// The newest block that the journal has.
    told: Option<Height>,
    last: Option<Seen>,
    /// When the block before that one came.
    before: Option<Moment>,
    answered: Option<Moment>,
    /// Time since the last block in which nobody answered.
    unseen: Duration,
    blocks: u64,
    newest: Option<NewestBlock>,
    longest: Option<Wait>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    height: Height,
    at: Moment,
    time: Option<WallTime>,
}

impl Fold {
    /// For these shards, each with the newest block of it that the journal has.
    #[must_use]
    pub fn new(shards: impl IntoIterator<Item = (ShardId, Option<Height>)>) -> Self {
        let one = |(id, told)| {
            let shard = Shard {
                told,
                ..Shard::default()
            };
            (id, shard)
        };
        Self {
            shards: shards.into_iter().map(one).collect(),
            ..Self::default()
        }
    }

    /// Takes the next line.
    pub fn take(&mut self, at: Moment, told: Told) {
        match told {
            Told::Event(event) => self.fact(at, event),
            // The newest blocks of before are as old as what was seen since then: up to here there was an owner.
            Told::Begins {} if !self.begun => {
                self.begun = true;
                for shard in self
                    .shards
                    .values_mut()
                    .filter(|shard| shard.last.is_some())
                {
                    shard.answered = Some(at);
                    shard.unseen = Duration::ZERO;
                }
            }
            Told::Begins {} | Told::Lives {} => {}
        }
    }

    fn fact(&mut self, at: Moment, event: Event) {
        match event {
            Event::Block {
                shard,
                height,
                hash,
                view,
                epoch,
                leader,
                time,
                ..
            } => {
                let newest = NewestBlock {
                    height,
                    hash,
                    view,
                    epoch,
                    leader,
                    time,
                };
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.block(at, newest);
                }
            }
            Event::Heads { shard, .. } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.answers(at);
                }
            }
            Event::Head { shard, .. } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.answers(at);
                }
                if self.contradictions.len() == MOST_CONTRADICTIONS {
                    self.contradictions.pop_back();
                    self.dropped += 1;
                }
                self.contradictions.push_back(event);
            }
            _ => {}
        }
    }

    /// All that it comes to, in the order in which it is to be journalled: `now` is the watcher's, `away` the time since
    /// the owner before wrote its last entry.
    #[must_use]
    pub fn finish(self, came: &Came, now: Moment, away: Duration) -> Vec<Event> {
        let watched = now.since(came.from);
        let hole = |hole: Duration| {
            if hole > HAND_OVER {
                hole
            } else {
                Duration::ZERO
            }
        };
        let unwatched =
            hole(away.saturating_sub(watched)) + hole(now.since(came.until)) + came.missed;
        let dropped = came.dropped.saturating_add(self.dropped);
        let one = |(id, mut shard): (ShardId, Shard)| {
            Event::Unattended(Box::new(Unattended {
                shard: id,
                watched: watched.min(away),
                unwatched,
                dropped,
                blocks: shard.blocks,
                waiting: shard.waits(now),
                newest: shard.newest,
                longest: shard.longest,
            }))
        };
        let shards = self.shards.into_iter().map(one);
        shards.chain(self.contradictions).collect()
    }
}

impl Shard {
    /// A node of it answered.
    fn answers(&mut self, at: Moment) {
        if let Some(answered) = self.answered {
            self.unseen += at.since(answered).saturating_sub(FRESH);
        }
        self.answered = self.answered.max(Some(at));
    }

    fn block(&mut self, at: Moment, block: NewestBlock) {
        self.answers(at);
        let seen = Seen {
            height: block.height,
            at,
            time: block.time,
        };
        let last = self.last;
        if last.is_some_and(|last| block.height <= last.height) {
            // It was skipped, and fetched later.
            self.count(&block);
            return;
        }
        if let Some(last) = last {
            let wait = Wait {
                lasted: self.wait(&last, &seen),
                after: last.height,
                until: seen.height,
            };
            let longer = self
                .longest
                .is_none_or(|longest| wait.lasted > longest.lasted);
            if longer && self.is_new(&block) {
                self.longest = Some(wait);
            }
        }
        self.count(&block);
        if self.is_new(&block) {
            self.newest = Some(block);
        }
        self.before = last.map(|last| last.at);
        self.last = Some(seen);
        self.unseen = Duration::ZERO;
    }

    fn is_new(&self, block: &NewestBlock) -> bool {
        self.told.is_none_or(|told| block.height > told)
    }

    fn count(&mut self, block: &NewestBlock) {
        self.blocks += u64::from(self.is_new(block));
    }

    /// How long a block was waited for.
    fn wait(&self, last: &Seen, next: &Seen) -> Duration {
        let seen = next.at.since(last.at).saturating_sub(self.unseen);
        let (Some(from), Some(to)) = (last.time, next.time) else {
            return seen;
        };
        if next.height.0 != last.height.0 + 1 {
            return seen;
        }
        let chain = Duration::from_millis(to.0.saturating_sub(from.0));
        let most = next.at.since(self.before.unwrap_or(last.at));
        seen.max(chain.min(most))
    }

    /// How long the next block has been waited for.
    fn waits(&mut self, now: Moment) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        self.answers(now);
        now.since(last.at).saturating_sub(self.unseen)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::NodeName;

    const SHARD: ShardId = ShardId(0);

    fn millis(millis: u64) -> Moment {
        Moment(millis * 1_000)
    }

    fn block(height: u64, time: Option<u64>) -> Event {
        Event::Block {
            shard: SHARD,
            height: Height(height),
            hash: format!("{height:x}").into(),
            view: None,
            epoch: None,
            leader: None,
            signers: None,
            committee: None,
            time: time.map(|time| WallTime(1_000_000 + time)),
            node: NodeName::of(SHARD, 0),
            content: None,
        }
    }

    fn answer() -> Event {
        Event::Heads {
            shard: SHARD,
            nodes: Vec::new(),
        }
    }

    /// What comes of these facts, at these milliseconds, when the journal has block 10 and the owner was away from
    /// 1 s on.
    fn folded(facts: &[(u64, Event)], now: u64) -> Unattended {
        let mut fold = Fold::new([(SHARD, Some(Height(10)))]);
        fold.take(millis(0), Told::Begins {});
        for (at, event) in facts {
            fold.take(millis(*at), Told::Event(event.clone()));
        }
        let last = facts.last().map_or(0, |(at, _)| *at);
        let came = Came {
            from: millis(0),
            until: millis(last.max(now)),
            missed: Duration::ZERO,
            dropped: 0,
        };
        let away = Duration::from_millis(now - 1_000);
        let mut events = fold.finish(&came, millis(now), away);
        match events.remove(0) {
            Event::Unattended(told) => *told,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_that_went_on_has_its_heights_and_no_long_wait() {
        let mut facts: Vec<_> = (0..20)
            .map(|step| (step * 500, block(9 + step, Some(step * 500))))
            .collect();
        facts.sort_by_key(|(at, _)| *at);
        let told = folded(&facts, 9_700);
        assert!(told.is_whole(), "{told:?}");
        assert_eq!(told.blocks, 18, "blocks 11 to 28");
        assert_eq!(told.newest.unwrap().height, Height(28));
        assert_eq!(told.longest.unwrap().lasted, Duration::from_millis(500));
        assert_eq!(told.waiting, Duration::from_millis(200));
        assert_eq!(told.watched, Duration::from_millis(8_700));
    }

    #[test]
    fn a_stall_that_is_seen_counts_from_the_last_block_also_from_before() {
        let mut facts = vec![(100, block(10, None))];
        facts.extend((1..9).map(|second| (second * 1_000, answer())));
        facts.push((8_100, block(11, None)));
        let told = folded(&facts, 8_200);
        let wait = told.longest.unwrap();
        assert_eq!((wait.after, wait.until), (Height(10), Height(11)));
        assert_eq!(wait.lasted, Duration::from_secs(8));
        // And one that lasts is told as what is being waited for.
        facts.pop();
        let told = folded(&facts, 8_200);
        assert_eq!((told.longest, told.newest, told.blocks), (None, None, 0));
        assert_eq!(told.waiting, Duration::from_millis(8_100));
    }

    #[test]
    fn a_wait_that_began_long_before_is_whole_though_nothing_of_it_is_kept_but_the_block() {
        let mut fold = Fold::new([(SHARD, Some(Height(10)))]);
        fold.take(millis(0), Told::Event(block(10, None)));
        fold.take(millis(20_000), Told::Begins {});
        for second in 21..25 {
            fold.take(millis(second * 1_000), Told::Event(answer()));
        }
        fold.take(millis(24_500), Told::Event(block(11, None)));
        let came = Came {
            from: millis(20_000),
            until: millis(24_500),
            missed: Duration::ZERO,
            dropped: 0,
        };
        let events = fold.finish(&came, millis(24_600), Duration::from_secs(3));
        let Event::Unattended(told) = &events[0] else {
            panic!("{events:?}")
        };
        assert_eq!(told.longest.unwrap().lasted, Duration::from_millis(24_500));
        assert_eq!(
            told.watched,
            Duration::from_secs(3),
            "not longer than nobody was there"
        );
    }

    #[test]
    fn what_was_not_seen_is_no_wait_unless_the_blocks_say_so() {
        // Nobody answers for six seconds, and then all blocks of that time are there.
        let mut blind = vec![(0, block(9, Some(0))), (1_000, block(10, Some(1_000)))];
        blind.extend((2..8).map(|step| (7_000, block(9 + step, Some(step * 1_000)))));
        let told = folded(&blind, 7_100);
        assert_eq!(told.longest.unwrap().lasted, Duration::from_millis(1_500));
        // Without times of their own: what was seen of it.
        let blind: Vec<_> = [(0, 9), (1_000, 10), (7_000, 11), (7_010, 12)]
            .into_iter()
            .map(|(at, height)| (at, block(height, None)))
            .collect();
        let told = folded(&blind, 7_100);
        assert_eq!(told.longest.unwrap().lasted, Duration::from_millis(1_500));
        // Frozen nodes: the block that was on its way comes first, the next one shows how long it was.
        let frozen = [
            (0, block(9, Some(0))),
            (1_000, block(10, Some(1_000))),
            (7_000, block(11, Some(1_900))),
            (7_600, block(12, Some(7_400))),
        ];
        let told = folded(&frozen, 7_700);
        let wait = told.longest.unwrap();
        assert_eq!(
            (wait.lasted, wait.after),
            (Duration::from_millis(5_500), Height(11))
        );
    }

    #[test]
    fn a_leader_with_a_wrong_clock_makes_no_stall() {
        let facts = [
            (0, block(10, Some(0))),
            (1_000, block(11, Some(60_000))),
            (2_000, block(12, Some(2_000))),
            (3_000, block(13, Some(90_000))),
        ];
        let told = folded(&facts, 3_100);
        assert!(
            told.longest.unwrap().lasted <= Duration::from_secs(2),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let fold = || Fold::new([(SHARD, Some(Height(10)))]);
        let came = |from, until, dropped| Came {
            from: millis(from),
            until: millis(until),
            missed: Duration::ZERO,
            dropped,
        };
        let told = |came: Came, now, away| match fold()
            .finish(&came, millis(now), Duration::from_millis(away))
            .remove(0)
        {
            Event::Unattended(told) => *told,
            other => panic!("{other:?}"),
        };
        assert!(told(came(0, 9_900, 0), 10_000, 9_000).is_whole());
        let dropped = told(came(0, 9_900, 3), 10_000, 9_000);
        assert!(!dropped.is_whole() && dropped.dropped == 3);
        let late = told(came(5_000, 9_900, 0), 10_000, 9_000);
        assert_eq!(late.unwatched, Duration::from_secs(4));
        let ended = told(came(0, 4_000, 0), 10_000, 9_000);
        assert_eq!(ended.unwatched, Duration::from_secs(6));
        assert!(!late.is_whole() && !ended.is_whole());
    }

    #[test]
    fn contradictions_are_handed_on_and_foreign_shards_are_not() {
        let mut fold = Fold::new([(SHARD, None)]);
        let head = |hash: &str| Event::Head {
            node: NodeName::of(SHARD, 1),
            shard: SHARD,
            height: Height(3),
            hash: Arc::from(hash),
            leader: None,
            was: None,
        };
        fold.take(millis(1), Told::Event(head("a")));
        fold.take(millis(2), Told::Event(answer()));
        let foreign = Event::Heads {
            shard: ShardId(7),
            nodes: Vec::new(),
        };
        fold.take(millis(3), Told::Event(foreign));
        for _ in 0..MOST_CONTRADICTIONS {
            fold.take(millis(4), Told::Event(head("b")));
        }
        let came = Came {
            from: millis(0),
            until: millis(4),
            missed: Duration::ZERO,
            dropped: 0,
        };
        let events = fold.finish(&came, millis(5), Duration::ZERO);
        assert_eq!(events.len(), 1 + MOST_CONTRADICTIONS);
        assert_eq!(events[1], head("a"));
        assert!(matches!(&events[0], Event::Unattended(told) if told.dropped == 1));
    }
}
