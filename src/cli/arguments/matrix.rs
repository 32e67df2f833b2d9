//! Arguments of `matrix`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// `matrix`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Each cell is one soak of at most 90 s. What was done stays in the folder `matrix` of the state folder: the same \
                  command goes on where it was ended, and a cell is done again when its plan, its profile or this program \
                  has changed.\n\nExamples:\n  canarynet matrix --allow-helper --jobs 2 -o matrix.md\n  canarynet matrix --dry-run\n  \
                  canarynet matrix --only fork-on-heal,healthy-pause --seeds 2\n  canarynet matrix --reduced\n\n\
                  Exit codes: 0 all promises kept, 1 one is not, 3 cells could not be run, 4 too little was done"
)]
pub struct MatrixArguments {
    /// Seeds of each case with defects [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: Option<u32>,
    /// Cells that run at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: u32,
    /// Only these cases; `healthy` is all networks without a defect
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Healthy soak in all, divided over the kinds of faults; 0s for none [default: 60m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub healthy_for: Option<Duration>,
    /// A few cells with one seed: what CI runs
    #[arg(long)]
    pub reduced: bool,
    /// Go on where the last matrix ended (the default; --no-resume does all cells again)
    #[arg(long, overrides_with = "no_resume")]
    pub resume: bool,
    /// Do all cells again
    #[arg(long)]
    pub no_resume: bool,
    /// List the cells and what they take; start nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also write the matrix as Markdown to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Allow privileged helper containers, which the faults of some cases need
    #[arg(long, env = "CANARYNET_ALLOW_HELPER")]
    pub allow_helper: bool,
    /// A Linux build of this program, where the running one cannot run in the engine
    #[arg(long, value_name = "PATH", env = "CANARYNET_LINUX_BINARY")]
    pub linux_binary: Option<PathBuf>,
}
