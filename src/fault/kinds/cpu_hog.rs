//! `cpu-hog`: busy threads take processor time within a node's own limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};

fn four() -> u32 {
    4
}

/// Parameters of `cpu-hog`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Busy threads. Default 4.
    #[serde(default = "four")]
    pub threads: u32,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::CpuHog {
                    threads: self.threads.min(64),
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
        &[Effect::CpuStarved]
    }
}
