//! `disk-hang`: a node's file system is frozen: who writes waits, without an error, until it is thawed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{DiskOp, Operation},
};

/// Parameters of `disk-hang`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Freeze {
                lasts: cast.duration,
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Thaw,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::DiskHang]
    }
}
