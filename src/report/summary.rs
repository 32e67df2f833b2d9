//! `summary.json`: the little of a run that `history`, `compare` and baselines need, kept when all else is pruned.
//!
//! Findings are told by fingerprint: what it is and where, without the moment, the height and the node, which differ
//! from night to night although the bug is the same.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{RenderError, ReportInput, Standing, json::FORMAT};
use crate::{
    detect::{Severity, judgement::Measure},
    ids::{RunId, ShardId},
    plan::Side,
    time::{WallTime, micros},
    verdict::Outcome,
};

/// One run, short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the file; a field is only ever added under the same number.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// The soak plan's name.
    pub plan: String,
    /// The profile's name.
    pub profile: String,
    /// The seed: runs of equal seeds are compared as pairs.
    pub seed: String,
    /// What the nodes run.
    pub program: String,
    /// Version of canarynet that ran it.
    pub canarynet: String,
    /// Wall time at which it began, in milliseconds since 1970-01-01 UTC.
    pub started: WallTime,
    /// What came out.
    pub outcome: Outcome,
    /// Length of the soak in microseconds of wall time.
    #[serde(with = "micros")]
    pub soak: Duration,
    /// The same in mainnet time.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Blocks over all shards.
    pub blocks: u64,
    /// All values that limits may be set on, in base units.
    pub measures: BTreeMap<String, Measure>,
    /// Findings by fingerprint, in the order of first sight.
    pub findings: Vec<FindingLine>,
}

/// All findings of one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingLine {
    /// `stall shard 1`; stable over runs and versions.
    pub fingerprint: String,
    /// Its kind.
    pub kind: String,
    /// Its shard, if it concerns one.
    pub shard: Option<ShardId>,
    /// The worst severity.
    pub severity: Severity,
    /// The worst standing at the gate.
    pub standing: Standing,
    /// How many there were.
    pub count: u64,
}

impl Summary {
    /// What comparisons need of it.
    #[must_use]
    pub fn side(&self) -> Side {
        Side {
            seed: self.seed.clone(),
            values: self
                .measures
                .iter()
                .map(|(name, measure)| (name.clone(), measure.value))
                .collect(),
        }
    }
}

/// The summary of a judged run.
#[must_use]
pub fn summary(input: &ReportInput) -> Summary {
    let mut findings: Vec<FindingLine> = Vec::new();
    for finding in &input.judgement.findings {
        let standing = Standing::of(finding, &input.plan.gate);
        let fingerprint = finding.fingerprint();
        match findings
            .iter_mut()
            .find(|line| line.fingerprint == fingerprint)
        {
            Some(line) => {
                line.count += 1;
                line.severity = line.severity.max(finding.severity);
                // The order of standings is the order of telling: what fails comes first.
                line.standing = line.standing.min(standing);
            }
            None => findings.push(FindingLine {
                fingerprint,
                kind: finding.kind.clone(),
                shard: finding.shard,
                severity: finding.severity,
                standing,
                count: 1,
            }),
        }
    }
    let judgement = &input.judgement;
    Summary {
        format: FORMAT,
        run: input.run.clone(),
        plan: input.plan.name.clone(),
        profile: input.plan.profile.clone(),
        seed: input.plan.seed.clone(),
        program: input.program.clone(),
        canarynet: judgement.canarynet.clone(),
        started: judgement.started,
        outcome: input.verdict.outcome,
        soak: judgement.coverage.soak,
        mainnet: judgement.acceleration.mainnet,
        blocks: judgement.coverage.blocks,
        measures: judgement.measures.clone(),
        findings,
    }
}

/// Renders `summary.json`.
///
/// # Errors
/// When the serializer fails, which no content of the input can cause.
pub fn render(input: &ReportInput) -> Result<String, RenderError> {
    super::json::render("summary.json", &summary(input))
}
