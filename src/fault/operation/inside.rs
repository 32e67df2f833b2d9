//! Operations by the toolbox inside a node, as the node's own user, within the node's own limits.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InsideOp {}
