//! # What it reports
//! A node that says the same thing many times as often as before. `minor`.
//!
//! # Why it matters
//! "Stuck in this message", the post-mortem says of the leader that could not propose: one line, over and over.
//!
//! # Evidence
//! The counts that showed it.
//!
//! # When it stays quiet
//! Outside the soak, until the node was counted a few times, and for what was always said that often. It closes when
//! the node says it less often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    journal::{Entry, Event, text::clean},
    time::Elapsed,
};

/// Forms of a node whose pace is known.
const MOST: usize = 512;
/// Counts of a node before anything is said.
const CONFIRMED: u32 = 3;
/// Weight of the newest count in the pace.
const NEWEST: f64 = 0.2;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pace {
    per_second: f64,
    open: Option<Handle>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Said {
    counted: Option<Elapsed>,
    counts: u32,
    paces: BTreeMap<u64, Pace>,
}

/// Watches every node's counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    texts: BTreeMap<u64, String>,
    nodes: Vec<Said>,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            // Another process numbers them anew.
            Event::Attached { .. } => *self = Self::default(),
            Event::TemplateSeen { id, text, .. }
                if self.texts.len() < 2 * crate::profile::log_templates::MOST_TEMPLATES =>
            {
                self.texts.insert(*id, text.clone());
            }
            Event::TemplateCounts { counts, .. } => {
                if let Some(place) = world.touched_node {
                    self.count(place, counts, world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::COUNTS | Wants::OTHERS
    }
}

impl Watch {
    fn count(
        &mut self,
        place: usize,
        counts: &[(u64, u64)],
        world: &World,
        findings: &mut Findings,
    ) {
        self.nodes.resize_with(world.nodes.len(), Said::default);
        let said = &mut self.nodes[place];
        let before = said.counted.replace(world.now);
        let Some(span) = before.map(|before| world.now.since(before).as_secs_f64()) else {
            return;
        };
        // The rest that is told at the end of a run is no period.
        if span < 1.0 {
            return;
        }
        said.counts = said.counts.saturating_add(1);
        let told: BTreeMap<u64, f64> = counts
            .iter()
            .map(|(id, count)| (*id, *count as f64 / span))
            .collect();
        for (id, pace) in &mut said.paces {
            if !told.contains_key(id) {
                pace.per_second *= 1.0 - NEWEST;
                if let Some(handle) = pace.open.take() {
                    findings.close(handle, world.now);
                }
            }
        }
        let judged = world.judging_rates() && said.counts > CONFIRMED;
        for (id, rate) in told {
            if said.paces.len() >= MOST && !said.paces.contains_key(&id) {
                continue;
            }
            let pace = said.paces.entry(id).or_insert_with(|| Pace {
                // What is said from the start has this pace; what begins in the soak had none before.
                per_second: if judged { 0.0 } else { rate },
                open: None,
            });
            let storms = rate >= world.told.template_storm_rate
                && rate >= pace.per_second * world.told.template_storm_factor;
            match (pace.open, storms) {
                (None, true) if judged => {
                    let node = &world.nodes[place];
                    let text = self.texts.get(&id).map_or("", String::as_str);
                    let summary = format!(
                        "{} says {rate:.0} times a second, {:.1} before: {}",
                        node.name,
                        pace.per_second,
                        clean(text, 200)
                    );
                    let start = before.unwrap_or(world.now);
                    let opening =
                        Opening::new("log-template-storm", Severity::Minor, start, summary)
                            .shard(world.shards[node.shard].id)
                            .node(&node.name);
                    pace.open = Some(findings.open(opening));
                }
                (Some(handle), true) => findings.cite(handle, world.seq),
                (Some(handle), false) if rate < world.told.template_storm_rate => {
                    pace.open = None;
                    findings.close(handle, world.now);
                }
                _ => {}
            }
            // While it storms the pace before it stands.
            if pace.open.is_none() {
                pace.per_second += (rate - pace.per_second) * NEWEST;
            }
        }
    }
}
