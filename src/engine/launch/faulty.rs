//! FUSE disks: a process in a container of its own for each node, started and mounted before the node.

use std::{collections::BTreeMap, path::PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Context, WIDTH};
use crate::{
    disk::{
        faulty::{
            control::{CONTROL, CONTROL_FOLDER},
            mount::{MOUNTS, Mounted, SOCKETS},
            process::Service,
        },
        helper::{HelperOp, run_helper},
        tmpfs::user_ids,
    },
    engine::{
        docker::{ContainerSpec, Mount},
        error::EngineError,
        labels::{self, Role},
    },
    ids::NodeName,
};

/// Memory of a disk's process: what undoes, a few operations at once, and this program. Pages of the file system behind
/// it are charged to it too, and given back when they are wanted.
pub(super) const MEMORY: u64 = 128 << 20;
/// Where the disk behind is in its container.
const BEHIND: &str = "/disk";
/// Where the sockets are.
const SOCKETS_INSIDE: &str = "/sockets";

/// Starts the process of each disk, which serves the file system that `options` mount, and mounts all of them. Answers
/// where the engine has each disk.
pub(super) async fn serve(
    context: &Context<'_>,
    volume: &str,
    options: &BTreeMap<NodeName, BTreeMap<String, String>>,
) -> Result<BTreeMap<NodeName, String>, EngineError> {
    let helper = context.images.helper.as_ref();
    let helper = helper.ok_or(EngineError::HelperNotAllowed {
        what: "a FUSE disk",
    })?;
    stream::iter(options)
        .map(|(node, options)| start(context, volume, node, options))
        .buffer_unordered(WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    let operation = HelperOp::MountFaulty {
        volume: PathBuf::from(volume),
        disks: options.keys().cloned().collect(),
    };
    let docker = context.docker;
    let _mounted: Mounted =
        run_helper(docker, &helper.reference, &context.labels, &operation).await?;
    Ok(options
        .keys()
        .map(|node| (node.clone(), format!("{volume}/{MOUNTS}/{node}")))
        .collect())
}

async fn start(
    context: &Context<'_>,
    volume: &str,
    node: &NodeName,
    options: &BTreeMap<String, String>,
) -> Result<(), EngineError> {
    let (user, group) = user_ids(&context.network.user)?;
    let service = Service {
        disk: BEHIND.into(),
        socket: format!("{SOCKETS_INSIDE}/{node}").into(),
        control: CONTROL.into(),
        user,
        group,
    };
    let order = serde_json::to_string(&service)
        .map_err(|error| EngineError::inside("a FUSE disk", &error.to_string()))?;
    let spec = ContainerSpec {
        name: labels::faulty_name(context.run(), node),
        image: context.images.program.reference.clone(),
        entrypoint: Some(vec!["/bin/canarynet".to_owned()]),
        command: vec!["faulty-disk".to_owned(), order],
        user: "0:0".to_owned(),
        labels: context.labels.of_node(Role::FaultyDisk, node),
        mounts: vec![
            Mount::Volume {
                name: labels::node_name(context.run(), node),
                target: BEHIND.to_owned(),
                read_only: false,
                fill: false,
                options: options.clone(),
                labels: context.labels.of_node(Role::Disk, node),
            },
            Mount::Folder {
                source: format!("{volume}/{SOCKETS}"),
                target: SOCKETS_INSIDE.to_owned(),
                read_only: false,
            },
        ],
        scratch: [(CONTROL_FOLDER.to_owned(), 1 << 20)].into(),
        memory: MEMORY,
        pids: 64,
        // It does for every user what the kernel has found that this user may.
        capabilities: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]
            .map(str::to_owned)
            .to_vec(),
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let id = context.docker.create(spec).await?;
    context.docker.start(&id).await
}
