//! What the recovery ladder tried.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Height, ShardId},
    plan::SoakTime,
    time::Elapsed,
};

/// One shard that stood still, and what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClimbView {
    /// The shard.
    pub shard: ShardId,
    /// Id of the finding that set the ladder off.
    pub finding: String,
    /// When.
    pub begins: Elapsed,
    /// The height at which the shard stood.
    pub height: Height,
    /// What was tried, in order.
    pub steps: Vec<ClimbStep>,
    /// The step that brought the shard back; none as long as nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_by: Option<String>,
    /// The first block after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_at: Option<Height>,
    /// Time from the beginning of the ladder to that block, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SoakTime>,
    /// All steps were used up and nothing brought it back.
    pub used_up: bool,
}

impl ClimbView {
    /// Whether it has come to an end, one way or the other.
    #[must_use]
    pub fn over(&self) -> bool {
        self.recovered_by.is_some() || self.used_up
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClimbStep {
    /// The step as the plan writes it.
    pub step: String,
    /// When it was begun, or skipped.
    pub begins: Elapsed,
    /// The nodes that something was done to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The id under which the journal tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What came of it.
    pub outcome: StepOutcome,
    /// Time from its begin to the first block, or until it was given up, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<SoakTime>,
    /// Why it was skipped, or what was read back of what it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// The run ended before anybody could say.
    #[default]
    NotKnown,
    /// The shard made steady blocks again.
    BroughtBack,
    /// It did not.
    DidNotHelp,
    /// It was not tried.
    Skipped,
}

impl StepOutcome {
    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotKnown => "the run ended",
            Self::BroughtBack => "BROUGHT IT BACK",
            Self::DidNotHelp => "did not help",
            Self::Skipped => "skipped",
        }
    }
}
