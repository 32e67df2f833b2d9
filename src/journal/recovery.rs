//! What became of the plan's recovery ladder on a shard that stood still.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Height, NodeName},
    time::micros,
};

/// What happens on the ladder of one shard, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryStep {
    /// The canary acts because of a finding. The journal holds its id and nothing of what it says.
    SetOff {
        /// The finding's id.
        finding: String,
        /// The height that the shard stands at.
        height: Height,
        /// The time between two of its blocks before.
        #[serde(with = "micros")]
        usual: Duration,
    },
    /// A step is tried.
    Begun {
        /// Its place in the plan, from 0.
        place: u32,
        /// The step, as the plan writes it.
        step: String,
        /// The nodes that something is done to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeName>,
        /// The id under which the journal tells of that, if anything is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A step cannot be tried.
    Skipped {
        /// Its place in the plan, from 0.
        place: u32,
        /// The step, as the plan writes it.
        step: String,
        /// Why.
        why: String,
    },
    /// The shard made no steady blocks within the plan's patience.
    DidNotHelp {
        /// Its place in the plan, from 0.
        place: u32,
        /// Time since the step was begun.
        #[serde(with = "micros")]
        after: Duration,
    },
    /// The shard makes steady blocks again.
    BroughtBack {
        /// The place of the step in the plan, from 0.
        place: u32,
        /// The first block.
        height: Height,
        /// Time from the step's begin to that block.
        #[serde(with = "micros")]
        after: Duration,
    },
    /// All steps are used up.
    NothingHelped,
}
