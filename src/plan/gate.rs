//! What decides the verdict, resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use schemars::JsonSchema;

use super::{Against, Exercised};
use crate::detect::finding::Severity;

/// What decides the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Fails from this severity.
    pub fail_on: Severity,
    /// Severities raised by the plan: finding id to severity.
    pub severity: BTreeMap<String, Severity>,
    /// Limits on measured values: metric to condition as typed (`< 15 blocks`), parsed at resolve.
    pub limits: BTreeMap<String, Limit>,
    /// Coverage minima.
    pub coverage: Coverage,
    /// Findings that do not count.
    pub waive: Vec<Waiver>,
    /// Runs that this one is held against.
    #[serde(default)]
    pub against: Option<Against>,
    /// What findings of detectors mean that are younger than the plan.
    #[serde(default)]
    pub new_detectors: NewDetectors,
    /// The lowest version of canarynet that the plan's `requires` admits; `None` without one: then none is younger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
}

/// What findings of detectors mean that did not exist yet in the lowest version that the plan's `requires` admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NewDetectors {
    /// They are told and fail nothing, unless the plan gives the finding a severity of its own.
    #[default]
    Warn,
    /// They count like all others.
    Fail,
}

/// The lowest version that a range admits, as far as its lower bounds say; 0.0.0 where it has none.
#[must_use]
pub fn lowest(range: &semver::VersionReq) -> semver::Version {
    use semver::Op;

    let bounds = range.comparators.iter().filter_map(|bound| {
        let mut version = semver::Version::new(
            bound.major,
            bound.minor.unwrap_or(0),
            bound.patch.unwrap_or(0),
        );
        version.pre = bound.pre.clone();
        match bound.op {
            Op::Less | Op::LessEq => return None,
            // The next one that is greater: `>1` leaves all of 1.x out, as `>1.2` all of 1.2.x.
            Op::Greater => match (bound.minor, bound.patch) {
                (None, _) => version.major += 1,
                (_, None) => version.minor += 1,
                _ => version.patch += 1,
            },
            _ => {}
        }
        Some(version)
    });
    bounds.max().unwrap_or(semver::Version::new(0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_version_of_a_range_is_that_of_its_strictest_lower_bound() {
        for (range, expected) in [
            (">=0.4, <0.6", "0.4.0"),
            ("0.4", "0.4.0"),
            ("^1.2.3", "1.2.3"),
            ("~1.2", "1.2.0"),
            ("=2.0.1", "2.0.1"),
            (">0.4.1", "0.4.2"),
            (">0.4", "0.5.0"),
            (">1", "2.0.0"),
            (">=0.1, >=0.3", "0.3.0"),
            ("1.*", "1.0.0"),
            ("<0.6", "0.0.0"),
            ("*", "0.0.0"),
        ] {
            let range = semver::VersionReq::parse(range).unwrap();
            assert_eq!(lowest(&range).to_string(), expected, "{range}");
        }
    }
}

/// A limit on one measured value, in the metric's own unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// As typed.
    pub text: String,
    /// `true`: the value must be below `value`; `false`: above.
    pub below: bool,
    /// The bound in the metric's base unit (milliseconds for times, blocks for heights, a share for percentages).
    pub value: f64,
}

/// Coverage minima; what they do not reach makes the run inconclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Blocks over all shards.
    pub blocks: u64,
    /// Epochs completed over all shards.
    pub epochs: u64,
    /// Largest share of the watched time that any node's probe may be blind.
    pub blind_share: f64,
    /// Largest share of log lines that may be lost.
    pub lines_lost_share: f64,
    /// What else must have happened.
    #[serde(default)]
    pub exercised: Exercised,
    /// Least share of the plan's faults that must have been effective.
    #[serde(default = "all")]
    pub faults_share: f64,
}

fn all() -> f64 {
    1.0
}

/// A finding that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The finding's id.
    pub finding: String,
    /// Only on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Only on this shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u64>,
    /// Last day it holds, `2026-12-31`.
    pub until: String,
    /// Why.
    pub because: String,
}
