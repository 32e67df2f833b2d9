//! What a watcher sees without an owner reaches the next one: real processes, and a chain that answers.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use canarynet::{
    ids::{Height, ShardId},
    journal::{event::Event, unattended::Unattended},
    probe::{
        watcher::protocol::KnownBlock,
        watching::{WatcherLaunch, run_watcher},
    },
    time::{RunClock, WallTime},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    local::Bench,
    servers::{Chain, Manner, serve},
    watcher::{launch, name},
};

/// A run that has an owner, loses it, and gets another one.
struct Run {
    chain: Arc<Chain>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Run {
    async fn new() -> Self {
        let chain = Chain::new(Duration::from_millis(50));
        let port = serve(Manner::Good(chain.clone()), 0, 0).await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            chain,
            port,
            folder,
        }
    }

    fn launch(&self) -> WatcherLaunch {
        let mut launch = launch(&[self.port]);
        launch.config.spool = Some(self.folder.path().to_owned());
        launch
    }

    /// An owner that watches until there are some blocks and is gone then: its last block, when that was, and the
    /// process of its watcher.
    async fn owned(&self, launch: WatcherLaunch) -> (KnownBlock, WallTime, u32, Vec<Event>) {
        let mut bench = Bench::new([name(0)]);
        tokio::spawn(run_watcher(bench.context.clone(), launch));
        bench.until("blocks", |seen| blocks(seen).len() >= 20).await;
        let newest = bench.seen.iter().rev().find_map(|event| match event {
            Event::Block { height, hash, .. } => Some((*height, hash.clone())),
            _ => None,
        });
        let (height, hash) = newest.unwrap();
        let known = KnownBlock {
            shard: ShardId(0),
            height,
            hash,
        };
        let process = bench.last_started();
        let seen = std::mem::take(&mut bench.seen);
        (known, RunClock::wall(), process, seen)
    }

    /// The launch of the next owner's watcher.
    fn after(&self, known: &KnownBlock, since: WallTime) -> WatcherLaunch {
        let mut launch = self.launch();
        launch.config.known = vec![known.clone()];
        launch.unattended_since = Some(since);
        launch
    }
}

fn blocks(events: &[Event]) -> Vec<u64> {
    let block = |event: &Event| match event {
        Event::Block { height, .. } => Some(height.0),
        _ => None,
    };
    events.iter().filter_map(block).collect()
}

fn unattended(events: &[Event]) -> Unattended {
    let told = |event: &Event| match event {
        Event::Unattended(told) => Some(told.as_ref().clone()),
        _ => None,
    };
    let told: Vec<_> = events.iter().filter_map(told).collect();
    assert_eq!(told.len(), 1, "one fact a shard: {told:?}");
    let first = events
        .iter()
        .position(|event| matches!(event, Event::Block { .. }));
    let place = events
        .iter()
        .position(|event| matches!(event, Event::Unattended(_)));
    assert!(place < first, "before all blocks that come live");
    told[0].clone()
}

/// What is told after a gap goes on without a hole where the journal ended.
fn check_heights(told: &Unattended, known: Height, live: &[u64]) {
    let newest = told.newest.as_ref().expect("blocks").height.0;
    assert_eq!(told.blocks, newest - known.0, "{told:?}");
    let expected: Vec<u64> = (newest + 1..).take(live.len()).collect();
    assert_eq!(live, expected, "{told:?}");
}

async fn gone(process: u32, within: Duration) -> bool {
    let path = format!("/proc/{process}/fd");
    for _ in 0..within.as_millis() / 20 {
        if std::fs::read_dir(Path::new(&path)).is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_nobody_was_attached_for_are_told_once_and_none_is_missed() {
    let run = Run::new().await;
    let (mut known, mut since, mut process, _) = run.owned(run.launch()).await;
    for _ in 0..2 {
        let asked = run.chain.requests.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(
            run.chain.requests.load(Ordering::Relaxed) > asked + 10,
            "it goes on watching"
        );
        let launch = run.after(&known, since);
        let (next, ended, other, seen) = run.owned(launch).await;
        let told = unattended(&seen);
        check_heights(&told, known.height, &blocks(&seen));
        assert!(told.is_whole(), "{told:?}");
        assert!(told.watched >= Duration::from_millis(2_400), "{told:?}");
        let longest = told.longest.unwrap();
        assert!(longest.lasted < Duration::from_millis(900), "{told:?}");
        assert!(
            gone(process, Duration::from_secs(2)).await,
            "two would watch"
        );
        (known, since, process) = (next, ended, other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_stood_still_meanwhile_is_told_with_how_long() {
    let run = Run::new().await;
    let (known, since, ..) = run.owned(run.launch()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = run.chain.height();
    run.chain.most.store(held, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    run.chain.most.store(u64::MAX, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, _, _, seen) = run.owned(run.after(&known, since)).await;
    let told = unattended(&seen);
    check_heights(&told, known.height, &blocks(&seen));
    let longest = told.longest.unwrap();
    assert_eq!((longest.after.0, longest.until.0), (held, held + 1));
    let around = Duration::from_millis(1_800)..Duration::from_millis(3_000);
    assert!(around.contains(&longest.lasted), "{longest:?}");
    assert!(told.is_whole(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_answer_is_ended_and_what_it_kept_is_told() {
    let run = Run::new().await;
    let (known, since, process, _) = run.owned(run.launch()).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let stopped = Pid::from_raw(process.cast_signed()).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    let (_, _, _, seen) = run.owned(run.after(&known, since)).await;
    let told = unattended(&seen);
    assert!(told.newest.is_some(), "{told:?}");
    assert!(!told.is_whole(), "{told:?}");
    assert!(told.unwatched > Duration::from_millis(2_000), "{told:?}");
    assert!(gone(process, Duration::from_secs(2)).await);
    let live = blocks(&seen);
    let expected: Vec<u64> = (live[0]..).take(live.len()).collect();
    assert_eq!(live, expected, "what was missed is fetched");
    assert_eq!(live[0], told.newest.unwrap().height.0 + 1);
}
