//! `device-dry`: the block device below a node's file system has no more blocks, though the file system counts some free:
//! what a thin pool does that was promised more often than it holds. Writes of new blocks fail, mostly not before the fsync,
//! with "no space left" or an input or output error, as the kernel has it; once one of them was the file system's own, it
//! turns read-only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{DiskOp, Operation},
};
use crate::plan::values::Size;

fn nothing() -> Size {
    Size(0)
}

/// Parameters of `device-dry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Bytes that the device still has for new blocks. Default `0 B`.
    #[serde(default = "nothing")]
    pub leave: Size,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::RunDry {
                leave: self.leave.0,
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
        &[Effect::DiskFull, Effect::DiskErrors, Effect::DiskReadOnly]
    }
}
