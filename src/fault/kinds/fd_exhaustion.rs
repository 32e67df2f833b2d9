//! `fd-exhaustion`: a node's main process can open only a few files more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};

fn two() -> u64 {
    2
}

/// Parameters of `fd-exhaustion`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Files that it can still open. Default 2.
    #[serde(default = "two")]
    pub leave: u64,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::FileLimit { leave: self.leave },
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
        &[Effect::FilesExhausted]
    }
}
