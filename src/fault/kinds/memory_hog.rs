//! `memory-hog`: a process takes memory within a node's own limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};
use crate::plan::values::Size;

fn four_mebibytes() -> Size {
    Size(4 << 20)
}

/// Parameters of `memory-hog`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Bytes below the limit that stay free. Default `4 MiB`.
    #[serde(default = "four_mebibytes")]
    pub leave: Size,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::MemoryHog {
                    leave: self.leave.0,
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
        &[Effect::MemoryPressed]
    }
}
