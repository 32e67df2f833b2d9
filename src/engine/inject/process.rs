//! Carries out [`ProcessOp`].

use super::Scene;
use crate::{
    engine::error::EngineError,
    fault::operation::{ProcessOp, Outcome},
    ids::NodeName,
};

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    _scene: &Scene,
    _node: &NodeName,
    what: &ProcessOp,
) -> Result<Outcome, EngineError> {
    match *what {}
}
