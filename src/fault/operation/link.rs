//! Operations in a node's network namespace: packet filters, queues, delays. Never on the management network.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkOp {}
