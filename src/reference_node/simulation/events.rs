//! What happens in a simulation, and when.

use crate::reference_node::consensus::{Message, Micros};

/// One thing that happens.
#[expect(clippy::large_enum_variant, reason = "nearly all events are messages")]
pub(super) enum Event {
    Deliver {
        from: usize,
        to: usize,
        incarnation: u64,
        message: Message,
    },
    Wake {
        node: usize,
        incarnation: u64,
    },
    WriteEnd {
        node: usize,
        incarnation: u64,
    },
    Connect {
        node: usize,
        peer: usize,
    },
    Start {
        node: usize,
    },
}

/// An event and its time. Events of one time happen in the order in which they were planned.
pub(super) struct Timed {
    pub(super) at: Micros,
    pub(super) order: u64,
    pub(super) event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
