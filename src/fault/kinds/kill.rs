//! `kill`: a node's process is killed and stays down until the heal starts it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{Operation, ProcessOp},
};

/// Parameters of `kill`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Kill,
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Start,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down]
    }
}
