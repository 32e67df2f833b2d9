//! # What it reports
//! Log lines of a form that came all the time in a shard, or in an earlier good run, and come no more. `minor`.
//!
//! # Why it matters
//! A heartbeat that stops is the failure that says nothing: no error, only a line that is missing.
//!
//! # Evidence
//! The count at which it was missed.
//!
//! # When it stays quiet
//! While the shard makes no blocks (everything stops then, and that is a finding of its own), while a node's log is not
//! read or not told of in full, outside the soak, and for forms that came only now and then. It closes when a line of the
//! form comes again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    judgement::Source,
    templates::Regularity,
    world::World,
};
use crate::{
    journal::{Entry, Event, text::clean},
    profile::log_templates::is_same_form,
    time::Elapsed,
};

/// Forms of a shard that are watched.
const MOST: usize = 256;
/// Forms of the baseline that are missed at most: more are another program.
const MOST_MISSED: usize = 20;
/// Counts come every ten seconds; one that is older than this is missing.
const COUNTED: Duration = Duration::from_secs(25);

#[derive(Debug, Serialize, Deserialize)]
struct Form {
    text: String,
    came: Regularity,
    open: Option<Handle>,
}

/// Watches the counts of all nodes of a shard together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    texts: BTreeMap<u64, String>,
    shards: Vec<BTreeMap<u64, Form>>,
    /// When each node's counts came last, and whether all of its lines were in them.
    counted: Vec<Option<(Elapsed, bool)>>,
    soak: Option<Elapsed>,
    compared: bool,
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
            Event::TemplateCounts { counts, rest, .. } => {
                if let Some(place) = world.touched_node {
                    self.count(place, counts, *rest == 0, world, findings);
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
        whole: bool,
        world: &World,
        findings: &mut Findings,
    ) {
        self.counted.resize(world.nodes.len(), None);
        self.shards.resize_with(world.shards.len(), BTreeMap::new);
        self.counted[place] = Some((world.now, whole));
        let shard = world.nodes[place].shard;
        let forms = &mut self.shards[shard];
        for (id, count) in counts {
            if forms.len() >= MOST && !forms.contains_key(id) {
                continue;
            }
            let Some(text) = self.texts.get(id) else {
                continue;
            };
            let form = forms.entry(*id).or_insert_with(|| Form {
                text: text.clone(),
                came: Regularity::default(),
                open: None,
            });
            form.came.seen(world.now, *count);
            if let Some(handle) = form.open.take() {
                findings.close(handle, world.now);
            }
        }
        if !world.judging_rates() || world.stage == Some(crate::journal::event::Stage::Settle) {
            return;
        }
        let soak = *self.soak.get_or_insert(world.now);
        if !self.sees_all(shard, world) {
            return;
        }
        self.miss(shard, world, findings);
        let warm = Duration::from_secs(60).max(world.told.template_vanished);
        if !self.compared && world.now.since(soak) >= warm {
            self.compared = true;
            self.compare(world, findings);
        }
    }

    /// Whether all lines of all nodes of a shard are counted, and the shard makes blocks.
    fn sees_all(&self, shard: usize, world: &World) -> bool {
        let shard = &world.shards[shard];
        world.makes_blocks(shard)
            && world.thinned.samples == 1
            && shard.nodes.iter().all(|&node| {
                let counted = self.counted[node]
                    .is_some_and(|(at, whole)| whole && world.now.since(at) <= COUNTED);
                counted && world.nodes[node].runs() && world.nodes[node].log.failing_since.is_none()
            })
    }

    fn miss(&mut self, shard: usize, world: &World, findings: &mut Findings) {
        let id = world.shards[shard].id;
        let from = world.shards[shard].from;
        for form in self.shards[shard].values_mut() {
            let window = world.told.template_vanished;
            if form.open.is_some() || !form.came.is_regular() {
                continue;
            }
            let since = form.came.last.max(from);
            if world.now.since(since) < window {
                continue;
            }
            let summary = format!(
                "no node of shard {id} says any more: {}",
                clean(&form.text, 200)
            );
            let opening =
                Opening::new("log-template-vanished", Severity::Minor, since, summary).shard(id);
            form.open = Some(findings.open(opening));
        }
    }

    /// What came all the time in an earlier good run, and never in this one.
    fn compare(&self, world: &World, findings: &mut Findings) {
        let Some(baseline) = &world.log_baseline else {
            return;
        };
        let regular = baseline.0.iter().filter(|(_, regular)| **regular);
        let missing =
            regular.filter(|(form, _)| !self.texts.values().any(|text| is_same_form(text, form)));
        for (form, _) in missing.take(MOST_MISSED) {
            let summary = format!("no node says what the baseline has: {}", clean(form, 200));
            let opening =
                Opening::new("log-template-vanished", Severity::Minor, world.now, summary);
            findings.moment(opening);
        }
    }
}
