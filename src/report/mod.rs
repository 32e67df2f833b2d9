//! Reports: pure renderers from a [`ReportInput`] to text or bytes, one reporter a file.
//!
//! Nothing here reads a clock, opens a file or a socket; the caller writes what [`REPORTERS`] render into the run
//! directory. The one exception is live progress: [`progress`] owns a thread that writes to the terminal, because a
//! terminal may block and the run loop may not.

use serde::{Deserialize, Serialize};

use crate::{
    detect::{Finding, Judgement, Severity},
    ids::{NodeName, RunId},
    journal::Entry,
    plan::{Gate, Plan},
    time::{Elapsed, WallTime},
    verdict::{Verdict, only_warns},
};

pub mod annotations;
pub mod audit;
mod chain;
mod climbs;
pub mod curves;
mod describe;
mod faults;
mod harmless;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod listing;
pub mod look;
pub mod markdown;
pub mod openmetrics;
pub mod progress;
pub mod screen;
pub mod status;
mod story;
pub mod summary;
pub mod sweep;
pub mod table;
pub mod terminal;
pub mod text;
pub mod timeline;
mod together;
mod versions;
pub mod why_not;

pub use curves::Curves;
pub use look::Look;

/// Everything that a report is made of. Serialisable, so that a report can be rendered again from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportInput {
    /// The run.
    pub run: RunId,
    /// The run directory, as shown to people.
    pub run_directory: String,
    /// The plan as resolved.
    pub plan: Plan,
    /// What was concluded.
    pub judgement: Judgement,
    /// What came out.
    pub verdict: Verdict,
    /// Exit code that the program ends with: the verdict's, or that of a signal.
    pub exit_code: u8,
    /// What the nodes run, short: `reference node 0.1.0 @9f3c1e`.
    pub program: String,
    /// Versions, hashes and what the machine can do, in the order shown: `engine` and `20.10.5, API 1.41`.
    pub facts: Vec<Fact>,
    /// Ids of the detectors that judged, in the order of their table.
    pub detectors: Vec<String>,
    /// Entries of the journal that findings cite (see [`timeline::wanted`]), in order; may be empty.
    pub entries: Vec<Entry>,
    /// The command that repeats the run, word by word.
    pub reproduce: Vec<String>,
    /// What of the run was left in the engine and how to remove it, if anything was.
    pub kept: Option<String>,
    /// Courses over time, for plots.
    #[serde(default)]
    pub curves: Curves,
}

/// One line of the table of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Fact {
    /// A fact from two texts.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Why a report could not be rendered. Only the libraries that write the format can fail; no input can make them.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// JSON.
    #[error("cannot write {file} as JSON")]
    Json {
        /// The report's file name.
        file: &'static str,
        /// What the serializer said.
        source: serde_json::Error,
    },
    /// The page of `report.html`.
    #[error("cannot write report.html")]
    Html {
        /// What the template engine said.
        source: minijinja::Error,
    },
    /// JUnit's XML.
    #[error("cannot write junit.xml")]
    Junit {
        /// What the serializer said.
        source: quick_junit::SerializeError,
    },
}

/// A report that is a file of the run directory.
pub struct Reporter {
    /// Its file name.
    pub file: &'static str,
    /// What it is, for `--help`.
    pub summary: &'static str,
    /// Renders it.
    pub render: fn(&ReportInput) -> Result<String, RenderError>,
}

/// All file reports. The order is that in which they are written after a signal: machines first.
pub const REPORTERS: &[Reporter] = &[
    Reporter {
        file: "verdict.json",
        summary: "outcome, gates, coverage, measures and cost, for machines",
        render: json::verdict,
    },
    Reporter {
        file: "findings.json",
        summary: "all findings with their evidence, for machines",
        render: json::findings,
    },
    Reporter {
        file: "summary.json",
        summary: "the little that `history`, `compare` and baselines need",
        render: summary::render,
    },
    Reporter {
        file: "junit.xml",
        summary: "a suite per shard and a case per detector, for CI",
        render: junit::render,
    },
    Reporter {
        file: "templates.json",
        summary: "forms of log lines, for `log_baseline` of later runs",
        render: json::templates,
    },
    Reporter {
        file: "report.md",
        summary: "the report for people, a step summary or comment",
        render: markdown::render,
    },
    Reporter {
        file: "report.html",
        summary: "the report with plots, one file that needs no network",
        render: html::render,
    },
];

/// What a finding means for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It fails the gate.
    Fails,
    /// It is below the gate.
    Tolerated,
    /// An injected fault excuses it.
    Excused,
    /// The plan waives it.
    Waived,
}

impl Standing {
    /// Where this finding stands at this gate.
    #[must_use]
    pub fn of(finding: &Finding, gate: &Gate) -> Self {
        if finding.waived.is_some() {
            Self::Waived
        } else if finding.excused_by.is_some() {
            Self::Excused
        } else if finding.severity >= gate.fail_on && !only_warns(gate, &finding.kind) {
            Self::Fails
        } else {
            Self::Tolerated
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fails => "fails the gate",
            Self::Tolerated => "below the gate",
            Self::Excused => "excused",
            Self::Waived => "waived",
        }
    }
}

impl ReportInput {
    /// Findings in the order of telling: what fails the gate first, the worst first, then as noticed.
    #[must_use]
    pub fn ranked(&self) -> Vec<(Standing, &Finding)> {
        let mut ranked: Vec<_> = self
            .judgement
            .findings
            .iter()
            .map(|finding| (Standing::of(finding, &self.plan.gate), finding))
            .collect();
        ranked.sort_by_key(|(standing, finding)| {
            (
                *standing,
                std::cmp::Reverse(finding.severity),
                finding.noticed,
            )
        });
        ranked
    }

    /// Wall time of a moment of the run.
    #[must_use]
    pub fn wall(&self, at: Elapsed) -> WallTime {
        self.judgement.started.plus(at.as_duration())
    }
}

/// How many findings there are of each severity, from info to critical, waived and excused ones left out.
#[must_use]
pub fn tally<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> [u32; 4] {
    let mut counts = [0_u32; 4];
    for finding in findings {
        if finding.waived.is_none() && finding.excused_by.is_none() {
            counts[finding.severity as usize] += 1;
        }
    }
    counts
}

/// The counts in words, the worst first: `1 critical, 2 minor`; `none`.
#[must_use]
pub fn tally_words(counts: [u32; 4]) -> String {
    let severities = [
        Severity::Info,
        Severity::Minor,
        Severity::Major,
        Severity::Critical,
    ];
    let words: Vec<String> = severities
        .iter()
        .zip(counts)
        .rev()
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| format!("{count} {}", look::severity(*severity)))
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// What a finding is about, short: its nodes if it names any (at most four), else its shard, else the network.
#[must_use]
pub fn subject(finding: &Finding) -> String {
    /// More names than this are counted.
    const NAMES: usize = 4;
    if finding.nodes.is_empty() {
        return finding
            .shard
            .map_or_else(|| "network".to_owned(), text::shard);
    }
    let mut words: Vec<&str> = finding
        .nodes
        .iter()
        .take(NAMES)
        .map(NodeName::as_str)
        .collect();
    let more = finding.nodes.len().saturating_sub(NAMES);
    let rest = format!("and {more} more");
    if more > 0 {
        words.push(&rest);
    }
    let nodes = words.join(" ");
    match finding.shard {
        // A node's name says its shard; a finding about the shard itself names the shard first.
        Some(shard) if finding.nodes.len() > 1 => format!("{} ({nodes})", text::shard(shard)),
        _ => nodes,
    }
}
