//! Arguments of verbs that tell others: alerts, and the decision for CI.

use std::{fmt, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};

use super::PlanOptions;

/// `runs attach`
#[derive(Debug, Clone, Args)]
pub struct AttachArguments {
    /// Run: a name (smoke/3), an id, a prefix of either, or latest
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// Serve a live page on a loopback address [default: any free port of 127.0.0.1]; who has its link may stop the run
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    pub serve: Option<std::net::SocketAddr>,
    /// Serve the run's metrics for Prometheus on this loopback address, like 127.0.0.1:9464, at /metrics
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Also copy what CI should keep (reports, plan, evidence) into this folder at the end
    #[arg(long, value_name = "DIRECTORY", env = "CANARYNET_ARTIFACTS")]
    pub artifacts: Option<std::path::PathBuf>,
    /// Internal: a supervisor started this process, which prints to a file.
    #[arg(long, hide = true)]
    pub background: bool,
}

/// `runs adopt`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet runs adopt                 after a reboot: every run that was cut short goes on\n  canarynet soak nightly --supervise   needs no adoption: it goes on with its own run by itself"
)]
pub struct AdoptArguments {
    /// Give a run up when so many owners in a row live less than a minute
    #[arg(long, value_name = "OWNERS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub owners: u32,
}

/// `alert`
#[derive(Debug, Clone, Args)]
pub struct AlertArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: AlertVerb,
}

/// `alert ...`
#[derive(Debug, Clone, Subcommand)]
pub enum AlertVerb {
    /// Send a test to every receiver of a plan, on the path of real alerts, and say which got it (exit 3 if one did not)
    Test(AlertTestArguments),
}

/// `alert test`
#[derive(Debug, Clone, Args)]
pub struct AlertTestArguments {
    /// Plan: a shipped one or a path
    #[arg(default_value = "default")]
    pub plan: String,
    /// How it would run.
    #[command(flatten)]
    pub options: PlanOptions,
}

/// `gate`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  canarynet gate latest                              exits 0, 1, 3 or 4\n  canarynet gate nightly/7 --on-inconclusive warn    too little evidence is no reason to stop a release\n  canarynet gate latest --on-infra retry=1           a broken host is tried once more"
)]
pub struct GateArguments {
    /// Run: a name, an id, a prefix of either, or latest
    #[arg(default_value = "latest", value_name = "RUN")]
    pub run: String,
    /// What too little evidence means
    #[arg(long, value_enum, default_value = "fail")]
    pub on_inconclusive: OnInconclusive,
    /// What a run means that the host, the engine or the canary spoiled: fail (exit 3), or retry=N, at most 5, which
    /// makes the same run again and decides by that
    #[arg(long, value_name = "fail|retry=N", default_value_t)]
    pub on_infra: OnInfra,
}

/// What follows a run that is infra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnInfra {
    /// Repetitions at most.
    pub retries: u32,
}

/// More repetitions only hide a broken machine.
const MOST_RETRIES: u32 = 5;

impl FromStr for OnInfra {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let retries = match text.strip_prefix("retry=") {
            _ if text == "fail" => Some(0),
            Some(count) => count
                .parse()
                .ok()
                .filter(|count| (1..=MOST_RETRIES).contains(count)),
            None => None,
        };
        let error = || format!("write fail, or retry=N with N from 1 to {MOST_RETRIES}");
        retries.map(|retries| Self { retries }).ok_or_else(error)
    }
}

impl fmt::Display for OnInfra {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retries {
            0 => formatter.write_str("fail"),
            retries => write!(formatter, "retry={retries}"),
        }
    }
}

/// What too little evidence means for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnInconclusive {
    /// Exit code 4: the release waits
    Fail,
    /// A warning and exit code 0
    Warn,
}
