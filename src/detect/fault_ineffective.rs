//! # What it reports
//! An injected fault without effect, on all of its nodes or on some, or one that could not be healed. `info`.
//!
//! # Why it matters
//! A fault that did nothing must never be counted as survived: the run says less than its plan asked.
//!
//! # Evidence
//! What was read back.
//!
//! # When it stays quiet
//! For faults that were skipped: those are in the report's table.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    ids::NodeName,
    journal::{Entry, Event, event::FaultStep, text::clean},
};

/// Watches every fault.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch;

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Canary]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Fault { id, step, .. } = &entry.event else {
            return;
        };
        let summary = match step {
            FaultStep::Ineffective { why, nodes } if nodes.is_empty() => {
                format!("{id} had no effect: {}", clean(why, 300))
            }
            FaultStep::Ineffective { why, nodes } => {
                let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                format!(
                    "{id} had no effect on {}: {}",
                    names.join(", "),
                    clean(why, 300)
                )
            }
            FaultStep::HealFailed { why } => {
                format!("{id} could not be healed: {}", clean(why, 300))
            }
            _ => return,
        };
        findings.moment(Opening::new(
            "fault-ineffective",
            Severity::Info,
            world.now,
            summary,
        ));
    }

    fn wants(&self) -> Wants {
        Wants::OTHERS
    }
}
