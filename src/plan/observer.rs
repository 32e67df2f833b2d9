//! How long watching is switched off and on in turns, where a plan asks for it (`observer_ab`).

use std::time::Duration;

use crate::time::Clocks;

/// Turns of one stretch without watching and one with it.
pub const TURNS: u32 = 6;
/// A stretch lasts this many blocks ...
const BLOCKS: u64 = 40;
/// ... and at least this long: followers and samplers take a moment to come back.
const SHORTEST: Duration = Duration::from_secs(4);

/// The length of one stretch.
#[must_use]
pub fn stretch(clocks: &Clocks) -> Duration {
    clocks.blocks(BLOCKS).max(SHORTEST)
}

/// How long all turns take.
#[must_use]
pub fn takes(clocks: &Clocks) -> Duration {
    stretch(clocks) * (2 * TURNS)
}
