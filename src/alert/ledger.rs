//! What is to be told of findings, by key: opened once, over when the last of them is.

use std::collections::{BTreeMap, BTreeSet};

use super::notice::{About, Notice, State};
use crate::detect::{
    Severity,
    findings::{ChangeKind, FindingChange},
};

/// Keys that are open at a time; findings are bounded by kind, so that this is never reached in health.
const MOST_OPEN: usize = 1_024;

/// Open trouble by key.
#[derive(Debug, Clone)]
pub struct Ledger {
    about: About,
    open: BTreeMap<String, Open>,
}

#[derive(Debug, Clone)]
struct Open {
    severity: Severity,
    drill: bool,
    findings: BTreeSet<String>,
}

impl Ledger {
    /// Nothing is open.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self {
            about,
            open: BTreeMap::new(),
        }
    }

    /// What the notices have in common.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What a change of a finding gives to tell, if anything. `leader` led its shard last; a `drill` is the canary's
    /// own doing. A page counts as critical whatever its severity: it is what people are woken up for.
    pub fn step(
        &mut self,
        change: &FindingChange,
        leader: Option<&str>,
        drill: bool,
    ) -> Option<Notice> {
        let finding = &change.finding;
        let silent = finding.excused_by.is_some() || finding.waived.is_some();
        match change.kind {
            ChangeKind::Closed => {
                let mut notice = self.about.finding(State::Resolved, finding, leader);
                let open = self.open.get_mut(&notice.key)?;
                if !open.findings.remove(&finding.id) || !open.findings.is_empty() {
                    return None;
                }
                notice.severity = open.severity;
                notice.drill = open.drill;
                self.open.remove(&notice.key);
                Some(notice)
            }
            _ if silent => None,
            kind => {
                let mut notice = self.about.finding(State::Firing, finding, leader);
                if kind == ChangeKind::Paged {
                    notice.severity = Severity::Critical;
                }
                notice.drill = drill;
                self.fire(notice, &finding.id)
            }
        }
    }

    fn fire(&mut self, mut notice: Notice, id: &str) -> Option<Notice> {
        if let Some(open) = self.open.get_mut(&notice.key) {
            open.findings.insert(id.to_owned());
            if notice.severity <= open.severity {
                return None;
            }
            notice.was = Some(open.severity);
            notice.drill = open.drill;
            open.severity = notice.severity;
            return Some(notice);
        }
        if self.open.len() >= MOST_OPEN {
            return None;
        }
        let open = Open {
            severity: notice.severity,
            drill: notice.drill,
            findings: BTreeSet::from([id.to_owned()]),
        };
        self.open.insert(notice.key.clone(), open);
        Some(notice)
    }
}
