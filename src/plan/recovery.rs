//! The recovery ladder: what the canary tries, in order, on a shard that stands still, as operators would. It never
//! changes what was found.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    NetworkPlan, Plan, PlanError, Start,
    error::did_you_mean,
    manifest::Manifest,
    resolve::{self, Sources},
};
use crate::{
    fault::recovery,
    ids::ShardId,
    time::{Clocks, Window, human, micros},
};

/// Findings about a shard that stands still: those that may set the ladder off.
const AFTER: &[&str] = &["stall", "no-recovery", "view-change-loop", "no-leader"];
/// Most steps: each takes its patience.
const MOST: usize = 16;
/// Recovery budgets that each step gets where nothing is said.
const BUDGETS: u32 = 2;
/// Most of them.
const MOST_BUDGETS: u32 = 1_000;
/// How the name of a version begins among the steps.
const VERSION: &str = "version:";

/// `[recovery]`: what is tried, in order, on a shard that stands still, to tell what would bring it back. The finding
/// stays as it is, and so does the verdict. Excludes `on_failure.stop`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryManifest {
    /// The finding that sets it off, as soon as it would fail the gate: `stall` (default), `no-recovery`,
    /// `view-change-loop` or `no-leader`.
    pub after: Option<String>,
    /// The steps, in order: `wait`, `restart-leader`, `restart-shard`, `version:NAME` (all nodes of the shard go on as
    /// this version of the plan), `restore-node` (the disk of one node is put back to the newest snapshot of this run),
    /// `wipe-node` (the disk of one node is emptied). Default: the first three.
    pub steps: Option<Vec<String>>,
    /// How long the shard may take to its first block after each step: a span of time, or `2 recovery budgets`
    /// (default).
    pub patience: Option<Patience>,
}

/// A span of time, or so many recovery budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A span of time.
    Window(Window),
    /// Recovery budgets (`detectors.no-recovery.after`).
    Budgets(u32),
}

/// Why a text is no [`Patience`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no span of time: write a duration (`30s`), blocks (`20 blocks`), mainnet time (`1m mainnet`) or `2 recovery budgets`"
)]
pub struct PatienceError {
    text: String,
}

impl FromStr for Patience {
    type Err = PatienceError;

    fn from_str(text: &str) -> Result<Self, PatienceError> {
        let error = || PatienceError {
            text: text.chars().take(80).collect(),
        };
        let trimmed = text.trim();
        for unit in ["recovery budgets", "recovery budget"] {
            if let Some(count) = trimmed.strip_suffix(unit) {
                let count = count.trim().parse().ok();
                let count = count.filter(|count| (1..=MOST_BUDGETS).contains(count));
                return count.map(Self::Budgets).ok_or_else(error);
            }
        }
        trimmed.parse().map(Self::Window).map_err(|_| error())
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => window.fmt(formatter),
            Self::Budgets(1) => formatter.write_str("1 recovery budget"),
            Self::Budgets(count) => write!(formatter, "{count} recovery budgets"),
        }
    }
}

impl Serialize for Patience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Patience {
    fn schema_name() -> Cow<'static, str> {
        "Patience".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration (30s), blocks (20 blocks), mainnet time (1m mainnet), or `2 recovery budgets`."
        })
    }
}

/// The recovery ladder, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPlan {
    /// The finding that sets it off.
    pub after: String,
    /// What is tried, in order; never nothing.
    pub steps: Vec<Rung>,
    /// How long the shard may take to its first block after each step.
    #[serde(with = "micros")]
    pub patience: Duration,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// Nothing is done.
    Wait,
    /// The leader is restarted.
    RestartLeader,
    /// All nodes of the shard are stopped and started.
    RestartShard,
    /// All nodes of the shard go on as this version of the plan.
    Version(String),
    /// The disk of one node is put back to a snapshot of this run.
    RestoreNode,
    /// The disk of one node is emptied.
    WipeNode,
}

/// The steps without a name of their own.
const WORDS: &[(&str, Rung)] = &[
    ("wait", Rung::Wait),
    ("restart-leader", Rung::RestartLeader),
    ("restart-shard", Rung::RestartShard),
    ("restore-node", Rung::RestoreNode),
    ("wipe-node", Rung::WipeNode),
];

impl fmt::Display for Rung {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(name) => write!(formatter, "{VERSION}{name}"),
            other => formatter.write_str(other.word()),
        }
    }
}

impl Rung {
    /// What it is, without the name of a version: a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let known = WORDS.iter().find(|(_, known)| known == self);
        known.map_or("version", |(word, _)| word)
    }
}

impl FromStr for Rung {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(VERSION) {
            return Ok(Self::Version(name.trim().to_owned()));
        }
        let known = WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, rung)| rung.clone()).ok_or_else(|| {
            let words = || WORDS.iter().map(|(word, _)| *word);
            let all: Vec<&str> = words().collect();
            format!(
                "{text:?} is no step of recovery{}; known are {} and `version:NAME`",
                did_you_mean(text, words()),
                all.join(", ")
            )
        })
    }
}

impl Serialize for Rung {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rung {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Resolves `[recovery]`.
///
/// # Errors
/// An unknown step or finding, a version that the plan does not have, a run that is to stop at its first failure.
pub(super) fn resolve(
    sources: &Sources,
    manifest: &Manifest,
    clocks: &Clocks,
    budget: Duration,
    network: &NetworkPlan,
) -> Result<Option<RecoveryPlan>, PlanError> {
    let Some(typed) = &manifest.recovery else {
        return Ok(None);
    };
    let stops = manifest
        .on_failure
        .as_ref()
        .and_then(|failure| failure.stop);
    if stops == Some(true) {
        return Err(sources.bad(
            "recovery",
            "`on_failure.stop` ends the run at the finding that sets the ladder off: leave one of the two out",
        ));
    }
    let after = typed.after.clone().unwrap_or_else(|| AFTER[0].to_owned());
    if !AFTER.contains(&after.as_str()) {
        let hint = did_you_mean(&after, AFTER.iter().copied());
        let message = format!(
            "{after:?} sets no ladder off{hint}: write one of {}",
            AFTER.join(", ")
        );
        return Err(sources.bad("recovery.after", &message));
    }
    let steps = match &typed.steps {
        None => vec![Rung::Wait, Rung::RestartLeader, Rung::RestartShard],
        Some(steps) => steps
            .iter()
            .map(|step| rung(step, network))
            .collect::<Result<_, _>>()
            .map_err(|message| sources.bad("recovery.steps", &message))?,
    };
    if steps.is_empty() || steps.len() > MOST {
        return Err(sources.bad("recovery.steps", "from 1 to 16 steps"));
    }
    let patience = match typed.patience {
        Some(Patience::Window(window)) => {
            let wall = resolve::window(sources, "recovery.patience", Some(window), clocks)?;
            wall.unwrap_or_default()
        }
        Some(Patience::Budgets(count)) => budget.saturating_mul(count),
        None => budget.saturating_mul(BUDGETS),
    };
    Ok(Some(RecoveryPlan {
        after,
        steps,
        patience,
    }))
}

/// A step as typed; a version must be one of the plan.
fn rung(text: &str, network: &NetworkPlan) -> Result<Rung, String> {
    let rung: Rung = text.parse()?;
    if let Rung::Version(_) = &rung {
        recovery::planned(&rung, ShardId(0), 0, network, None, None)?;
    }
    Ok(rung)
}

/// The ladder in lines for people; empty without one.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let Some(recovery) = &plan.recovery else {
        return Vec::new();
    };
    let steps: Vec<String> = recovery.steps.iter().map(ToString::to_string).collect();
    vec![format!(
        "after {}: {}; up to {} to the first block after each",
        recovery.after,
        steps.join(", "),
        human(recovery.patience)
    )]
}

/// What a person should know of the ladder.
pub(super) fn warnings(plan: &Plan) -> Vec<String> {
    let Some(recovery) = &plan.recovery else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let restores = recovery.steps.contains(&Rung::RestoreNode);
    if restores && plan.ladder.is_none() && plan.start == Start::Genesis {
        warnings.push("recovery step restore-node is skipped unless a snapshot is made by hand: the plan has no `[snapshot]` and begins at genesis".to_owned());
    }
    let count = u32::try_from(recovery.steps.len()).unwrap_or(u32::MAX);
    let all = recovery.patience.saturating_mul(count);
    if let Some(soak) = plan.soak.filter(|soak| soak.0 < all) {
        warnings.push(format!(
            "all steps of recovery may take {}, and the soak lasts {}: it may end before the last of them",
            human(all),
            human(soak.0)
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlanRequest, load};

    fn planned(set: &[&str]) -> Result<Plan, PlanError> {
        load(&PlanRequest {
            plan: "default".to_owned(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            ..PlanRequest::default()
        })
    }

    #[test]
    fn steps_are_read_and_written_back_and_unknown_ones_are_refused_with_a_suggestion() {
        for text in ["wait", "restart-shard", "version:v3.2", "wipe-node"] {
            assert_eq!(text.parse::<Rung>().unwrap().to_string(), text);
        }
        let error = "restart-leeder".parse::<Rung>().unwrap_err();
        assert!(error.contains("did you mean `restart-leader`"), "{error}");
        let error = planned(&["recovery.steps=[\"wipe_node\"]"]).unwrap_err();
        assert!(error.to_string().contains("wipe-node"), "{error}");
    }

    #[test]
    fn patience_is_a_span_of_time_or_recovery_budgets() {
        for text in ["2 recovery budgets", "1 recovery budget", "20 blocks"] {
            assert_eq!(text.parse::<Patience>().unwrap().to_string(), text);
        }
        for bad in ["", "0 recovery budgets", "two recovery budgets", "soon"] {
            let error = bad.parse::<Patience>().unwrap_err().to_string();
            assert!(error.contains("2 recovery budgets"), "{error}");
        }
        let plan = planned(&["recovery.after=no-recovery"]).unwrap();
        let recovery = plan.recovery.clone().unwrap();
        assert_eq!(recovery.patience, plan.thresholds.recovery * 2);
        assert_eq!(recovery.after, "no-recovery");
        assert_eq!(recovery.steps.len(), 3);
        let plan = planned(&["recovery.patience=20 blocks"]).unwrap();
        let patience = plan.recovery.unwrap().patience;
        assert_eq!(patience, plan.clocks.blocks(20));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |set: &[&str], says: &str| {
            let error = planned(set).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        refused(&["recovery.after=fork"], "sets no ladder off");
        refused(&["recovery.after=stal"], "did you mean `stall`");
        refused(&["recovery.steps=[]"], "from 1 to 16");
        refused(&["recovery.steps=[\"version:v2\"]"], "is no version");
        let both = ["recovery.after=stall", "on_failure.stop=true"];
        refused(&both, "leave one of the two out");
    }

    #[test]
    fn the_check_tells_the_ladder_and_what_it_lacks() {
        let set = [
            "recovery.steps=[\"wait\", \"restore-node\"]",
            "recovery.patience=1h",
        ];
        let plan = planned(&set).unwrap();
        assert_eq!(
            lines(&plan),
            ["after stall: wait, restore-node; up to 1h00m to the first block after each"]
        );
        let warnings = warnings(&plan);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("restore-node is skipped"));
        assert!(warnings[1].contains("may end before"));
        let text = crate::plan::check::check(&plan).to_string();
        assert!(text.contains("recovery after stall: wait"), "{text}");
    }
}
