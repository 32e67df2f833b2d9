//! Start of sixteen nodes with everything against the engine's own floor, interleaved.
//!
//! *Everything*: both networks, volumes, the watcher that holds the disks, the nodes, and one long exec in each node
//! and in the watcher, as samplers and watcher are, each until its first word. From the first create call on.
//! *Floor*: concurrent create and start of sixteen idle containers with the same limits on one internal network with
//! fixed addresses; the network is not counted.
//!
//! `cargo bench --bench launch [-- ROUNDS]`. The images are packed before.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test or benchmark may panic and print"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use canarynet::{
    engine::{
        Docker, EngineError, LaunchRequest, Launched,
        docker::ContainerSpec,
        labels::{Role, RunLabels},
        launch,
        launch::{Images, prepare},
        owner::Owner,
        teardown,
    },
    plan::{DiskKind, NetworkPlan},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// What the floor may do at once; the best of these is taken, so that the floor is honest.
const FLOOR_WIDTHS: [usize; 3] = [4, 8, 16];

#[tokio::main]
async fn main() {
    let Some(docker) = support::engine().await else {
        return;
    };
    let rounds = std::env::args()
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(5);
    let network = support::network(4, 4, DiskKind::Tmpfs, 16 << 20);
    let images = prepare(&docker, &network, false, Some(support::program()))
        .await
        .unwrap();
    let (mut ours, mut floors) = (Vec::new(), vec![Vec::new(); FLOOR_WIDTHS.len()]);
    for round in 0..rounds {
        let (everything, launched) = everything(&docker, &network, &images).await;
        ours.push(everything);
        print!(
            "round {round}: everything {} ms (containers {} ms, networks {} ms, limits read back in {} ms)",
            everything.as_millis(),
            launched.timings.created_to_started.as_millis(),
            launched.timings.networks.as_millis(),
            launched.timings.verified.as_millis(),
        );
        for (at, width) in FLOOR_WIDTHS.into_iter().enumerate() {
            let floor = floor(&docker, &network, &images, width).await;
            print!("  floor({width}) {} ms", floor.as_millis());
            floors[at].push(floor);
        }
        println!();
    }
    let ours = median(ours);
    let floor = floors.into_iter().map(median).min().unwrap_or_default();
    println!(
        "16 nodes, median of {rounds}: everything {} ms, floor {} ms, ratio {:.2}",
        ours.as_millis(),
        floor.as_millis(),
        ours.as_secs_f64() / floor.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn everything(
    docker: &Docker,
    network: &NetworkPlan,
    images: &Images,
) -> (Duration, Launched) {
    let run = support::run_id("bench");
    let begun = Instant::now();
    let request = LaunchRequest {
        beside: None,
        secrets: None,
        run: &run,
        network,
        allow_helper: support::allow_helper(network),
        state: "/nowhere".to_owned(),
        owner: Owner::this_process(),
        time_to_live: Duration::from_secs(600),
        images,
        render: &support::idle,
    };
    let launched = launch(docker, request, |_| {}).await.unwrap();
    let mut holder = launched.toolbox.clone();
    holder.extend(["toolbox", "hold"].map(str::to_owned));
    let containers: Vec<&str> = launched
        .nodes
        .values()
        .map(|node| node.container_id.as_str())
        .chain([launched.watcher.as_str()])
        .collect();
    let holder = &holder;
    let sessions: Vec<_> = stream::iter(containers)
        .map(|container| async move {
            let mut session = docker.exec(container, holder, None).await?;
            // The engine answers before the program runs; its first word tells that it does.
            session.output.next().await.transpose()?;
            Ok::<_, EngineError>(session)
        })
        .buffer_unordered(launch::WIDTH)
        .try_collect()
        .await
        .unwrap();
    // Reading limits back comes after the last start; it is printed apart.
    let elapsed = begun.elapsed().saturating_sub(launched.timings.verified);
    drop(sessions);
    let report = teardown(docker, &run).await.unwrap();
    assert!(report.left.is_empty(), "{:?}", report.left);
    (elapsed, launched)
}

async fn floor(docker: &Docker, network: &NetworkPlan, images: &Images, width: usize) -> Duration {
    let run = support::run_id("floor");
    let labels = RunLabels::new(&run, &Owner::this_process(), "", Duration::from_secs(600));
    let name = format!("{run}-data");
    docker
        .create_network(&name, "10.215.0.0/24", labels.of(Role::DataNetwork))
        .await
        .unwrap();
    let limits = &network.limits;
    let begun = Instant::now();
    stream::iter(0..network.nodes.len())
        .map(|position| {
            let spec = ContainerSpec {
                name: format!("{run}-{position}"),
                image: images.node.reference.clone(),
                command: vec!["keeper".to_owned()],
                user: network.user.clone(),
                labels: labels.of(Role::Node),
                memory: limits.memory,
                cpus: limits.cpus,
                pids: limits.pids,
                open_files: limits.open_files,
                read_only_root: true,
                network: Some((
                    name.clone(),
                    std::net::Ipv4Addr::new(10, 215, 0, 16 + u8::try_from(position).unwrap()),
                )),
                ..ContainerSpec::default()
            };
            async move {
                let id = docker.create(spec).await?;
                docker.start(&id).await
            }
        })
        .buffer_unordered(width)
        .try_collect::<Vec<()>>()
        .await
        .unwrap();
    let elapsed = begun.elapsed();
    let report = teardown(docker, &run).await.unwrap();
    assert!(report.left.is_empty(), "{:?}", report.left);
    elapsed
}
