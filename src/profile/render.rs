//! Templates of a node's command and environment, rendered when the nodes' addresses are known.
//!
//! Strict: a name that does not exist is an error, never an empty text. Bounded: neither a template nor what it makes
//! can grow without end.

use std::{collections::BTreeMap, io, time::Duration};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use super::beside;
use crate::{
    ids::NodeName,
    plan::{
        NodeAddress, NodePlan, Plan, Role,
        error::did_you_mean,
        foreign::{FIRST_SERVICE, SHARED},
        secrets,
        values::one_unit,
    },
};

/// Steps of one template: some thousand loop rounds, milliseconds of work.
const FUEL: u64 = 200_000;

/// Longest template.
const LONGEST_TEMPLATE: usize = 16 * 1024;

/// Longest text that one template may make: the kernel's own limit on one argument.
const LONGEST_TEXT: usize = 128 * 1024;

/// Why a template gives no text.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    /// The key of the template: `profile.command[3]`.
    pub key: String,
    message: String,
}

impl RenderError {
    pub(super) fn new(key: &str, message: String) -> Self {
        Self {
            key: key.to_owned(),
            message: crate::journal::text::clean(&message, 600),
        }
    }
}

/// The arguments of a node's program.
///
/// # Errors
/// A template that is none, names something that does not exist, or makes too much.
pub fn command(
    plan: &Plan,
    node: &NodePlan,
    addresses: &BTreeMap<NodeName, NodeAddress>,
) -> Result<Vec<String>, RenderError> {
    let renderer = Renderer::new(plan, node, addresses)?;
    renderer.texts("profile.command", &plan.network.command)
}

/// The environment of a node's process, as `NAME=value`.
///
/// # Errors
/// As [`command`].
pub fn environment(
    plan: &Plan,
    node: &NodePlan,
    addresses: &BTreeMap<NodeName, NodeAddress>,
) -> Result<Vec<String>, RenderError> {
    let renderer = Renderer::new(plan, node, addresses)?;
    let entries = plan.network.environment.iter().map(|(name, text)| {
        let value = renderer.text(&format!("profile.environment.{name}"), text)?;
        Ok(format!("{name}={value}"))
    });
    entries.collect()
}

/// Renders everything once with addresses made up from a range for documentation, so that a mistake in a template is
/// found before anything is started.
///
/// # Errors
/// The first template that fails.
pub fn verify(plan: &Plan) -> Result<(), RenderError> {
    let addresses = made_up_addresses(plan);
    // Nodes of one role and shard differ in numbers only; one of each finds every mistake.
    let mut seen = Vec::new();
    for node in &plan.network.nodes {
        if seen.contains(&(node.shard, node.role)) {
            continue;
        }
        seen.push((node.shard, node.role));
        command(plan, node, &addresses)?;
        environment(plan, node, &addresses)?;
    }
    beside::render(plan, &addresses)?;
    Ok(())
}

/// Addresses from ranges for documentation.
pub(super) fn made_up_addresses(plan: &Plan) -> BTreeMap<NodeName, NodeAddress> {
    let addresses = plan.network.nodes.iter().map(|node| {
        let last = u8::try_from(node.position.saturating_add(16)).unwrap_or(u8::MAX);
        let address = NodeAddress {
            data: [192, 0, 2, last].into(),
            management: [198, 51, 100, last].into(),
        };
        (node.name.clone(), address)
    });
    addresses.collect()
}

pub(super) struct Renderer {
    templates: Environment<'static>,
    context: Value,
}

impl Renderer {
    pub(super) fn new(
        plan: &Plan,
        node: &NodePlan,
        addresses: &BTreeMap<NodeName, NodeAddress>,
    ) -> Result<Self, RenderError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.set_fuel(Some(FUEL));
        Ok(Self {
            templates,
            context: context(plan, node, addresses)?,
        })
    }

    /// All of a list, under its key and place.
    pub(super) fn texts(
        &self,
        key: &str,
        templates: &[String],
    ) -> Result<Vec<String>, RenderError> {
        let texts = templates.iter().enumerate();
        texts
            .map(|(index, text)| self.text(&format!("{key}[{index}]"), text))
            .collect()
    }

    /// All values of a table.
    pub(super) fn table(
        &self,
        key: &str,
        templates: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, RenderError> {
        let entries = templates.iter();
        entries
            .map(|(name, text)| {
                let value = self.text(&format!("{key}.{name}"), text)?;
                Ok((name.clone(), value))
            })
            .collect()
    }

    pub(super) fn text(&self, key: &str, template: &str) -> Result<String, RenderError> {
        if template.len() > LONGEST_TEMPLATE {
            return Err(RenderError::new(
                key,
                format!("the template is longer than {LONGEST_TEMPLATE} bytes"),
            ));
        }
        let mut text = Bounded(Vec::new());
        let failed = |error: minijinja::Error| {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            RenderError::new(key, format!("template {template:?}: {error}{cause}"))
        };
        let parsed = self.templates.template_from_str(template).map_err(failed)?;
        parsed
            .render_captured_to(self.context.clone(), &mut text)
            .map_err(|error| match unknown_name(&parsed, &self.context) {
                Some(unknown) if error.kind() == ErrorKind::UndefinedError => {
                    RenderError::new(key, format!("template {template:?}: {unknown}"))
                }
                _ => failed(error),
            })?;
        let text = String::from_utf8(text.0)
            .map_err(|_| RenderError::new(key, "makes no UTF-8".to_owned()))?;
        // An argument or variable with a zero byte cannot be passed to a process.
        if text.contains('\0') {
            return Err(RenderError::new(
                key,
                "makes a text with a zero byte".to_owned(),
            ));
        }
        Ok(text)
    }
}

/// Which name of a template does not exist, what it may have been meant to be, and what there is.
fn unknown_name(template: &minijinja::Template<'_, '_>, context: &Value) -> Option<String> {
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    names.iter().find_map(|name| {
        let mut value = context.clone();
        for part in name.split('.') {
            let next = value.get_attr(part).ok()?;
            if next.is_undefined() {
                let keys = value.try_iter().ok()?.map(|key| key.to_string());
                let is_set =
                    |key: &String| value.get_attr(key).is_ok_and(|value| !value.is_undefined());
                let mut keys: Vec<String> = keys.filter(is_set).collect();
                keys.sort_unstable();
                let hint = did_you_mean(part, keys.iter().map(String::as_str));
                let all = keys.join(", ");
                return Some(format!("there is no `{name}`{hint}; there are: {all}"));
            }
            value = next;
        }
        None
    })
}

/// Takes [`LONGEST_TEXT`] bytes and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_TEXT {
            return Err(io::Error::other(format!(
                "makes more than {LONGEST_TEXT} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::from(entries.into_iter().collect::<BTreeMap<&str, Value>>())
}

fn number(number: u64) -> Value {
    Value::from(number)
}

/// A number that is written without a fraction where it has none (and where only binary gave it one).
fn decimal(number: f64) -> Value {
    let rounded = (number * 1e6).round() / 1e6;
    if rounded.fract() == 0.0 {
        Value::from(rounded as i64)
    } else {
        Value::from(rounded)
    }
}

/// What is not set is undefined: printing it is an error, `is defined` asks for it.
fn optional(value: Option<u64>) -> Value {
    value.map_or(Value::UNDEFINED, number)
}

/// The names that templates may use; documented in `profiles/reference.toml`.
fn context(
    plan: &Plan,
    node: &NodePlan,
    addresses: &BTreeMap<NodeName, NodeAddress>,
) -> Result<Value, RenderError> {
    let network = &plan.network;
    let address = |node: &NodePlan| {
        let unknown =
            || RenderError::new("profile.command", format!("{} has no address", node.name));
        addresses.get(&node.name).copied().ok_or_else(unknown)
    };
    let own = address(node)?;
    let mut nodes = Vec::new();
    let mut shard_ips = Vec::new();
    for other in &network.nodes {
        let ip = address(other)?.data.to_string();
        nodes.push(peer(other, &ip));
        if other.shard == node.shard {
            shard_ips.push(ip);
        }
    }
    let (rate, cross_shard) = (plan.load.rate, plan.load.cross_shard * 100.0);
    let disk = &network.disk;
    Ok(map([
        ("node", own_node(plan, node, own)),
        ("shard", shard(plan, node, shard_ips)),
        (
            "network",
            map([
                ("shards", number(network.shards)),
                ("validators", count(plan, node, Role::Validator)),
                ("explorers", count(plan, node, Role::Explorer)),
                ("nodes", nodes.into()),
            ]),
        ),
        ("values", Value::from(network.foreign.values.clone())),
        ("shared", SHARED.into()),
        ("secrets", secrets(plan)),
        ("services", services(plan, own)),
        ("clocks", clocks(plan)),
        ("accelerate", accelerate(plan)),
        ("seed", plan.network_seed().into()),
        (
            "load",
            map([
                ("rate", decimal(rate)),
                ("cross_shard", decimal(cross_shard)),
            ]),
        ),
        (
            "disk",
            map([
                ("path", disk.path.as_str().into()),
                ("size", number(disk.size)),
                ("retention", optional(disk.retention)),
            ]),
        ),
        (
            "ports",
            map([
                ("rpc", number(network.probe.rpc_port.into())),
                (
                    "metrics",
                    optional(network.probe.metrics_port.map(u64::from)),
                ),
            ]),
        ),
    ]))
}

fn own_node(plan: &Plan, node: &NodePlan, address: NodeAddress) -> Value {
    map([
        ("defects", defects(plan, node).into()),
        ("name", node.name.as_str().into()),
        ("folder", format!("{SHARED}/{}", node.name).into()),
        ("index", number(node.index.into())),
        ("position", number(node.position.into())),
        ("role", role(node).into()),
        ("shard", number(node.shard.0)),
        ("ip", address.data.to_string().into()),
        ("management_ip", address.management.to_string().into()),
    ])
}

/// Secrets by their names: the paths of their files.
fn secrets(plan: &Plan) -> Value {
    let secrets = plan.network.secrets.iter();
    let paths = secrets.map(|secret| {
        let path = format!("{}/{}", secrets::FOLDER, secret.name);
        (secret.name.clone(), Value::from(path))
    });
    Value::from(paths.collect::<BTreeMap<String, Value>>())
}

/// Services by their names, with their addresses: in the nodes' own network, below all nodes.
fn services(plan: &Plan, own: NodeAddress) -> Value {
    let named = plan.network.foreign.services.iter().zip(FIRST_SERVICE..);
    let entries = named.map(|(service, last)| {
        let ip = beside::address(own, last).to_string();
        let facts = map([("ip", ip.into())]);
        (service.name.replace('-', "_"), facts)
    });
    Value::from(entries.collect::<BTreeMap<String, Value>>())
}

/// The ids of its defects with commas between them, or `none`.
fn defects(plan: &Plan, node: &NodePlan) -> String {
    let on = plan.network.defects.iter();
    let on = on.filter(|defect| defect.nodes.contains(&node.name));
    let ids: Vec<&str> = on.map(|defect| defect.id.as_str()).collect();
    if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.join(",")
    }
}

fn shard(plan: &Plan, node: &NodePlan, ips: Vec<String>) -> Value {
    map([
        ("index", number(node.shard.0)),
        ("validators", count(plan, node, Role::Validator)),
        ("explorers", count(plan, node, Role::Explorer)),
        ("first_ip", ips.first().cloned().unwrap_or_default().into()),
        ("ips", ips.into()),
    ])
}

/// Nodes of this role in the node's shard; the same in every shard.
fn count(plan: &Plan, node: &NodePlan, role: Role) -> Value {
    let nodes = plan.network.nodes.iter();
    let of_role = nodes.filter(|other| other.shard == node.shard && other.role == role);
    number(of_role.count() as u64)
}

fn role(node: &NodePlan) -> &'static str {
    match node.role {
        Role::Validator => "validator",
        Role::Explorer => "explorer",
    }
}

fn peer(node: &NodePlan, ip: &str) -> Value {
    map([
        ("name", node.name.as_str().into()),
        ("shard", number(node.shard.0)),
        ("index", number(node.index.into())),
        ("ip", ip.into()),
        ("folder", format!("{SHARED}/{}", node.name).into()),
        ("position", number(node.position.into())),
        ("role", role(node).into()),
    ])
}

/// `clocks.block_interval` as text (`200ms`), `clocks.block_interval_ms` as a number.
fn clocks(plan: &Plan) -> Value {
    let clocks = &plan.clocks;
    let known = [
        ("block_interval", clocks.block_interval),
        ("mainnet_block_interval", clocks.mainnet_block_interval),
        ("view_change", clocks.view_change_timeout),
        ("view_change_slot", clocks.view_change_slot),
        ("view_change_max", clocks.view_change_timeout_max),
    ];
    spans(known.iter().map(|(name, span)| ((*name).to_owned(), *span)))
}

fn accelerate(plan: &Plan) -> Value {
    spans(
        plan.levers
            .iter()
            .map(|lever| (lever.clock.clone(), lever.canary)),
    )
}

fn spans(spans: impl Iterator<Item = (String, Duration)>) -> Value {
    let entries = spans.flat_map(|(name, span)| {
        let millis = decimal(span.as_secs_f64() * 1e3);
        [
            (format!("{name}_ms"), millis),
            (name, Value::from(one_unit(span))),
        ]
    });
    Value::from(entries.collect::<BTreeMap<String, Value>>())
}
