//! The command line: definitions only.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

mod faulting;
mod judging;
mod keeping;
mod many_runs;
mod matrix;
mod profiles;
mod repeating;
mod telling;

pub use faulting::{FaultArguments, FaultsArguments};
pub use judging::{JudgeArguments, ReportArguments, ReportFormat};
pub use keeping::{SnapshotArguments, SnapshotsArguments, SnapshotsVerb};
pub use many_runs::{
    BaselineArguments, BaselineVerb, CompareArguments, ExplainArguments, HistoryArguments,
};
pub use matrix::MatrixArguments;
pub use profiles::{
    ProfileArguments, ProfileCheckArguments, ProfileNewArguments, ProfileShowArguments,
    ProfileTryArguments, ProfileVerb,
};
pub use repeating::{
    BundleArguments, CertifyArguments, PruneArguments, ReproArguments, ShrinkArguments,
};
pub use telling::{
    AdoptArguments, AlertArguments, AlertTestArguments, AlertVerb, AttachArguments, GateArguments,
    OnInconclusive, OnInfra,
};

use crate::plan::Keep;

/// canary testnets with accelerated block time, in containers
#[derive(Debug, Parser)]
#[command(
    name = "canarynet",
    version,
    about,
    long_about = "Starts a multi-shard blockchain network of node containers with a block interval many times faster than \
                  mainnet's and small disks, soaks it, watches every shard, and reports stalls, view-change loops and \
                  storage errors before mainnet meets them.",
    after_help = "Examples:\n  canarynet soak                           the default plan, about five minutes\n  \
                  canarynet soak smoke                     what CI runs, about 90 s\n  \
                  canarynet soak nightly --for 30m --set speedup=20\n  \
                  canarynet soak smoke --binary ./build/node --detach\n  \
                  canarynet status latest\n\nExit codes: 0 pass, 1 the network failed the gate, 2 bad input, 3 host, engine or canary failed,\n\
                  4 too little evidence, 130 and 143 interrupted.",
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// Options of every verb.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Machine-readable output: one JSON value a line
    #[arg(long, global = true)]
    pub json: bool,
    /// The engine's address, e.g. unix:///run/docker.sock [default: Docker's own]
    #[arg(long, global = true, env = "DOCKER_HOST", value_name = "ADDRESS")]
    pub engine: Option<String>,
    /// Folder of all runs [default: $XDG_STATE_HOME/canarynet or ~/.local/state/canarynet]
    #[arg(long, global = true, env = "CANARYNET_STATE", value_name = "DIRECTORY")]
    pub state: Option<PathBuf>,
    /// What to do with runs whose owner is gone [default: clean under CI, else only list them]
    #[arg(
        long,
        global = true,
        env = "CANARYNET_ON_ORPHAN",
        value_name = "ACTION"
    )]
    pub on_orphan: Option<OnOrphan>,
}

/// What to do with runs whose owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOrphan {
    /// Remove what they left in the engine
    Clean,
    /// Take the newest one over and go on watching it (soak only)
    Attach,
    /// Refuse to start
    Fail,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Launch, accelerate, soak, watch, judge, report, tear down
    Soak(SoakArguments),
    /// Launch a network and leave it running, watched in the background
    Up(UpArguments),
    /// End a network that `up` or `soak --detach` started
    Down(RunArgument),
    /// Where a run stands
    Status(RunArgument),
    /// Follow a run on the whole screen: shards, nodes, findings, log lines
    Watch(RunArgument),
    /// List runs, show one, or take one over
    Runs(RunsArguments),
    /// Wait for a run's end and exit with its code
    Wait(WaitArguments),
    /// End a run early: verdict and reports first, then teardown
    Stop(RunArgument),
    /// Judge a run's journal again, from the journal alone
    Judge(JudgeArguments),
    /// Print a run's report
    Report(ReportArguments),
    /// Print just a run's decision, and exit by it
    Gate(GateArguments),
    /// Keep the data disks of a live run, all at one moment, so that another can begin from them
    Snapshot(SnapshotArguments),
    /// List snapshots, show or remove them
    Snapshots(SnapshotsArguments),
    /// Pack a run into one file, to understand it and to do it again elsewhere
    Bundle(BundleArguments),
    /// Repeat a run until the same finding appears; with a second build: is it fixed?
    Repro(ReproArguments),
    /// Find the smallest plan that still shows a finding: fewer faults, a smaller network, less load, less time
    Shrink(ShrinkArguments),
    /// State what a run showed, bound by hashes; or check such a certificate
    Certify(CertifyArguments),
    /// What a finding means, its windows, and where to look first
    Explain(ExplainArguments),
    /// Hold runs against other runs or a baseline
    Compare(CompareArguments),
    /// What was found over all runs: first seen, last seen, in how many, by version
    History(HistoryArguments),
    /// List baselines, save runs as one, show one
    Baseline(BaselineArguments),
    /// Remove what ownerless runs left in the engine
    Clean(CleanArguments),
    /// Try who is told of findings
    Alert(AlertArguments),
    /// Inject one fault by hand, or list all kinds
    Fault(FaultArguments),
    /// Every kind of fault on a healthy network: effective, excused, and is the shard back in time?
    Faults(FaultsArguments),
    /// Every defect and every fault over several seeds: what is found, how soon, and what is found where nothing is wrong
    Matrix(MatrixArguments),
    /// Log lines of a node
    Logs(LogsArguments),
    /// Run a command inside a node
    Exec(ExecArguments),
    /// Ask a node by RPC
    Rpc(RpcArguments),
    /// Reach a node's port from this machine's loopback address
    Forward(ForwardArguments),
    /// What this machine can and cannot do, each with the remedy
    Doctor(DoctorArguments),
    /// Check plans before running them
    Plan(PlanArguments),
    /// Show profiles
    Profile(ProfileArguments),
    /// Make an image from a local binary
    Pack(PackArguments),
    /// Shell completions
    Completions(CompletionsArguments),
}

/// `soak`
#[derive(Debug, Clone, Args)]
pub struct SoakArguments {
    /// Plan: a shipped one (`canarynet plan list`) or a path
    #[arg(default_value = "default")]
    pub plan: String,
    /// Where and how it runs.
    #[command(flatten)]
    pub options: PlanOptions,
    /// Soak this long instead of the plan's time
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Begin from this snapshot (`canarynet snapshots` lists them), a name or a path: keys and genesis are its own
    #[arg(long, value_name = "SNAPSHOT")]
    pub from: Option<String>,
    /// Before it settles, switch watching off and on in turns: does it slow the network? Takes a minute or two more
    #[arg(long)]
    pub observer_ab: bool,
    /// Run in the background and print the run's id
    #[arg(long)]
    pub detach: bool,
    /// See to it that the run has an owner until it has a verdict, whatever ends its owners; give up when so many in a row
    /// live less than a minute [default: 5]
    #[arg(long, value_name = "OWNERS", num_args = 0..=1, require_equals = true, default_missing_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=1000),
          conflicts_with_all = ["detach", "detached_as", "on_infra", "resolved", "endless"])]
    pub supervise: Option<u32>,
    /// What stays in the engine after the end
    #[arg(long, value_enum)]
    pub keep: Option<Keep>,
    /// Also copy what CI should keep (reports, plan, evidence) into this folder at the end
    #[arg(long, value_name = "DIRECTORY", env = "CANARYNET_ARTIFACTS")]
    pub artifacts: Option<PathBuf>,
    /// What follows when host, engine or canary spoil the run: fail (exit 3), or retry=N, at most 5: clean up, run again
    #[arg(long, value_name = "fail|retry=N", default_value_t, conflicts_with_all = ["detach", "detached_as"])]
    pub on_infra: OnInfra,
    /// Serve the run's metrics for Prometheus on this loopback address, like 127.0.0.1:9464, at /metrics
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Serve a live page on a loopback address [default: any free port of 127.0.0.1]; who has its link may stop the run
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    pub serve: Option<std::net::SocketAddr>,
    /// Run this resolved plan, a run's plan.json, as it is: the same seed, the same fault schedule
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "profile", "set", "seed", "duration", "detach", "observer_ab"])]
    pub resolved: Option<PathBuf>,
    /// Internal: the finding, as JSON, that ends the run.
    #[arg(long, hide = true, requires = "resolved")]
    pub sought: Option<String>,
    /// Internal: the shard and the height, as JSON, at which the run stands still.
    #[arg(long, hide = true, requires = "resolved")]
    pub pause_at: Option<String>,
    /// Internal: the id of the run that a detaching parent chose.
    #[arg(long, hide = true)]
    pub detached_as: Option<String>,
    /// Internal: this is a network of `up`, without an end of its own.
    #[arg(long, hide = true)]
    pub endless: bool,
}

/// Options that make a plan.
#[derive(Debug, Clone, Args, Default)]
pub struct PlanOptions {
    /// Profile instead of the plan's: a shipped one or a path
    #[arg(long)]
    pub profile: Option<String>,
    /// A local executable as the node
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    pub binary: Option<PathBuf>,
    /// An image as the node, pulled where the engine does not have it
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// Refuse images that are named by a tag, which may be another image tomorrow
    #[arg(long, env = "CANARYNET_LOCKED")]
    pub locked: bool,
    /// Set a value of the plan (speedup=20) or of the profile (profile.disk.size="32 MiB")
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of keys and of everything drawn
    #[arg(long)]
    pub seed: Option<String>,
    /// Allow privileged helper containers (ext4 disks on loop devices)
    #[arg(long, env = "CANARYNET_ALLOW_HELPER")]
    pub allow_helper: bool,
    /// A Linux build of this program, where the running one cannot run in the engine
    #[arg(long, value_name = "PATH", env = "CANARYNET_LINUX_BINARY")]
    pub linux_binary: Option<PathBuf>,
}

/// `up`
#[derive(Debug, Clone, Args)]
pub struct UpArguments {
    /// Plan: a shipped one or a path
    #[arg(default_value = "default")]
    pub plan: String,
    /// Where and how it runs.
    #[command(flatten)]
    pub options: PlanOptions,
}

/// A run.
#[derive(Debug, Clone, Args)]
pub struct RunArgument {
    /// Run: a name (smoke/3), an id, a prefix of either, or latest
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
}

/// `wait`
#[derive(Debug, Clone, Args)]
pub struct WaitArguments {
    /// Run: a name, an id, a prefix of either, or latest
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Give up after this long (exit 3)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

/// `runs`
#[derive(Debug, Clone, Args)]
pub struct RunsArguments {
    /// What to do; lists without one.
    #[command(subcommand)]
    pub verb: Option<RunsVerb>,
}

/// `runs ...`
#[derive(Debug, Clone, Subcommand)]
pub enum RunsVerb {
    /// All runs, newest first
    List,
    /// One run: plan, state, verdict, files
    Show(RunArgument),
    /// Take an ownerless run over and go on watching it
    Attach(AttachArguments),
    /// Take over all runs that have neither an owner nor a verdict, and see to each until it has one
    Adopt(AdoptArguments),
    /// Let a run go on that `repro --pause-at` has stopped
    Resume(RunArgument),
    /// Remove what is old: logs after days, journals after weeks, verdicts never by themselves
    Prune(PruneArguments),
}

/// `clean`
#[derive(Debug, Clone, Args)]
pub struct CleanArguments {
    /// Only this run [default: all runs whose owner is gone]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// `logs`
#[derive(Debug, Clone, Args)]
pub struct LogsArguments {
    /// Node, e.g. s0-n01
    pub node: String,
    /// Run: a name, an id, a prefix, or latest
    #[arg(long, default_value = "latest")]
    pub run: String,
    /// Go on as lines come
    #[arg(long, short)]
    pub follow: bool,
    /// Only lines of these heights, A..B
    #[arg(long, value_name = "A..B")]
    pub height: Option<String>,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
}

/// `exec`
#[derive(Debug, Clone, Args)]
pub struct ExecArguments {
    /// Node, e.g. s0-n01
    pub node: String,
    /// Run: a name, an id, a prefix, or latest
    #[arg(long, default_value = "latest")]
    pub run: String,
    /// Command and arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// `rpc`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet rpc s0-n00 hmyv2_blockNumber\n  canarynet rpc s1-n02 hmyv2_getHeaderByNumber '[12]'"
)]
pub struct RpcArguments {
    /// Node, e.g. s0-n01
    pub node: String,
    /// Method
    pub method: String,
    /// Parameters as a JSON array
    #[arg(default_value = "[]")]
    pub parameters: String,
    /// Run: a name, an id, a prefix, or latest
    #[arg(long, default_value = "latest")]
    pub run: String,
}

/// `forward`
#[derive(Debug, Clone, Args)]
pub struct ForwardArguments {
    /// Node, e.g. s0-n01
    pub node: String,
    /// Port of the node
    pub port: u16,
    /// Run: a name, an id, a prefix, or latest
    #[arg(long, default_value = "latest")]
    pub run: String,
    /// Port on the loopback address [default: any free one]
    #[arg(long, default_value_t = 0)]
    pub listen: u16,
}

/// `doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArguments {
    /// Also try what needs privileged helper containers
    #[arg(long, env = "CANARYNET_ALLOW_HELPER")]
    pub allow_helper: bool,
    /// A Linux build of this program, where the running one cannot run in the engine
    #[arg(long, value_name = "PATH", env = "CANARYNET_LINUX_BINARY")]
    pub linux_binary: Option<PathBuf>,
}

/// `plan`
#[derive(Debug, Clone, Args)]
pub struct PlanArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: PlanVerb,
}

/// `plan ...`
#[derive(Debug, Clone, Subcommand)]
pub enum PlanVerb {
    /// Resolve a plan; print windows, disk arithmetic and the acceleration audit; start nothing
    Check(PlanCheckArguments),
    /// What it takes to reach a height in a time
    Reach(PlanReachArguments),
    /// JSON Schema of plans
    Schema,
    /// Shipped plans
    List,
    /// A shipped plan's text
    Show {
        /// Its name
        name: String,
    },
}

/// `plan check`
#[derive(Debug, Clone, Args)]
pub struct PlanCheckArguments {
    /// Plan: a shipped one or a path
    #[arg(default_value = "default")]
    pub plan: String,
    /// How it would run.
    #[command(flatten)]
    pub options: PlanOptions,
    /// Soak this long instead of the plan's time
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Print the resolved plan as JSON
    #[arg(long)]
    pub resolved: bool,
    /// Print the whole fault schedule
    #[arg(long)]
    pub schedule: bool,
}

/// `plan reach`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  canarynet plan reach --height 270109 --within 8h")]
pub struct PlanReachArguments {
    /// Plan: a shipped one or a path
    #[arg(default_value = "default")]
    pub plan: String,
    /// How it would run.
    #[command(flatten)]
    pub options: PlanOptions,
    /// Height to reach
    #[arg(long)]
    pub height: u64,
    /// Wall time to reach it in
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub within: Duration,
}

/// `pack`
#[derive(Debug, Clone, Args)]
pub struct PackArguments {
    /// The executable
    #[arg(
        required_unless_present = "this_program",
        conflicts_with = "this_program"
    )]
    pub binary: Option<PathBuf>,
    /// Pack this program: the launcher image, which needs only the engine's socket
    #[arg(long = "self")]
    pub this_program: bool,
}

/// `completions`
#[derive(Debug, Clone, Args)]
pub struct CompletionsArguments {
    /// Shell
    pub shell: clap_complete::Shell,
}
