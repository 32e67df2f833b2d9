//! `restart`: a node is stopped and started again at once.

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

/// Parameters of `restart`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Time to stop before it is killed. Default `5s`.
    #[serde(default = "grace")]
    pub grace: Span,
    /// It is killed instead of stopped. Default false.
    #[serde(default)]
    pub kill: bool,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let down = if self.kill {
            ProcessOp::Kill
        } else {
            ProcessOp::Stop {
                grace: self.grace.0,
            }
        };
        let mut operations = cast.on_each(|node| Operation::Process {
            node,
            what: down.clone(),
        });
        operations.extend(cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Start,
        }));
        operations
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
