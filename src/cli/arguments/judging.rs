//! Arguments of verbs that judge a run again or show what was judged.

use clap::{Args, ValueEnum};

/// `judge`
#[derive(Debug, Clone, Args)]
pub struct JudgeArguments {
    /// Run: a name, an id, a prefix, latest, or the path of a run directory or journal
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Also write findings.json, verdict.json, junit.xml, report.md and report.html into the run directory
    #[arg(long)]
    pub write: bool,
    /// Say why there was no such finding at a moment
    #[arg(long, value_name = "FINDING", requires = "at")]
    pub why_not: Option<String>,
    /// ... in this shard only
    #[arg(long, value_name = "N", requires = "why_not")]
    pub shard: Option<u64>,
    /// ... at this moment: time since the run's start (4m12s) or of the day in UTC (02:58:51)
    #[arg(long, value_name = "TIME", requires = "why_not")]
    pub at: Option<String>,
    /// Judge under the thresholds and the gate of another plan for the same network: a shipped one or a path
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["write", "why_not"])]
    pub plan: Option<String>,
    /// Another profile for that plan: a shipped one or a path
    #[arg(long, requires = "plan")]
    pub profile: Option<String>,
    /// Set a value of that plan (detectors.stall.after=3s) or of its profile (profile.shards=2)
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "plan")]
    pub set: Vec<String>,
    /// Hide from the judge what the canary injected: would the causes have been found without knowing them?
    #[arg(long, conflicts_with = "write")]
    pub without_faults: bool,
}

/// `report`
#[derive(Debug, Clone, Args)]
pub struct ReportArguments {
    /// Run: a name, an id, a prefix, latest, or the path of a run directory
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Which form
    #[arg(long, value_enum, default_value = "terminal")]
    pub format: ReportFormat,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// The summary at the end of a run
    Terminal,
    /// report.html, made anew from the journal
    Html,
    /// report.md
    Markdown,
    /// verdict.json
    Verdict,
    /// findings.json
    Findings,
    /// junit.xml
    Junit,
}
