//! Operations in a node's network namespace: packet filters, queues, delays. Never on the management network.
//!
//! Only packets between the node and named peers are touched, told by the addresses of the data network.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ids::NodeName, time::micros};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkOp {
    /// Something is done to packets between the node and these peers.
    Break {
        /// The fault: names the rules, so that they can be found again.
        fault: String,
        /// The peers.
        peers: Vec<NodeName>,
        /// Which packets.
        direction: Direction,
        /// What.
        fate: Fate,
    },
    /// All that this fault did is undone, also where the node does not run any more.
    Heal {
        /// The fault.
        fault: String,
    },
}

/// Packets that come to the node, that go from it, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// What comes to the node.
    In,
    /// What goes from it.
    Out,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    /// Whether packets that come are meant.
    #[must_use]
    pub fn comes(self) -> bool {
        self != Self::Out
    }

    /// Whether packets that go are meant.
    #[must_use]
    pub fn goes(self) -> bool {
        self != Self::In
    }
}

/// What becomes of packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// So many of a million are lost, without a word to anybody.
    Lost {
        /// Of a million.
        per_million: u32,
    },
    /// So many of a million are damaged in a way that whoever gets them notices.
    Damaged {
        /// Of a million.
        per_million: u32,
    },
    /// TCP is answered with a reset; all else is lost.
    Refused,
    /// All together pass no faster than this, each direction by itself.
    Limited {
        /// The rate.
        bytes_per_second: u64,
    },
    /// They are held back.
    Late {
        /// How long.
        #[serde(with = "micros")]
        delay: Duration,
        /// Up to this much more or less, drawn evenly for each packet.
        #[serde(with = "micros")]
        jitter: Duration,
        /// Whatever holds them back ends by itself after this time.
        #[serde(with = "micros")]
        lasts: Duration,
    },
}
