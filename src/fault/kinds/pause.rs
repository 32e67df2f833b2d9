//! `pause`: all processes of a node stand still; its connections stay up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{Operation, ProcessOp},
};

/// Parameters of `pause`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Pause,
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Unpause,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Frozen]
    }
}
