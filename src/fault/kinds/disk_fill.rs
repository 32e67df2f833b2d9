//! `disk-fill`: a ballast file takes the free space of a node's data disk, to the byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};
use crate::plan::values::Size;

fn nothing() -> Size {
    Size(0)
}

fn yes() -> bool {
    true
}

/// Parameters of `disk-fill`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Bytes that stay free. Default `0 B`.
    #[serde(default = "nothing")]
    pub leave: Size,
    /// What the node frees meanwhile is taken again. Default true.
    #[serde(default = "yes")]
    pub keep: bool,
    /// How fast it fills, bytes a second; at once if absent.
    #[serde(default)]
    pub rate: Option<Size>,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::DiskFill {
                    leave: self.leave.0,
                    keep: self.keep,
                    rate: self.rate.map(|rate| rate.0),
                },
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::End {
                fault: cast.fault.to_owned(),
            },
        })
    }

    fn breaks_again(&self) -> bool {
        true
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::DiskFull]
    }
}
