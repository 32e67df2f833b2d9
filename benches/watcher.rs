//! What the watcher costs: sixteen nodes in four shards at 200 ms a block, asked every 100 ms over the loopback
//! device, its messages read through a pipe.
//!
//! Run with `cargo bench --bench watcher [-- SECONDS]`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/probe_processes/servers.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, of which this needs the good servers only"
)]
mod servers;

use std::{net::Ipv4Addr, process::Stdio, sync::Arc, time::Duration};

use canarynet::{
    ids::{NodeName, ShardId},
    probe::watcher::protocol::{WatchedNode, WatcherConfig},
};
use servers::{Chain, Manner, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

const NODES: u32 = 16;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let seconds = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(20);
    let mut nodes = Vec::new();
    let mut chains = Vec::new();
    for index in 0..NODES {
        let shard = u64::from(index / 4);
        if index % 4 == 0 {
            chains.push(Chain::of(shard, Duration::from_millis(200)));
        }
        let chain = chains[shard as usize].clone();
        nodes.push(WatchedNode {
            name: NodeName::of(ShardId(shard), index % 4),
            shard: ShardId(shard),
            power: 1,
            address: Ipv4Addr::LOCALHOST,
            rpc_port: serve(Manner::Good(chain), index as usize, 0).await,
            metrics_port: None,
        });
    }
    let config = WatcherConfig {
        quorum: Default::default(),
        reads: Default::default(),
        dialect: "harmony".to_owned(),
        interval: Duration::from_millis(100),
        deadline: Duration::from_millis(500),
        nodes,
        known: Vec::new(),
        metrics: Default::default(),
        spool: None,
        unattended: false,
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_canarynet"))
        .arg("watcher")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    input.write_all(&serde_json::to_vec(&config)?).await?;
    input.write_all(b"\n").await?;
    let mut output = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    tokio::spawn(async move {
        let mut buffer = [0; 65_536];
        while output
            .read(&mut buffer)
            .await
            .is_ok_and(|length| length > 0)
        {}
    });
    let id = child.id().unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, asked) = (cpu(id)?, requests(&chains));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (used, asked) = (cpu(id)? - before, requests(&chains) - asked);
    let rate = asked as f64 / seconds as f64;
    println!("{NODES} nodes, {rate:.0} requests/s over {seconds} s");
    println!(
        "the watcher used {:.2} % of a core, {:.0} us a request",
        used * 100.0 / seconds as f64,
        used * 1e6 / asked as f64
    );
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    for line in status
        .lines()
        .filter(|line| line.starts_with("RssAnon") || line.starts_with("VmRSS"))
    {
        println!("{line}");
    }
    Ok(())
}

fn requests(chains: &[Arc<Chain>]) -> u64 {
    let of = |chain: &Arc<Chain>| chain.requests.load(std::sync::atomic::Ordering::Relaxed);
    chains.iter().map(of).sum()
}

/// CPU seconds of the process, all threads.
fn cpu(id: u32) -> std::io::Result<f64> {
    let mut nanos = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{id}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = stat
            .split(' ')
            .next()
            .and_then(|word| word.parse::<f64>().ok());
        nanos += first.unwrap_or_default();
    }
    Ok(nanos / 1e9)
}
