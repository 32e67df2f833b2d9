//! Repeating runs: the same plan with the same schedule, until the same finding appears.
//!
//! [`statistics`], [`comparison`] and [`shrink`] are pure; [`tries`] starts children of this program, [`case`] reads run directories,
//! which may come from a bundle and then are not trusted: [`confine`].

pub mod case;
pub mod comparison;
pub mod confine;
pub mod regression;
pub mod shrink;
pub mod statistics;
pub mod tries;

use serde::{Deserialize, Serialize};

use crate::detect::{Severity, finding::Finding};

/// A name that may come from anywhere, as part of a file's name: letters, digits and hyphens, at most so many.
fn file_name(name: &str, most: usize) -> String {
    let plain = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    };
    name.chars().map(plain).take(most).collect()
}

/// The finding that a repetition looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// What and where: [`Finding::fingerprint`].
    pub fingerprint: String,
    /// At least so bad: a stall that is only suspected is not yet the stall that was found.
    pub severity: Severity,
}

impl Sought {
    /// Of a finding of the recorded run.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        Self {
            fingerprint: finding.fingerprint(),
            severity: finding.severity,
        }
    }

    /// Whether a finding is the one.
    #[must_use]
    pub fn is(&self, finding: &Finding) -> bool {
        finding.excused_by.is_none()
            && finding.severity >= self.severity
            && finding.fingerprint() == self.fingerprint
    }
}
