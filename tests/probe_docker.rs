//! All probes against real containers of the engine of this machine: a node that idles and one that ends by itself.
//!
//! Without an engine the test says loudly that nothing was tested.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic and print; the shared support holds more than this test needs"
)]

mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use canarynet::{
    engine::{
        Docker, LaunchRequest, Launched, RenderedNode, launch, launch::prepare, owner::Owner,
        teardown,
    },
    ids::{NodeName, RunId, ShardId},
    journal::event::{ContainerChange, Event, ProbeError, ProbeKind, Sample},
    plan::{DiskKind, NetworkPlan, NodeAddress, NodePlan},
    probe::{
        Context,
        cost::CostBook,
        events::{Operation, Requested, run_events},
        logs::{LogSource, node_log::NodeLog, run_logs},
        sampling::{SamplerLaunch, run_sampler},
        signals::Signals,
        sink::{ProbeEvent, Sink},
        watcher::protocol::{WatchedNode, WatcherConfig},
        watching::{WatcherLaunch, run_watcher},
    },
    profile::log_rules::RuleSet,
};
use tokio::sync::{mpsc::Receiver, watch};

/// Node 0 idles; node 1 complains and ends with code 2, because it is started without what it needs.
fn render(node: &NodePlan, _: &BTreeMap<NodeName, NodeAddress>) -> Result<RenderedNode, String> {
    let verb = if node.index == 0 { "keeper" } else { "sampler" };
    Ok(RenderedNode {
        command: vec!["canarynet".to_owned(), verb.to_owned()],
        environment: BTreeMap::new(),
    })
}

struct Bench {
    docker: Docker,
    context: Context<Docker>,
    receiver: Receiver<ProbeEvent>,
    seen: Vec<Event>,
    log: NodeLog,
    requested: Requested,
    _pause: watch::Sender<bool>,
}

impl Bench {
    async fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !condition(self) {
            match tokio::time::timeout(Duration::from_millis(100), self.receiver.recv()).await {
                Ok(Some(event)) => self.seen.push(event.event),
                _ if tokio::time::Instant::now() < deadline => {}
                _ => panic!("never came: {what}; seen: {:#?}", self.seen),
            }
        }
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.seen.iter().filter_map(|event| match event {
            Event::Sample(sample) => Some(sample),
            _ => None,
        })
    }

    fn saw(&self, node: &NodeName, what: ContainerChange, asked: bool) -> bool {
        self.seen.iter().any(|event| {
            matches!(event, Event::Container { node: of, change, requested }
                if of == node && *change == what && *requested == asked)
        })
    }
}

fn start(docker: &Docker, run: &RunId, network: &NetworkPlan, launched: &Launched) -> Bench {
    let names: Vec<_> = network.nodes.iter().map(|node| node.name.clone()).collect();
    let (sink, receiver) = Sink::new(10_000);
    let (pause, paused) = watch::channel(false);
    let context = Context {
        access: docker.clone(),
        sink: sink.clone(),
        signals: Signals::new(names.clone()),
        costs: CostBook::default(),
        paused,
    };
    let requested = Requested::default();
    tokio::spawn(run_events(
        context.clone(),
        run.clone(),
        requested.clone(),
        None,
    ));
    let program = |verb: &str| {
        let mut command = launched.toolbox.clone();
        command.push(verb.to_owned());
        command
    };
    let watched = network.nodes.iter().map(|node| WatchedNode {
        name: node.name.clone(),
        shard: node.shard,
        power: 1,
        address: launched.nodes[&node.name].addresses.management,
        rpc_port: 9500,
        metrics_port: None,
    });
    let watcher = WatcherLaunch {
        container: launched.watcher.clone(),
        command: program("watcher"),
        user: None,
        config: WatcherConfig {
            quorum: Default::default(),
            reads: Default::default(),
            dialect: "harmony".to_owned(),
            interval: Duration::from_millis(100),
            deadline: Duration::from_millis(500),
            nodes: watched.collect(),
            known: Vec::new(),
            metrics: Default::default(),
            spool: None,
            unattended: false,
        },
        unattended_since: None,
    };
    tokio::spawn(run_watcher(context.clone(), watcher));
    let rules = Arc::new(RuleSet::new(&[]).unwrap());
    let logs: Vec<_> = names
        .iter()
        .map(|name| NodeLog::new(name.clone(), Arc::clone(&rules), None, sink.clone()))
        .collect();
    let sampler = SamplerLaunch {
        node: names[0].clone(),
        container: launched.nodes[&names[0]].container_id.clone(),
        command: program("sampler"),
        user: Some(network.user.clone()),
        path: network.disk.path.clone(),
        interval: Duration::from_millis(200),
        follow: Vec::new(),
    };
    tokio::spawn(run_sampler(context.clone(), sampler, logs[0].clone()));
    let source = LogSource {
        node: names[1].clone(),
        container: launched.nodes[&names[1]].container_id.clone(),
        since_unix_seconds: 0,
    };
    tokio::spawn(run_logs(context.clone(), source, logs[1].clone()));
    Bench {
        docker: docker.clone(),
        context,
        receiver,
        seen: Vec::new(),
        log: logs[1].clone(),
        requested,
        _pause: pause,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_probes_see_what_happens_to_real_containers() {
    let Some(docker) = support::engine().await else {
        return;
    };
    let run = support::run_id("probe");
    let network = support::network(1, 2, DiskKind::Tmpfs, 8 << 20);
    let images = prepare(&docker, &network, false, Some(support::program()))
        .await
        .unwrap();
    let request = LaunchRequest {
        beside: None,
        secrets: None,
        fill: None,
        run: &run,
        network: &network,
        allow_helper: false,
        state: "/nowhere".to_owned(),
        owner: Owner::this_process(),
        time_to_live: Duration::from_secs(600),
        images: &images,
        render: &render,
    };
    let launched = launch(&docker, request, |_| {}).await.unwrap();
    let watched = tokio::spawn({
        let bench = start(&docker, &run, &network, &launched);
        let launched = launched.clone();
        async move { observe(bench, launched).await }
    });
    let outcome = watched.await;
    let report = teardown(&docker, &run).await.unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    outcome.unwrap();
}

async fn observe(mut bench: Bench, launched: Launched) {
    let names = [NodeName::of(ShardId(0), 0), NodeName::of(ShardId(0), 1)];
    let container = |index: usize| launched.nodes[&names[index]].container_id.clone();
    bench
        .until("samples", |bench| bench.samples().count() >= 3)
        .await;
    let sample = bench.samples().last().unwrap().clone();
    eprintln!("{sample:?}");
    assert!(sample.memory > 50_000 && sample.memory < 20 << 20);
    assert!(sample.charged > 0 && sample.memory_limit > 64 << 20 && sample.cpu > 0);
    assert!(sample.disk_free > 7 << 20 && sample.disk_free <= 8 << 20);
    assert!(sample.open_files > 2 && sample.pids >= 2 && sample.inodes > 0);
    // An unoptimised build has many times the tables and code pages of a released one.
    let most = if cfg!(debug_assertions) {
        32 << 20
    } else {
        4 << 20
    };
    assert!(sample.sampler_memory > 0 && sample.sampler_memory < most);

    bench
        .until("the watcher's word on node 0", |bench| {
            bench.seen.iter().any(|event| matches!(event,
                Event::ProbeFailed { node, probe: ProbeKind::Rpc, error: ProbeError::Refused, .. } if *node == names[0]))
        })
        .await;
    bench
        .until("the complaint of node 1", |bench| {
            bench.log.counts().lines == 1
        })
        .await;

    // Started by the canary, ended by itself.
    bench.requested.mark(&names[1], Operation::Start);
    bench.docker.start(&container(1)).await.unwrap();
    let died = ContainerChange::Died { exit_code: 2 };
    bench
        .until("its second end", |bench| {
            bench.saw(&names[1], ContainerChange::Started, true)
                && bench.saw(&names[1], died, false)
        })
        .await;
    bench
        .until("its second complaint", |bench| {
            bench.log.counts().lines == 2
        })
        .await;
    assert_eq!(bench.log.counts().lost, 0);

    // Killed by an outside hand, and started again by it.
    bench.docker.kill(&container(0), "SIGKILL").await.unwrap();
    let died = ContainerChange::Died { exit_code: 137 };
    bench
        .until("the kill, the death and the sampler's end", |bench| {
            bench.saw(&names[0], ContainerChange::Killed { signal: 9 }, false)
                && bench.saw(&names[0], died, false)
                && bench.seen.iter().any(|event| {
                    matches!(
                        event,
                        Event::ProbeFailed {
                            probe: ProbeKind::Sampler,
                            ..
                        }
                    )
                })
        })
        .await;
    bench.docker.start(&container(0)).await.unwrap();
    bench
        .until("samples of the new process", |bench| {
            bench.samples().any(|sample| sample.incarnation == 1)
        })
        .await;
    let cost = bench.context.costs.total();
    eprintln!("{cost:?}");
    assert!(cost.watcher_cpu > 0 && cost.watcher_memory > 0 && cost.samplers_cpu > 0);
}
