//! What this machine's engine can do for a canary, each proved by doing it, each with the remedy where it cannot.

mod faulty;

use std::{
    collections::BTreeMap,
    net::{IpAddr, TcpListener, UdpSocket},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    capabilities::{chain, network_abilities},
    docker::Docker,
    error::EngineError,
    inside::ask_toolbox,
    labels::RunLabels,
    launch::{self, Images, LaunchRequest, Launched, RenderedNode, launch},
    owner::Owner,
    room,
    teardown::teardown,
    toolbox::{ConnectOutcome, FillOutcome},
};
use crate::{
    fault::kinds::{KINDS, Need},
    ids::{NodeName, RunId, ShardId},
    journal::Capability,
    plan::{
        DiskKind, DiskPlan, Limits, MainnetPlan, MetricNames, NetworkPlan, NodePlan, ProbePlan,
        Program, Role,
    },
};

/// Size of the disks that are filled as a proof.
const DISK: u64 = 8 << 20;
/// Deadline of one question inside a container.
const DEADLINE: Duration = Duration::from_secs(60);
/// Free room below which the default plan cannot be expected to run.
const ROOM: u64 = 4 << 30;
/// Memory below which the default plan cannot be expected to run.
const MEMORY: u64 = 2 << 30;

/// Examines the engine. Leaves nothing behind but packed images. `allow_helper` permits privileged helper containers.
pub async fn doctor(
    host: Option<&str>,
    linux_binary: Option<&Path>,
    allow_helper: bool,
) -> Vec<Capability> {
    let docker = match Docker::connect(host).await {
        Ok(docker) => docker,
        Err(error) => {
            return vec![Capability::unable(
                "engine",
                chain(&error),
                "install and start Docker 20.10 or newer, and allow this user to use its socket",
            )];
        }
    };
    let mut found = facts(&docker);
    let run = run_id();
    let network = network(DiskKind::Tmpfs);
    let images = match launch::prepare(&docker, &network, false, linux_binary).await {
        Ok(images) => images,
        Err(error) => {
            found.push(Capability::unable(
                "pack",
                chain(&error),
                "give a Linux build of canarynet with --linux-binary",
            ));
            return found;
        }
    };
    found.push(Capability::able(
        "pack",
        format!("this program became the image {}", images.program.reference),
    ));
    found.push(
        match room::by_container(&docker, &images.program, &run).await {
            Ok(room) => Capability::of(
                "room",
                room.free >= ROOM,
                format!(
                    "{} MiB free of {} MiB where the engine keeps its data ({})",
                    room.free >> 20,
                    room.size >> 20,
                    docker.info().data_root
                ),
                "free room there: `docker system df` tells what takes it",
            ),
            Err(error) => Capability::unable("room", chain(&error), "see the error"),
        },
    );
    found.extend(tmpfs(&docker, &run, &network, &images).await);
    if allow_helper {
        found.extend(ext4(&docker, &run, linux_binary).await);
        found.extend(faulty::faulty(&docker, &run, linux_binary).await);
        found.extend(network_faults(&docker, &run, &images).await);
    } else {
        let needs = Need::all().into_iter().map(Need::id);
        for id in needs.chain(["disk-throttle", "netem"]) {
            found.push(Capability::unable(
                id,
                "not tried: it needs the privileged helper, which was not allowed",
                "pass --allow-helper (containers with single capabilities, never --privileged)",
            ));
        }
    }
    found.push(fault_kinds(&found));
    found
}

/// Which kinds of faults can be done here, from what they need.
fn fault_kinds(found: &[Capability]) -> Capability {
    let lacks = |needs: &[Need]| {
        needs.iter().map(|need| need.id()).find(|id| {
            !found
                .iter()
                .any(|capability| capability.id == *id && capability.able)
        })
    };
    let mut can = Vec::new();
    let mut cannot = Vec::new();
    for info in KINDS {
        match lacks(info.needs) {
            None => can.push(info.kind),
            Some(need) => cannot.push(format!("{} ({need})", info.kind)),
        }
    }
    let proof = if cannot.is_empty() {
        format!("all {} kinds of faults can be injected", can.len())
    } else {
        format!("not possible here: {}", cannot.join(", "))
    };
    Capability::of(
        "fault-kinds",
        cannot.is_empty(),
        proof,
        "each kind names in brackets what it lacks",
    )
}

/// What the engine says of itself.
fn facts(docker: &Docker) -> Vec<Capability> {
    let info = docker.info();
    vec![
        Capability::able(
            "engine",
            format!(
                "{} at {}, API {}.{}, kernel {} on {}",
                info.version, info.address, info.api.0, info.api.1, info.kernel, info.architecture
            ),
        ),
        Capability::able("cgroup", format!("version {}", info.cgroup_version)),
        Capability::able("storage-driver", info.storage_driver.clone()),
        Capability::of(
            "memory",
            info.memory >= MEMORY,
            format!("{} MiB, {} processors", info.memory >> 20, info.cpus),
            "give the engine at least 2 GiB, or use a plan with fewer nodes",
        ),
        Capability::of(
            "live-restore",
            info.live_restore,
            format!(
                "live-restore is {}",
                if info.live_restore { "on" } else { "off" }
            ),
            "without it a restart of the engine ends all nodes and empties tmpfs disks; set \"live-restore\": true in the engine's daemon.json",
        ),
    ]
}

/// A network of two idle nodes, launched like any other.
fn network(kind: DiskKind) -> NetworkPlan {
    let node = |index: u32| NodePlan {
        name: NodeName::of(ShardId(0), index),
        shard: ShardId(0),
        index,
        position: index,
        role: Role::Validator,
        voting_power: 1,
    };
    NetworkPlan {
        shards: 1,
        nodes: vec![node(0), node(1)],
        program: Program::Itself,
        versions: Vec::new(),
        images: Default::default(),
        secrets: Vec::new(),
        command: Vec::new(),
        defects: Vec::new(),
        environment: BTreeMap::new(),
        user: "1000:1000".to_owned(),
        read_only_root: true,
        capabilities: Vec::new(),
        scratch: BTreeMap::new(),
        limits: Limits {
            memory: 64 << 20,
            cpus: 0.5,
            pids: 64,
            open_files: 1024,
        },
        disk: DiskPlan {
            path: "/data".to_owned(),
            kind,
            size: DISK,
            inodes: None,
            write_iops: (kind == DiskKind::Ext4).then_some(1000),
            write_bytes_per_second: None,
            thin: false,
            bytes_per_block: None,
            age: None,
            bytes_at_rest: None,
            retention: None,
        },
        probe: ProbePlan {
            reads: Default::default(),
            dialect: "none".to_owned(),
            rpc_port: 1,
            metrics_port: None,
            interval: DEADLINE,
            deadline: DEADLINE,
            metrics: MetricNames::default(),
            log: None,
        },
        log_files: Vec::new(),
        log_rules: Vec::new(),
        clock_skew: None,
        mainnet: MainnetPlan { disk: None },
        foreign: Default::default(),
        stop_timeout: Duration::from_secs(1),
    }
}

fn run_id() -> RunId {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let text = format!("doctor-{}-{}", std::process::id(), time.as_secs());
    text.parse().expect("lower-case letters, digits and dashes")
}

async fn launch_idle(
    docker: &Docker,
    run: &RunId,
    network: &NetworkPlan,
    allow_helper: bool,
    images: &Images,
) -> Result<Launched, EngineError> {
    let idle = |_: &NodePlan, _: &BTreeMap<_, _>| {
        Ok(RenderedNode {
            command: vec!["keeper".to_owned()],
            environment: BTreeMap::new(),
        })
    };
    let request = LaunchRequest {
        beside: None,
        secrets: None,
        fill: None,
        run,
        network,
        allow_helper,
        state: String::new(),
        owner: Owner::this_process(),
        time_to_live: Duration::from_secs(600),
        images,
        render: &idle,
    };
    launch(docker, request, |_| {}).await
}

/// Fills a disk and reads its size and error.
async fn fill(docker: &Docker, launched: &Launched) -> Result<(bool, String), EngineError> {
    let Some(node) = launched.nodes.values().next() else {
        return Err(EngineError::CutShort { what: "the launch" });
    };
    let filled: FillOutcome = ask_toolbox(
        docker,
        &node.container_id,
        &launched.toolbox,
        &["fill", "/data/ballast"],
        DEADLINE,
    )
    .await?;
    let running = docker.inspect(&node.container_id).await?.running;
    // 28 is ENOSPC.
    let able = filled.error == Some(28) && filled.bytes >= DISK && running;
    Ok((
        able,
        format!(
            "a disk of {DISK} bytes took {} bytes, then error {:?} (28 is ENOSPC), and the node {}",
            filled.bytes,
            filled.error,
            if running { "went on" } else { "was killed" }
        ),
    ))
}

/// Whether a node reaches a listener of this machine, or the outside.
async fn isolation(docker: &Docker, launched: &Launched) -> Result<(bool, String), EngineError> {
    let Some(node) = launched.nodes.values().next() else {
        return Err(EngineError::CutShort { what: "the launch" });
    };
    let listener = TcpListener::bind("0.0.0.0:0").ok();
    let port = listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok())
        .map_or(22, |address| address.port());
    let [a, b, c, _] = node.addresses.data.octets();
    let mut addresses = vec![format!("{a}.{b}.{c}.1:{port}"), "203.0.113.1:53".to_owned()];
    addresses.extend(own_address().map(|address| format!("{address}:{port}")));
    for address in &addresses {
        let outcome: ConnectOutcome = ask_toolbox(
            docker,
            &node.container_id,
            &launched.toolbox,
            &["try-connect", address],
            DEADLINE,
        )
        .await?;
        if matches!(outcome, ConnectOutcome::Connected | ConnectOutcome::Refused) {
            return Ok((false, format!("a node reached {address}: {outcome:?}")));
        }
    }
    Ok((
        true,
        format!("a node reached none of {}", addresses.join(", ")),
    ))
}

/// This machine's address on its default route; no packet is sent for it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

async fn tmpfs(
    docker: &Docker,
    run: &RunId,
    network: &NetworkPlan,
    images: &Images,
) -> Vec<Capability> {
    let mut found = Vec::new();
    match launch_idle(docker, run, network, false, images).await {
        Ok(launched) => {
            found.push(Capability::of(
                "limits",
                launched.notes.is_empty(),
                if launched.notes.is_empty() {
                    "memory, processors, processes and the rest were read back from the engine and the kernel".to_owned()
                } else {
                    launched.notes.join("; ")
                },
                "let containers mount /sys/fs/cgroup of the engine's machine read-only",
            ));
            found.push(answer(
                "tmpfs-disk",
                fill(docker, &launched).await,
                "tmpfs volumes of the engine's local driver must work; is it a rootless or remote one without them?",
            ));
            found.push(answer(
                "isolation",
                isolation(docker, &launched).await,
                "use an engine whose internal networks have no way out, or update it",
            ));
        }
        Err(error) => found.push(Capability::unable(
            "launch",
            chain(&error),
            "see the error; nothing can be launched until it is gone",
        )),
    }
    found.extend(clean(docker, run).await);
    found
}

async fn ext4(docker: &Docker, run: &RunId, linux_binary: Option<&Path>) -> Vec<Capability> {
    const REMEDY: &str = "the kernel needs loop devices and ext4, the engine must grant SYS_ADMIN and MKNOD to a container; use disk.kind = \"tmpfs\" otherwise";
    let network = network(DiskKind::Ext4);
    let images = match launch::prepare(docker, &network, true, linux_binary).await {
        Ok(images) => images,
        Err(error) => {
            return vec![Capability::unable(
                "ext4-disk",
                chain(&error),
                "install e2fsprogs on this machine",
            )];
        }
    };
    let mut found = Vec::new();
    match launch_idle(docker, run, &network, true, &images).await {
        Ok(launched) => {
            found.push(answer("ext4-disk", fill(docker, &launched).await, REMEDY));
            found.push(Capability::of(
                "disk-throttle",
                launched.notes.is_empty(),
                if launched.notes.is_empty() {
                    "a throttle of 1000 writes per second was read back from the kernel".to_owned()
                } else {
                    launched.notes.join("; ")
                },
                "the kernel needs the blkio (io) controller",
            ));
        }
        Err(error) => {
            let id = match &error {
                EngineError::LimitNotInForce { .. } => "disk-throttle",
                _ => "ext4-disk",
            };
            found.push(Capability::unable(id, chain(&error), REMEDY));
        }
    }
    found.extend(clean(docker, run).await);
    found
}

async fn network_faults(docker: &Docker, run: &RunId, images: &Images) -> Vec<Capability> {
    let labels = RunLabels::new(run, &Owner::this_process(), "", DEADLINE);
    network_abilities(docker, &images.program.reference, &labels).await
}

fn answer(
    id: &'static str,
    result: Result<(bool, String), EngineError>,
    remedy: &str,
) -> Capability {
    match result {
        Ok((able, proof)) => Capability::of(id, able, proof, remedy),
        Err(error) => Capability::unable(id, chain(&error), remedy),
    }
}

/// Removes what the proof has made; only a failure is worth telling.
async fn clean(docker: &Docker, run: &RunId) -> Option<Capability> {
    let left = match teardown(docker, run).await {
        Ok(report) if report.left.is_empty() => return None,
        Ok(report) => report.left.join("; "),
        Err(error) => chain(&error),
    };
    Some(Capability::unable(
        "teardown",
        left,
        "remove what is left by hand; it carries the label canarynet.run",
    ))
}
