//! Carries out [`InsideOp`].

use super::Scene;
use crate::{
    engine::error::EngineError,
    fault::operation::{InsideOp, Outcome},
    ids::NodeName,
};

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    _scene: &Scene,
    _node: &NodeName,
    what: &InsideOp,
) -> Result<Outcome, EngineError> {
    match *what {}
}
