//! The verdict: findings, measures and coverage held against the plan's gate.
//!
//! Pure. The order is fail, infra, inconclusive, pass; a second reason is always listed.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// How a run is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The strongest outcome.
    pub outcome: Outcome,
    /// Why, strongest first; more than one when more than one applies. Empty for a pass.
    pub reasons: Vec<Reason>,
    /// Every gate, in a fixed order.
    pub gates: Vec<GateResult>,
    /// What the reader should know but that decides nothing (an unused waiver).
    pub warnings: Vec<String>,
}

impl Verdict {
    /// The exit code that goes with the outcome.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Pass => Exit::Pass,
            Outcome::Fail => Exit::Fail,
            Outcome::Infra => Exit::Infra,
            Outcome::Inconclusive => Exit::Inconclusive,
        }
    }
}

/// Pass, fail, infra or inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The network passed the gate.
    Pass,
    /// Not enough evidence.
    Inconclusive,
    /// The host, the engine or the canary.
    Infra,
    /// The network failed the gate.
    Fail,
}

/// Why an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The outcome that it speaks for.
    pub outcome: Outcome,
    /// One line for people.
    pub text: String,
    /// Ids of the findings that it rests on; bounded.
    pub findings: Vec<String>,
}

/// One gate with what was asked, measured and came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// `findings`, `limit block-interval.p99`, `coverage blocks`, `waiver slow-fsync`, `journal`, ...
    pub gate: String,
    /// What the plan asked for, for people.
    pub asked: String,
    /// What was measured, for people.
    pub measured: String,
    /// What came out; never `Infra` unless the canary itself is the gate's subject.
    pub outcome: Outcome,
}
