//! What a profile makes of its templates, for addresses of a documentation range: what would be started, before it is.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use serde::Serialize;

use super::{
    beside::{self, Call},
    render::{self, RenderError},
};
use crate::{
    ids::{NodeName, ShardId},
    journal::text::clean,
    plan::{NodePlan, Plan, Program, Role},
};

/// Everything that is made of templates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// What the nodes run.
    pub program: String,
    /// What runs before the nodes, to its end.
    pub steps: Vec<CallTexts>,
    /// What runs beside them.
    pub services: Vec<CallTexts>,
    /// Nodes, one of each kind or the one that was asked for.
    pub nodes: Vec<NodeTexts>,
    /// What makes load, of each shard.
    pub load: Vec<CallTexts>,
}

/// A program beside the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallTexts {
    /// What it is called.
    pub name: String,
    /// The program and its arguments; the nodes' own program where none is named.
    pub command: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<String>,
}

/// What one node gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeTexts {
    /// The node.
    pub node: NodeName,
    /// Its shard.
    pub shard: ShardId,
    /// Its role.
    pub role: &'static str,
    /// Nodes of this shard and role, it among them.
    pub of: usize,
    /// The program's arguments.
    pub command: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// The files in its folder: path to text.
    pub files: BTreeMap<String, String>,
}

/// Renders what the nodes get; of one node, or of the first of each shard and role.
///
/// # Errors
/// The first template that fails.
pub fn rehearse(plan: &Plan, only: Option<&NodeName>) -> Result<Rehearsal, RenderError> {
    let addresses = render::made_up_addresses(plan);
    let mut counts: BTreeMap<(ShardId, &str), usize> = BTreeMap::new();
    let kind = |node: &NodePlan| (node.shard, role(node.role));
    for node in &plan.network.nodes {
        *counts.entry(kind(node)).or_default() += 1;
    }
    let beside = beside::render(plan, &addresses)?;
    let mut seen = Vec::new();
    let mut nodes = Vec::new();
    for node in &plan.network.nodes {
        let wanted = match only {
            Some(only) => node.name == *only,
            None => !seen.contains(&kind(node)),
        };
        if !wanted {
            continue;
        }
        seen.push(kind(node));
        nodes.push(NodeTexts {
            node: node.name.clone(),
            shard: node.shard,
            role: role(node.role),
            of: counts.get(&kind(node)).copied().unwrap_or(1),
            command: render::command(plan, node, &addresses)?,
            environment: render::environment(plan, node, &addresses)?,
            files: beside.folders.get(&node.name).cloned().unwrap_or_default(),
        });
    }
    let steps = beside.steps.iter();
    let services = beside.services.iter();
    let load = beside.load.iter().map(|load| {
        let call = Call {
            program: load.program.clone(),
            command: load.order.command.clone(),
            environment: load.order.environment.clone(),
        };
        texts(&format!("load of shard {}", load.shard), &call)
    });
    Ok(Rehearsal {
        program: program(plan),
        steps: steps.map(|step| texts(&step.name, &step.call)).collect(),
        services: services
            .map(|service| texts(&service.name, &service.call))
            .collect(),
        nodes,
        load: load.collect(),
    })
}

fn texts(name: &str, call: &Call) -> CallTexts {
    let variables = call.environment.iter();
    CallTexts {
        name: name.to_owned(),
        command: call.program.iter().chain(&call.command).cloned().collect(),
        environment: variables
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Validator => "validator",
        Role::Explorer => "explorer",
    }
}

fn program(plan: &Plan) -> String {
    match &plan.network.program {
        Program::Itself => "canarynet".to_owned(),
        Program::Binary(path) => format!("binary {}", path.display()),
        Program::Image(image) => format!("image {image}"),
    }
}

impl Display for Rehearsal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (what, calls) in [
            ("before the nodes", &self.steps),
            ("beside the nodes", &self.services),
        ] {
            for call in calls {
                writeln!(formatter, "{what}: {}", call.name)?;
                words(formatter, "command", &call.command)?;
                words(formatter, "environment", &call.environment)?;
            }
        }
        for node in &self.nodes {
            let more = match node.of {
                1 => String::new(),
                of => format!(", one of {of}"),
            };
            writeln!(
                formatter,
                "{} {} of shard {}{more}",
                node.node, node.role, node.shard
            )?;
            words(formatter, "command", &node.command)?;
            words(formatter, "environment", &node.environment)?;
            for (path, text) in &node.files {
                writeln!(formatter, "  file {}", clean(path, 400))?;
                for line in text.lines() {
                    let line = format!("    {}", clean(line, 4_000));
                    writeln!(formatter, "{}", line.trim_end())?;
                }
            }
        }
        for call in &self.load {
            writeln!(formatter, "{}", call.name)?;
            words(formatter, "command", &call.command)?;
            words(formatter, "environment", &call.environment)?;
        }
        Ok(())
    }
}

/// Words as a shell would want them, a line each; an option and its value share one.
fn words(formatter: &mut Formatter<'_>, title: &str, words: &[String]) -> fmt::Result {
    if words.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "  {title}")?;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        write!(formatter, "    {}", quoted(word))?;
        let option = word.starts_with('-') && !word.contains('=');
        if option && let Some(value) = words.next_if(|next| !next.starts_with('-')) {
            write!(formatter, " {}", quoted(value))?;
        }
        writeln!(formatter)?;
    }
    Ok(())
}

/// A word that a shell takes as one, harmless on a terminal; a script keeps its lines.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+{}".contains(&byte);
    let lines = word.trim().lines().map(|line| clean(line, 4_000));
    let word = lines.collect::<Vec<_>>().join("\n      ");
    if !word.is_empty() && word.bytes().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
