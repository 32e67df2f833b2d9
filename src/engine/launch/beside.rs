//! What runs before the nodes and beside them: the volume that all share, steps, services, load.

use std::{collections::BTreeMap, time::Duration};

use super::{Context, fill};
use crate::{
    engine::{
        docker::{ContainerSpec, Mount},
        error::EngineError,
        inside::one_shot,
        labels::{self, Role},
        pack::TOOLBOX,
        secrets,
    },
    plan::foreign::{LOAD_MEMORY, SHARED},
    profile::beside::Call,
};

/// Deadline of writing the files.
const FILES: Duration = Duration::from_secs(60);
/// Longest argument that the kernel takes, less some room.
const LONGEST: usize = 120 << 10;
/// Writable `/tmp` of steps, services and load.
const TMP: u64 = 16 << 20;
/// Its processes and threads.
const LOAD_PIDS: u64 = 1_024;

/// The shared volume in a container.
pub(super) fn shared(context: &Context<'_>, read_only: bool) -> Mount {
    Mount::Volume {
        name: labels::shared_volume(context.run()),
        target: SHARED.to_owned(),
        read_only,
        fill: false,
        options: BTreeMap::new(),
        labels: context.labels.of(Role::Shared),
    }
}

/// The volume with the secrets, where there are any.
pub(super) fn secrets(context: &Context<'_>) -> Result<Option<Mount>, EngineError> {
    let mount = || secrets::in_node(&context.labels, &context.network.user);
    context.secrets.map(|_| mount()).transpose()
}

/// Makes the shared volume, writes the nodes' files into it, and runs all steps, one after the other.
pub(super) async fn prepare(context: &Context<'_>) -> Result<(), EngineError> {
    if !context.network.foreign.shares() {
        return Ok(());
    }
    if let Some(filling) = context.fill {
        fill::shared(context, filling).await?;
    }
    let mut command = vec!["toolbox".to_owned(), "share".to_owned(), SHARED.to_owned()];
    command.push(context.network.user.clone());
    for (node, files) in &context.beside.folders {
        let order = serde_json::to_string(&(node.as_str(), files))
            .map_err(|error| EngineError::inside("the files of nodes", &error.to_string()))?;
        if order.len() > LONGEST {
            return Err(EngineError::Render {
                node: node.clone(),
                message: format!("its files are more than {LONGEST} bytes in all"),
            });
        }
        command.push(order);
    }
    let spec = ContainerSpec {
        name: format!("{}-files", context.run()),
        image: context.images.program.reference.clone(),
        entrypoint: Some(vec!["/bin/canarynet".to_owned()]),
        command,
        user: "0:0".to_owned(),
        labels: context.labels.of(Role::Helper),
        mounts: vec![shared(context, false)],
        memory: 64 << 20,
        pids: 16,
        // The folders are given to the nodes' user, and written to after that.
        capabilities: ["CHOWN", "DAC_OVERRIDE"].map(str::to_owned).to_vec(),
        read_only_root: true,
        ..ContainerSpec::default()
    };
    one_shot(context.docker, spec, FILES).await?;
    if context.fill.is_some() {
        // What the steps made once is in what was filled in, keys above all.
        return Ok(());
    }
    for (index, step) in context.beside.steps.iter().enumerate() {
        let spec = ContainerSpec {
            name: format!("{}-init-{index}", context.run()),
            mounts: [Some(shared(context, false)), secrets(context)?]
                .into_iter()
                .flatten()
                .collect(),
            labels: context.labels.of(Role::Init),
            ..of_call(context, &step.call)
        };
        one_shot(context.docker, spec, step.deadline)
            .await
            .map_err(|error| {
                EngineError::inside(format!("init step {}", step.name), &error.to_string())
            })?;
    }
    Ok(())
}

/// Starts all services.
pub(super) async fn start_services(context: &Context<'_>) -> Result<(), EngineError> {
    let (data, _) = context.networks();
    for service in &context.beside.services {
        let mut mounts: Vec<Mount> = secrets(context)?.into_iter().collect();
        if context.network.foreign.shares() {
            mounts.push(shared(context, true));
        }
        let spec = ContainerSpec {
            name: format!("{}-service-{}", context.run(), service.name),
            hostname: service.name.clone(),
            labels: context.labels.of(Role::Service),
            network: Some((data.clone(), service.address)),
            mounts,
            ..of_call(context, &service.call)
        };
        let id = context.docker.create(spec).await?;
        context.docker.start(&id).await?;
    }
    Ok(())
}

/// Starts what makes load; the toolbox must be filled.
pub(super) async fn start_load(context: &Context<'_>) -> Result<(), EngineError> {
    let (data, _) = context.networks();
    for load in &context.beside.load {
        let mut order = load.order.clone();
        let own = &context.images.node.program;
        let program = load.program.as_deref().unwrap_or(own);
        order.command.insert(0, path_of(program));
        let order = serde_json::to_string(&order)
            .map_err(|error| EngineError::inside("load", &error.to_string()))?;
        let mut mounts = vec![Mount::Volume {
            name: labels::toolbox_volume(context.run()),
            target: TOOLBOX.to_owned(),
            read_only: true,
            fill: false,
            options: BTreeMap::new(),
            labels: context.labels.of(Role::Toolbox),
        }];
        if context.network.foreign.shares() {
            mounts.push(shared(context, true));
        }
        mounts.extend(secrets(context)?);
        let call = Call::default();
        let spec = ContainerSpec {
            name: labels::load_name(context.run(), load.shard.0),
            hostname: format!("load-{}", load.shard.0),
            entrypoint: Some(context.images.toolbox_command(&["load", &order])),
            labels: context.labels.of(Role::Load),
            network: Some((data.clone(), load.address)),
            memory: LOAD_MEMORY,
            pids: LOAD_PIDS,
            mounts,
            ..of_call(context, &call)
        };
        let id = context.docker.create(spec).await?;
        context.docker.start(&id).await?;
    }
    Ok(())
}

/// The container of a program from the nodes' image, as the nodes' user and within their limits.
fn of_call(context: &Context<'_>, call: &Call) -> ContainerSpec {
    let network = context.network;
    ContainerSpec {
        image: context.images.node.reference.clone(),
        entrypoint: call.program.as_deref().map(|name| vec![path_of(name)]),
        command: call.command.clone(),
        environment: call.environment.clone(),
        user: network.user.clone(),
        scratch: [("/tmp".to_owned(), TMP)].into(),
        memory: network.limits.memory.saturating_add(TMP),
        cpus: network.limits.cpus,
        pids: network.limits.pids,
        open_files: network.limits.open_files,
        read_only_root: true,
        ..ContainerSpec::default()
    }
}

/// A program as a profile names it: a path, or a name in the pack.
fn path_of(program: &str) -> String {
    if program.starts_with('/') {
        program.to_owned()
    } else {
        format!("/bin/{program}")
    }
}
