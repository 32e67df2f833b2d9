//! Arguments of verbs that take a run elsewhere, repeat it or vouch for it.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{bundle::Part, plan::values::Size, repro::shrink::parse_confirmation};

/// `bundle`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet bundle latest\n  canarynet bundle nightly/212 --images --output nightly-212.cnb\n  canarynet bundle nightly/212 --without logs,evidence\n  canarynet bundle --list nightly-212.cnb           what is in it, and that it is whole\n  canarynet bundle --list nightly/212               what would leave the house"
)]
pub struct BundleArguments {
    /// Run: a name, an id, a prefix, latest; with --list also a bundle
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Only list the files, with sizes and checksums
    #[arg(long)]
    pub list: bool,
    /// Pack the nodes' image too, so that no other copy of the build is needed
    #[arg(long)]
    pub images: bool,
    /// Leave parts out
    #[arg(long, value_enum, value_name = "PARTS", value_delimiter = ',')]
    pub without: Vec<Part>,
    /// The file [default: the run's name in the current directory]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `repro`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet repro latest                            until its worst finding comes again\n  canarynet repro nightly-212.cnb nr-7c1e --times 10\n  canarynet repro nightly-212.cnb nr-7c1e --with ./build/appd --times 10\n  canarynet repro latest --with-set 'profile.defects=[]' --times 5\n  canarynet repro latest --pause-at 270108 --log-level debug     look at it just before it happens\n\nA repetition has the same seed and the same fault schedule, begins at the last snapshot that the run made before the finding,\nand ends as soon as the finding is there.\n\nExit codes: 0 it came again, or with a second build FIXED; 1 NOT FIXED; 4 it did not come, or not enough tries"
)]
pub struct ReproArguments {
    /// Run: a name, an id, a prefix, latest, a run directory, or a bundle
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Finding: an id or a prefix of it, a kind, or "stall shard 0" [default: the worst that failed the gate]
    pub finding: Option<String>,
    /// Try this often and tell how often it came [default: until it comes, three times at most; 10 with a second build]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub times: Option<u32>,
    /// A second build, an executable or an image, tried in turn with the recorded one
    #[arg(long, value_name = "BINARY|IMAGE")]
    pub with: Option<String>,
    /// A second build as data: a value of the plan or profile that makes it, e.g. profile.defects=[]
    #[arg(long, value_name = "KEY=VALUE")]
    pub with_set: Vec<String>,
    /// Pause all nodes as soon as the finding's shard has this height, and say how to look, to go on and to clean
    #[arg(long, value_name = "HEIGHT", conflicts_with_all = ["times", "with", "with_set"])]
    pub pause_at: Option<u64>,
    /// Let the nodes log at this level, where their profile has `log_level` under [values]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Where the case is kept as a plan, when it came again and there is a second build
    #[arg(long, value_name = "DIRECTORY", default_value = crate::repro::regression::FOLDER)]
    pub keep_in: PathBuf,
    /// Repeat the run from its beginning, and not from the last snapshot before the finding
    #[arg(long)]
    pub from_start: bool,
    /// Allow privileged helper containers, where the plan of a bundle asks for them
    #[arg(long, env = "CANARYNET_ALLOW_HELPER")]
    pub allow_helper: bool,
}

/// `shrink`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet shrink latest                                    the worst finding that failed the gate\n  canarynet shrink nightly/212 --finding nr-7c1e --budget 2h -o nr-7c1e.toml\n  canarynet shrink nightly-212.cnb --finding stall --tries 3 --confirm 9/10\n  canarynet soak shrunk-nr-7c1e.toml                         what it wrote shows the finding again\n\nFewer shards, fewer faults (each with its heal), fewer nodes, less load, faults sooner, a shorter soak: each is kept if the\nfinding still comes. The best plan so far is on disk at any time; Ctrl-C and the budget leave it there.\n\nExit codes: 0 written and confirmed; 2 the run cannot be shrunk; 3 host, engine or canary failed;\n4 the finding did not come again, or not as often as asked; 130, 143 interrupted, the best so far is written"
)]
pub struct ShrinkArguments {
    /// Run: a name, an id, a prefix, latest, a run directory, or a bundle
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Finding: an id or a prefix of it, a kind, or "stall shard 0" [default: the worst that failed the gate]
    #[arg(long, value_name = "FINDING")]
    pub finding: Option<String>,
    /// The plan; its profile is written beside it [default: shrunk-FINDING.toml in the current directory]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Time for all tries together
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration)]
    pub budget: Duration,
    /// A plan with fewer faults or shards that does not show the finding in so many tries is too small; less load, fewer
    /// nodes and less time are given up at the first such try
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub tries: u32,
    /// The smallest plan is confirmed by at least K of N further tries
    #[arg(long, value_name = "K/N", default_value = "5/6", value_parser = parse_confirmation)]
    pub confirm: (u32, u32),
    /// Allow privileged helper containers, where the plan of a bundle asks for them
    #[arg(long, env = "CANARYNET_ALLOW_HELPER")]
    pub allow_helper: bool,
}

/// `certify`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet certify nightly/212\n  canarynet certify --check nightly-212.cert.json --require outcome=pass --require 'coverage.blocks>=90000'\n  canarynet certify --check nightly-212.cert.json --run nightly/212      its files are still the ones\n\nA certificate is bound by hashes and not signed: sign the file with the tool of your release.\n\nExit codes with --check: 0 it holds, 1 a requirement does not, 2 it is no certificate or was changed"
)]
pub struct CertifyArguments {
    /// Run: a name, an id, a prefix, or latest
    #[arg(default_value = "latest", value_name = "RUN", conflicts_with = "check")]
    pub certified: String,
    /// The file [default: the run's name in the current directory]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Check a certificate instead of making one
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// What it must say: a dotted key, one of = != < <= > >=, and a value; durations as 6d, sizes of time in mainnet time
    #[arg(long, value_name = "KEY=VALUE", requires = "check")]
    pub require: Vec<String>,
    /// Also check that this run's files are the certified ones
    #[arg(long, value_name = "RUN", requires = "check")]
    pub run: Option<String>,
}

/// `runs prune`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Verdicts, summaries, reports and plans stay unless --forget says otherwise; running, unfinished and kept runs are not touched.\n\nExamples:\n  canarynet runs prune --dry-run\n  canarynet runs prune --logs 3d --journals 30d --budget \"20 GiB\""
)]
pub struct PruneArguments {
    /// Remove raw logs, copied evidence, repetitions and unpacked bundles that are older [default: 7d]
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub logs: Option<Duration>,
    /// Remove rungs that are older; never the newest, the one to go on from, or one that is kept for a finding
    /// [default: 2w]
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub rungs: Option<Duration>,
    /// Remove journals that are older; such a run cannot be judged again [default: 6w]
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub journals: Option<Duration>,
    /// Remove all of runs that are older [default: never]
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub forget: Option<Duration>,
    /// Bytes that all of it may take; the oldest repetitions go first, then logs, rungs and journals
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}
