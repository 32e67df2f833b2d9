//! Several versions of the nodes' program in one network: which nodes run what, and what `upgrade` faults roll to.
//!
//! What the profile says is the version `base`; `[[versions]]` of the plan name others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    NetworkPlan, NodePlan, Plan, PlanError, Program, Role, error::did_you_mean,
    faults::PlannedFault, image::Reference, network, recovery::Rung, resolve::Sources,
    values::Share,
};
use crate::ids::{NodeName, ShardId};

/// The version of the profile's own program and command.
pub const BASE: &str = "base";
/// Most versions of one plan: more than that is no upgrade any more.
const MOST: usize = 16;

/// `[[versions]]`: another build of the nodes' program, or other options, and the nodes that run it from the start.
/// Without `share`, `shard` and `nodes` none does: only `upgrade` faults roll to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionManifest {
    /// What reports, and `version` of `upgrade` faults, call it: small letters, digits, `-` and `.`. Required; `base` is
    /// what the profile says.
    pub name: Option<String>,
    /// An image with the same entry point as the profile's. Excludes `binary`. Default: the profile's own program.
    pub image: Option<String>,
    /// A local executable (relative to this file), packed with the libraries it needs. Excludes `image`.
    pub binary: Option<String>,
    /// Options of the program, each with another value than in the profile's command: `{ "--log-level" = "debug" }`.
    /// They are no templates.
    pub options: Option<BTreeMap<String, String>>,
    /// Share of the validators and of the explorers of every shard, to the nearest whole node and at least one
    /// validator: those with the lowest numbers that no version before it has.
    pub share: Option<Share>,
    /// Only in this shard. Without `share`: all its nodes that no other version has.
    pub shard: Option<u64>,
    /// These nodes. Excludes `share` and `shard`.
    pub nodes: Option<Vec<String>>,
}

/// Another version than the profile's, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPlan {
    /// Its name.
    pub name: String,
    /// Its program; `None` for the profile's.
    pub program: Option<Program>,
    /// Options that have other values than in the profile's command.
    pub options: BTreeMap<String, String>,
    /// The nodes that run it from the start.
    pub nodes: Vec<NodeName>,
}

impl NetworkPlan {
    /// The version that a node runs from the start; `None` for the profile's.
    #[must_use]
    pub fn version_of(&self, node: &NodeName) -> Option<&VersionPlan> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.nodes.contains(node))
    }
}

/// Whether a version may be called so.
pub(super) fn is_name(name: &str) -> bool {
    network::is_name(&name.replace('.', "-"))
}

/// Resolves the versions of a plan.
///
/// # Errors
/// The first value that makes no sense, or a version for which no nodes are left.
pub(super) fn resolve(
    sources: &Sources,
    typed: &[VersionManifest],
    nodes: &[NodePlan],
) -> Result<Vec<VersionPlan>, PlanError> {
    if typed.len() > MOST {
        return Err(sources.bad("versions", &format!("at most {MOST}")));
    }
    let key = |index: usize, name: &str| format!("versions[{index}].{name}");
    let mut versions: Vec<VersionPlan> = Vec::new();
    for (index, version) in typed.iter().enumerate() {
        let bad = |name: &str, message: &str| Err(sources.bad(&key(index, name), message));
        let Some(name) = version.name.clone() else {
            return Err(sources.missing(
                &key(index, "name"),
                "what reports and `upgrade` faults call this version",
            ));
        };
        if name == BASE || versions.iter().any(|other| other.name == name) {
            return bad("name", "is taken; `base` is the profile's own version");
        }
        if !is_name(&name) {
            return bad("name", "small letters, digits, `-` and `.`, at most 20");
        }
        if version.options.iter().flatten().count() == 0
            && version.image.is_none()
            && version.binary.is_none()
        {
            return bad(
                "name",
                "`image`, `binary` or `options`: what is different in it",
            );
        }
        let program = match (&version.image, &version.binary) {
            (Some(_), Some(_)) => return bad("image", "`image` and `binary` exclude each other"),
            (Some(image), None) => match Reference::parse(image) {
                Ok(_) => Some(Program::Image(image.clone())),
                Err(message) => return bad("image", &message),
            },
            (None, Some(binary)) if binary.is_empty() => return bad("binary", "is empty"),
            (None, Some(binary)) => Some(Program::Binary(PathBuf::from(binary))),
            (None, None) => None,
        };
        if version.nodes.is_some() && (version.share.is_some() || version.shard.is_some()) {
            return bad("nodes", "`nodes` excludes `share` and `shard`");
        }
        versions.push(VersionPlan {
            name,
            program,
            options: version.options.clone().unwrap_or_default(),
            nodes: Vec::new(),
        });
    }
    // Nodes that are named come first, so that no share takes them.
    let mut taken = BTreeSet::new();
    for (index, version) in typed.iter().enumerate() {
        let chosen = named(version, nodes, &mut taken);
        let of = chosen.map_err(|message| sources.bad(&key(index, "nodes"), &message))?;
        versions[index].nodes = of;
    }
    for (index, version) in typed.iter().enumerate() {
        if version.share.is_some() || version.shard.is_some() {
            let chosen = shared(version, nodes, &mut taken);
            let which = if version.share.is_some() {
                "share"
            } else {
                "shard"
            };
            let of = chosen.map_err(|message| sources.bad(&key(index, which), &message))?;
            versions[index].nodes = of;
        }
    }
    Ok(versions)
}

fn named(
    version: &VersionManifest,
    nodes: &[NodePlan],
    taken: &mut BTreeSet<NodeName>,
) -> Result<Vec<NodeName>, String> {
    let mut of = Vec::new();
    for name in version.nodes.iter().flatten() {
        let known = nodes.iter().find(|node| node.name.as_str() == name);
        let known = known.ok_or_else(|| format!("there is no node {name:?}"))?;
        if !taken.insert(known.name.clone()) {
            return Err(format!("{name} is there twice, or has another version"));
        }
        of.push(known.name.clone());
    }
    Ok(of)
}

fn shared(
    version: &VersionManifest,
    nodes: &[NodePlan],
    taken: &mut BTreeSet<NodeName>,
) -> Result<Vec<NodeName>, String> {
    let shards: BTreeSet<ShardId> = nodes.iter().map(|node| node.shard).collect();
    let asked = version.shard.map(ShardId);
    if let Some(shard) = asked.filter(|shard| !shards.contains(shard)) {
        let count = shards.len();
        return Err(format!(
            "there is no shard {shard}: the network has {count}, from 0"
        ));
    }
    let mut of = Vec::new();
    for shard in shards {
        if asked.is_some_and(|asked| asked != shard) {
            continue;
        }
        for role in [Role::Validator, Role::Explorer] {
            let group = nodes.iter();
            let group: Vec<_> = group
                .filter(|node| node.shard == shard && node.role == role)
                .collect();
            let free: Vec<_> = group
                .iter()
                .filter(|node| !taken.contains(&node.name))
                .collect();
            let count = match version.share {
                None => free.len(),
                Some(share) => {
                    let nearest = (share.0 * group.len() as f64).round() as usize;
                    nearest.max(usize::from(role == Role::Validator))
                }
            };
            if count > free.len() || (count == 0 && role == Role::Validator) {
                return Err(format!(
                    "it is to have {count} nodes of shard {shard}, of which {} are left",
                    free.len()
                ));
            }
            of.extend(free[..count].iter().map(|node| node.name.clone()));
        }
    }
    taken.extend(of.iter().cloned());
    Ok(of)
}

/// Writes what a version is into the parameters of every `upgrade` fault that names one.
///
/// # Errors
/// The first version that nobody knows, or that is named beside another build.
pub(super) fn fill_schedule(
    sources: &Sources,
    schedule: &mut [PlannedFault],
    network: &NetworkPlan,
) -> Result<(), PlanError> {
    for fault in schedule {
        fill(fault, network)
            .map_err(|message| sources.bad("fault", &format!("{}: {message}", fault.id)))?;
    }
    Ok(())
}

/// The same of one fault.
///
/// # Errors
/// When nobody knows the version, or it is named beside another build.
pub fn fill(fault: &mut PlannedFault, network: &NetworkPlan) -> Result<(), String> {
    let Some(parameters) = fault.parameters.as_object_mut() else {
        return Ok(());
    };
    let name = match parameters.get("version") {
        Some(Value::String(name)) if fault.kind == "upgrade" => name.clone(),
        _ => return Ok(()),
    };
    let names = || network.versions.iter().map(|version| version.name.as_str());
    let known = network.versions.iter().find(|version| version.name == name);
    if known.is_none() && name != BASE {
        let hint = did_you_mean(&name, names());
        let all: Vec<&str> = [BASE].into_iter().chain(names()).collect();
        return Err(format!(
            "{name:?} is no version of this plan{hint}; it has {}",
            all.join(", ")
        ));
    }
    if network.versions.is_empty() {
        return Err("the plan has one version only; write `[[versions]]`".to_owned());
    }
    // One that was filled before, in a recorded schedule, says the same again.
    for key in ["image", "binary"] {
        let is = match known.and_then(|version| version.program.as_ref()) {
            Some(Program::Image(image)) if key == "image" => Some(image.clone()),
            Some(Program::Binary(path)) if key == "binary" => {
                Some(path.to_string_lossy().into_owned())
            }
            _ => None,
        };
        let typed = parameters.get(key).filter(|typed| !typed.is_null());
        if typed.is_some_and(|typed| typed.as_str() != is.as_deref()) {
            return Err(format!("`version` and `{key}` exclude each other"));
        }
        if let Some(is) = is {
            parameters.insert(key.to_owned(), is.into());
        }
    }
    let mut options: serde_json::Map<String, Value> = known
        .into_iter()
        .flat_map(|version| &version.options)
        .map(|(option, value)| (option.clone(), value.clone().into()))
        .collect();
    if let Some(Value::Object(typed)) = parameters.remove("options") {
        options.extend(typed);
    }
    if !options.is_empty() {
        parameters.insert("options".to_owned(), options.into());
    }
    Ok(())
}

/// The versions of a plan in lines for people, the profile's own first; empty where there is but that one.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let network = &plan.network;
    if network.versions.is_empty() {
        return Vec::new();
    }
    let line = |name: &str, nodes: &[&NodeName], what: String| {
        let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
        let names = if names.is_empty() {
            "no node at the start".to_owned()
        } else {
            names.join(", ")
        };
        format!("{name} ({what}): {names}")
    };
    let base: Vec<&NodeName> = network
        .nodes
        .iter()
        .map(|node| &node.name)
        .filter(|node| network.version_of(node).is_none())
        .collect();
    let mut lines = vec![line(BASE, &base, "the profile's own".to_owned())];
    lines.extend(network.versions.iter().map(|version| {
        let what = match &version.program {
            Some(Program::Image(image)) => format!("image {image}"),
            Some(Program::Binary(path)) => format!("binary {}", path.display()),
            Some(Program::Itself) | None => "other options".to_owned(),
        };
        line(
            &version.name,
            &version.nodes.iter().collect::<Vec<_>>(),
            what,
        )
    }));
    lines
}

/// Versions that nothing uses.
pub(super) fn unused(plan: &Plan) -> Vec<String> {
    let rolls_to = |name: &str| {
        let named = |fault: &PlannedFault| fault.parameters.get("version") == Some(&name.into());
        let tried = plan.recovery.iter().flat_map(|recovery| &recovery.steps);
        plan.schedule.iter().any(named)
            || tried
                .into_iter()
                .any(|rung| *rung == Rung::Version(name.to_owned()))
    };
    let versions = plan.network.versions.iter();
    versions
        .filter(|version| version.nodes.is_empty() && !rolls_to(&version.name))
        .map(|version| {
            format!(
                "version {} is run by no node, and no `upgrade` fault names it",
                version.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        journal::generate::Shape,
        plan::faults::{Target, Trigger, Who},
    };

    fn nodes(shards: u64, validators: u32) -> Vec<NodePlan> {
        let shape = Shape {
            shards,
            validators,
            ..Shape::default()
        };
        shape.plan().network.nodes
    }

    fn version(name: &str) -> VersionManifest {
        VersionManifest {
            name: Some(name.to_owned()),
            image: Some(format!("node:{name}")),
            ..VersionManifest::default()
        }
    }

    fn names(version: &VersionPlan) -> Vec<&str> {
        version.nodes.iter().map(NodeName::as_str).collect()
    }

    #[test]
    fn nodes_are_chosen_by_name_share_and_shard_and_never_twice() {
        let typed = [
            VersionManifest {
                share: Some(Share(0.5)),
                shard: Some(0),
                ..version("half")
            },
            VersionManifest {
                nodes: Some(vec!["s0-n00".to_owned()]),
                ..version("one")
            },
            VersionManifest {
                shard: Some(1),
                ..version("shard")
            },
            version("later"),
        ];
        let versions = resolve(&Sources::default(), &typed, &nodes(2, 4)).unwrap();
        assert_eq!(names(&versions[0]), ["s0-n01", "s0-n02"]);
        assert_eq!(names(&versions[1]), ["s0-n00"]);
        let all = ["s1-n00", "s1-n01", "s1-n02", "s1-n03"];
        assert_eq!(names(&versions[2]), all);
        assert!(versions[3].nodes.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |typed: &[VersionManifest], says: &str| {
            let error = resolve(&Sources::default(), typed, &nodes(2, 4)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        refused(&[version("base")], "is taken");
        refused(&[version("a"), version("a")], "is taken");
        refused(&[version("V 2")], "small letters");
        refused(&[VersionManifest::default()], "name");
        let both = VersionManifest {
            binary: Some("./node".to_owned()),
            ..version("a")
        };
        refused(&[both], "exclude each other");
        let nothing = VersionManifest {
            image: None,
            ..version("a")
        };
        refused(&[nothing], "what is different");
        let most = VersionManifest {
            share: Some(Share(0.75)),
            ..version("a")
        };
        let more = VersionManifest {
            share: Some(Share(0.5)),
            ..version("b")
        };
        refused(&[most, more], "of which 1 are left");
        let nowhere = VersionManifest {
            shard: Some(7),
            ..version("a")
        };
        refused(&[nowhere], "there is no shard 7");
        let nobody = VersionManifest {
            nodes: Some(vec!["s9-n00".to_owned()]),
            ..version("a")
        };
        refused(&[nobody], "there is no node");
    }

    fn upgrade(parameters: Value) -> PlannedFault {
        PlannedFault {
            id: "f1-upgrade".to_owned(),
            kind: "upgrade".to_owned(),
            parameters,
            trigger: Trigger::After(Duration::ZERO),
            lasts: Duration::from_secs(1),
            target: Target {
                who: Who::One,
                shard: None,
            },
            seed: 0,
            drawn: false,
        }
    }

    #[test]
    fn upgrades_name_versions_and_a_filled_one_stays_as_it_is() {
        let mut network = Shape::default().plan().network;
        let options = [("--log".to_owned(), "debug".to_owned())];
        network.versions = vec![VersionPlan {
            name: "next".to_owned(),
            program: Some(Program::Binary("./next".into())),
            options: options.into(),
            nodes: Vec::new(),
        }];
        let mut fault = upgrade(serde_json::json!({ "version": "next" }));
        fill(&mut fault, &network).unwrap();
        let filled = serde_json::json!({
            "version": "next", "binary": "./next", "options": { "--log": "debug" }
        });
        assert_eq!(fault.parameters, filled);
        fill(&mut fault, &network).unwrap();
        assert_eq!(fault.parameters, filled);
        let mut back = upgrade(serde_json::json!({ "version": "base" }));
        fill(&mut back, &network).unwrap();
        assert_eq!(back.parameters, serde_json::json!({ "version": "base" }));
        let mut other = upgrade(serde_json::json!({ "version": "nxt" }));
        let error = fill(&mut other, &network).unwrap_err();
        assert!(error.contains("did you mean `next`"), "{error}");
        let mut both = upgrade(serde_json::json!({ "version": "next", "image": "x" }));
        assert!(fill(&mut both, &network).unwrap_err().contains("exclude"));
    }
}
