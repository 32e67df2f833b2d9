//! What the machine can or cannot do for a canary, as it was tried: a fact of the journal.

use serde::{Deserialize, Serialize};

/// One thing that a canary wants, and whether it can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Stable id in kebab-case.
    pub id: String,
    /// Whether it can be had.
    pub able: bool,
    /// What was done and seen.
    pub proof: String,
    /// What to do if it cannot be had and is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

impl Capability {
    /// It can be had.
    #[must_use]
    pub fn able(id: &str, proof: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            able: true,
            proof: proof.into(),
            remedy: None,
        }
    }

    /// It cannot.
    #[must_use]
    pub fn unable(id: &str, proof: impl Into<String>, remedy: &str) -> Self {
        Self {
            id: id.to_owned(),
            able: false,
            proof: proof.into(),
            remedy: Some(remedy.to_owned()),
        }
    }

    /// Either.
    #[must_use]
    pub fn of(id: &str, able: bool, proof: String, remedy: &str) -> Self {
        if able {
            Self::able(id, proof)
        } else {
            Self::unable(id, proof, remedy)
        }
    }
}
