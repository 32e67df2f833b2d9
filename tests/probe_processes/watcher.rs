use std::{
    net::Ipv4Addr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use canarynet::{
    ids::{NodeName, ShardId},
    journal::event::{Event, Mode, ProbeError, ProbeKind},
    plan::{
        MetricNames,
        foreign::{Fact, ReadPlan, ValuePlace, ValuePlan},
    },
    probe::{
        watcher::protocol::{WatchedNode, WatcherConfig},
        watching::{WatcherLaunch, run_watcher},
    },
};

use crate::{
    local::{Bench, program},
    servers::{Chain, Manner, serve},
};

pub fn name(index: u32) -> NodeName {
    NodeName::of(ShardId(0), index)
}

pub fn launch(ports: &[u16]) -> WatcherLaunch {
    let nodes = ports.iter().zip(0..).map(|(port, index)| WatchedNode {
        name: name(index),
        shard: ShardId(0),
        power: 1,
        address: Ipv4Addr::LOCALHOST,
        rpc_port: *port,
        metrics_port: None,
    });
    WatcherLaunch {
        container: "watcher".to_owned(),
        command: vec![program(), "watcher".to_owned()],
        user: None,
        config: WatcherConfig {
            quorum: Default::default(),
            reads: Default::default(),
            dialect: "harmony".to_owned(),
            interval: Duration::from_millis(100),
            deadline: Duration::from_millis(500),
            nodes: nodes.collect(),
            known: Vec::new(),
            metrics: Default::default(),
            spool: None,
            unattended: false,
        },
        unattended_since: None,
    }
}

async fn watch(ports: &[u16]) -> Bench {
    let bench = Bench::new((0..).map(name).take(ports.len()));
    tokio::spawn(run_watcher(bench.context.clone(), launch(ports)));
    bench
}

fn heights(events: &[Event]) -> Vec<u64> {
    let block = |event: &Event| match event {
        Event::Block { height, .. } => Some(height.0),
        _ => None,
    };
    events.iter().filter_map(block).collect()
}

fn failed(events: &[Event], index: u32) -> Option<&ProbeError> {
    events.iter().find_map(|event| match event {
        Event::ProbeFailed { node, error, .. } if *node == name(index) => Some(error),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_is_written_in_order_though_polls_are_slower_than_blocks() {
    let chain = Chain::new(Duration::from_millis(20));
    let mut ports = Vec::new();
    for index in 0..4 {
        ports.push(serve(Manner::Good(chain.clone()), index, 0).await);
    }
    let mut bench = watch(&ports).await;
    bench
        .until("a hundred blocks", |seen| heights(seen).len() >= 100)
        .await;
    let written = heights(&bench.seen);
    let expected: Vec<u64> = (written[0]..).take(written.len()).collect();
    assert_eq!(written, expected);
    assert!(
        bench.seen.iter().any(|event| matches!(event,
            Event::Block { leader: Some(leader), signers: Some(4), .. } if **leader == *"s0-n00")),
        "the leader's address became its name"
    );
    assert!(
        bench
            .seen
            .iter()
            .any(|event| matches!(event, Event::Sight { seeing: true, .. }))
    );
    chain.changing.store(true, Ordering::Relaxed);
    bench
        .until("the view change", |seen| {
            seen.iter().any(|event| matches!(event,
                Event::Heads { nodes, .. } if nodes.iter().any(|head| head.mode == Some(Mode::ViewChanging))))
        })
        .await;
    bench.until("its own cost", |_| true).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(bench.context.costs.total().watcher_memory > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_ahead_of_all_others_does_not_decide_how_high_the_shard_is() {
    let (chain, ahead) = (
        Chain::new(Duration::from_millis(200)),
        Chain::new(Duration::from_millis(2)),
    );
    let mut ports = vec![serve(Manner::Good(ahead), 0, 0).await];
    for index in 1..4 {
        ports.push(serve(Manner::Good(chain.clone()), index, 0).await);
    }
    let mut bench = watch(&ports).await;
    bench
        .until("fifteen blocks", |seen| heights(seen).len() >= 15)
        .await;
    let written = heights(&bench.seen);
    let expected: Vec<u64> = (written[0]..).take(written.len()).collect();
    assert_eq!(written, expected, "block by block, as three of four say");
}

#[tokio::test(flavor = "multi_thread")]
async fn misbehaving_nodes_are_told_apart_and_delay_nobody() {
    let chain = Chain::new(Duration::from_millis(200));
    let ports = [
        serve(Manner::Good(chain.clone()), 0, 0).await,
        serve(Manner::Silent, 1, 0).await,
        serve(Manner::Endless, 2, 0).await,
        serve(Manner::Closes, 3, 0).await,
        serve(Manner::Garbage, 4, 0).await,
        serve(Manner::Nested, 5, 0).await,
        serve(
            Manner::Forgetful(Chain::new(Duration::from_secs(1_000))),
            6,
            0,
        )
        .await,
        1,
    ];
    let mut bench = watch(&ports).await;
    bench
        .until("all failures", |seen| {
            (1..6).chain([7]).all(|index| failed(seen, index).is_some())
        })
        .await;
    let of = |index| failed(&bench.seen, index).unwrap().clone();
    assert_eq!(of(1), ProbeError::Deadline);
    assert_eq!(of(2), ProbeError::TooLarge);
    assert_eq!(of(3), ProbeError::Unreachable);
    for index in [4, 5] {
        let ProbeError::BadAnswer(reason) = of(index) else {
            panic!("{index}: {:?}", of(index))
        };
        assert!(!reason.chars().any(char::is_control), "{reason}");
    }
    assert_eq!(of(7), ProbeError::Refused);
    assert_eq!(failed(&bench.seen, 0), None);
    assert_eq!(
        failed(&bench.seen, 6),
        None,
        "a kept connection that was closed is no failure"
    );

    let (before, begun) = (chain.requests.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rate =
        (chain.requests.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    assert!(rate > 8.0, "the good node was asked {rate} times a second");

    // A node that comes back is noticed soon.
    let port = free_port();
    let mut bench = watch(&[ports[0], port]).await;
    bench
        .until("refusal", |seen| {
            failed(seen, 1) == Some(&ProbeError::Refused)
        })
        .await;
    bench.drain();
    serve(Manner::Good(chain), 1, port).await;
    let back = Instant::now();
    let answers = |event: &Event| matches!(event, Event::ProbeAnswered { node, probe: ProbeKind::Rpc, .. } if *node == name(1));
    bench
        .until("its return", |seen| seen.iter().any(answers))
        .await;
    assert!(
        back.elapsed() < Duration::from_millis(1_000),
        "{:?}",
        back.elapsed()
    );
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_dies_is_replaced_and_misses_no_block() {
    let chain = Chain::new(Duration::from_millis(50));
    let port = serve(Manner::Good(chain.clone()), 0, 0).await;
    let mut bench = watch(&[port]).await;
    bench
        .until("blocks", |seen| heights(seen).len() >= 10)
        .await;
    let process = rustix::process::Pid::from_raw(bench.last_started().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let sights = |seen: &[Event]| -> Vec<bool> {
        let sight = |event: &Event| match event {
            Event::Sight { seeing, .. } => Some(*seeing),
            _ => None,
        };
        seen.iter().filter_map(sight).collect()
    };
    bench
        .until("sight again", |seen| sights(seen) == [true, false, true])
        .await;
    let so_far = heights(&bench.seen).len();
    bench
        .until("more blocks", |seen| heights(seen).len() >= so_far + 20)
        .await;
    let written = heights(&bench.seen);
    let expected: Vec<u64> = (written[0]..).take(written.len()).collect();
    assert_eq!(written, expected, "what came between is fetched");

    // While it rests nobody is asked, and what passed meanwhile is left out.
    bench.pause.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = chain.requests.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(chain.requests.load(Ordering::Relaxed), before);
    bench.drain();
    bench.pause.send(false).unwrap();
    bench
        .until("blocks after the pause", |seen| heights(seen).len() >= 5)
        .await;
    assert!(heights(&bench.seen)[0] > written[written.len() - 1] + 20);

    // Nobody listens any more: the process ends.
    let process = bench.last_started();
    drop(bench);
    let gone = || {
        !std::path::Path::new(&format!("/proc/{process}/fd")).exists()
            || std::fs::read_dir(format!("/proc/{process}/fd")).is_err()
    };
    for _ in 0..500 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the watcher outlives its canary");
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_are_told_in_turn_and_metrics_pages_by_the_profiles_names() {
    let chain = Chain::new(Duration::from_millis(200));
    let mut ports = Vec::new();
    for index in 0..3 {
        ports.push(serve(Manner::Good(chain.clone()), index, 0).await);
    }
    let mut launch = launch(&ports);
    let page = Manner::Page("load_made_total 70\nload_oldest_seconds 0.5\nhead_height 9\n");
    launch.config.nodes[1].metrics_port = Some(serve(page, 1, 0).await);
    launch.config.metrics = MetricNames {
        height: Some("head_height".to_owned()),
        made: Some("load_made_total".to_owned()),
        oldest: Some("load_oldest_seconds".to_owned()),
        ..MetricNames::default()
    };
    let mut bench = Bench::new((0..).map(name).take(ports.len()));
    tokio::spawn(run_watcher(bench.context.clone(), launch));
    let ledgers = |seen: &[Event]| -> Vec<NodeName> {
        let of = |event: &Event| match event {
            Event::Ledger(ledger) => ledger.node.clone(),
            _ => None,
        };
        seen.iter().filter_map(of).collect()
    };
    bench
        .until("three ledgers", |seen| ledgers(seen).len() >= 3)
        .await;
    let mut asked = ledgers(&bench.seen);
    asked.truncate(3);
    asked.sort();
    assert_eq!(asked, [name(0), name(1), name(2)], "each in its turn");
    bench
        .until("figures", |seen| {
            seen.iter().any(|event| matches!(event, Event::Figures(_)))
        })
        .await;
    let figures = bench.seen.iter().find_map(|event| match event {
        Event::Figures(figures) => Some(figures),
        _ => None,
    });
    let figures = figures.unwrap();
    assert_eq!(figures.node, Some(name(1)));
    assert_eq!((figures.made, figures.oldest), (Some(70), Some(500_000)));
    assert!(bench.seen.iter().any(|event| matches!(event,
        Event::Position(position) if position.height.is_some_and(|height| height.0 == 9))));
}

/// A node of any program: one request tells the height, another one nothing, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_read_by_the_profile_and_one_that_does_not_come_holds_up_no_other() {
    let page = serve(Manner::Page("height 7\nterm 3\n"), 0, 0).await;
    let silent = serve(Manner::Silent, 0, 0).await;
    let request = |port: u16, fact: Fact, name: &str| ReadPlan {
        port,
        path: "/metrics".to_owned(),
        body: None,
        deadline: Duration::from_millis(300),
        values: vec![ValuePlan {
            fact,
            rank: 0,
            least: None,
            place: ValuePlace::Metric {
                name: name.to_owned(),
                absent: None,
            },
        }],
    };
    let watch = async |requests: Vec<ReadPlan>| {
        let mut launch = launch(&[page]);
        launch.config.dialect = String::new();
        launch.config.reads.requests = requests;
        let bench = Bench::new([name(0)]);
        tokio::spawn(run_watcher(bench.context.clone(), launch));
        bench
    };
    let told = |seen: &[Event]| {
        seen.iter().any(|event| {
            matches!(event, Event::Heads { nodes, .. } if nodes[0].height.0 == 7 && nodes[0].agreeing.is_some())
        })
    };
    let silence = |seen: &[Event], probe: ProbeKind| {
        seen.iter().any(|event| {
            matches!(event, Event::ProbeFailed { probe: of, error: ProbeError::Deadline, .. } if *of == probe)
        })
    };
    let height = request(page, Fact::Height, "height");
    let mut bench = watch(vec![height, request(silent, Fact::View, "term")]).await;
    bench
        .until("the height, and the silence beside it", |seen| {
            told(seen) && silence(seen, ProbeKind::Other)
        })
        .await;
    assert!(!silence(&bench.seen, ProbeKind::Rpc));
    // The other way round: who answers something and does not say where it stands does not answer.
    let height = request(silent, Fact::Height, "height");
    let mut bench = watch(vec![height, request(page, Fact::View, "term")]).await;
    bench
        .until("the silence", |seen| silence(seen, ProbeKind::Rpc))
        .await;
    assert!(!told(&bench.seen));
}
