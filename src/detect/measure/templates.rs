//! The forms of log lines of a run, for its report and for the baseline of later ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{judgement::TemplateView, templates::Regularity, world::World},
    ids::NodeName,
    journal::text::clean,
    profile::log_templates::{MOST_TEMPLATES, MOST_TEXT},
};

#[derive(Debug, Serialize, Deserialize)]
struct Form {
    view: TemplateView,
    /// By shard.
    came: BTreeMap<usize, Regularity>,
}

/// All forms of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TemplateMeasure {
    forms: Vec<Form>,
    /// Places by text, and by the number that the following process of the canary gives it.
    by_text: BTreeMap<String, usize>,
    by_id: BTreeMap<u64, usize>,
}

impl TemplateMeasure {
    /// Another process numbers the forms anew.
    pub fn attached(&mut self) {
        self.by_id.clear();
    }

    pub fn seen(&mut self, node: &NodeName, id: u64, level: &str, text: &str, world: &World) {
        let text = clean(text, MOST_TEXT);
        let place = match self.by_text.get(&text) {
            Some(place) => *place,
            None if self.forms.len() < MOST_TEMPLATES => {
                self.by_text.insert(text.clone(), self.forms.len());
                self.forms.push(Form {
                    view: TemplateView {
                        text,
                        level: clean(level, 16),
                        node: node.clone(),
                        lines: 0,
                        regular: false,
                        new: world.judging_rates(),
                    },
                    came: BTreeMap::new(),
                });
                self.forms.len() - 1
            }
            None => return,
        };
        if self.by_id.len() < 2 * MOST_TEMPLATES {
            self.by_id.insert(id, place);
        }
    }

    pub fn counted(&mut self, shard: usize, counts: &[(u64, u64)], world: &World) {
        for (id, count) in counts {
            let Some(form) = self
                .by_id
                .get(id)
                .and_then(|place| self.forms.get_mut(*place))
            else {
                continue;
            };
            form.view.lines = form.view.lines.saturating_add(*count);
            form.came.entry(shard).or_default().seen(world.now, *count);
        }
    }

    pub fn views(&self) -> Vec<TemplateView> {
        let view = |form: &Form| TemplateView {
            regular: form.came.values().any(Regularity::is_regular),
            ..form.view.clone()
        };
        self.forms.iter().map(view).collect()
    }
}
