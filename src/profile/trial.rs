//! What a short run of one node showed of its profile: which probes answered, which rules matched, and why others did
//! not. Pure: journal entries in, an account out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use serde::Serialize;

use crate::{
    journal::{
        Entry,
        event::{ContainerChange, Event, Origin, ProbeError, ProbeKind},
    },
    plan::Plan,
    time::{Elapsed, human},
};

/// Examples of loud lines that are shown.
const EXAMPLES: usize = 5;

/// What is known so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Trial {
    /// Ports, for explanations.
    rpc_port: u16,
    metrics_port: Option<u16>,
    tells_position: bool,
    /// When it started and how it ended.
    started: Option<Elapsed>,
    ended: Option<(Elapsed, i64)>,
    starts: u64,
    probes: BTreeMap<ProbeKind, Probe>,
    /// Lowest and highest height by RPC, and by the log.
    heights: Option<(u64, u64)>,
    told: Option<(u64, u64)>,
    lines: u64,
    /// The profile's rules and how often each matched.
    rules: BTreeMap<String, u64>,
    own: BTreeSet<String>,
    /// Loud lines that only the rules for every chain know.
    loud: u64,
    examples: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Probe {
    answered: Option<Elapsed>,
    failing: Option<ProbeError>,
    failures: u64,
}

impl Trial {
    /// Of this plan, whose network is one node.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let probe = &plan.network.probe;
        let rules = plan.network.log_rules.iter();
        Self {
            rpc_port: probe.rpc_port,
            metrics_port: probe.metrics_port,
            tells_position: probe.log.is_some(),
            own: rules.map(|rule| rule.name.clone()).collect(),
            ..Self::default()
        }
    }

    /// Takes an entry.
    pub fn step(&mut self, entry: &Entry) {
        let now = entry.elapsed;
        match &entry.event {
            Event::Container { change, .. } => match change {
                ContainerChange::Started => {
                    self.starts += 1;
                    self.started.get_or_insert(now);
                }
                // The canary ends it by a signal, when the time is over.
                ContainerChange::Died { exit_code } if self.ended.is_none() => {
                    self.ended = Some((now, *exit_code));
                }
                _ => {}
            },
            Event::ProbeAnswered { probe, .. } => {
                let probe = self.probes.entry(*probe).or_default();
                probe.answered.get_or_insert(now);
                probe.failing = None;
            }
            Event::ProbeFailed {
                probe,
                error,
                failures,
                ..
            } => {
                let probe = self.probes.entry(*probe).or_default();
                probe.failing = Some(error.clone());
                probe.failures = (*failures).max(probe.failures);
            }
            Event::Block { height, .. } => widen(&mut self.heights, height.0),
            Event::Heads { nodes, .. } => {
                for head in nodes {
                    widen(&mut self.heights, head.height.0);
                }
            }
            Event::Position(position) if position.origin == Origin::Log => {
                if let Some(height) = position.height {
                    widen(&mut self.told, height.0);
                }
            }
            Event::LogCount { lines, .. } => self.lines = self.lines.max(*lines),
            Event::Log {
                rule,
                level,
                message,
                error,
                ..
            } => {
                if self.own.contains(&**rule) {
                    *self.rules.entry(rule.to_string()).or_default() += 1;
                } else {
                    self.loud += 1;
                    if self.examples.len() < EXAMPLES {
                        let error = error.as_deref().map(|error| format!(": {error}"));
                        let error = error.unwrap_or_default();
                        self.examples
                            .push(format!("{rule} ({level}): {message}{error}"));
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether all that the profile names told something.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let answered = |kind| {
            let probe: Option<&Probe> = self.probes.get(&kind);
            probe.is_some_and(|probe| probe.answered.is_some())
        };
        answered(ProbeKind::Rpc)
            && (self.metrics_port.is_none() || answered(ProbeKind::Metrics))
            && (!self.tells_position || self.told.is_some())
    }

    fn probe(&self, kind: ProbeKind, port: u16) -> String {
        let Some(probe) = self.probes.get(&kind) else {
            return "was never asked".to_owned();
        };
        let why = probe.failing.as_ref().map(|error| explain(error, port));
        match (probe.answered, why) {
            (Some(at), None) => format!("answers since {}", human(at.since(Elapsed::default()))),
            (Some(at), Some(why)) => {
                let at = human(at.since(Elapsed::default()));
                format!("answered at {at}, and fails since: {why}")
            }
            (None, Some(why)) => format!("never answered: {why}"),
            (None, None) => "never answered".to_owned(),
        }
    }
}

fn widen(range: &mut Option<(u64, u64)>, height: u64) {
    let (low, high) = range.get_or_insert((height, height));
    *low = (*low).min(height);
    *high = (*high).max(height);
}

fn explain(error: &ProbeError, port: u16) -> String {
    match error {
        ProbeError::Refused => format!(
            "nothing listens at port {port}; many programs listen at 127.0.0.1 until they are told 0.0.0.0"
        ),
        ProbeError::Deadline => {
            "it takes the question and does not answer within `deadline`".to_owned()
        }
        ProbeError::BadAnswer(reason) => {
            format!("the answer is none of this kind ({reason}); is it another port or path?")
        }
        ProbeError::TooLarge => "the answer is longer than 1 MiB".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl Display for Trial {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match (self.started, self.ended) {
            (None, _) => writeln!(formatter, "node     never started")?,
            (Some(_), None) => writeln!(formatter, "node     ran to the end")?,
            (Some(at), Some((ended, code))) => writeln!(
                formatter,
                "node     ended {} after its start with exit code {code}",
                human(ended.since(at))
            )?,
        }
        writeln!(
            formatter,
            "rpc      {}",
            self.probe(ProbeKind::Rpc, self.rpc_port)
        )?;
        match self.heights {
            Some((low, high)) => writeln!(formatter, "heights  {low} to {high}")?,
            None => writeln!(formatter, "heights  none was told")?,
        }
        match self.metrics_port {
            Some(port) => writeln!(
                formatter,
                "metrics  {}",
                self.probe(ProbeKind::Metrics, port)
            )?,
            None => writeln!(
                formatter,
                "metrics  the profile names no `probe.rpc.metrics_port`"
            )?,
        }
        writeln!(formatter, "log      {} lines", self.lines)?;
        match (self.tells_position, self.told) {
            (true, Some((low, high))) => {
                writeln!(formatter, "log      tells heights {low} to {high}")?
            }
            (true, None) => writeln!(
                formatter,
                "log      no line tells a height: is it by other words than `probe.log` has, or in a file that `log_files` does not name?"
            )?,
            (false, _) => writeln!(
                formatter,
                "log      the profile does not say which line tells a height"
            )?,
        }
        for (rule, times) in &self.rules {
            writeln!(formatter, "rule     {rule}: {times}")?;
        }
        if self.rules.is_empty() && !self.own.is_empty() {
            writeln!(
                formatter,
                "rule     none of the profile's {} matched: right for a healthy start",
                self.own.len()
            )?;
        }
        if self.loud > 0 {
            writeln!(
                formatter,
                "loud     {} lines that no rule of the profile knows:",
                self.loud
            )?;
        }
        for example in &self.examples {
            writeln!(formatter, "           {example}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{NodeName, Seq, ShardId},
        journal::{event::LogClass, generate::Shape},
    };

    fn trial(events: Vec<Event>) -> Trial {
        let mut plan = Shape::default().plan();
        plan.network.probe.rpc_port = 9500;
        let position = serde_json::json!({ "messages": ["new block"], "height": "h" });
        plan.network.probe.log = serde_json::from_value(position).unwrap();
        let mut trial = Trial::new(&plan);
        for (seq, event) in (0..).zip(events) {
            trial.step(&Entry {
                seq: Seq(seq),
                elapsed: Elapsed::from_secs(seq),
                event,
            });
        }
        trial
    }

    #[test]
    fn it_says_why_nothing_answers() {
        let node = NodeName::of(ShardId(0), 0);
        let container = |change| Event::Container {
            node: node.clone(),
            change,
            requested: false,
        };
        let log = Event::Log {
            node: node.clone(),
            level: "error".into(),
            rule: "error".into(),
            class: LogClass::Error,
            message: "cannot open the ledger".to_owned(),
            error: None,
            time: None,
            at: None,
        };
        let refused = Event::ProbeFailed {
            node: node.clone(),
            probe: ProbeKind::Rpc,
            error: ProbeError::Refused,
            failures: 3,
        };
        let trial = trial(vec![
            container(ContainerChange::Started),
            refused,
            log,
            container(ContainerChange::Died { exit_code: 255 }),
        ]);
        let text = trial.to_string();
        for part in [
            "ended 3.0 s after its start with exit code 255",
            "never answered: nothing listens at port 9500; many programs listen at 127.0.0.1",
            "no line tells a height",
            "error (error): cannot open the ledger",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(!trial.is_good());
    }
}
