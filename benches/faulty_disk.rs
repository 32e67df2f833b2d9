//! The FUSE disk without faults against an equal ext4 loop volume: 4 KiB writes, each synced.
//!
//! Two networks of one idle node each, alike but for the kind of disk; the FUSE disk's own backing folder is on such an
//! ext4 volume. The same program writes in both nodes, turn by turn, so that what else the machine does hits both.
//!
//! `cargo bench --bench faulty_disk [-- ROUNDS]`. Needs an engine that grants the helper.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test or benchmark may panic and print"
)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "a part of what tests share")]
mod support;

use std::time::Duration;

use canarynet::{
    engine::{
        Docker, LaunchRequest, Launched, inside::ask_toolbox, launch, launch::prepare,
        owner::Owner, teardown, toolbox::SyncedWrites,
    },
    ids::RunId,
    plan::{DiskKind, NetworkPlan},
};

/// Writes a round.
const WRITES: &str = "500";

async fn start(docker: &Docker, run: &RunId, network: &NetworkPlan) -> Launched {
    let images = prepare(docker, network, true, Some(support::program()))
        .await
        .unwrap();
    let request = LaunchRequest {
        beside: None,
        secrets: None,
        fill: None,
        run,
        network,
        allow_helper: true,
        state: String::new(),
        owner: Owner::this_process(),
        time_to_live: Duration::from_secs(3600),
        images: &images,
        render: &support::idle,
    };
    launch(docker, request, |_| {}).await.unwrap()
}

async fn round(docker: &Docker, launched: &Launched) -> SyncedWrites {
    let node = launched.nodes.values().next().unwrap();
    ask_toolbox(
        docker,
        &node.container_id,
        &launched.toolbox,
        &["sync-writes", "/data/measured", WRITES],
        Duration::from_secs(600),
    )
    .await
    .unwrap()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let Some(docker) = support::engine().await else {
        return;
    };
    let rounds = std::env::args()
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(9);
    let mut disks = Vec::new();
    for kind in [DiskKind::Ext4, DiskKind::Faulty] {
        let mut network = support::network(1, 1, kind, 64 << 20);
        // What is measured is the disk, not the share of a processor.
        network.limits.cpus = 2.0;
        let run = support::run_id("bench");
        let launched = start(&docker, &run, &network).await;
        disks.push((kind, run, launched, Vec::new()));
    }
    for number in 0..rounds {
        print!("round {number}:");
        for (kind, _, launched, found) in &mut disks {
            let writes = round(&docker, launched).await;
            print!(" {kind:?} {} us", writes.median);
            found.push(writes);
        }
        println!();
    }
    let mut medians = Vec::new();
    for (kind, run, _, found) in disks {
        let all = median(found.iter().map(|writes| writes.median).collect());
        let mean = median(found.iter().map(|writes| writes.mean).collect());
        let worst = found.iter().map(|writes| writes.worst).max().unwrap();
        println!(
            "{kind:?}: median {all} us, mean {mean} us, worst {worst} us ({rounds} rounds of {WRITES} writes)"
        );
        medians.push((all, mean));
        teardown(&docker, &run).await.unwrap();
    }
    println!(
        "FUSE over ext4: {:.2} by medians, {:.2} by means (goal: at most 1.5)",
        medians[1].0 as f64 / medians[0].0 as f64,
        medians[1].1 as f64 / medians[0].1 as f64,
    );
}
