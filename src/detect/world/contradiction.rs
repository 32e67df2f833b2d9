//! What contradicts a chain's safety.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Height, NodeName};

/// Something that cannot be in a chain that is safe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Contradiction {
    /// Two blocks at one height.
    Fork {
        /// Place of the shard.
        shard: usize,
        /// The height.
        height: Height,
        /// The hash seen first, if it is still known.
        known: Option<Arc<str>>,
        /// The other.
        other: Arc<str>,
        /// Who has the other.
        node: NodeName,
    },
    /// A node's head went back.
    Regression {
        /// Place of the node.
        node: usize,
        /// From this height.
        from: Height,
        /// To this.
        to: Height,
    },
}
