//! Faults on the network for real: three idle nodes, broken and healed one way after the other, with packets that tell
//! whether the way is open. Who cannot be reached is told by the nodes themselves, not by the rules.
//!
//! Without an engine every test says loudly that nothing was tested.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test or benchmark may panic and print"
)]

mod support;

use std::{sync::Arc, time::Duration};

use canarynet::{
    disk::helper::{HelperOp, run_helper},
    engine::{
        Docker, LaunchRequest,
        inject::{Scene, network_remains, perform},
        inside::ask_toolbox,
        labels::RunLabels,
        launch::{self, launch},
        network_probe::NetworkAbilities,
        owner::Owner,
        teardown,
        toolbox::ConnectOutcome,
    },
    fault::operation::{
        LinkOp, Operation, Outcome,
        link::{Direction, Fate},
    },
    ids::{NodeName, RunId, ShardId},
    plan::DiskKind,
};
use support::{allow_helper, engine, idle, network, program, run_id};

const TIME_TO_LIVE: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(60);
/// A port where nobody listens: a peer that can be reached refuses at once.
const PORT: u16 = 1;
const ALL: Fate = Fate::Lost {
    per_million: 1_000_000,
};

/// A network of three idle nodes.
#[derive(Clone)]
struct Three {
    scene: Arc<Scene>,
    nodes: [NodeName; 3],
}

impl Three {
    async fn start(docker: &Docker, run: &RunId) -> Self {
        let network = network(1, 3, DiskKind::Tmpfs, 4 << 20);
        let images = launch::prepare(docker, &network, false, Some(program()))
            .await
            .unwrap();
        let request = LaunchRequest {
            beside: None,
            secrets: None,
            fill: None,
            run,
            network: &network,
            allow_helper: allow_helper(&network),
            state: "/nowhere".to_owned(),
            owner: Owner::this_process(),
            time_to_live: TIME_TO_LIVE,
            images: &images,
            render: &idle,
        };
        let launched = launch(docker, request, |_| {}).await.unwrap();
        let scene = Scene {
            clock_skew: None,
            docker: docker.clone(),
            launched: Arc::new(launched),
            labels: RunLabels::new(run, &Owner::this_process(), "", TIME_TO_LIVE),
            helper: Some(images.program.reference.clone()),
            user: network.user.clone(),
            disk_path: network.disk.path.clone(),
            requested: None,
        };
        Self {
            scene: Arc::new(scene),
            nodes: [0, 1, 2].map(|index| NodeName::of(ShardId(0), index)),
        }
    }

    async fn perform(&self, node: usize, what: LinkOp) -> Outcome {
        let node = self.nodes[node].clone();
        perform(&self.scene, &Operation::Link { node, what })
            .await
            .unwrap()
    }

    /// Breaks while peers try to talk to the node and it to them; answers what was read back.
    async fn break_one(
        &self,
        node: usize,
        peer: usize,
        fault: &str,
        direction: Direction,
        fate: Fate,
    ) -> Outcome {
        let talk = |from: usize, to: usize| {
            let three = self.clone();
            tokio::spawn(async move {
                loop {
                    three.reaches(from, to).await;
                }
            })
        };
        let talks = [talk(node, peer), talk(peer, node)];
        let what = LinkOp::Break {
            fault: fault.to_owned(),
            peers: vec![self.nodes[peer].clone()],
            direction,
            fate,
        };
        let outcome = self.perform(node, what).await;
        eprintln!("{fault}: {}", outcome.proof);
        for talk in talks {
            talk.abort();
        }
        outcome
    }

    async fn heal(&self, node: usize, fault: &str) {
        let fault = fault.to_owned();
        let outcome = self.perform(node, LinkOp::Heal { fault }).await;
        assert!(outcome.effective, "{}", outcome.proof);
    }

    /// Whether a packet of the one gets to the other and its answer back.
    async fn reaches(&self, from: usize, to: usize) -> bool {
        let to = self.scene.launched.nodes[&self.nodes[to]].addresses.data;
        self.connects(from, &format!("{to}:{PORT}")).await
    }

    async fn connects(&self, from: usize, address: &str) -> bool {
        let container = &self.scene.launched.nodes[&self.nodes[from]].container_id;
        let arguments = ["try-connect", address];
        let toolbox = &self.scene.launched.toolbox;
        let outcome: ConnectOutcome =
            ask_toolbox(&self.scene.docker, container, toolbox, &arguments, DEADLINE)
                .await
                .unwrap();
        outcome == ConnectOutcome::Refused
    }

    async fn remains(&self, node: usize) -> Vec<String> {
        network_remains(&self.scene, &self.nodes[node])
            .await
            .unwrap()
    }

    async fn containers(&self) -> usize {
        let run = self.scene.labels.run();
        self.scene.docker.containers_of(run).await.unwrap().len()
    }
}

/// Whether packets are late by a process of ours and not by the kernel's own queue.
fn is_held(outcome: &Outcome) -> bool {
    let held = outcome.proof.contains("by a process");
    if !held {
        eprintln!("SKIPPED: the process that holds packets, which this kernel does not need");
    }
    held
}

/// Runs a test on three nodes and removes them whatever happens.
async fn on_three<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    test: impl FnOnce(Three) -> F,
) {
    let Some(docker) = engine().await else { return };
    let run = run_id(name);
    let three = Three::start(&docker, &run).await;
    let result = tokio::spawn(test(three)).await;
    let report = teardown(&docker, &run).await.unwrap();
    assert_eq!(report.left, Vec::<String>::new());
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cuts_on_one_node_leave_each_other_alone() {
    on_three("cuts", |three| async move {
        assert!(three.reaches(0, 1).await && three.reaches(0, 2).await);
        assert_eq!(three.remains(0).await, Vec::<String>::new());
        let first = three.break_one(0, 1, "f1", Direction::Both, ALL).await;
        assert!(first.effective, "{}", first.proof);
        assert!(!three.reaches(0, 1).await && !three.reaches(1, 0).await);
        assert!(three.reaches(0, 2).await && three.reaches(2, 1).await);
        // The management network is another one.
        let management = three.scene.launched.nodes[&three.nodes[1]]
            .addresses
            .management;
        assert!(three.connects(0, &format!("{management}:{PORT}")).await);
        let second = three.break_one(0, 2, "f2", Direction::Both, ALL).await;
        assert!(second.effective, "{}", second.proof);
        assert!(!three.reaches(0, 1).await && !three.reaches(0, 2).await);
        assert_eq!(three.remains(0).await.len(), 2);
        // Twice: healing is idempotent.
        for _ in 0..2 {
            three.heal(0, "f1").await;
            assert!(three.reaches(0, 1).await && !three.reaches(0, 2).await);
        }
        three.heal(0, "f2").await;
        assert!(three.reaches(0, 1).await && three.reaches(0, 2).await);
        assert_eq!(three.remains(0).await, Vec::<String>::new());
        assert_eq!(three.containers().await, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_is_one_way() {
    on_three("one-way", |three| async move {
        for (direction, arrives) in [(Direction::In, true), (Direction::Out, false)] {
            let cut = three.break_one(0, 1, "f1", direction, ALL).await;
            assert!(cut.effective, "{}", cut.proof);
            let way = if arrives { "in" } else { "out" };
            assert!(
                cut.proof.contains(&format!("packets {way} ")),
                "{}",
                cut.proof
            );
            assert!(!three.reaches(0, 1).await, "an answer needs both ways");
            // Rules that let everything pass, and count it, on the other side.
            let none = Fate::Lost { per_million: 0 };
            let counted = three.break_one(1, 0, "f2", Direction::In, none).await;
            assert!(!counted.effective, "{}", counted.proof);
            let passed = !counted.proof.starts_with("0 of 0 ");
            assert_eq!(passed, arrives, "{direction:?}: {}", counted.proof);
            three.heal(0, "f1").await;
            three.heal(1, "f2").await;
            assert!(three.reaches(0, 1).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_damaged_refused_lost_by_chance_and_late() {
    on_three("fates", |three| async move {
        let damaged = Fate::Damaged {
            per_million: 1_000_000,
        };
        let outcome = three.break_one(0, 1, "f1", Direction::In, damaged).await;
        assert!(outcome.effective, "{}", outcome.proof);
        assert!(
            outcome.proof.contains("thrown") && !outcome.proof.contains("thrown 0"),
            "{}",
            outcome.proof
        );
        assert!(!three.reaches(0, 1).await && three.reaches(0, 2).await);
        three.heal(0, "f1").await;
        let refused = three
            .break_one(0, 1, "f2", Direction::Both, Fate::Refused)
            .await;
        assert!(refused.effective, "{}", refused.proof);
        // Not silent: both are answered at once.
        assert!(three.reaches(0, 1).await && three.reaches(1, 0).await);
        three.heal(0, "f2").await;
        let half = Fate::Lost {
            per_million: 500_000,
        };
        let lost = three.break_one(0, 1, "f3", Direction::Both, half).await;
        assert!(lost.effective, "{}", lost.proof);
        three.heal(0, "f3").await;
        let late = |lasts| Fate::Late {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(10),
            lasts,
        };
        let minute = late(Duration::from_secs(60));
        let slow = three.break_one(0, 1, "f4", Direction::Both, minute).await;
        assert!(slow.effective, "{}", slow.proof);
        assert!(three.reaches(0, 1).await, "late is not lost");
        assert!(!three.remains(0).await.is_empty());
        let holders = usize::from(is_held(&slow));
        assert_eq!(three.containers().await, 4 + holders);
        for _ in 0..2 {
            three.heal(0, "f4").await;
            assert_eq!(three.containers().await, 4);
        }
        if !is_held(&slow) {
            return;
        }
        // Whoever is left: it ends by itself.
        let short = late(Duration::from_secs(4));
        let slow = three.break_one(0, 1, "f5", Direction::Out, short).await;
        assert!(slow.effective, "{}", slow.proof);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(three.remains(0).await, Vec::<String>::new());
        assert!(three.reaches(0, 1).await);
        three.heal(0, "f5").await;
        assert_eq!(three.containers().await, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_packets_back_may_die_and_a_node_that_is_gone_is_healed() {
    on_three("dead", |three| async move {
        let docker = &three.scene.docker;
        let late = Fate::Late {
            delay: Duration::from_millis(50),
            jitter: Duration::ZERO,
            lasts: Duration::from_secs(60),
        };
        let slow = three.break_one(0, 1, "f1", Direction::Both, late).await;
        assert!(slow.effective, "{}", slow.proof);
        if is_held(&slow) {
            let holder = format!("{}-{}-f1", three.scene.labels.run(), three.nodes[0]);
            docker.kill(&holder, "KILL").await.unwrap();
            docker.wait(&holder, DEADLINE).await.unwrap();
            // Its rules are still there and let everything pass.
            assert_eq!(three.remains(0).await.len(), 1);
            assert!(three.reaches(0, 1).await && three.reaches(1, 0).await);
        }
        three.heal(0, "f1").await;
        let cut = three.break_one(0, 1, "f2", Direction::Both, ALL).await;
        assert!(cut.effective, "{}", cut.proof);
        let node = &three.scene.launched.nodes[&three.nodes[0]].container_id;
        // Paused it is still broken, and can be healed.
        docker.pause(node).await.unwrap();
        three.heal(0, "f2").await;
        docker.unpause(node).await.unwrap();
        assert!(three.reaches(0, 1).await);
        let cut = three.break_one(0, 1, "f3", Direction::Both, ALL).await;
        assert!(cut.effective, "{}", cut.proof);
        docker.kill(node, "KILL").await.unwrap();
        docker.wait(node, DEADLINE).await.unwrap();
        three.heal(0, "f3").await;
        docker.start(node).await.unwrap();
        three.heal(0, "f3").await;
        assert!(three.reaches(0, 1).await && three.reaches(1, 0).await);
        docker.remove(node).await.unwrap();
        three.heal(0, "f3").await;
    })
    .await;
}

#[tokio::test]
async fn what_the_kernel_can_do_is_proved_by_doing_it() {
    let Some(docker) = engine().await else { return };
    let run = run_id("abilities");
    let network = network(1, 1, DiskKind::Tmpfs, 4 << 20);
    let images = launch::prepare(&docker, &network, false, Some(program()))
        .await
        .unwrap();
    let labels = RunLabels::new(&run, &Owner::this_process(), "", TIME_TO_LIVE);
    let image = &images.program.reference;
    let abilities: NetworkAbilities = run_helper(&docker, image, &labels, &HelperOp::ProbeNetwork)
        .await
        .unwrap();
    eprintln!("{abilities:#?}");
    for tried in [&abilities.nftables, &abilities.queues, &abilities.tunnel] {
        assert!(tried.able, "{}", tried.proof);
    }
    if !abilities.netem.able {
        eprintln!(
            "SKIPPED: delay by the kernel's own queue, which it does not have: {}",
            abilities.netem.proof
        );
    }
    let report = teardown(&docker, &run).await.unwrap();
    assert_eq!(report.left, Vec::<String>::new());
}
