//! The network part of a plan, from the profile.

mod foreign;
mod probe;
mod texts;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub(super) use texts::is_name;
use texts::{is_capability, is_path, is_user, is_variable};

use super::{
    ClockLever, DefectPlan, DiskKind, DiskPlan, Limits, MainnetPlan, NetworkPlan, NodePlan,
    Program, Role,
    error::{PlanError, did_you_mean},
    image, log_rule,
    resolve::Sources,
    secrets,
    source::join,
    values::human_size,
};
use crate::{
    ids::{NodeName, ShardId},
    profile::{
        arguments, log_position,
        manifest::{self, Disk, Profile},
    },
    reference_node::defects::Defect,
    time::Clocks,
};

/// Most shards: more do not fit one machine, and the reference node takes no more.
const SHARDS: u64 = 64;

/// Most nodes: their fixed addresses are .16 to .254 of one /24.
const NODES: u64 = 239;

/// Least memory that the engine accepts for a container.
const LEAST_MEMORY: u64 = 6 << 20;

/// Least size of a disk: below it neither a file system nor a store fits.
const LEAST_DISK: u64 = 1 << 20;
/// mkfs.xfs makes no file system below 300 MiB, of which its log takes 64.
const LEAST_XFS_DISK: u64 = 224 << 20;

/// Most entries of a list or map in a profile; keeps plans small whatever a profile says.
const MOST_ENTRIES: usize = 256;

/// Resolves what the network is made of.
///
/// # Errors
/// The first value that is missing or out of its range.
pub fn resolve(
    sources: &Sources,
    profile: &Profile,
    clocks: &Clocks,
) -> Result<NetworkPlan, PlanError> {
    let (shards, nodes) = nodes(sources, profile)?;
    let program = program(sources, profile)?;
    let command = match (&profile.command, &program) {
        (Some(command), _) => command.clone(),
        (None, Program::Image(_)) => Vec::new(),
        (None, _) => {
            return Err(sources.missing(
                "profile.command",
                "the arguments of the program, a list of texts",
            ));
        }
    };
    let command = arguments::with(&command, &profile.arguments.clone().unwrap_or_default());
    let defects = defects(sources, profile, &program, &nodes)?;
    let mainnet_disk = profile.mainnet.as_ref().and_then(|mainnet| mainnet.disk);
    let probe = probe::resolve(sources, profile.probe.clone().unwrap_or_default(), clocks)?;
    let foreign = foreign::resolve(sources, profile)?;
    let network = NetworkPlan {
        shards,
        nodes,
        program,
        versions: Vec::new(),
        images: image_policy(sources, profile)?,
        secrets: secrets::resolve(&profile.secrets.clone().unwrap_or_default(), is_variable)
            .map_err(|(name, why)| sources.bad(&join("profile.secrets", &name), why))?,
        command,
        defects,
        environment: profile.environment.clone().unwrap_or_default(),
        user: profile
            .user
            .clone()
            .unwrap_or_else(|| "10001:10001".to_owned()),
        read_only_root: profile.read_only_root.unwrap_or(true),
        capabilities: profile.capabilities.clone().unwrap_or_default(),
        scratch: scratch(sources, profile)?,
        limits: limits(sources, profile)?,
        disk: disk(sources, profile.disk.clone().unwrap_or_default())?,
        clock_skew: clock_skew(sources, profile, probe.metrics_port)?,
        probe,
        log_files: profile.log_files.clone().unwrap_or_default(),
        log_rules: profile.log.clone().unwrap_or_default(),
        mainnet: MainnetPlan {
            disk: mainnet_disk.map(|size| size.0),
        },
        stop_timeout: profile
            .stop_timeout
            .map_or(Duration::from_secs(10), |span| span.0),
        foreign,
    };
    check_texts(sources, &network)?;
    Ok(network)
}

/// What becomes part of a container's configuration has the shape that the engine wants.
fn check_texts(sources: &Sources, network: &NetworkPlan) -> Result<(), PlanError> {
    let shards = network.shards;
    let bad = |key: &str, message: &str| Err(sources.bad(&format!("profile.{key}"), message));
    if let Some(name) = network.environment.keys().find(|name| !is_variable(name)) {
        return bad(
            "environment",
            &format!("{name:?} is no variable's name: letters, digits and `_`"),
        );
    }
    if !is_user(&network.user) {
        let user = &network.user;
        return bad(
            "user",
            &format!("{user:?} is no `uid:gid`, two numbers like `10001:10001`"),
        );
    }
    if let Some(name) = network
        .capabilities
        .iter()
        .find(|name| !is_capability(name))
    {
        return bad(
            "capabilities",
            &format!("{name:?} is no capability like `NET_BIND_SERVICE`"),
        );
    }
    if let Some(path) = network.log_files.iter().find(|path| !is_path(path)) {
        return bad("log_files", &format!("{path:?}: {PATH}"));
    }
    for (index, rule) in network.log_rules.iter().enumerate() {
        if let Err((key, message)) = log_rule::check_rule(rule) {
            let rule = format!("log[{index}]");
            let key = if key.is_empty() {
                rule
            } else {
                join(&rule, key)
            };
            return bad(&key, &message);
        }
    }
    let pattern = network.probe.log.as_ref();
    let pattern = pattern.and_then(|log| log.pattern.as_deref());
    if let Some(Err(message)) = pattern.map(log_position::compile) {
        return bad("probe.log.pattern", &message);
    }
    let deadline = network.probe.log.as_ref().and_then(|log| log.deadline);
    let allowed = Duration::from_secs(10)..=Duration::from_secs(3_600);
    if deadline.is_some_and(|deadline| !allowed.contains(&deadline.0)) {
        return bad("probe.log.deadline", "between 10s and 1h");
    }
    let loads = network.foreign.load.as_ref().map_or(0, |_| shards - 1);
    if network.nodes.len() as u64 + loads > NODES {
        return bad("nodes", "leave no addresses for what makes load");
    }
    for (key, length) in [
        ("command", network.command.len()),
        ("environment", network.environment.len()),
        ("log", network.log_rules.len()),
        ("log_files", network.log_files.len()),
    ] {
        if length > MOST_ENTRIES {
            return bad(
                key,
                &format!("has {length} entries, more than {MOST_ENTRIES}"),
            );
        }
    }
    if network.stop_timeout > Duration::from_secs(600) {
        return bad("stop_timeout", "at most 10m");
    }
    Ok(())
}

fn nodes(sources: &Sources, profile: &Profile) -> Result<(u64, Vec<NodePlan>), PlanError> {
    let Some(shards) = profile.shards else {
        return Err(sources.missing("profile.shards", "the number of shards"));
    };
    if !(1..=SHARDS).contains(&shards) {
        return Err(sources.bad(
            "profile.shards",
            &format!("{shards} is not between 1 and {SHARDS}"),
        ));
    }
    let typed = profile.nodes.clone().unwrap_or_default();
    let Some(validators) = typed.validator else {
        return Err(sources.missing(
            "profile.nodes.validator",
            "the number of validators of each shard",
        ));
    };
    let explorers = typed.explorer.unwrap_or(0);
    let all = (u64::from(validators) + u64::from(explorers)) * shards;
    if validators == 0 || all > NODES {
        let message =
            format!("{all} nodes in all; at least one validator a shard and at most {NODES} nodes");
        return Err(sources.bad("profile.nodes", &message));
    }
    let mut nodes = Vec::new();
    for shard in (0..shards).map(ShardId) {
        for index in 0..validators + explorers {
            let votes = index < validators;
            nodes.push(NodePlan {
                name: NodeName::of(shard, index),
                shard,
                index,
                position: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
                role: if votes {
                    Role::Validator
                } else {
                    Role::Explorer
                },
                voting_power: u64::from(votes),
            });
        }
    }
    Ok((shards, nodes))
}

fn program(sources: &Sources, profile: &Profile) -> Result<Program, PlanError> {
    let itself = profile.itself.unwrap_or(false);
    let image = profile.image.as_ref().map(|image| {
        let text = image.reference();
        text.ok_or_else(|| sources.missing("profile.image.ref", "the reference of the image"))
    });
    match (&profile.binary, image.transpose()?, itself) {
        (Some(path), None, false) if !path.is_empty() => Ok(Program::Binary(PathBuf::from(path))),
        (None, Some(image), false) => match image::Reference::parse(image) {
            Ok(_) => Ok(Program::Image(image.to_owned())),
            Err(message) => Err(sources.bad("profile.image", &message)),
        },
        (None, None, true) => Ok(Program::Itself),
        (None, None, false) => Err(sources.missing(
            "profile.binary",
            "`binary`, `image` or `itself = true`: what the nodes run",
        )),
        _ => Err(sources.bad(
            "profile.binary",
            "`binary`, `image` and `itself` exclude each other",
        )),
    }
}

fn image_policy(sources: &Sources, profile: &Profile) -> Result<image::ImagePolicy, PlanError> {
    let policy = profile.image.as_ref().map(image::ImageManifest::policy);
    policy
        .unwrap_or_else(|| Ok(image::ImagePolicy::default()))
        .map_err(|(key, message)| sources.bad(&format!("profile.image.{key}"), &message))
}

fn defects(
    sources: &Sources,
    profile: &Profile,
    program: &Program,
    nodes: &[NodePlan],
) -> Result<Vec<DefectPlan>, PlanError> {
    let bad = |message: &str| Err(sources.bad("profile.defects", message));
    let typed = profile.defects.clone().unwrap_or_default();
    let told = |text: &String| text.contains("node.defects");
    let command = profile.command.iter().flatten();
    let environment = profile.environment.iter().flat_map(BTreeMap::values);
    if !typed.is_empty() && !command.chain(environment).any(told) {
        return bad("nothing tells the nodes of them: `{{ node.defects }}` in `command`");
    }
    let known = Defect::ids();
    let mut defects = Vec::new();
    for defect in typed {
        let (id, names) = match defect {
            manifest::Defect::Everywhere(id) => (id, None),
            manifest::Defect::On(on) => (on.id, Some(on.nodes)),
        };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let unknown = *program == Program::Itself && !known.contains(&id);
        if unknown || id.is_empty() || id.len() > 64 || !id.bytes().all(word) {
            let hint = did_you_mean(&id, known.iter().map(String::as_str));
            let all = known.join(", ");
            return bad(&format!(
                "{id:?} is no defect{hint}; the reference node has {all}"
            ));
        }
        let on = |node: &&NodePlan| {
            names
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name == node.name.as_str()))
        };
        let on: Vec<NodeName> = nodes
            .iter()
            .filter(on)
            .map(|node| node.name.clone())
            .collect();
        if names.is_some_and(|names| names.is_empty() || names.len() != on.len()) {
            return bad(&format!("{id}: not all of these are nodes of the network"));
        }
        defects.push(DefectPlan { id, nodes: on });
    }
    Ok(defects)
}

fn limits(sources: &Sources, profile: &Profile) -> Result<Limits, PlanError> {
    let typed = profile.limits.clone().unwrap_or_default();
    let limits = Limits {
        memory: typed.memory.map_or(512 << 20, |size| size.0),
        cpus: typed.cpus.unwrap_or(1.0),
        pids: typed.pids.unwrap_or(256),
        open_files: typed.open_files.unwrap_or(1_024),
    };
    let bad =
        |key: &str, message: String| Err(sources.bad(&format!("profile.limits.{key}"), &message));
    if limits.memory < LEAST_MEMORY {
        return bad(
            "memory",
            format!(
                "at least {}, the engine's own minimum",
                human_size(LEAST_MEMORY)
            ),
        );
    }
    if !(limits.cpus >= 0.01 && limits.cpus <= 1_024.0) {
        return bad(
            "cpus",
            format!("{} is not between 0.01 and 1024", limits.cpus),
        );
    }
    if !(4..=1_000_000).contains(&limits.pids) {
        return bad(
            "pids",
            format!("{} is not between 4 and 1000000", limits.pids),
        );
    }
    if !(16..=1_000_000).contains(&limits.open_files) {
        return bad(
            "open_files",
            format!("{} is not between 16 and 1000000", limits.open_files),
        );
    }
    Ok(limits)
}

fn disk(sources: &Sources, typed: Disk) -> Result<DiskPlan, PlanError> {
    let bad = |key: &str, message: &str| Err(sources.bad(&format!("profile.disk.{key}"), message));
    let Some(size) = typed.size.map(|size| size.0) else {
        return Err(sources.missing(
            "profile.disk.size",
            "the usable bytes of a node's data disk, like `64 MiB`",
        ));
    };
    if size < LEAST_DISK {
        return bad("size", &format!("at least {}", human_size(LEAST_DISK)));
    }
    let path = typed.path.unwrap_or_else(|| "/data".to_owned());
    if !is_path(&path) {
        return bad("path", &format!("{path:?}: {PATH}"));
    }
    let kind = typed.kind.unwrap_or(DiskKind::Auto);
    let throttled = typed.write_iops.is_some() || typed.write_bytes_per_second.is_some();
    if throttled && !kind.is_block() {
        return bad(
            "kind",
            "`write_iops` and `write_bytes_per_second` need `kind = \"ext4\"` (or xfs): memory cannot be throttled",
        );
    }
    if typed.thin == Some(true) && kind == DiskKind::Tmpfs {
        return bad(
            "thin",
            "needs `kind = \"ext4\"` (or xfs): memory is no block device",
        );
    }
    if kind == DiskKind::Xfs && size < LEAST_XFS_DISK {
        return bad(
            "size",
            &format!(
                "xfs is made no smaller than with {} usable bytes",
                human_size(LEAST_XFS_DISK)
            ),
        );
    }
    for (key, value) in [
        ("inodes", typed.inodes),
        ("write_iops", typed.write_iops),
        (
            "write_bytes_per_second",
            typed.write_bytes_per_second.map(|size| size.0),
        ),
        ("retention", typed.retention.map(|blocks| blocks.0)),
    ] {
        if value == Some(0) {
            return bad(key, "at least 1; leave it out for no limit");
        }
    }
    Ok(DiskPlan {
        path,
        kind,
        size,
        inodes: typed.inodes.filter(|_| kind != DiskKind::Xfs),
        write_iops: typed.write_iops,
        write_bytes_per_second: typed.write_bytes_per_second.map(|size| size.0),
        thin: typed.thin.unwrap_or(false),
        bytes_per_block: typed.bytes_per_block.map(|size| size.0),
        age: match typed.age {
            Some(age) => Some(super::disk::aged(sources, &age, kind, size)?),
            None => None,
        },
        bytes_at_rest: typed.bytes_at_rest.map(|size| size.0),
        retention: typed.retention.map(|blocks| blocks.0),
    })
}

fn clock_skew(
    sources: &Sources,
    profile: &Profile,
    port: Option<u16>,
) -> Result<Option<ClockLever>, PlanError> {
    let Some(typed) = &profile.clock_skew else {
        return Ok(None);
    };
    let bad = |key: &str, message: &str| {
        let key = format!("profile.clock_skew.{key}");
        Err(sources.bad(&key, message))
    };
    let file = typed.file.clone().unwrap_or_default();
    if !is_path(&format!("/{file}")) || file.contains('/') {
        return bad("file", "a plain name of a file on the data disk");
    }
    let metric = typed.metric.clone().unwrap_or_default();
    if metric.is_empty() || metric.chars().any(char::is_whitespace) {
        return bad("metric", "the name of a metric that shows the node's clock");
    }
    match port {
        Some(port) => Ok(Some(ClockLever { file, port, metric })),
        None => bad(
            "metric",
            "there is no `probe.rpc.metrics_port` to read it from",
        ),
    }
}

fn scratch(sources: &Sources, profile: &Profile) -> Result<BTreeMap<String, u64>, PlanError> {
    let typed = profile.scratch.clone().unwrap_or_default();
    for (path, size) in &typed {
        if !is_path(path) || size.0 == 0 {
            return Err(sources.bad(
                "profile.scratch",
                &format!("{path:?} = {size}: {PATH}, with a size above zero"),
            ));
        }
    }
    Ok(typed
        .into_iter()
        .map(|(path, size)| (path, size.0))
        .collect())
}

const PATH: &str = "an absolute path below `/`, without `..`, `:`, `,` and control characters";
