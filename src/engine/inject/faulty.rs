//! Carries out [`FaultyOp`].

use super::Scene;
use crate::{
    engine::error::EngineError,
    fault::operation::{FaultyOp, Outcome},
    ids::NodeName,
};

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    _scene: &Scene,
    _node: &NodeName,
    what: &FaultyOp,
) -> Result<Outcome, EngineError> {
    match *what {}
}
