//! Arguments of the verbs that break something on purpose.

use std::time::Duration;

use clap::Args;

use super::PlanOptions;

/// `fault`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet fault                                    all kinds\n  canarynet fault latest kill --target leader --for 10s\n  canarynet fault latest disk-fill --target s0-n01 --set leave=\"1 MiB\""
)]
pub struct FaultArguments {
    /// Run: a name, an id, a prefix of either, or latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Kind of fault
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
    /// Who: a node, leader, next-leader, one, minority-third, all, ..., with shard:N behind it or without
    #[arg(long, default_value = "one")]
    pub target: String,
    /// How long it lasts
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub lasts: Option<Duration>,
    /// A parameter of the kind
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `faults`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet faults --allow-helper                    the whole table, one network for each kind of disk\n  canarynet faults --kind kill,disk-fill --disk tmpfs\n  canarynet faults --allow-helper --times 100        each 100 times in a row: is anything left behind?"
)]
pub struct FaultsArguments {
    /// Kinds of faults [default: all]
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Kinds of disks, one network for each [default: all that the options allow]
    #[arg(long = "disk", value_name = "DISK", value_delimiter = ',')]
    pub disks: Vec<String>,
    /// One kind of each back end: what CI runs
    #[arg(long, conflicts_with = "kinds")]
    pub reduced: bool,
    /// Inject and heal each fault this many times in a row on one node, without waiting for the chain, and tell what
    /// was left behind
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub times: Option<u32>,
    /// Where and how it runs.
    #[command(flatten)]
    pub options: PlanOptions,
}
