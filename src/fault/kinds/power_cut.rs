//! `power-cut`: a node loses its power: its process ends and what it had not synced is gone. It stays down until the heal
//! puts its disk on a fresh device and starts it. Nodes of one fault are cut at one moment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{DiskOp, Operation, disk::Keep},
};

/// Parameters of `power-cut`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What of the unsynced writes survives: `nothing` (default), `metadata` or `all`.
    #[serde(default)]
    pub keep: Keep,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::CutPower {
                fault: cast.fault.to_owned(),
                together: cast.targets.to_vec(),
                keep: self.keep,
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Renew,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down, Effect::LostWrites]
    }
}
