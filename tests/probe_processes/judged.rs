//! What the watcher sees of nodes that answer on one port and are dead on another, or that lie, comes to the right finding.

use std::time::{Duration, Instant};

use canarynet::{
    detect::{Finding, Judge},
    ids::{NodeName, Seq},
    journal::{
        Entry,
        event::{ContainerChange, Event, ProbeError, ProbeKind, Stage},
        generate::Shape,
    },
    plan::Plan,
    probe::watching::run_watcher,
    time::{Elapsed, WallTime},
};

use crate::{
    local::Bench,
    servers::{Chain, Manner, serve},
    watcher::{launch, name},
};

const PAGE: &str = "# TYPE up gauge\nup 1\n";

/// Four nodes of one shard, and windows as short as a test is.
fn plan() -> Plan {
    let mut plan = Shape {
        shards: 1,
        ..Shape::default()
    }
    .plan();
    plan.thresholds.hung = Duration::from_secs(2);
    plan
}

/// Watches the nodes for a while and judges what was seen; the events with the time at which they came.
async fn watched(ports: &[(u16, u16)], length: Duration) -> (Vec<(Elapsed, Event)>, Vec<Finding>) {
    let rpc: Vec<u16> = ports.iter().map(|(rpc, _)| *rpc).collect();
    let mut launch = launch(&rpc);
    for (node, (_, metrics)) in launch.config.nodes.iter_mut().zip(ports) {
        node.metrics_port = Some(*metrics);
    }
    let mut bench = Bench::new((0..).map(name).take(ports.len()));
    tokio::spawn(run_watcher(bench.context.clone(), launch));
    let begun = Instant::now();
    let mut seen = Vec::new();
    let now = || Elapsed::default() + begun.elapsed();
    let running = |node: NodeName| Event::Container {
        node,
        change: ContainerChange::Started,
        requested: true,
    };
    let stage = |stage| Event::Stage { stage };
    seen.push((now(), stage(Stage::Start)));
    seen.extend((0..4).map(|index| (now(), running(name(index)))));
    seen.push((now(), stage(Stage::WarmUp)));
    seen.push((now(), stage(Stage::Soak)));
    let end = tokio::time::Instant::now() + length;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            event = bench.receiver.recv() => seen.push((now(), event.unwrap().event)),
            _ = ticks.tick() => seen.push((now(), Event::Tick { wall: wall(begun.elapsed()) })),
            () = tokio::time::sleep_until(end) => break,
        }
    }
    let mut judge = Judge::new(&plan());
    for (seq, (elapsed, event)) in (0..).map(Seq).zip(&seen) {
        drop(judge.step(&Entry {
            seq,
            elapsed: *elapsed,
            event: event.clone(),
        }));
    }
    (seen, judge.finish().findings)
}

/// A wall clock that goes with the other one.
fn wall(since: Duration) -> WallTime {
    WallTime(1_795_342_800_000 + u64::try_from(since.as_millis()).unwrap())
}

fn of<'a>(findings: &'a [Finding], kind: &str) -> Vec<&'a str> {
    let of_kind = findings.iter().filter(|finding| finding.kind == kind);
    let nodes = of_kind.flat_map(|finding| &finding.nodes);
    nodes.map(NodeName::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_dead_on_one_port_and_fine_on_another_is_hung() {
    let chain = Chain::new(Duration::from_millis(200));
    let mut ports = Vec::new();
    for index in 0..3 {
        let rpc = serve(Manner::Good(chain.clone()), index, 0).await;
        ports.push((rpc, serve(Manner::Page(PAGE), index, 0).await));
    }
    let page = serve(Manner::Page(PAGE), 3, 0).await;
    ports.push((serve(Manner::Silent, 3, 0).await, page));
    let (seen, findings) = watched(&ports, Duration::from_secs(8)).await;

    let last = name(3);
    assert_eq!(of(&findings, "hung"), ["s0-n03"], "{findings:#?}");
    assert!(of(&findings, "blind").is_empty(), "{findings:#?}");
    let events = || seen.iter().map(|(_, event)| event);
    let silent = |event: &Event| matches!(event, Event::ProbeFailed { node, probe: ProbeKind::Rpc, error: ProbeError::Deadline, .. } if *node == last);
    assert!(events().any(silent));
    let answered = |event: &Event| matches!(event, Event::ProbeAnswered { node, probe: ProbeKind::Metrics, .. } if *node == last);
    assert!(
        events().any(answered),
        "its metrics page was read all the same"
    );
    // Never healthy: neither an answer nor a head of it, whatever its other port says.
    let healthy = |event: &Event| match event {
        Event::ProbeAnswered { node, probe, .. } => *node == last && *probe == ProbeKind::Rpc,
        Event::Heads { nodes, .. } => nodes.iter().any(|head| head.node == last),
        _ => false,
    };
    assert!(!events().any(healthy));
    // It held nobody up: the others' blocks came as they were made.
    let heights: Vec<u64> = events()
        .filter_map(|event| match event {
            Event::Block { height, .. } => Some(height.0),
            _ => None,
        })
        .collect();
    assert!(heights.len() >= 25, "{heights:?}");
    assert!(
        heights.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{heights:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_in_sync_and_stands_still_is_found_lagging() {
    let chain = Chain::new(Duration::from_millis(100));
    // Its chain never grows; whoever asks is told that it is in sync.
    let frozen = Chain::new(Duration::from_secs(100_000));
    let mut ports = Vec::new();
    for index in 0..4 {
        let chain = if index == 3 { &frozen } else { &chain };
        let rpc = serve(Manner::Good(chain.clone()), index, 0).await;
        ports.push((rpc, serve(Manner::Page(PAGE), index, 0).await));
    }
    let (_, findings) = watched(&ports, Duration::from_secs(12)).await;
    assert_eq!(of(&findings, "node-lagging"), ["s0-n03"], "{findings:#?}");
    assert!(of(&findings, "hung").is_empty(), "{findings:#?}");
    for chain in [chain, frozen] {
        let lies = chain.lies.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(lies, 0, "what lies was asked {lies} times");
    }
}
