//! `verdict.json` and `findings.json`: public interfaces for machines.
//!
//! Both carry `format`; a field is only ever added under the same number. Durations and elapsed times are whole
//! microseconds, wall times milliseconds since 1970-01-01 UTC, shares 0 to 1, sizes bytes; the files say so themselves
//! in `units`. Texts are cleaned: no control characters, no line ends.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{
    Fact, RenderError, ReportInput, Standing, audit, audit::AuditRow, harmless, tally, together,
};
use crate::{
    detect::{
        Finding, Judgement, NodeView, ShardView,
        causes::{common::CommonCause, signatures::Signature},
        judgement::{
            AccelerationView, ClimbView, CostView, DetectorView, Doubt, DrillView, FaultView,
            Finish, InfraView, KindView, Measure, Measured, Page, StageStart, Standstill,
            TemplateView, VersionView,
        },
        outlook::NodeOutlook,
    },
    ids::{NodeName, RunId},
    journal::Capability,
    time::{Elapsed, WallTime},
    verdict::{GateResult, Outcome, Reason, Verdict},
};

/// Version of both files.
pub const FORMAT: u32 = 1;

/// What the numbers of a file mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// Of durations and elapsed times.
    pub durations: Cow<'static, str>,
    /// Of wall times.
    pub wall_times: Cow<'static, str>,
    /// Of shares.
    pub shares: Cow<'static, str>,
    /// Of sizes.
    pub sizes: Cow<'static, str>,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            durations: "microseconds".into(),
            wall_times: "milliseconds since 1970-01-01 UTC".into(),
            shares: "0 to 1".into(),
            sizes: "bytes".into(),
        }
    }
}

/// `verdict.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictFile {
    /// [`FORMAT`].
    pub format: u32,
    /// What the numbers mean.
    pub units: Units,
    /// The run.
    pub run: RunId,
    /// The soak plan's name.
    pub plan: String,
    /// The profile's name.
    pub profile: String,
    /// The seed.
    pub seed: String,
    /// What the nodes run.
    pub program: String,
    /// Version of the program that wrote the journal.
    pub canarynet: String,
    /// `pass`, `fail`, `infra` or `inconclusive`.
    pub outcome: Outcome,
    /// The program's exit code.
    pub exit_code: u8,
    /// Why, strongest first; empty for a pass.
    pub reasons: Vec<Reason>,
    /// Every gate with asked, measured and outcome.
    pub gates: Vec<GateResult>,
    /// What decides nothing but should be known.
    pub warnings: Vec<String>,
    /// Wall time at elapsed zero.
    pub started: WallTime,
    /// When and why the run ended; null if its journal has no end.
    pub finished: Option<Finish>,
    /// Age of the run at the last entry of the journal.
    pub last: Elapsed,
    /// Entries of the journal.
    pub entries: u64,
    /// Stages and when they began.
    pub stages: Vec<StageStart>,
    /// Findings by where they stand.
    pub findings: Counts,
    /// Pages that went out.
    pub pages: Vec<Page>,
    /// What the run exercised.
    pub coverage: Measured,
    /// All values that limits may be set on.
    pub measures: BTreeMap<String, Measure>,
    /// Acceleration asked for and measured.
    pub acceleration: AccelerationView,
    /// Every clock of the protocol.
    pub audit: Vec<AuditRow>,
    /// What watching cost.
    pub cost: CostView,
    /// Per shard.
    pub shards: Vec<ShardView>,
    /// Per node.
    pub nodes: Vec<NodeView>,
    /// Per version of the nodes' program; absent where there was one only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionView>,
    /// What each detector could judge.
    #[serde(default)]
    pub detectors: Vec<DetectorView>,
    /// What could not be judged.
    pub doubts: Vec<Doubt>,
    /// What broke on our side.
    pub infra: Vec<InfraView>,
    /// Injected faults by kind, with their times of recovery; each fault is in `findings.json`.
    #[serde(default)]
    pub faults: Vec<KindView>,
    /// The canary's tests of itself.
    #[serde(default)]
    pub drills: Vec<DrillView>,
    /// Standstills of the network while snapshots of its disks were made.
    #[serde(default)]
    pub standstills: Vec<Standstill>,
    /// What the recovery ladder tried on shards that stood still, and which step brought them back (`recovered_by`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<ClimbView>,
    /// What the plan's faults need of the machine, as it was tried.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Versions, hashes and abilities of the machine.
    pub facts: Vec<Fact>,
    /// The command that repeats the run.
    pub reproduce: Vec<String>,
}

/// How many findings there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Neither waived nor excused, from info to critical.
    pub by_severity: [u32; 4],
    /// That fail the gate.
    pub failing: u64,
    /// That a waiver covers.
    pub waived: u64,
    /// That an injected fault excuses.
    pub excused: u64,
    /// Beyond the bound of their kind, only counted.
    pub suppressed: u64,
}

/// `findings.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingsFile {
    /// [`FORMAT`].
    pub format: u32,
    /// What the numbers mean.
    pub units: Units,
    /// The run.
    pub run: RunId,
    /// Wall time at elapsed zero.
    pub started: WallTime,
    /// All findings in the order in which they were noticed.
    pub findings: Vec<ToldFinding>,
    /// Findings beyond the bound of their kind, only counted.
    pub suppressed: BTreeMap<String, u64>,
    /// What several shards or nodes have in common.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub common_causes: Vec<CommonCause>,
    /// Families of bugs that findings look like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
    /// Injected faults, in the order in which they fired: what was read back, and how long their shards took to come
    /// back.
    #[serde(default)]
    pub faults: Vec<FaultView>,
    /// Where each node's memory, disk and open files go.
    #[serde(default)]
    pub outlook: BTreeMap<NodeName, NodeOutlook>,
}

/// A finding and where it stands at the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldFinding {
    /// `fails`, `tolerated`, `excused` or `waived`.
    pub standing: Standing,
    /// What it is and where, stable over runs and versions.
    #[serde(default)]
    pub fingerprint: String,
    /// The finding.
    pub finding: Finding,
    /// The step of the recovery ladder that brought the shard back, if this finding set the ladder off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_by: Option<String>,
}

fn counts(input: &ReportInput) -> Counts {
    let mut counts = Counts {
        by_severity: tally(&input.judgement.findings),
        suppressed: input.judgement.suppressed.values().sum(),
        ..Counts::default()
    };
    for (standing, _) in input.ranked() {
        match standing {
            Standing::Fails => counts.failing += 1,
            Standing::Waived => counts.waived += 1,
            Standing::Excused => counts.excused += 1,
            Standing::Tolerated => {}
        }
    }
    counts
}

/// The content of `verdict.json`.
#[must_use]
pub fn verdict_file(input: &ReportInput) -> VerdictFile {
    let Judgement {
        canarynet,
        started,
        finished,
        last,
        entries,
        stages,
        pages,
        shards,
        nodes,
        versions,
        coverage,
        measures,
        cost,
        acceleration,
        infra,
        doubts,
        kinds,
        drills,
        standstills,
        climbs,
        capabilities,
        detectors,
        ..
    } = input.judgement.clone();
    let Verdict {
        outcome,
        reasons,
        gates,
        warnings,
    } = input.verdict.clone();
    VerdictFile {
        format: FORMAT,
        units: Units::default(),
        run: input.run.clone(),
        plan: input.plan.name.clone(),
        profile: input.plan.profile.clone(),
        seed: input.plan.seed.clone(),
        program: input.program.clone(),
        canarynet,
        outcome,
        exit_code: input.exit_code,
        reasons,
        gates,
        warnings,
        started,
        finished,
        last,
        entries,
        stages,
        findings: counts(input),
        pages,
        coverage,
        measures,
        acceleration,
        audit: audit::audit(&input.plan),
        cost,
        shards,
        nodes,
        versions,
        detectors,
        doubts,
        infra,
        faults: kinds,
        drills,
        standstills,
        recovery: climbs,
        capabilities,
        facts: input.facts.clone(),
        reproduce: input.reproduce.clone(),
    }
}

/// Renders `verdict.json`.
///
/// # Errors
/// When the serializer fails, which no content of the input can cause.
pub fn verdict(input: &ReportInput) -> Result<String, RenderError> {
    render("verdict.json", &verdict_file(input))
}

/// Renders `findings.json`.
///
/// # Errors
/// When the serializer fails, which no content of the input can cause.
pub fn findings(input: &ReportInput) -> Result<String, RenderError> {
    let climbs = &input.judgement.climbs;
    let told = |finding: &Finding| ToldFinding {
        standing: Standing::of(finding, &input.plan.gate),
        fingerprint: finding.fingerprint(),
        finding: finding.clone(),
        recovered_by: climbs
            .iter()
            .find(|climb| climb.finding == finding.id)
            .and_then(|climb| climb.recovered_by.clone()),
    };
    let file = FindingsFile {
        format: FORMAT,
        units: Units::default(),
        run: input.run.clone(),
        started: input.judgement.started,
        findings: input.judgement.findings.iter().map(told).collect(),
        suppressed: input.judgement.suppressed.clone(),
        common_causes: together::common(input),
        signatures: together::looks_like(input),
        faults: input.judgement.faults.clone(),
        outlook: input
            .judgement
            .nodes
            .iter()
            .map(|node| (node.node.clone(), node.outlook))
            .collect(),
    };
    render("findings.json", &file)
}

/// `templates.json`: what `log_baseline` of a later plan is read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplatesFile {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Forms of log lines, in the order in which they came first.
    pub templates: Vec<TemplateView>,
}

/// Renders `templates.json`.
///
/// # Errors
/// When the serializer fails, which no content of the input can cause.
pub fn templates(input: &ReportInput) -> Result<String, RenderError> {
    let file = TemplatesFile {
        format: FORMAT,
        run: input.run.clone(),
        templates: input.judgement.templates.clone(),
    };
    render("templates.json", &file)
}

pub(super) fn render(file: &'static str, content: &impl Serialize) -> Result<String, RenderError> {
    harmless::pretty(content).map_err(|source| RenderError::Json { file, source })
}
