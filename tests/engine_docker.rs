//! The engine for real: launching, limits, disks, isolation and teardown against the engine of this machine.
//!
//! Without an engine every test says loudly that nothing was tested.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test or benchmark may panic and print"
)]

#[path = "engine_docker/aged.rs"]
mod aged;
mod support;

use std::{
    collections::BTreeMap, os::unix::fs::MetadataExt as _, process::Command, time::Duration,
};

use canarynet::{
    engine::{
        Docker, EngineError, LaunchRequest, Launched, RenderedNode, TeardownReport,
        docker::{ContainerSpec, Mount},
        find_runs,
        inside::ask_toolbox,
        labels::{Role, RunLabels},
        launch,
        launch::{Images, prepare},
        owner::Owner,
        pack, preflight, reattach, teardown,
        toolbox::{ConnectOutcome, FillOutcome},
    },
    ids::{NodeName, RunId},
    plan::{DiskKind, NetworkPlan, NodeAddress, NodePlan, Program, image::Pull},
};
use futures_util::StreamExt as _;
use support::{allow_helper, engine, idle, network, program, run_id};

const TIME_TO_LIVE: Duration = Duration::from_secs(600);

async fn start(
    docker: &Docker,
    run: &RunId,
    network: &NetworkPlan,
) -> Result<Launched, EngineError> {
    let images = prepare(docker, network, allow_helper(network), Some(program())).await?;
    preflight(docker, run, network, allow_helper(network), &images).await?;
    launch(docker, request(run, network, &images), |_| {}).await
}

fn request<'a>(run: &'a RunId, network: &'a NetworkPlan, images: &'a Images) -> LaunchRequest<'a> {
    LaunchRequest {
        beside: None,
        secrets: None,
        fill: None,
        run,
        network,
        allow_helper: allow_helper(network),
        state: "/nowhere".to_owned(),
        owner: Owner::this_process(),
        time_to_live: TIME_TO_LIVE,
        images,
        render: &idle,
    }
}

/// Tears down and proves that nothing of the run is left.
async fn finish(docker: &Docker, run: &RunId) -> TeardownReport {
    let report = teardown(docker, run).await.unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    assert!(docker.containers_of(run).await.unwrap().is_empty());
    assert!(docker.networks_of(run).await.unwrap().is_empty());
    assert!(docker.volumes_of(run).await.unwrap().is_empty());
    assert!(
        find_runs(docker)
            .await
            .unwrap()
            .iter()
            .all(|found| found.run != *run)
    );
    report
}

/// Runs a toolbox operation inside a node, as the node's own user.
async fn toolbox<T: serde::de::DeserializeOwned>(
    docker: &Docker,
    launched: &Launched,
    container: &str,
    arguments: &[&str],
) -> T {
    let deadline = Duration::from_secs(60);
    ask_toolbox(docker, container, &launched.toolbox, arguments, deadline)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tmpfs_launch_limits_disk_isolation_reattach_teardown() {
    let Some(docker) = engine().await else { return };
    let run = run_id("tmpfs");
    let network = network(2, 2, DiskKind::Tmpfs, 8 << 20);
    let launched = start(&docker, &run, &network).await.unwrap();
    eprintln!("{:?}", launched.timings);
    let result = tokio::spawn({
        let (docker, run, launched) = (docker.clone(), run.clone(), launched.clone());
        async move {
            // Limits were compared by the launch; nothing was left unchecked.
            assert_eq!(launched.notes, Vec::<String>::new());
            assert_eq!(launched.nodes.len(), 4);
            let first: NodeName = "s0-n00".parse().unwrap();
            let node = &launched.nodes[&first];
            assert_eq!(node.disk.kind, DiskKind::Tmpfs);
            assert_eq!(node.disk.usable_bytes, 8 << 20);
            disk_takes_exactly(&docker, &launched, &node.container_id, 8 << 20, 0).await;
            isolated(&docker, &launched, &first).await;
            let again = reattach(&docker, &run).await.unwrap();
            assert_eq!(again.nodes, launched.nodes);
            assert_eq!(again.watcher, launched.watcher);
            assert_eq!(again.toolbox, launched.toolbox);
            let found = find_runs(&docker).await.unwrap();
            let found = found.iter().find(|found| found.run == run).unwrap();
            assert_eq!(found.owner, Owner::this_process());
            assert_eq!((found.containers, found.running), (5, 5));
            assert_eq!((found.networks, found.volumes), (2, 5));
        }
    })
    .await;
    finish(&docker, &run).await;
    // Idempotent.
    finish(&docker, &run).await;
    result.unwrap();
}

/// Fills the disk: what it takes lies between what was promised and `slack` more, and the error is ENOSPC.
async fn disk_takes_exactly(
    docker: &Docker,
    launched: &Launched,
    container: &str,
    promised: u64,
    slack: u64,
) {
    let filled: FillOutcome =
        toolbox(docker, launched, container, &["fill", "/data/ballast"]).await;
    assert_eq!(filled.error, Some(28), "ENOSPC");
    assert!(
        (promised..=promised + slack).contains(&filled.bytes),
        "{} bytes were written, {promised} promised, {slack} more accepted",
        filled.bytes
    );
    let facts = docker.inspect(container).await.unwrap();
    assert!(
        facts.running && !facts.out_of_memory,
        "a full disk is no OOM kill"
    );
}

/// A node reaches its peers, and neither a listener of this machine nor the outside.
async fn isolated(docker: &Docker, launched: &Launched, from: &NodeName) {
    let node = &launched.nodes[from];
    let peer = launched
        .nodes
        .iter()
        .find(|(name, _)| *name != from)
        .map(|(_, peer)| peer.addresses)
        .unwrap();
    let connect = async |address: String| -> ConnectOutcome {
        toolbox(
            docker,
            launched,
            &node.container_id,
            &["try-connect", &address],
        )
        .await
    };
    // Nobody listens there, but there is a way.
    for address in [peer.data, peer.management] {
        assert_eq!(
            connect(format!("{address}:9")).await,
            ConnectOutcome::Refused
        );
    }
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut closed = vec![
        "203.0.113.1:53".to_owned(),
        "169.254.169.254:80".to_owned(),
        format!("172.17.0.1:{port}"),
    ];
    for address in [node.addresses.data, node.addresses.management] {
        let [a, b, c, _] = address.octets();
        closed.push(format!("{a}.{b}.{c}.1:{port}"));
    }
    closed.extend(
        own_addresses()
            .into_iter()
            .map(|address| format!("{address}:{port}")),
    );
    for address in closed {
        let outcome = connect(address.clone()).await;
        assert!(
            matches!(
                outcome,
                ConnectOutcome::Unreachable | ConnectOutcome::Silent
            ),
            "{address}: {outcome:?}"
        );
    }
}

/// Addresses of this machine, as far as a socket tells them.
fn own_addresses() -> Vec<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // No packet is sent: connecting a datagram socket only chooses a route.
    match socket.connect("192.0.2.1:9") {
        Ok(()) => vec![socket.local_addr().unwrap().ip()],
        Err(_) => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ext4_launch_throttle_disk_teardown() {
    let Some(docker) = engine().await else { return };
    let run = run_id("ext4");
    let mut network = network(1, 3, DiskKind::Ext4, 16 << 20);
    network.disk.write_iops = Some(5000);
    let before = loop_devices();
    let launched = start(&docker, &run, &network).await.unwrap();
    eprintln!("{:?}", launched.timings);
    let result = tokio::spawn({
        let (docker, launched) = (docker.clone(), launched.clone());
        async move {
            // The throttle was compared with the kernel's own file by the launch.
            assert_eq!(launched.notes, Vec::<String>::new());
            assert_eq!(launched.disk_kind, DiskKind::Ext4);
            for handle in launched.nodes.values() {
                let usable = handle.disk.usable_bytes;
                assert!(
                    (16 << 20..(16 << 20) + (256 << 10)).contains(&usable),
                    "{usable}"
                );
                assert!(
                    handle
                        .disk
                        .device
                        .as_deref()
                        .unwrap()
                        .starts_with("/dev/loop")
                );
            }
            let node = launched.nodes.values().next().unwrap();
            // The file system gives a full file its last block and map blocks in whole blocks.
            disk_takes_exactly(&docker, &launched, &node.container_id, 16 << 20, 512 << 10).await;
            // A node that was stopped and started again finds its data.
            docker
                .stop(&node.container_id, Duration::from_secs(1))
                .await
                .unwrap();
            docker.start(&node.container_id).await.unwrap();
            let filled: FillOutcome = toolbox(
                &docker,
                &launched,
                &node.container_id,
                &["fill", "/data/more"],
            )
            .await;
            assert_eq!((filled.bytes, filled.error), (0, Some(28)));
        }
    })
    .await;
    assert_eq!(finish(&docker, &run).await.loop_devices, 3);
    result.unwrap();
    // Other runs of this machine may hold devices of their own for a while.
    for _ in 0..100 {
        if loop_devices() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!(
        "loop devices are left: {} before, {} now",
        before,
        loop_devices()
    );
}

/// Attached loop devices of this machine.
fn loop_devices() -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/sys/block").unwrap() {
        let path = entry.unwrap().path();
        count += usize::from(path.join("loop").exists());
    }
    count
}

/// What cannot work is told before anything is created.
#[tokio::test(flavor = "multi_thread")]
async fn preflight_names_the_cause_and_creates_nothing() {
    let Some(docker) = engine().await else { return };
    let run = run_id("preflight");
    let good = network(1, 2, DiskKind::Tmpfs, 4 << 20);
    let images = prepare(&docker, &good, false, Some(program()))
        .await
        .unwrap();

    let mut large = good.clone();
    large.limits.memory = docker.info().memory;
    let error = preflight(&docker, &run, &large, false, &images)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::NotEnoughMemory { nodes: 2, .. }),
        "{error}"
    );

    let mut ext4 = good.clone();
    ext4.disk.kind = DiskKind::Ext4;
    let error = preflight(&docker, &run, &ext4, false, &images)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::HelperNotAllowed { .. }),
        "{error}"
    );
    ext4.disk.size = 1 << 50;
    let error = preflight(&docker, &run, &ext4, true, &images)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::NotEnoughRoom { .. }),
        "{error}"
    );

    let many = network(60, 4, DiskKind::Tmpfs, 4096);
    let error = preflight(&docker, &run, &many, false, &images)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::TooManyNodes { nodes: 240, .. }),
        "{error}"
    );

    let mut missing = good.clone();
    missing.program = Program::Image("canarynet-test/none:1".to_owned());
    missing.images.pull = Pull::Never;
    let error = prepare(&docker, &missing, false, Some(program()))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::ImageMissing { .. }), "{error}");
    // Nobody listens there: what the engine says comes with a remedy.
    missing.program = Program::Image("127.0.0.1:9/canarynet-test/none:1".to_owned());
    missing.images.pull = Pull::Missing;
    let error = prepare(&docker, &missing, false, Some(program()))
        .await
        .unwrap_err();
    let says = error.to_string();
    assert!(matches!(error, EngineError::Pull { .. }), "{says}");
    assert!(
        says.contains("cannot pull image 127.0.0.1:9/canarynet-test/none:1"),
        "{says}"
    );
    assert!(
        says.contains("refused") && says.contains("does the engine reach"),
        "{says}"
    );

    let mut script = good.clone();
    script.program = Program::Binary("/etc/hostname".into());
    let error = prepare(&docker, &script, false, Some(program()))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Pack { .. }), "{error}");

    // Somebody else's volume of that name would be mounted as if it were the node's disk.
    let foreign = format!("{run}-s0-n01");
    docker
        .create_volume(&foreign, &BTreeMap::new(), [].into())
        .await
        .unwrap();
    let error = preflight(&docker, &run, &good, false, &images)
        .await
        .unwrap_err();
    finish(&docker, &run).await;
    assert!(
        docker.volume_exists(&foreign).await.unwrap(),
        "it is not ours to remove"
    );
    docker.remove_volume(&foreign).await.unwrap();
    assert!(
        matches!(&error, EngineError::NameTaken { name } if *name == foreign),
        "{error}"
    );

    let report = teardown(&docker, &run).await.unwrap();
    assert_eq!(
        (report.containers, report.networks, report.volumes),
        (0, 0, 0)
    );
}

/// A launch that fails half-way leaves nothing, and a run whose name is taken is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_launch_leaves_nothing_and_taken_names_are_refused() {
    let Some(docker) = engine().await else { return };
    let run = run_id("failed");
    let network = network(1, 3, DiskKind::Tmpfs, 4 << 20);
    let images = prepare(&docker, &network, false, Some(program()))
        .await
        .unwrap();
    let mut wanted = request(&run, &network, &images);
    let no_program = |node: &NodePlan, addresses: &BTreeMap<NodeName, NodeAddress>| {
        if node.index == 2 {
            return Err("a template is wrong\u{1b}[31m".to_owned());
        }
        idle(node, addresses)
    };
    wanted.render = &no_program;
    let error = launch(&docker, wanted, |_| {}).await.unwrap_err();
    assert!(matches!(error, EngineError::Render { .. }), "{error}");
    assert!(docker.containers_of(&run).await.unwrap().is_empty());
    assert!(docker.networks_of(&run).await.unwrap().is_empty());
    assert!(docker.volumes_of(&run).await.unwrap().is_empty());

    let launched = launch(&docker, request(&run, &network, &images), |_| {}).await;
    let again = preflight(&docker, &run, &network, false, &images).await;
    finish(&docker, &run).await;
    launched.unwrap();
    let error = again.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
}

/// A reader of the log that stops reading does not stop the node: it reads from the engine's bounded files.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_log_reader_never_stops_a_node() {
    let Some(docker) = engine().await else { return };
    let run = run_id("flood");
    let network = network(1, 1, DiskKind::Tmpfs, 4 << 20);
    let images = prepare(&docker, &network, false, Some(program()))
        .await
        .unwrap();
    let flood = |_: &NodePlan, _: &BTreeMap<NodeName, NodeAddress>| {
        Ok(RenderedNode {
            command: ["toolbox", "flood", "200000"].map(str::to_owned).into(),
            environment: BTreeMap::new(),
        })
    };
    let mut wanted = request(&run, &network, &images);
    wanted.render = &flood;
    let launched = launch(&docker, wanted, |_| {}).await.unwrap();
    let node = launched.nodes.values().next().unwrap().container_id.clone();
    let mut reader = Box::pin(docker.follow_logs(&node, 0));
    let first = reader.next().await.unwrap().unwrap();
    assert!(!first.stderr && !first.bytes.is_empty());
    // From here on nobody reads; 200,000 lines are far more than any buffer on the way holds.
    let ended = docker.wait(&node, Duration::from_secs(120)).await;
    let last = docker.last_words(&node, 1, 4096).await;
    drop(reader);
    finish(&docker, &run).await;
    assert_eq!(ended.unwrap(), 0);
    assert!(last.unwrap()[0].starts_with("line 199999 "));
}

/// kill -9 of the launching process at any moment: the labels are enough to clean up.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_launching_everything_is_found_and_removed() {
    let Some(docker) = engine().await else { return };
    if let Ok(run) = std::env::var(INNER_RUN) {
        let kind = inner_kind();
        let _launched = start(
            &docker,
            &run.parse().unwrap(),
            &network(2, 3, kind, 8 << 20),
        )
        .await;
        std::future::pending::<()>().await;
    }
    // Images first, so that the delays below fall into the launch.
    let both = network(1, 1, DiskKind::Auto, 4096);
    prepare(&docker, &both, true, Some(program()))
        .await
        .unwrap();
    for (kind, delay) in [
        ("tmpfs", 900),
        ("tmpfs", 1400),
        ("tmpfs", 2500),
        ("ext4", 1200),
        ("ext4", 2000),
        ("ext4", 4000),
    ] {
        let run = run_id("killed");
        let mut child = inner(
            &run,
            kind,
            "killed_while_launching_everything_is_found_and_removed",
        )
        .spawn()
        .unwrap();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let report = finish(&docker, &run).await;
        eprintln!("killed after {delay} ms on {kind}: {report:?}");
        // Nothing that was in flight appears later.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let late = finish(&docker, &run).await;
        assert_eq!(late, TeardownReport::default());
    }
}

/// Everything that a run does works for a user who has only the engine's socket.
#[tokio::test(flavor = "multi_thread")]
async fn an_unprivileged_user_with_the_socket_can_do_everything() {
    let Some(docker) = engine().await else { return };
    if let Ok(run) = std::env::var(INNER_RUN) {
        assert_ne!(rustix::process::getuid().as_raw(), 0);
        let run: RunId = run.parse().unwrap();
        let launched = start(&docker, &run, &network(1, 2, inner_kind(), 8 << 20)).await;
        finish(&docker, &run).await;
        launched.unwrap();
        return;
    }
    let Some(path) = docker.info().address.strip_prefix("unix://") else {
        eprintln!("SKIPPED, NOTHING WAS TESTED: the engine has no local socket");
        return;
    };
    let facts = std::fs::metadata(path).unwrap();
    if !rustix::process::getuid().is_root() || facts.mode() & 0o060 != 0o060 {
        eprintln!(
            "SKIPPED, NOTHING WAS TESTED: needs root here, and a socket that its group may use"
        );
        return;
    }
    for kind in ["tmpfs", "ext4"] {
        let run = run_id("plain-user");
        let inner = inner(
            &run,
            kind,
            "an_unprivileged_user_with_the_socket_can_do_everything",
        );
        let group = facts.gid();
        let output = Command::new("setpriv")
            .args([
                "--reuid=54321",
                &format!("--regid={group}"),
                "--clear-groups",
            ])
            .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env("HOME", "/nonexistent")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kind}: {said}");
        assert!(said.contains("1 passed"), "{said}");
    }
}

/// The launcher image needs nothing but the engine's socket: from inside it packs itself again, launches on tmpfs and
/// on ext4, and cleans up, all of which is what the doctor does.
#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_image_works_with_only_the_socket() {
    let Some(docker) = engine().await else { return };
    let Some(socket) = docker
        .info()
        .address
        .strip_prefix("unix://")
        .map(str::to_owned)
    else {
        eprintln!("SKIPPED, NOTHING WAS TESTED: the engine has no local socket");
        return;
    };
    let image = pack::launcher_image(&docker, program()).await.unwrap();
    let run = run_id("launcher");
    let labels = RunLabels::new(&run, &Owner::this_process(), "", TIME_TO_LIVE);
    let spec = ContainerSpec {
        name: format!("{run}-launcher"),
        image: image.reference,
        command: ["doctor", "--json", "--allow-helper"]
            .map(str::to_owned)
            .into(),
        user: "0:0".to_owned(),
        labels: labels.of(Role::Helper),
        mounts: vec![Mount::Folder {
            source: socket,
            target: "/var/run/docker.sock".to_owned(),
            read_only: false,
        }],
        ..ContainerSpec::default()
    };
    let id = docker.create(spec).await.unwrap();
    docker.start(&id).await.unwrap();
    let ended = docker.wait(&id, Duration::from_secs(240)).await;
    // Not `last_words`: those are for people and cut at 400 characters a line.
    let output = docker.output(&id, "all", 1 << 20).await;
    finish(&docker, &run).await;
    let said = String::from_utf8(output.unwrap()).unwrap();
    assert_eq!(ended.unwrap(), 0, "{said}");
    let found: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let able = |id: &str| {
        found
            .iter()
            .any(|entry| entry["id"] == id && entry["able"] == true)
    };
    for id in [
        "engine",
        "pack",
        "room",
        "limits",
        "tmpfs-disk",
        "isolation",
        "ext4-disk",
    ] {
        assert!(able(id), "{id}: {said}");
    }
}

/// Tells a test in a process of its own which run it makes.
const INNER_RUN: &str = "CANARYNET_TEST_INNER_RUN";
/// ... and on which kind of disk.
const INNER_KIND: &str = "CANARYNET_TEST_INNER_KIND";

/// This test program once more, for one test.
fn inner(run: &RunId, kind: &str, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INNER_RUN, run.as_str())
        .env(INNER_KIND, kind)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    command
}

fn inner_kind() -> DiskKind {
    match std::env::var(INNER_KIND).as_deref() {
        Ok("ext4") => DiskKind::Ext4,
        _ => DiskKind::Tmpfs,
    }
}
