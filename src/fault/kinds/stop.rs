//! `stop`: a node is asked to stop, in order, and stays down until the heal starts it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{Operation, ProcessOp},
};
use crate::plan::values::Span;

fn grace() -> Span {
    Span(std::time::Duration::from_secs(5))
}

/// Parameters of `stop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Time to stop before it is killed. Default `5s`.
    #[serde(default = "grace")]
    pub grace: Span,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Stop {
                grace: self.grace.0,
            },
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
