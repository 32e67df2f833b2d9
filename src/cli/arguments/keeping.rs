//! Arguments of verbs about snapshots.

use clap::{Args, Subcommand};

/// `snapshot`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "All nodes stand still while their disks are copied; that is excused, and its length is told. It waits until no fault is in force.\n\nExamples:\n  canarynet snapshot latest\n  canarynet snapshot nightly/212 --name before-upgrade\n  canarynet soak nightly --from before-upgrade"
)]
pub struct SnapshotArguments {
    /// Run: a name, an id, a prefix, or latest; it must go on
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Its name [default: the run's name and height]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// `snapshots`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet snapshots\n  canarynet snapshots show nightly-main-270000-1764223200\n  canarynet snapshots remove before-upgrade\n  canarynet snapshots release nightly-main-270000-1764223200     its finding is resolved: it may go as others do"
)]
pub struct SnapshotsArguments {
    /// What to do; lists without one.
    #[command(subcommand)]
    pub verb: Option<SnapshotsVerb>,
}

/// `snapshots ...`
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotsVerb {
    /// All snapshots
    List,
    /// One snapshot: its manifest and what became of it, as JSON
    Show {
        /// Its name, or the path of its folder
        name: String,
    },
    /// Remove snapshots
    Remove {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
        /// Also one that a finding is repeated from
        #[arg(long)]
        force: bool,
    },
    /// The finding that a rung is kept for is resolved
    Release {
        /// The rung's name
        name: String,
    },
}
