//! What users type after `profile`.

use std::time::Duration;

use clap::{Args, Subcommand};

/// `profile`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet profile list\n  canarynet profile new mychain --extends cometbft\n  \
                  canarynet profile check ./mychain.toml\n  canarynet profile show ./mychain.toml --origin"
)]
pub struct ProfileArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: ProfileVerb,
}

/// `profile ...`
#[derive(Debug, Clone, Subcommand)]
pub enum ProfileVerb {
    /// Shipped profiles
    List,
    /// A shipped profile's text, or all values of a profile with where each came from
    Show(ProfileShowArguments),
    /// Resolve a profile and render all its templates; print commands and files; start nothing
    Check(ProfileCheckArguments),
    /// Start one node for a short time: which probes answer, which log rules match, and why others do not
    Try(ProfileTryArguments),
    /// Write a first profile that extends another one
    New(ProfileNewArguments),
    /// JSON Schema of profiles
    Schema,
}

/// `profile show`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet profile show reference\n  canarynet profile show harmony --origin --set profile.shards=1"
)]
pub struct ProfileShowArguments {
    /// Profile: a shipped one or a path
    pub profile: String,
    /// Every value in force, and the file and line, variable or flag that it came from
    #[arg(long)]
    pub origin: bool,
    /// Set a value of the profile (profile.disk.size="32 MiB")
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `profile check`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet profile check harmony\n  canarynet profile check ./mychain.toml --plan nightly --node s1-n02\n  \
                  canarynet profile check ./mychain.toml --set speedup=20 --json"
)]
pub struct ProfileCheckArguments {
    /// Profile: a shipped one or a path
    pub profile: String,
    /// Under this plan: a shipped one or a path [default: one that says nothing]
    #[arg(long)]
    pub plan: Option<String>,
    /// Set a value of the plan (speedup=20) or of the profile (profile.disk.size="32 MiB")
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What this node gets, e.g. s1-n02 [default: the first node of each shard and role]
    #[arg(long)]
    pub node: Option<String>,
}

/// `profile new`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  canarynet profile new mychain --extends cometbft     writes ./mychain.toml"
)]
pub struct ProfileNewArguments {
    /// Its name: small letters, digits and `-`; the file is NAME.toml in this folder
    pub name: String,
    /// Profile that it extends: a shipped one or a path
    #[arg(long, value_name = "BASE")]
    pub extends: String,
}

/// `profile try`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet profile try reference\n  canarynet profile try ./mychain.toml --for 2m --image mychain:new"
)]
pub struct ProfileTryArguments {
    /// Profile: a shipped one or a path
    pub profile: String,
    /// Watch the node for this long
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// An image that the engine has, as the node
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// Set a value of the plan (speedup=20) or of the profile (profile.disk.size="32 MiB")
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
