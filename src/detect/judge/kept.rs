//! A judge in bytes, and back.

use super::Judge;
use crate::{
    detect::{
        causes::Causes,
        findings::Findings,
        kept::{self, Bytes, KeptError},
        measure::Measures,
        world::World,
    },
    plan::Plan,
};

/// A detector's id and its state; `None` when it has panicked.
type Known = (String, Option<Bytes>);

impl Judge {
    /// Everything that it knows, for [`Self::restore`] by the same build under the same plan.
    ///
    /// # Errors
    /// When a part of it cannot be written.
    pub fn keep(&self) -> Result<Vec<u8>, KeptError> {
        let mut detectors: Vec<Known> = Vec::with_capacity(self.detectors.len());
        for (id, detector) in &self.detectors {
            let state = detector.as_ref().map(|detector| detector.keep());
            detectors.push(((*id).to_owned(), state.transpose()?.map(Bytes)));
        }
        kept::write(&(
            &self.world,
            &self.findings,
            &self.causes,
            &self.measures,
            detectors,
            self.broken,
        ))
    }

    /// The judge that was kept: what it is shown next it judges as if it had seen all before.
    ///
    /// # Errors
    /// When the bytes are no judge of this build under this plan.
    pub fn restore(plan: &Plan, kept: &[u8]) -> Result<Self, KeptError> {
        Self::new(plan).with_state(kept)
    }

    pub(in crate::detect) fn with_state(mut self, kept: &[u8]) -> Result<Self, KeptError> {
        let (world, findings, causes, measures, detectors, broken): (
            World,
            Findings,
            Causes,
            Measures,
            Vec<Known>,
            bool,
        ) = kept::read(kept)?;
        let shape = |world: &World| (world.shards.len(), world.nodes.len());
        let same = |((id, _), (known, _)): (&(&str, _), &Known)| *id == known.as_str();
        if detectors.len() != self.detectors.len()
            || !self.detectors.iter().zip(&detectors).all(same)
            || shape(&world) != shape(&self.world)
        {
            return Err(KeptError::Detectors);
        }
        for ((_, detector), (_, state)) in self.detectors.iter_mut().zip(detectors) {
            match (state, detector.as_mut()) {
                (Some(Bytes(state)), Some(detector)) => detector.restore(&state)?,
                // Its state may have been anything when it panicked; it stays silent.
                _ => *detector = None,
            }
        }
        self.world = world.of_plan(&self.plan);
        (self.findings, self.causes, self.measures) = (findings, causes, measures);
        self.broken = broken;
        Ok(self)
    }
}
