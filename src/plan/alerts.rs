//! Who is told of findings while a run goes on: `[[alert]]`, `drill_to` and `heartbeat_to`.
//!
//! Secrets are named, never held: the plan says in which variable or file an address or key is, and it is read when an
//! alert is sent. So neither plan, journal nor report has it.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{error::PlanError, manifest::Manifest, resolve::Sources};
use crate::detect::finding::Severity;

/// `[[alert]]`: one receiver of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertManifest {
    /// Its name, for `drill_to`, `heartbeat_to` and messages. Default: its kind.
    pub name: Option<String>,
    /// The form of what is sent: `webhook` (JSON), `alertmanager`, `pagerduty` or `slack`.
    pub kind: AlertKind,
    /// Where it is sent: `http://host:port/path` without credentials; for `alertmanager` its base. This version speaks
    /// plain HTTP; for HTTPS give a `command`.
    pub to: Option<String>,
    /// ... or the environment variable that holds the address.
    pub to_env: Option<String>,
    /// ... or the file that holds it.
    pub to_file: Option<PathBuf>,
    /// A command that gets what is sent on its standard input instead, and must end with code 0 within ten seconds.
    pub command: Option<Vec<String>>,
    /// The environment variable that holds PagerDuty's routing key.
    pub key_env: Option<String>,
    /// ... or the file that holds it.
    pub key_file: Option<PathBuf>,
    /// Findings from this severity, and every page. Default `major`.
    pub from: Option<Severity>,
    /// Whether findings are sent at all; `false` for a receiver of drills or heartbeats alone. Default true.
    pub findings: Option<bool>,
    /// Verdicts that are sent at the end of a run. Default `["fail"]`.
    pub verdicts: Option<Vec<AlertVerdict>>,
}

/// The form of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// This program's own JSON.
    Webhook,
    /// Alertmanager's API, version 2.
    Alertmanager,
    /// PagerDuty's Events API, version 2.
    Pagerduty,
    /// A message for Slack and what understands its webhooks.
    Slack,
}

impl AlertKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Pagerduty => "pagerduty",
            Self::Slack => "slack",
        }
    }
}

/// A verdict that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertVerdict {
    /// The network passed.
    Pass,
    /// The network failed.
    Fail,
    /// Host, engine or canary broke.
    Infra,
    /// Too little evidence.
    Inconclusive,
}

/// All receivers, resolved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Alerts {
    /// The receivers.
    pub routes: Vec<AlertRoute>,
    /// Places of those that are told of drills.
    pub drill_to: BTreeSet<usize>,
    /// Places of those that get a heartbeat at the end of every run.
    pub heartbeat_to: BTreeSet<usize>,
}

/// One receiver, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRoute {
    /// Its name.
    pub name: String,
    /// The form.
    pub kind: AlertKind,
    /// How it is reached.
    pub by: Transport,
    /// PagerDuty's routing key.
    pub key: Option<Secret>,
    /// Findings from this severity; `None`: no findings.
    pub from: Option<Severity>,
    /// Verdicts that are sent.
    pub verdicts: Vec<AlertVerdict>,
}

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// An address that is no secret.
    Address(String),
    /// An address that is one.
    Hidden(Secret),
    /// A command.
    Command(Vec<String>),
}

/// Where a secret is; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// In this variable of the environment.
    Environment(String),
    /// In this file.
    File(PathBuf),
}

/// Resolves all receivers.
///
/// # Errors
/// A receiver that cannot be reached by what is written, or a name that no receiver has.
pub(super) fn resolve(sources: &Sources, manifest: &Manifest) -> Result<Alerts, PlanError> {
    let mut routes = Vec::new();
    for typed in manifest.alert.iter().flatten() {
        routes.push(route(sources, typed)?);
    }
    let places = |key: &str, names: &Option<Vec<String>>| {
        let mut places = BTreeSet::new();
        for name in names.iter().flatten() {
            let place = routes
                .iter()
                .position(|route: &AlertRoute| route.name == *name);
            let unknown = || sources.bad(key, &format!("no [[alert]] has the name {name:?}"));
            places.insert(place.ok_or_else(unknown)?);
        }
        Ok(places)
    };
    Ok(Alerts {
        drill_to: places("drill_to", &manifest.drill_to)?,
        heartbeat_to: places("heartbeat_to", &manifest.heartbeat_to)?,
        routes,
    })
}

fn route(sources: &Sources, typed: &AlertManifest) -> Result<AlertRoute, PlanError> {
    let bad = |message: &str| sources.bad("alert", message);
    let ways = [
        typed.to.is_some(),
        typed.to_env.is_some(),
        typed.to_file.is_some(),
        typed.command.is_some(),
    ];
    if ways.iter().filter(|given| **given).count() != 1 {
        return Err(bad("give one of `to`, `to_env`, `to_file` and `command`"));
    }
    let hidden = secret(typed.to_env.as_deref(), typed.to_file.as_ref());
    let by = match (&typed.to, &typed.command, hidden) {
        (Some(to), ..) => Transport::Address(address(sources, typed.kind, to)?),
        (_, Some(command), _) if command.first().is_none_or(String::is_empty) => {
            return Err(bad("`command` is empty"));
        }
        (_, Some(command), _) => Transport::Command(command.clone()),
        (_, _, Some(secret)) => Transport::Hidden(secret),
        _ => return Err(bad("give one of `to`, `to_env`, `to_file` and `command`")),
    };
    let key = secret(typed.key_env.as_deref(), typed.key_file.as_ref());
    if (typed.kind == AlertKind::Pagerduty) != key.is_some() {
        return Err(bad(
            "`pagerduty` and only it needs its routing key, by `key_env` or `key_file`",
        ));
    }
    let findings = typed.findings.unwrap_or(true);
    let name = typed
        .name
        .clone()
        .unwrap_or_else(|| typed.kind.word().to_owned());
    Ok(AlertRoute {
        name: crate::journal::text::clean(&name, 60),
        kind: typed.kind,
        by,
        key,
        from: findings.then_some(typed.from.unwrap_or(Severity::Major)),
        verdicts: typed.verdicts.clone().unwrap_or_else(|| match findings {
            true => vec![AlertVerdict::Fail],
            false => Vec::new(),
        }),
    })
}

fn secret(variable: Option<&str>, file: Option<&PathBuf>) -> Option<Secret> {
    let variable = variable.map(|name| Secret::Environment(name.to_owned()));
    variable.or_else(|| file.map(|path| Secret::File(path.clone())))
}

/// An address that may stand in a plan.
fn address(sources: &Sources, kind: AlertKind, to: &str) -> Result<String, PlanError> {
    let bad = |message: &str| Err(sources.bad("alert", message));
    if to.starts_with("https://") {
        return bad(
            "this version sends over plain HTTP only: give a `command`, like [\"curl\", \"-sSf\", \"--json\", \"@-\", \"--config\", \"FILE\"]",
        );
    }
    let Some(rest) = to.strip_prefix("http://") else {
        return bad("`to` is not like http://host:port/path");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return bad(
            "`to` needs a host, and no credentials: what is secret is given by `to_env` or `to_file`",
        );
    }
    if kind == AlertKind::Slack {
        return bad("the address of a Slack webhook is a secret: give it by `to_env` or `to_file`");
    }
    Ok(to.to_owned())
}
