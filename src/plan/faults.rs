//! Faults as a plan names them: what, when, for how long, on whom. The schedule itself is computed by
//! [`crate::fault::schedule`]; here are its words, as typed and as resolved.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{NodeName, ShardId},
    time::{Window, micros},
};

/// `[[fault]]`: one fault, or one kind of fault again and again. All other keys are parameters of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultManifest {
    /// Its kind: `kill`, `disk-fill`, ... (`canarynet fault` names all).
    pub kind: String,
    /// Who: a node's name or a list of them, `leader`, `next-leader`, `random`, `one`, `minority-third`,
    /// `more-than-f-of`, `all`, `fullest-disk`, each with `shard:N` behind it or without; or `shard:N`. Default `one`.
    pub target: Option<TargetManifest>,
    /// When: `10m` or `200 blocks` after the soak began, `height 270060`, or `log TEXT` (when a node says TEXT).
    /// Excludes `every`.
    pub at: Option<String>,
    /// Again and again: the time from one to the next.
    pub every: Option<Window>,
    /// With `every`: each comes earlier or later by up to this much.
    pub jitter: Option<Window>,
    /// How long it lasts. Default: 40 blocks or two view-change timeouts, the longer.
    #[serde(rename = "for")]
    pub lasts: Option<Window>,
    /// A whole number as text, from which follows what is random about it. Default: drawn from the plan's seed.
    pub seed: Option<String>,
    /// Parameters of its kind.
    #[serde(flatten)]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// One target expression or a list of node names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetManifest {
    /// An expression.
    One(String),
    /// Nodes by name.
    Nodes(Vec<String>),
}

/// `[sweep]`: every kind of fault once, one after the other, each after the shard had its time to come back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepManifest {
    /// Which kinds. Default: all that the plan's disk, profile and permissions allow.
    pub kinds: Option<Vec<String>>,
    /// Who, as in `[[fault]]`. Default `leader`.
    pub target: Option<TargetManifest>,
    /// Length of each fault. Default: as in `[[fault]]`.
    #[serde(rename = "for")]
    pub lasts: Option<Window>,
    /// Time from one heal to the next fault. Default: two recovery budgets.
    pub rest: Option<Window>,
}

/// What becomes of faults that need what the machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissing {
    /// The plan is refused before anything is started.
    #[default]
    Refuse,
    /// They are skipped when their time comes: told, journalled, and counted against `gate.coverage.faults`.
    Skip,
}

/// `[chaos]`: a schedule drawn from the plan's seed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChaosManifest {
    /// What may be broken at one time: `minority-third per shard` (default: strictly less than a third of the voting
    /// power of each shard, so that every shard owes blocks all the time) or `one per network`.
    pub fault_budget: Option<String>,
    /// Time from one fault's heal to the next fault of the same shard, drawn evenly: `30s..5m`.
    pub gap: Option<String>,
    /// Length of each fault, drawn evenly on a logarithmic scale: `2s..60s`. Default.
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    /// Kinds and how often each is drawn, relative to the others.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Parameters of kinds, instead of their defaults.
    pub parameters: Option<BTreeMap<String, serde_json::Map<String, serde_json::Value>>>,
}

/// `[drill]`: the canary tests itself. It pauses a shard's nodes and tells the judge nothing of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillManifest {
    /// When, after the soak began. Default: a quarter of the soak.
    pub at: Option<Window>,
    /// How long. Default: the full window of `stall` and half of it again.
    #[serde(rename = "for")]
    pub lasts: Option<Window>,
    /// On which shard. Default: drawn from the seed.
    pub shard: Option<u64>,
}

/// How a node's clock is set wrong: by a file that it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockLever {
    /// Name of the file on the data disk.
    pub file: String,
    /// Port of the node's metrics.
    pub port: u16,
    /// Metric that shows the node's wall clock in milliseconds: by it the effect is read back.
    pub metric: String,
}

/// A fault in the schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Unique in its run, a word: `f3-kill`.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Parameters of its kind, as typed; checked by the schedule.
    pub parameters: serde_json::Value,
    /// When it fires.
    pub trigger: Trigger,
    /// How long it lasts.
    #[serde(with = "micros")]
    pub lasts: Duration,
    /// Who, resolved to nodes when it fires.
    pub target: Target,
    /// Its own number, drawn from the plan's seed: what is random about it follows from this alone.
    pub seed: u64,
    /// Drawn by `[chaos]`: it never takes a quorum away, also not together with what else is in force when it fires.
    pub drawn: bool,
}

/// The planned fake stall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDrill {
    /// After the soak began.
    #[serde(with = "micros")]
    pub at: Duration,
    /// How long.
    #[serde(with = "micros")]
    pub lasts: Duration,
    /// On which shard.
    pub shard: ShardId,
}

/// When a fault fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// So long after the soak began.
    After(#[serde(with = "micros")] Duration),
    /// When the target's shard (any shard, if the target names none) reaches this height.
    Height(u64),
    /// When a log line contains this text.
    Log(String),
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(after) => write!(formatter, "{}", crate::time::human(*after)),
            Self::Height(height) => write!(formatter, "height {height}"),
            Self::Log(text) => write!(formatter, "log {text:?}"),
        }
    }
}

/// Whom a fault is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which nodes.
    pub who: Who,
    /// Of which shard; `None` means any, drawn from the fault's seed where one is needed.
    pub shard: Option<ShardId>,
}

/// The nodes of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// These.
    Nodes(Vec<NodeName>),
    /// The leader when the fault fires.
    Leader,
    /// The validator after the leader, in the committee's order.
    NextLeader,
    /// One validator, drawn.
    One,
    /// Validators with strictly less than a third of the voting power, as many as that allows, drawn.
    MinorityThird,
    /// Validators, as few as take the quorum away, drawn.
    MoreThanF,
    /// All nodes of the shard, or of the network.
    All,
    /// The node with the least free room on its disk.
    FullestDisk,
}

const WORDS: &[(&str, Who)] = &[
    ("leader", Who::Leader),
    ("next-leader", Who::NextLeader),
    ("one", Who::One),
    ("random", Who::One),
    ("minority-third", Who::MinorityThird),
    ("more-than-f-of", Who::MoreThanF),
    ("all", Who::All),
    ("fullest-disk", Who::FullestDisk),
];

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no target: write a node's name, `shard:N`, or one of leader, next-leader, one, random, minority-third, more-than-f-of, all, fullest-disk, with `shard:N` behind it or without"
)]
pub struct TargetError {
    text: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error = || TargetError {
            text: text.chars().take(80).collect(),
        };
        let mut words = text.split_whitespace();
        let first = words.next().ok_or_else(error)?;
        let shard_of = |word: &str| {
            let number = word.strip_prefix("shard:")?.parse().ok()?;
            Some(ShardId(number))
        };
        let (who, mut shard) = match WORDS.iter().find(|(word, _)| *word == first) {
            Some((_, who)) => (who.clone(), None),
            None => match shard_of(first) {
                Some(shard) => (Who::All, Some(shard)),
                None => {
                    let node = first.parse().map_err(|_| error())?;
                    (Who::Nodes(vec![node]), None)
                }
            },
        };
        if let Some(word) = words.next() {
            if shard.is_some() || matches!(who, Who::Nodes(_)) {
                return Err(error());
            }
            shard = Some(shard_of(word).ok_or_else(error)?);
        }
        match words.next() {
            Some(_) => Err(error()),
            None => Ok(Self { who, shard }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word: Cow<'_, str> = match &self.who {
            Who::Nodes(nodes) => {
                let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                names.join(", ").into()
            }
            who => WORDS
                .iter()
                .find(|(_, known)| known == who)
                .map_or("one", |(word, _)| word)
                .into(),
        };
        match self.shard {
            Some(shard) => write!(formatter, "{word} shard:{shard}"),
            None => formatter.write_str(&word),
        }
    }
}

/// Two spans of time with `..` between them.
///
/// # Errors
/// What is allowed.
pub fn parse_range(text: &str) -> Result<(Window, Window), String> {
    let allowed = || format!("{text:?} is no range: write two spans of time, like `30s..5m`");
    let (from, to) = text.split_once("..").ok_or_else(allowed)?;
    let from = from.parse().map_err(|_| allowed())?;
    let to = to.parse().map_err(|_| allowed())?;
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_back() {
        for text in [
            "leader",
            "leader shard:1",
            "minority-third shard:2",
            "all",
            "all shard:0",
            "fullest-disk",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let node = "s0-n03".parse::<Target>().unwrap();
        assert_eq!(node.who, Who::Nodes(vec![NodeName::of(ShardId(0), 3)]));
        assert_eq!(
            "shard:2".parse::<Target>().unwrap().to_string(),
            "all shard:2"
        );
        for bad in [
            "",
            "Leader",
            "leader shard:x",
            "leader 1",
            "s0-n01 shard:1",
            "shard:1 shard:2",
            "../x",
        ] {
            let error = bad.parse::<Target>().unwrap_err();
            assert!(error.to_string().contains("minority-third"));
        }
    }

    #[test]
    fn ranges_have_two_ends() {
        assert!(parse_range("30s..5m").is_ok());
        assert!(parse_range("30s").is_err());
        assert!(parse_range("30s..soon").is_err());
    }
}
