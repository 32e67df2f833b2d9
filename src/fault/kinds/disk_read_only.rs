//! `disk-read-only`: a node's file system gives up, as after an error of the device: it can be read, every write fails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{DiskOp, Operation},
};

/// Parameters of `disk-read-only`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::ReadOnly,
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Renew,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::DiskReadOnly]
    }
}
