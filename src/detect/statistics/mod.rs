//! Statistics of trends, pure and small: series in bounded memory, robust slopes with intervals that are honest under
//! autocorrelation, change points.
//!
//! Own code and no crate: what is to be had computes distributions, or intervals that take samples for independent,
//! which samples of a running process never are. `tests/` holds published vectors and the calibration: false alarms
//! and power over simulated noise.

mod change_points;
mod slope;
mod windows;

#[cfg(test)]
mod tests;

pub use change_points::{ChangePoint, change_points};
pub(super) use slope::student;
pub use slope::{Confidence, LEAST_POINTS, Line, established, median};
pub use windows::{Least, Merge, Rate, Windows};
