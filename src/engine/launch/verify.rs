//! Limits read back, from the engine and from the kernel: a limit that is not in force is an error, not a hope.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{CGROUP_MOUNT, Context, NodeHandle, disks::Disks, nodes};
use crate::{
    engine::{
        docker::{ContainerSpec, Observed},
        error::EngineError,
        inside::ask_toolbox,
        toolbox::CgroupLimits,
    },
    ids::NodeName,
};

/// The kernel keeps memory limits in whole pages.
const PAGE: u64 = 4096;
/// Deadline of reading the kernel's limits.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reads all limits back; answers what could not be checked.
pub(super) async fn verify(
    context: &Context<'_>,
    disks: &Disks,
    watcher: &str,
    handles: &BTreeMap<NodeName, NodeHandle>,
) -> Result<Vec<String>, EngineError> {
    let engine_view = async {
        stream::iter(&context.network.nodes)
            .map(|node| async move {
                let asked = nodes::spec(context, disks, node)?;
                let container = &handles.get(&node.name).ok_or(EngineError::CutShort {
                    what: "starting the nodes",
                })?;
                let facts = context.docker.inspect(&container.container_id).await?;
                compare_engine(&asked, &facts.limits)
            })
            .buffer_unordered(super::WIDTH)
            .try_collect::<Vec<()>>()
            .await
    };
    let (engine, kernel) = tokio::join!(engine_view, read_kernel(context, watcher, handles));
    engine?;
    let kernel = match kernel {
        Ok(kernel) => kernel,
        Err(error) => {
            return Ok(vec![format!(
                "limits were read back from the engine only, not from the kernel: {error}"
            )]);
        }
    };
    let mut notes = Vec::new();
    for node in &context.network.nodes {
        let asked = nodes::spec(context, disks, node)?;
        match handles
            .get(&node.name)
            .and_then(|handle| kernel.get(&handle.container_id))
        {
            Some(found) => compare_kernel(&asked, found)?,
            // A node that ended at once has no cgroup any more; that is the watcher's news, not ours.
            None => notes.push(format!("{}: its cgroup was not found", node.name)),
        }
    }
    Ok(notes)
}

/// The engine's view of one container against what was asked for.
fn compare_engine(asked: &ContainerSpec, found: &Observed) -> Result<(), EngineError> {
    let same = |limit: &'static str, asked_text: String, found_text: String| {
        if asked_text == found_text {
            Ok(())
        } else {
            Err(EngineError::LimitNotInForce {
                node: asked.name.clone(),
                limit,
                asked: asked_text,
                found: found_text,
            })
        }
    };
    same("memory", asked.memory.to_string(), found.memory.to_string())?;
    same(
        "memory and swap",
        asked.memory.to_string(),
        found.memory_swap.to_string(),
    )?;
    same(
        "cpus",
        crate::engine::docker::nano_cpus(asked.cpus).to_string(),
        found.nano_cpus.to_string(),
    )?;
    same("pids", asked.pids.to_string(), found.pids.to_string())?;
    same(
        "open files",
        asked.open_files.to_string(),
        found.open_files.to_string(),
    )?;
    same("user", asked.user.clone(), found.user.clone())?;
    same(
        "read-only root",
        asked.read_only_root.to_string(),
        found.read_only_root.to_string(),
    )?;
    same(
        "dropped capabilities",
        "ALL".to_owned(),
        found.capabilities_dropped.join(","),
    )?;
    same(
        "added capabilities",
        asked
            .capabilities
            .join(",")
            .replace("CAP_", "")
            .to_ascii_uppercase(),
        found.capabilities_added.join(","),
    )?;
    let no_new_privileges = found
        .security
        .iter()
        .any(|option| option.starts_with("no-new-privileges") && !option.ends_with("false"));
    same(
        "no new privileges",
        "true".to_owned(),
        no_new_privileges.to_string(),
    )?;
    same(
        "privileged",
        "false".to_owned(),
        found.privileged.to_string(),
    )?;
    same("log driver", "local".to_owned(), found.log_driver.clone())?;
    same(
        "restart policy",
        "no".to_owned(),
        found.restart_policy.clone(),
    )
}

/// The kernel's view of one container against what was asked for.
fn compare_kernel(asked: &ContainerSpec, found: &CgroupLimits) -> Result<(), EngineError> {
    let check = |limit: &'static str, asked_value: Option<u64>, found_value: Option<u64>| {
        match (asked_value, found_value) {
            (Some(asked_value), Some(found_value)) if asked_value != found_value => {
                Err(EngineError::LimitNotInForce {
                    node: asked.name.clone(),
                    limit,
                    asked: asked_value.to_string(),
                    found: found_value.to_string(),
                })
            }
            // A throttle that the kernel does not have is not in force; other limits that are missing are those of a
            // controller that is not there, which the engine's own warnings name.
            (Some(asked_value), None) if limit.starts_with("disk") => {
                Err(EngineError::LimitNotInForce {
                    node: asked.name.clone(),
                    limit,
                    asked: asked_value.to_string(),
                    found: "none".to_owned(),
                })
            }
            _ => Ok(()),
        }
    };
    let positive = |value: u64| (value > 0).then_some(value);
    check(
        "memory (kernel)",
        positive(asked.memory / PAGE * PAGE),
        found.memory,
    )?;
    check("pids (kernel)", positive(asked.pids), found.pids)?;
    let thousandths = |nano: i64| u64::try_from(nano / 1_000_000).ok().and_then(positive);
    check(
        "cpus (kernel, thousandths)",
        thousandths(crate::engine::docker::nano_cpus(asked.cpus)),
        found.cpu_thousandths,
    )?;
    if let Some(throttle) = &asked.throttle {
        check(
            "disk writes per second",
            throttle.write_iops,
            found.write_iops,
        )?;
        check(
            "disk bytes written per second",
            throttle.write_bytes_per_second,
            found.write_bytes_per_second,
        )?;
    }
    Ok(())
}

async fn read_kernel(
    context: &Context<'_>,
    watcher: &str,
    handles: &BTreeMap<NodeName, NodeHandle>,
) -> Result<BTreeMap<String, CgroupLimits>, EngineError> {
    let mut arguments = vec!["limits", CGROUP_MOUNT];
    arguments.extend(handles.values().map(|handle| handle.container_id.as_str()));
    let toolbox = context.images.toolbox_command(&[]);
    ask_toolbox(context.docker, watcher, &toolbox, &arguments, DEADLINE).await
}
