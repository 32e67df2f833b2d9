//! What became of disks that were filled before their nodes started.

use super::{conductor::Conductor, error::RunError};
use crate::{
    engine::Launched,
    journal::{
        Event,
        told::{DiskLevel, Pieces},
    },
    report::text::{bytes, percent},
};

impl Conductor {
    /// Journals how each disk was and how it is.
    pub(super) fn disks_aged(&mut self, launched: &Launched) -> Result<(), RunError> {
        let levels: Vec<DiskLevel> = launched
            .nodes
            .values()
            .filter_map(|node| node.aged.clone())
            .collect();
        if let Some(level) = levels.first() {
            let line = format!(
                "{} disks are old: the first one {}",
                levels.len(),
                told(level)
            );
            self.note(&line);
        }
        for level in levels {
            self.record(Event::DiskAged(Box::new(level)))?;
        }
        Ok(())
    }
}

/// `is 70 % full, and a file of 1 MiB is in 17 pieces (1 before)`.
fn told(level: &DiskLevel) -> String {
    let full = percent(level.used as f64 / level.size.max(1) as f64);
    let count = |pieces: &Option<Pieces>| pieces.map_or(0, |pieces| pieces.extents);
    match level.pieces {
        Some(pieces) => format!(
            "is {full} full, and a file of {} is in {} pieces ({} before)",
            bytes(pieces.bytes),
            pieces.extents,
            count(&level.pieces_before)
        ),
        None => format!("is {full} full"),
    }
}
