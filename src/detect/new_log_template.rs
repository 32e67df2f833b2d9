//! # What it reports
//! A log line of a form that was never seen before: with a baseline, in no earlier good run (`minor` from a warning on,
//! else `info`); without one, an error that the warm-up did not have. `minor`.
//!
//! # Why it matters
//! What a program says for the first time is where a new failure is seen first, before any rule knows its words.
//!
//! # Evidence
//! The line's form; the raw lines around that moment are in the node's log.
//!
//! # When it stays quiet
//! Before the soak without a baseline, after it, and for forms that differ from a known one only in what varies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    journal::{Entry, Event, text::clean},
    profile::log_templates::{MOST_TEMPLATES, is_same_form},
};

/// Watches every new form of line.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Forms that are known, by their first word: what a form is compared with.
    known: BTreeMap<usize, Vec<String>>,
    count: usize,
    read: bool,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::TemplateSeen {
            node, level, text, ..
        } = &entry.event
        else {
            return;
        };
        if let (Some(baseline), false) = (&world.log_baseline, self.read) {
            self.read = true;
            for form in baseline.0.keys() {
                self.learn(form);
            }
        }
        let new = !self.knows(text);
        if new {
            self.learn(text);
        }
        let has_baseline = world.log_baseline.is_some();
        let severity = match &**level {
            "error" | "fatal" => Severity::Minor,
            "warn" if has_baseline => Severity::Minor,
            _ if has_baseline => Severity::Info,
            _ => return,
        };
        let judged = world.judging_rates() || (has_baseline && world.judging());
        let Some(place) = world.touched_node.filter(|_| new && judged) else {
            return;
        };
        let summary = format!("{node} says what was never seen: {}", clean(text, 200));
        let opening = Opening::new("new-log-template", severity, world.now, summary)
            .shard(world.shards[world.nodes[place].shard].id)
            .node(node);
        findings.moment(opening);
    }

    fn wants(&self) -> Wants {
        Wants::OTHERS
    }
}

impl Watch {
    fn knows(&self, text: &str) -> bool {
        let alike = self.known.get(&words(text));
        alike.is_some_and(|forms| forms.iter().any(|form| is_same_form(form, text)))
    }

    fn learn(&mut self, text: &str) {
        if self.count < 2 * MOST_TEMPLATES && !self.knows(text) {
            self.count += 1;
            self.known
                .entry(words(text))
                .or_default()
                .push(clean(text, crate::profile::log_templates::MOST_TEXT));
        }
    }
}

fn words(text: &str) -> usize {
    text.split(' ').count()
}
