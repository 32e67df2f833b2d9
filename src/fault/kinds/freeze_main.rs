//! `freeze-main`: a node's main process stands still, its threads with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{Operation, ProcessOp},
};

/// Parameters of `freeze-main`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::FreezeMain,
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::ThawMain,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Frozen]
    }
}
