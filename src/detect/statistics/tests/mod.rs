//! The statistics against published vectors and against noise of which the truth is known.

mod calibration;
mod published;
