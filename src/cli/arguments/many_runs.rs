//! Arguments of verbs about findings in general and about many runs.

use clap::{Args, Subcommand};

/// `explain`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet explain stall\n  canarynet explain no-recovery --plan nightly"
)]
pub struct ExplainArguments {
    /// A finding's kind, as reports name it
    #[arg(value_name = "FINDING")]
    pub finding: String,
    /// The plan whose windows are shown
    #[arg(long, default_value = "default")]
    pub plan: String,
    /// Where and how it runs.
    #[command(flatten)]
    pub options: super::PlanOptions,
}

/// `compare`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Runs of equal seeds are compared as pairs. Without --allow nothing can fail.\n\nExamples:\n  canarynet compare latest release/v3.1.0\n  canarynet compare nightly/7,nightly/8 nightly/5,nightly/6 --allow block-interval.p50=+5% --allow memory.max=+10%\n\nExit codes: 0 nothing worse than allowed, 1 worse, 4 worse but not proven"
)]
pub struct CompareArguments {
    /// Runs, with commas between them
    #[arg(value_name = "RUN")]
    pub run: String,
    /// A baseline's name or file, or runs with commas between them
    #[arg(value_name = "BASELINE")]
    pub baseline: String,
    /// How much more (+5%) or less (-5%) of a metric is allowed; missing data fails
    #[arg(long, value_name = "METRIC=CHANGE")]
    pub allow: Vec<String>,
}

/// `history`
#[derive(Debug, Clone, Args)]
pub struct HistoryArguments {
    /// Only runs of this plan
    #[arg(long)]
    pub plan: Option<String>,
    /// Only findings whose fingerprint contains this
    #[arg(long, value_name = "TEXT")]
    pub finding: Option<String>,
}

/// `baseline`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet baseline\n  canarynet baseline save release/v3.1.0 nightly/5 nightly/6"
)]
pub struct BaselineArguments {
    /// What to do; lists without one.
    #[command(subcommand)]
    pub verb: Option<BaselineVerb>,
}

/// `baseline ...`
#[derive(Debug, Clone, Subcommand)]
pub enum BaselineVerb {
    /// Save the summaries of runs under a name
    Save {
        /// The baseline's name
        name: String,
        /// Runs
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<String>,
    },
    /// Show one, as JSON
    Show {
        /// The baseline's name, or a file
        name: String,
    },
}
