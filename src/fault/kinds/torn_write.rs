//! `torn-write`: the power of a node fails in the middle of a write to its FUSE disk. What was not synced is gone, and of
//! the last write only a part is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{FaultyOp, Operation, ProcessOp, faulty::Torn},
};

fn prefix() -> Torn {
    Torn::Prefix
}

/// Parameters of `torn-write`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What is left of the last write: its first half (`prefix`), some of its `sectors`, or `nothing`, and then nothing
    /// of any other write that was not synced either. Default `prefix`.
    #[serde(default = "prefix")]
    pub leaves: Torn,
    /// To which file: a path from the top of the disk, with `*` and `?`; to any if absent. The power fails when such a
    /// file is about to be synced; if none is within some seconds, then without one.
    #[serde(default)]
    pub path: Option<String>,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| {
            // Each node draws for itself.
            let place = cast.targets.iter().position(|target| *target == node);
            Operation::Faulty {
                node,
                what: FaultyOp::PowerCut {
                    fault: cast.fault.to_owned(),
                    lasts: cast.duration,
                    torn: self.leaves,
                    path: self.path.clone(),
                    seed: cast.seed.wrapping_add(place.unwrap_or(0) as u64),
                },
            }
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        // The disk first: the engine looks at it when it starts the node.
        let mut operations = cast.on_each(|node| Operation::Faulty {
            node,
            what: FaultyOp::Behave {
                fault: cast.fault.to_owned(),
            },
        });
        operations.extend(cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Start,
        }));
        operations
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down, Effect::LostWrites]
    }
}
