//! What is told: one notice, whatever its receiver makes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{Finding, Severity},
    journal::text::clean,
    time::{WallTime, human},
};

/// Version of the webhook's JSON.
pub const FORMAT: u32 = 1;

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is so now.
    Firing,
    /// It is over.
    Resolved,
    /// Only a sign of life at the end of a run.
    Heartbeat,
}

/// One notice. This is also the JSON of a webhook; a field is only ever added under the same format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it stands.
    pub state: State,
    /// The same for the same trouble after a restart and in the next night: `nightly/stall shard 1`.
    pub key: String,
    /// What: a finding's kind, `verdict`, `heartbeat` or `test`.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// Before it rose, if it did: receivers that know it by its severity end the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Severity>,
    /// The plan.
    pub plan: String,
    /// The run.
    pub run: String,
    /// The finding's id within the run.
    pub finding: String,
    /// The shard, if it concerns one.
    pub shard: Option<u64>,
    /// The nodes, at most eight.
    pub nodes: Vec<String>,
    /// Since when.
    pub since: WallTime,
    /// Until when, if it is over.
    pub until: Option<WallTime>,
    /// When the same was first found, in this run or an earlier one of the plan; nothing but findings has it.
    #[serde(default)]
    pub first_seen: Option<WallTime>,
    /// Who led the shard last.
    pub leader: Option<String>,
    /// What came first of all that led to it.
    pub first_cause: Option<String>,
    /// One line.
    pub summary: String,
    /// A drill: nobody is to be woken up.
    pub drill: bool,
    /// Where the report will be.
    pub report: String,
    /// The command that repeats the run.
    pub reproduce: String,
}

/// What a run's notices have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The plan's name.
    pub plan: String,
    /// The run.
    pub run: String,
    /// Wall time at elapsed zero.
    pub started: WallTime,
    /// Where the report will be.
    pub report: String,
    /// The command that repeats the run.
    pub reproduce: String,
    /// When findings were first seen in earlier runs of the plan, by fingerprint.
    pub seen: BTreeMap<String, WallTime>,
}

impl About {
    /// A notice without a finding.
    #[must_use]
    pub fn notice(&self, state: State, kind: &str, severity: Severity, summary: &str) -> Notice {
        Notice {
            format: FORMAT,
            state,
            key: format!("{}/{kind}", clean(&self.plan, 80)),
            kind: clean(kind, 60),
            severity,
            was: None,
            plan: clean(&self.plan, 80),
            run: clean(&self.run, 80),
            finding: String::new(),
            shard: None,
            nodes: Vec::new(),
            since: self.started,
            until: None,
            first_seen: None,
            leader: None,
            first_cause: None,
            summary: clean(summary, 400),
            drill: false,
            report: clean(&self.report, 400),
            reproduce: clean(&self.reproduce, 1_000),
        }
    }

    /// A notice of a finding.
    #[must_use]
    pub fn finding(&self, state: State, finding: &Finding, leader: Option<&str>) -> Notice {
        let wall = |at: crate::time::Elapsed| self.started.plus(at.as_duration());
        let first = finding.chain.first();
        let fingerprint = finding.fingerprint();
        let known = self.seen.get(&fingerprint).copied();
        let cause = first.map(|cause| cause.what.as_str());
        let cause = cause.or(finding.causes.first().map(String::as_str));
        Notice {
            key: format!("{}/{}", clean(&self.plan, 80), clean(&fingerprint, 80)),
            finding: clean(&finding.id, 40),
            shard: finding.shard.map(|shard| shard.0),
            nodes: finding
                .nodes
                .iter()
                .take(8)
                .map(ToString::to_string)
                .collect(),
            since: wall(finding.start),
            until: finding.end.map(wall),
            first_seen: Some(known.unwrap_or_else(|| wall(finding.start))),
            leader: leader.map(|leader| clean(leader, 64)),
            first_cause: cause.map(|cause| clean(cause, 300)),
            ..self.notice(state, &finding.kind, finding.severity, &finding.summary)
        }
    }
}

impl Notice {
    /// Where: `shard 1`, or the network.
    #[must_use]
    pub fn place(&self) -> String {
        self.shard
            .map_or_else(|| "network".to_owned(), |shard| format!("shard {shard}"))
    }

    /// Whether it is new, in words.
    #[must_use]
    pub fn first_seen_words(&self) -> Option<String> {
        let first = self.first_seen?;
        Some(if first < self.since {
            first.to_string()
        } else {
            "in this run".to_owned()
        })
    }

    /// All that matters in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let drill = if self.drill { "DRILL " } else { "" };
        let word = match self.state {
            State::Firing => format!("{:?}", self.severity).to_uppercase(),
            State::Resolved => "resolved".to_owned(),
            State::Heartbeat => "heartbeat".to_owned(),
        };
        let lasted = self.until.map_or_else(String::new, |until| {
            let millis = until.0.saturating_sub(self.since.0);
            format!(" for {}", human(std::time::Duration::from_millis(millis)))
        });
        format!(
            "{drill}{word} {} {} of {} since {}{lasted}: {}",
            self.kind,
            self.place(),
            self.plan,
            self.since,
            self.summary
        )
    }
}
