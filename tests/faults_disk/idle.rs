//! On idle nodes: what each operation does, seen from inside the node, and what is left of it.

use std::{fs, path::Path, sync::Arc, time::Duration};

use canarynet::{
    disk::{
        abilities::DiskAbilities,
        ext4::{disk_ref, disks_volume},
        helper::{HelperOp, run_helper},
    },
    engine::{
        Docker, EngineError, LaunchRequest,
        disk_probe::DiskProbe,
        inject::{Scene, perform},
        inside::ask_toolbox,
        labels::RunLabels,
        launch,
        launch::prepare,
        owner::Owner,
        preflight, reattach, teardown,
    },
    fault::operation::{DiskOp, Operation, Outcome, disk::Keep},
    ids::{NodeName, RunId, ShardId},
    plan::{DiskKind, NetworkPlan},
};

use crate::support::{engine, idle, network, program, run_id};

const LIFE: Duration = Duration::from_secs(600);

/// A launched network of idle nodes.
struct Bench {
    docker: Docker,
    run: RunId,
    network: NetworkPlan,
    scene: Scene,
}

impl Bench {
    async fn launch(
        docker: &Docker,
        name: &str,
        network: NetworkPlan,
    ) -> Result<Self, EngineError> {
        let run = run_id(name);
        let images = prepare(docker, &network, true, Some(program())).await?;
        preflight(docker, &run, &network, true, &images).await?;
        let request = LaunchRequest {
            beside: None,
            secrets: None,
            fill: None,
            run: &run,
            network: &network,
            allow_helper: true,
            state: "/nowhere".to_owned(),
            owner: Owner::this_process(),
            time_to_live: LIFE,
            images: &images,
            render: &idle,
        };
        let launched = launch(docker, request, |_| {}).await?;
        let scene = Scene {
            clock_skew: None,
            docker: docker.clone(),
            launched: Arc::new(launched),
            labels: RunLabels::new(&run, &Owner::this_process(), "", LIFE),
            helper: None,
            user: network.user.clone(),
            disk_path: "/data".to_owned(),
            requested: None,
        };
        Ok(Self {
            docker: docker.clone(),
            run,
            network,
            scene,
        })
    }

    fn node(&self, index: u32) -> NodeName {
        NodeName::of(ShardId(0), index)
    }

    async fn try_to(&self, node: &NodeName, what: DiskOp) -> Result<Outcome, EngineError> {
        let operation = Operation::Disk {
            node: node.clone(),
            what,
        };
        let outcome = perform(&self.scene, &operation).await;
        eprintln!("{operation:?}: {outcome:?}");
        outcome
    }

    /// Breaks, and wants the effect proved.
    async fn breaks(&self, node: &NodeName, what: DiskOp) {
        let outcome = self.try_to(node, what).await.unwrap();
        assert!(outcome.effective, "{outcome:?}");
    }

    /// Heals, twice, and by a scene that knows nothing but labels the second time.
    async fn heals(&self, node: &NodeName, what: DiskOp) {
        self.try_to(node, what.clone()).await.unwrap();
        let launched = reattach(&self.docker, &self.run).await.unwrap();
        let scene = Scene {
            launched: Arc::new(launched),
            ..self.scene.clone()
        };
        let operation = Operation::Disk {
            node: node.clone(),
            what,
        };
        let again = perform(&scene, &operation).await.unwrap();
        assert!(again.effective, "{again:?}");
        let probe: DiskProbe = self
            .toolbox(node, &["probe-disk", "/data", "1", "4096"])
            .await;
        assert_eq!(probe.error, None);
        for dead in ["shutdown", "emergency_ro"] {
            assert!(!probe.options.contains(dead), "{}", probe.options);
        }
    }

    async fn toolbox<T: serde::de::DeserializeOwned>(&self, node: &NodeName, words: &[&str]) -> T {
        ask_toolbox(
            &self.docker,
            &self.scene.handle(node).unwrap().container_id,
            &self.scene.launched.toolbox,
            words,
            Duration::from_secs(60),
        )
        .await
        .unwrap()
    }

    /// Length of a file in a node, 0 if there is none.
    async fn size(&self, node: &NodeName, path: &str) -> u64 {
        ask_toolbox(
            &self.docker,
            &self.scene.handle(node).unwrap().container_id,
            &self.scene.launched.toolbox,
            &["size", path],
            Duration::from_secs(60),
        )
        .await
        .unwrap_or(0)
    }

    /// Tears down, and wants nothing left.
    async fn end(self) {
        let report = teardown(&self.docker, &self.run).await.unwrap();
        assert_eq!(report.left, Vec::<String>::new());
        assert!(
            self.docker
                .containers_of(&self.run)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(self.docker.volumes_of(&self.run).await.unwrap().is_empty());
        // The kernel lets go of a device a moment after its last user went.
        for _ in 0..50 {
            if left(&self.run).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("left behind: {:?}", left(&self.run));
    }
}

/// Loop devices and mounts of a run on this machine.
fn left(run: &RunId) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut found: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(run.as_str()))
        .map(str::to_owned)
        .collect();
    // A device names its file as it was reached: by the run's mark where that was inside a helper.
    let mark = disk_ref(run, &NodeName::of(ShardId(0), 0)).mark;
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let Ok(file) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if file.contains(run.as_str()) || marked(&name, &mark) {
            found.push(format!("{name} {file}"));
        }
    }
    found
}

/// Whether `losetup`, where there is one, names the mark for a device.
fn marked(device: &str, mark: &str) -> bool {
    std::process::Command::new("losetup")
        .args(["--list", "--raw", "--noheadings", "-O", "BACK-FILE"])
        .arg(format!("/dev/{device}"))
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(mark))
}

/// Runs a test's work so that the network is removed whatever becomes of it.
async fn with(name: &str, network: NetworkPlan, work: impl AsyncFnOnce(&Bench)) {
    let Some(docker) = engine().await else { return };
    let bench = Bench::launch(&docker, name, network).await.unwrap();
    let worked = {
        use futures_util::FutureExt as _;
        std::panic::AssertUnwindSafe(work(&bench))
            .catch_unwind()
            .await
    };
    bench.end().await;
    if let Err(panic) = worked {
        std::panic::resume_unwind(panic);
    }
}

fn ext4(nodes: u32) -> NetworkPlan {
    network(1, nodes, DiskKind::Ext4, 24 << 20)
}

fn has_xfs() -> bool {
    let has = ["/sbin", "/usr/sbin"]
        .iter()
        .any(|folder| Path::new(folder).join("mkfs.xfs").exists());
    if !has {
        eprintln!("SKIPPED, NOTHING WAS TESTED: this machine has no mkfs.xfs (install xfsprogs)");
    }
    has
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_slow_and_has_its_plan_s_own_throttle_afterwards() {
    let mut plan = ext4(1);
    plan.disk.write_iops = Some(4000);
    plan.disk.write_bytes_per_second = Some(64 << 20);
    with("slow", plan, async |bench: &Bench| {
        let node = bench.node(0);
        for (iops, bytes) in [(Some(10), None), (None, Some(256 << 10))] {
            let what = DiskOp::Slow {
                write_iops: iops,
                write_bytes_per_second: bytes,
            };
            bench.breaks(&node, what).await;
            bench.heals(&node, DiskOp::Unslow).await;
            let healed = bench.try_to(&node, DiskOp::Unslow).await.unwrap();
            assert!(
                healed
                    .proof
                    .contains("4000 writes a second, 67108864 bytes"),
                "{healed:?}"
            );
        }
        // After a renewal the disk is on another device, and the plan's throttle with it.
        let cut = cut_of(&[&node], "one", Keep::Nothing);
        bench.breaks(&node, cut).await;
        bench.heals(&node, DiskOp::Renew).await;
        let healed = bench.try_to(&node, DiskOp::Unslow).await.unwrap();
        assert!(healed.proof.contains("4000 writes a second"), "{healed:?}");
        let container = &bench.scene.handle(&node).unwrap().container_id;
        bench.docker.kill(container, "KILL").await.unwrap();
        bench
            .docker
            .wait(container, Duration::from_secs(20))
            .await
            .unwrap();
        // A node that does not run has no throttle to be taken away.
        assert!(bench.try_to(&node, DiskOp::Unslow).await.unwrap().effective);
        let slow = DiskOp::Slow {
            write_iops: Some(10),
            write_bytes_per_second: None,
        };
        assert!(bench.try_to(&node, slow).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_hangs_thaws_on_time_without_anybody_and_does_not_hold_a_teardown() {
    with("hang", ext4(2), async |bench: &Bench| {
        let (one, other) = (bench.node(0), bench.node(1));
        let freeze = DiskOp::Freeze {
            lasts: Duration::from_secs(3),
        };
        bench.breaks(&one, freeze.clone()).await;
        // A second one finds it frozen and claims nothing.
        assert!(!bench.try_to(&one, freeze.clone()).await.unwrap().effective);
        bench.heals(&one, DiskOp::Thaw).await;
        // Nobody heals: the process that was armed first does.
        bench.breaks(&one, freeze.clone()).await;
        let probe: DiskProbe = bench
            .toolbox(&one, &["probe-disk", "/data", "1", "4096"])
            .await;
        assert_eq!(probe.error, None);
        assert!(
            (5_000_000..20_000_000).contains(&probe.micros),
            "a write waited {} ms for the thaw",
            probe.micros / 1_000
        );
        // Frozen, and somebody waits on it: teardown follows.
        bench.breaks(&other, freeze).await;
    })
    .await;
}

fn cut_of(nodes: &[&NodeName], fault: &str, keep: Keep) -> DiskOp {
    DiskOp::CutPower {
        fault: fault.to_owned(),
        together: nodes.iter().map(|node| (*node).clone()).collect(),
        keep,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_what_was_not_synced_on_all_nodes_at_once() {
    with("power", ext4(4), async |bench: &Bench| {
        let nodes: Vec<NodeName> = (0..4).map(|index| bench.node(index)).collect();
        for node in &nodes {
            let _: () = bench
                .toolbox(node, &["put", "/data/synced", "8192", "synced"])
                .await;
            let _: () = bench
                .toolbox(node, &["put", "/data/unsynced", "8192", "unsynced"])
                .await;
        }
        let all: Vec<&NodeName> = nodes.iter().collect();
        let cut = cut_of(&all, "all", Keep::Nothing);
        let cuts = nodes.iter().map(|node| bench.try_to(node, cut.clone()));
        for outcome in futures_util::future::join_all(cuts).await {
            let outcome = outcome.unwrap();
            assert!(outcome.effective);
            // On an idle machine a few milliseconds; others may be at work on this one.
            assert!(spread(&outcome.proof) < 250.0, "{outcome:?}");
        }
        for node in &nodes {
            bench.heals(node, DiskOp::Renew).await;
            assert_eq!(bench.size(node, "/data/synced").await, 8192);
            assert_eq!(bench.size(node, "/data/unsynced").await, 0);
        }
        // With everything kept it is an end of the process alone.
        let node = &nodes[0];
        let _: () = bench
            .toolbox(node, &["put", "/data/unsynced", "8192", "unsynced"])
            .await;
        bench.breaks(node, cut_of(&[node], "kept", Keep::All)).await;
        bench.heals(node, DiskOp::Renew).await;
        assert_eq!(bench.size(node, "/data/unsynced").await, 8192);
        // Started by somebody else before the heal: on the old device, whose file system the kernel has recovered.
        bench
            .breaks(node, cut_of(&[node], "started", Keep::Metadata))
            .await;
        let container = &bench.scene.handle(node).unwrap().container_id;
        bench.docker.start(container).await.unwrap();
        bench.heals(node, DiskOp::Renew).await;
    })
    .await;
}

/// Milliseconds from the first cut to this node's process.
fn spread(proof: &str) -> f64 {
    let rest = proof.split("process killed at ").nth(1).expect("a time");
    rest.split(' ').next().unwrap().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_turns_read_only_or_dry_and_is_renewed() {
    let mut plan = ext4(2);
    plan.disk.thin = true;
    with("renew", plan, async |bench: &Bench| {
        let (one, other) = (bench.node(0), bench.node(1));
        for node in [&one, &other] {
            let _: () = bench
                .toolbox(node, &["put", "/data/kept", "100000", "synced"])
                .await;
        }
        bench.breaks(&one, DiskOp::ReadOnly).await;
        bench.heals(&one, DiskOp::Renew).await;
        bench.breaks(&other, DiskOp::RunDry { leave: 0 }).await;
        bench.heals(&other, DiskOp::Renew).await;
        // As large as it was: the device has all of its blocks again.
        let filled: canarynet::engine::toolbox::FillOutcome =
            bench.toolbox(&other, &["fill", "/data/ballast"]).await;
        assert_eq!(filled.error, Some(28), "{filled:?}");
        assert!(filled.bytes > 22 << 20, "{filled:?}");
        for node in [&one, &other] {
            assert_eq!(bench.size(node, "/data/kept").await, 100_000);
        }
        // Healed from a scene without the one who broke it, while the node does not run.
        bench.breaks(&one, DiskOp::ReadOnly).await;
        let container = &bench.scene.handle(&one).unwrap().container_id;
        bench.docker.kill(container, "KILL").await.unwrap();
        bench.heals(&one, DiskOp::Renew).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thick_disk_cannot_run_dry_and_a_tmpfs_has_no_device() {
    with("thick", ext4(1), async |bench: &Bench| {
        let node = bench.node(0);
        let error = bench
            .try_to(&node, DiskOp::RunDry { leave: 0 })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("device-dry"), "{error}");
        bench.heals(&node, DiskOp::Renew).await;
    })
    .await;
    let plan = network(1, 1, DiskKind::Tmpfs, 8 << 20);
    with("memory", plan, async |bench: &Bench| {
        let node = bench.node(0);
        let error = bench.try_to(&node, DiskOp::ReadOnly).await.unwrap_err();
        assert!(matches!(error, EngineError::NoBlockDisk { .. }), "{error}");
        for heal in [DiskOp::Unslow, DiskOp::Thaw, DiskOp::Renew] {
            assert!(bench.try_to(&node, heal).await.unwrap().effective);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xfs_hangs_and_loses_its_power_and_says_what_it_cannot() {
    if !has_xfs() {
        return;
    }
    let plan = network(1, 1, DiskKind::Xfs, 224 << 20);
    with("xfs", plan, async |bench: &Bench| {
        assert_eq!(bench.network.disk.kind, DiskKind::Xfs);
        let node = bench.node(0);
        let _: () = bench
            .toolbox(&node, &["put", "/data/synced", "8192", "synced"])
            .await;
        let _: () = bench
            .toolbox(&node, &["put", "/data/unsynced", "8192", "unsynced"])
            .await;
        bench
            .breaks(&node, cut_of(&[&node], "x", Keep::Nothing))
            .await;
        bench.heals(&node, DiskOp::Renew).await;
        assert_eq!(bench.size(&node, "/data/synced").await, 8192);
        assert_eq!(bench.size(&node, "/data/unsynced").await, 0);
        let freeze = DiskOp::Freeze {
            lasts: Duration::from_secs(3),
        };
        bench.breaks(&node, freeze).await;
        bench.heals(&node, DiskOp::Thaw).await;
        let slow = DiskOp::Slow {
            write_iops: Some(10),
            write_bytes_per_second: None,
        };
        bench.breaks(&node, slow).await;
        bench.heals(&node, DiskOp::Unslow).await;
        let error = bench.try_to(&node, DiskOp::ReadOnly).await.unwrap_err();
        assert!(error.to_string().contains("xfs has no way"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abilities_are_proved_by_doing_them() {
    with("abilities", ext4(1), async |bench: &Bench| {
        let volume = disks_volume(&bench.docker, &bench.run)
            .await
            .unwrap()
            .unwrap();
        let mark = disk_ref(&bench.run, &bench.node(0)).mark;
        let operation = HelperOp::ProbeDisks { mark };
        let abilities: DiskAbilities =
            run_helper(&bench.docker, &volume.helper, &volume.labels, &operation)
                .await
                .unwrap();
        eprintln!("{abilities:#?}");
        for tried in [
            &abilities.throttle,
            &abilities.freeze,
            &abilities.read_only,
            &abilities.run_dry,
            &abilities.power_cut,
            &abilities.crash_image,
        ] {
            assert!(tried.able, "{tried:?}");
        }
        assert_eq!(abilities.xfs.able, has_xfs(), "{:?}", abilities.xfs);
    })
    .await;
}
