//! Carries out [`DiskOp`].

use super::Scene;
use crate::{
    engine::error::EngineError,
    fault::operation::{DiskOp, Outcome},
    ids::NodeName,
};

/// Does one operation and reads its effect back.
pub(super) async fn perform(
    _scene: &Scene,
    _node: &NodeName,
    what: &DiskOp,
) -> Result<Outcome, EngineError> {
    match *what {}
}
