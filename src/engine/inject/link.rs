//! Carries out [`LinkOp`].

use super::Scene;
use crate::{
    engine::error::EngineError,
    fault::operation::{LinkOp, Outcome},
    ids::NodeName,
};

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    _scene: &Scene,
    _node: &NodeName,
    what: &LinkOp,
) -> Result<Outcome, EngineError> {
    match *what {}
}
