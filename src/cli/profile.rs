//! `profile`: what a network would be made of, before anything is made.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::Path,
    process::ExitCode,
};

use toml::{Table, Value};

use super::{
    Failure,
    arguments::{
        Common, PlanOptions, ProfileArguments, ProfileCheckArguments, ProfileNewArguments,
        ProfileShowArguments, ProfileTryArguments, ProfileVerb,
    },
    plan::{list, request, show},
    print, print_json, print_line, trying,
};
use crate::{
    exit::Exit,
    plan::{
        Plan, PlanError, PlanRequest, check, error::did_you_mean, load, resolve::Sources, schema,
        source::join,
    },
    profile::{
        rehearsal::{Rehearsal, rehearse},
        shipped::{self, PROFILES},
    },
    time::human,
};

pub(super) fn profile(common: &Common, verb: ProfileArguments) -> Result<ExitCode, Failure> {
    match verb.verb {
        ProfileVerb::List => list(common, PROFILES),
        ProfileVerb::Show(verb) => show_profile(common, &verb),
        ProfileVerb::Check(verb) => check_profile(common, &verb),
        ProfileVerb::Try(verb) => try_profile(common, &verb),
        ProfileVerb::New(verb) => new_profile(common, &verb),
        ProfileVerb::Schema => print(schema::profile_schema().as_bytes()),
    }
}

fn bad(error: &PlanError) -> Failure {
    Failure::usage("the profile cannot be used").because(error)
}

/// What plan and profile may depend on beside their files.
fn surroundings(common: &Common, plan: &str, set: &[String]) -> PlanRequest {
    let options = PlanOptions {
        profile: None,
        binary: None,
        image: None,
        set: set.to_vec(),
        seed: None,
        allow_helper: false,
        locked: false,
        linux_binary: None,
    };
    request(common, plan, &options, None)
}

fn sources(common: &Common, profile: &str, set: &[String]) -> Result<Sources, Failure> {
    load::profile_sources(profile, &surroundings(common, "", set)).map_err(|error| bad(&error))
}

fn show_profile(common: &Common, verb: &ProfileShowArguments) -> Result<ExitCode, Failure> {
    let as_written = !verb.origin && verb.set.is_empty() && !Path::new(&verb.profile).is_file();
    if as_written && shipped::find(PROFILES, &verb.profile).is_some() {
        return show("profile", PROFILES, &verb.profile);
    }
    let sources = sources(common, &verb.profile, &verb.set)?;
    let values = &sources.profile.table;
    if !verb.origin {
        let text = toml::to_string_pretty(values)
            .map_err(|error| Failure::infra("cannot write the profile").because(&error))?;
        return print(text.as_bytes());
    }
    let mut leaves = Vec::new();
    table_leaves(values, "", &mut leaves);
    for (key, value) in leaves {
        let from = sources.profile.place(&key).map(ToString::to_string);
        let from = from.unwrap_or_default();
        let more = if common.json {
            let leaf = serde_json::json!({ "key": key, "value": value, "from": from });
            print_line(&leaf.to_string())?
        } else {
            let line = crate::journal::text::clean(&format!("{key} = {value}"), 400);
            print_line(&format!("{line:<60} {from}"))?
        };
        if !more {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All values that are no tables, with their keys; a list of plain values is one.
fn table_leaves<'a>(table: &'a Table, path: &str, leaves: &mut Vec<(String, &'a Value)>) {
    for (key, value) in table {
        value_leaves(value, join(path, key), leaves);
    }
}

fn value_leaves<'a>(value: &'a Value, path: String, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Table(table) => table_leaves(table, &path, leaves),
        Value::Array(array) if array.iter().any(Value::is_table) => {
            for (index, element) in array.iter().enumerate() {
                value_leaves(element, format!("{path}[{index}]"), leaves);
            }
        }
        _ => leaves.push((path, value)),
    }
}

fn check_profile(common: &Common, verb: &ProfileCheckArguments) -> Result<ExitCode, Failure> {
    let plan = match &verb.plan {
        Some(name) => load::sources(&PlanRequest {
            profile: Some(verb.profile.clone()),
            ..surroundings(common, name, &verb.set)
        })
        .and_then(|sources| crate::plan::resolved(&sources))
        .map_err(|error| bad(&error))?,
        None => crate::plan::resolved(&sources(common, &verb.profile, &verb.set)?)
            .map_err(|error| bad(&error))?,
    };
    let nodes = &plan.network.nodes;
    let only = verb.node.as_ref().map(|name| {
        let found = nodes.iter().find(|node| node.name.as_str() == name);
        found.map(|node| &node.name).ok_or_else(|| {
            let hint = did_you_mean(name, nodes.iter().map(|node| node.name.as_str()));
            Failure::usage(format!("the network has no node {name:?}{hint}"))
        })
    });
    let rehearsal = rehearse(&plan, only.transpose()?)
        .map_err(|error| Failure::usage("the profile cannot be rendered").because(&error))?;
    let report = check::check(&plan);
    if common.json {
        print_json(&serde_json::json!({
            "profile": plan.profile,
            "rendered": rehearsal,
            "clocks": plan.levers,
            "log_rules": plan.network.log_rules.len(),
            "warnings": report.warnings,
            "refusals": report.refusals,
        }))?;
    } else {
        print(summary(&plan, &rehearsal, &report).as_bytes())?;
    }
    Ok(if report.refusals.is_empty() {
        Exit::Pass
    } else {
        Exit::Usage
    }
    .into())
}

fn summary(plan: &Plan, rehearsal: &Rehearsal, report: &check::CheckReport) -> String {
    let network = &plan.network;
    let mut text = format!(
        "profile  {}: {}, {} {}, {} nodes\n",
        plan.profile,
        rehearsal.program,
        network.shards,
        if network.shards == 1 {
            "shard"
        } else {
            "shards"
        },
        network.nodes.len()
    );
    for lever in &plan.levers {
        let (canary, mainnet) = (human(lever.canary), human(lever.mainnet));
        let pace = if canary == mainnet {
            canary
        } else {
            format!("{canary} (mainnet {mainnet})")
        };
        let hides = lever.hides.as_ref();
        let hides = hides.map_or_else(String::new, |hides| format!("; hides {hides}"));
        let set = match lever.lever.as_str() {
            "none" => "which nothing sets".to_owned(),
            lever => format!("set by {lever}"),
        };
        text.push_str(&format!("clock    {} {pace}, {set}{hides}\n", lever.clock));
    }
    text.push_str(&format!(
        "logs     {} rules of the profile, then those for every chain\n",
        network.log_rules.len()
    ));
    text.push_str(&rehearsal.to_string());
    for warning in &report.warnings {
        text.push_str(&format!("warning  {warning}\n"));
    }
    for refusal in &report.refusals {
        text.push_str(&format!("REFUSED  {refusal}\n"));
    }
    text
}

/// One node of one shard, whatever the profile says.
fn try_profile(common: &Common, verb: &ProfileTryArguments) -> Result<ExitCode, Failure> {
    let mut set = vec![
        "profile.shards=1".to_owned(),
        "profile.nodes={ validator = 1, explorer = 0 }".to_owned(),
        "load.rate=0 tx/s".to_owned(),
    ];
    set.extend(verb.set.iter().cloned());
    if let Some(image) = &verb.image {
        set.push(format!("profile.image={image}"));
    }
    let plan = super::plan::resolved(&sources(common, &verb.profile, &set)?)?;
    trying::attempt(common, verb, plan)
}

/// Longest name of a profile.
const LONGEST_NAME: usize = 30;

fn new_profile(common: &Common, verb: &ProfileNewArguments) -> Result<ExitCode, Failure> {
    let name = &verb.name;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a profile: at most {LONGEST_NAME} small letters, digits and `-`"
        )));
    }
    if shipped::find(PROFILES, name).is_some() {
        return Err(Failure::usage(format!(
            "{name:?} is a shipped profile; choose another name"
        )));
    }
    let base = sources(common, &verb.extends, &[])?;
    let file = format!("{name}.toml");
    let text = first_text(name, &verb.extends, &base.profile.table)
        .map_err(|error| Failure::infra("cannot write the profile").because(&error))?;
    let path = Path::new(&file);
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let written = made.and_then(|mut made| made.write_all(text.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!(
                "there is a {file} here already; choose another name, or remove it"
            )));
        }
        Err(error) => return Err(Failure::infra(format!("cannot write {file}")).because(&error)),
    }
    if common.json {
        return print_json(&serde_json::json!({ "profile": name, "file": file }));
    }
    let next = format!(
        "wrote {file}\nnext: change what differs, then  canarynet profile check ./{file}\n"
    );
    print(next.as_bytes())
}

/// Keys that a first profile has no use for as comments: lists of tables, and what is long.
const LEFT_OUT: [&str; 7] = [
    "name", "command", "log", "file", "init", "service", "values",
];

/// A profile that changes nothing yet, with the values of the one that it extends as comments.
fn first_text(name: &str, base: &str, values: &Table) -> Result<String, toml::ser::Error> {
    let head = Table::from_iter([
        ("extends".to_owned(), Value::from(base)),
        ("name".to_owned(), Value::from(name)),
    ]);
    let mut text = format!(
        "#:schema canarynet://schema/profile/{}\n\
         # {name}: what differs from {base}. Values that are comments here are those of {base}; uncomment and change.\n\
         # `canarynet profile show ./{name}.toml --origin` says where each value comes from.\n\n{}\n",
        schema::SCHEMA_VERSION,
        toml::to_string(&head)?
    );
    let is_table = |value: &&Value| value.is_table();
    let shown = |(key, value): &(&String, &Value)| {
        !LEFT_OUT.contains(&key.as_str())
            && !matches!(value, Value::Array(array) if array.iter().any(Value::is_table))
    };
    // Plain values first: after a table's head they would be the table's.
    for tables in [false, true] {
        for (key, value) in values.iter().filter(shown) {
            if is_table(&value) != tables {
                continue;
            }
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            for line in toml::to_string(&alone)?.lines() {
                text.push_str(format!("# {line}").trim_end());
                text.push('\n');
            }
            if tables {
                text.push('\n');
            }
        }
        text.push('\n');
    }
    Ok(format!("{}\n", text.trim_end()))
}
