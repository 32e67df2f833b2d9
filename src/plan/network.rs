//! The network part of a plan, from the profile.

mod bounds;
mod foreign;
mod probe;
mod texts;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub(super) use bounds::check;
use texts::is_variable;
pub(super) use texts::{is_name, is_secret};

use super::{
    ClockLever, DefectPlan, DiskKind, DiskPlan, Limits, MainnetPlan, NetworkPlan, NodePlan,
    Program, Role,
    error::{PlanError, did_you_mean},
    image,
    resolve::Sources,
    secrets,
    source::join,
    values::human_size,
};
use crate::{
    ids::{NodeName, ShardId},
    profile::{
        arguments,
        manifest::{self, Disk, Profile},
    },
    reference_node::defects::Defect,
    time::Clocks,
};

/// Most shards: more do not fit one machine, and the reference node takes no more.
const SHARDS: u64 = 64;

/// Most nodes: their fixed addresses are .16 to .254 of one /24.
const NODES: u64 = 239;

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
    let foreign = foreign::resolve(profile);
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
        scratch: scratch(profile),
        limits: limits(profile),
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
    match check(&network) {
        Err((key, message)) => Err(sources.bad(&format!("profile.{key}"), &message)),
        Ok(()) => Ok(network),
    }
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

fn limits(profile: &Profile) -> Limits {
    let typed = profile.limits.clone().unwrap_or_default();
    Limits {
        memory: typed.memory.map_or(512 << 20, |size| size.0),
        cpus: typed.cpus.unwrap_or(1.0),
        pids: typed.pids.unwrap_or(256),
        open_files: typed.open_files.unwrap_or(1_024),
    }
}

fn disk(sources: &Sources, typed: Disk) -> Result<DiskPlan, PlanError> {
    let bad = |key: &str, message: &str| Err(sources.bad(&format!("profile.disk.{key}"), message));
    let Some(size) = typed.size.map(|size| size.0) else {
        return Err(sources.missing(
            "profile.disk.size",
            "the usable bytes of a node's data disk, like `64 MiB`",
        ));
    };
    let path = typed.path.unwrap_or_else(|| "/data".to_owned());
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
    let metric = typed.metric.clone().unwrap_or_default();
    match port {
        Some(port) => Ok(Some(ClockLever { file, port, metric })),
        None => bad(
            "metric",
            "there is no `probe.rpc.metrics_port` to read it from",
        ),
    }
}

fn scratch(profile: &Profile) -> BTreeMap<String, u64> {
    let typed = profile.scratch.clone().unwrap_or_default();
    typed
        .into_iter()
        .map(|(path, size)| (path, size.0))
        .collect()
}
