//! How much of the processor time that it may use a node does use.

use serde::{Deserialize, Serialize};

use crate::{journal::event::Sample, time::Elapsed};

/// This share of the limit is all of it: scheduling takes the rest.
const ALL: f64 = 0.9;
/// Looks in a row that tell of a busy node: one may fall into a moment.
pub(super) const BUSY: u32 = 2;

/// One node's processor time, from sample to sample.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Processor {
    used: u64,
    at: Elapsed,
    /// Looks in a row at which it used all that it may.
    pub(super) busy: u32,
}

impl Processor {
    /// A sample; `limit` is in processors, 0 is none.
    pub(super) fn fold(&mut self, sample: &Sample, limit: f64, now: Elapsed) {
        let passed = now.0.saturating_sub(self.at.0) as f64;
        let used = sample.cpu.saturating_sub(self.used) as f64;
        let known = self.used > 0 && sample.cpu >= self.used && passed > 0.0;
        self.busy = match known && limit > 0.0 && used >= ALL * limit * passed {
            true => self.busy.saturating_add(1),
            false => 0,
        };
        (self.used, self.at) = (sample.cpu, now);
    }
}
