//! Where all probes put what they saw: one bounded queue with a policy for when it is full.
//!
//! Offering never waits, so a slow journal never slows a reader down. Half of the queue is kept free of what comes
//! again anyway (heads, samples, counts), an eighth free of ordinary facts; changes of state may fill it. What found
//! no room is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::mpsc;

use crate::journal::event::{Event, LogClass};

/// An observation on its way to the journal.
#[derive(Debug, Clone)]
pub struct ProbeEvent {
    /// The fact.
    pub event: Event,
    /// When the canary learned it.
    pub at: Instant,
}

/// The sending side; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sink {
    sender: mpsc::Sender<ProbeEvent>,
    dropped: Arc<AtomicU64>,
}

/// How much an event is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Comes again in a moment.
    Passing,
    /// A fact that comes once.
    Ordinary,
    /// A change of state, or a bad line.
    Vital,
}

impl Sink {
    /// A queue with room for this many observations.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<ProbeEvent>) {
        let (sender, receiver) = mpsc::channel(capacity.max(8));
        let dropped = Arc::default();
        (Self { sender, dropped }, receiver)
    }

    /// Puts an observation into the queue, or counts it as dropped. Returns whether it was taken.
    pub fn offer(&self, event: Event) -> bool {
        let reserved = match weigh(&event) {
            Weight::Passing => self.sender.max_capacity() / 2,
            Weight::Ordinary => self.sender.max_capacity() / 8,
            Weight::Vital => 0,
        };
        let at = Instant::now();
        let taken = self.sender.capacity() > reserved
            && self.sender.try_send(ProbeEvent { event, at }).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Counts observations that were dropped before they came here (by the watcher).
    pub fn count_dropped(&self, more: u64) {
        self.dropped.fetch_add(more, Ordering::Relaxed);
    }

    /// Observations that found no room, since the run started.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

fn weigh(event: &Event) -> Weight {
    match event {
        Event::Heads { .. }
        | Event::Sample(_)
        | Event::Position(_)
        | Event::Ledger(_)
        | Event::Figures(_)
        | Event::LogCount { .. }
        | Event::TemplateCounts { .. }
        | Event::Cost(_) => Weight::Passing,
        Event::Log {
            class: LogClass::Note,
            ..
        } => Weight::Passing,
        Event::Block { .. }
        | Event::TemplateSeen { .. }
        | Event::Log {
            class: LogClass::Error,
            ..
        } => Weight::Ordinary,
        _ => Weight::Vital,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ShardId, time::WallTime};

    #[tokio::test]
    async fn what_comes_again_is_dropped_first() {
        let heads = || Event::Heads {
            shard: ShardId(0),
            nodes: Vec::new(),
        };
        let vital = || Event::Tick { wall: WallTime(0) };
        let (sink, mut receiver) = Sink::new(16);
        let taken = (0..20).filter(|_| sink.offer(heads())).count();
        assert_eq!(taken, 8);
        assert_eq!((0..20).filter(|_| sink.offer(vital())).count(), 8);
        assert_eq!(sink.dropped(), 24);
        receiver.recv().await.unwrap();
        assert!(!sink.offer(heads()));
        assert!(sink.offer(vital()));
    }
}
