//! The engine for real: launching, limits, disks, isolation and teardown against the engine of this machine.
//!
//! Without an engine every test says loudly that nothing was tested.

mod support;

use std::time::Duration;

use canarynet::{
    engine::{
        Docker, EngineError, LaunchRequest, Launched, TeardownReport, find_runs,
        inside::ask_toolbox,
        launch,
        launch::{Images, prepare},
        owner::Owner,
        preflight, reattach, teardown,
        toolbox::{ConnectOutcome, FillOutcome},
    },
    ids::{NodeName, RunId},
    plan::{DiskKind, NetworkPlan},
};
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
        "1.1.1.1:53".to_owned(),
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
