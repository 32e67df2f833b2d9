//! On a real network: the shard lives, what a fault does is excused, the node comes back, also when nobody is left.

use std::time::{Duration, Instant};

use canarynet::{
    disk::{crash_image, ext4::disks_volume},
    engine::Docker,
    ids::{NodeName, RunId, ShardId},
};

use crate::harness::{Machine, docker, json, newest, text};

const HEAD: &str = "profile = \"reference-small\"\nseed = \"faults\"\nspeedup = 40\nallow_helper = true\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\ngate = { coverage = { blind = \"20 %\" } }\n";

const DISK: [&str; 4] = [
    "--set",
    "profile.disk.kind=ext4",
    "--set",
    "profile.disk.size=\"32 MiB\"",
];

fn plan(machine: &Machine, rest: &str) -> String {
    let path = machine.state().join("case.toml");
    std::fs::write(&path, format!("{HEAD}{rest}")).expect("plan");
    path.display().to_string()
}

fn fault(kind: &str, target: &str, at: u32, lasts: u32) -> String {
    format!(
        "[[fault]]\nkind = \"{kind}\"\ntarget = \"{target}\"\nat = \"{at}s\"\nfor = \"{lasts}s\"\n"
    )
}

#[test]
fn disk_faults_are_effective_excused_and_healed() {
    let Some(machine) = Machine::take_if_asked("takes many minutes") else {
        return;
    };
    // Apart by the window that rates are taken over and the time to recover: nobody is blamed for what the one before did.
    let mut rest = "until = \"205s\"\n".to_owned();
    rest += &fault("disk-slow", "s0-n01", 2, 5);
    rest += &fault("disk-hang", "leader", 40, 4);
    rest += &fault("disk-read-only", "leader", 75, 4);
    rest += &fault("device-dry", "s0-n02", 110, 4);
    rest += &fault("power-cut", "leader", 145, 3);
    rest += &fault("power-cut", "all shard:0", 175, 3);
    let plan = plan(&machine, &rest);
    let run = machine.run(&[&["soak", &plan], &DISK[..]].concat());
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("6 of 6 effective, 6 recovered"), "{said}");
    let directory = newest(machine.state()).expect("run directory");
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let gates = verdict["gates"].as_array().expect("gates");
    let gate = gates
        .iter()
        .find(|gate| gate["gate"] == "coverage faults")
        .expect("gate of faults");
    assert_eq!(gate["outcome"], "pass", "{gate}");
    machine.assert_nothing_left();
}

#[test]
fn a_frozen_disk_thaws_though_the_canary_was_killed_and_clean_removes_all() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let rest = format!(
        "until = \"90s\"\n{}{}",
        fault("disk-hang", "s0-n01", 1, 5),
        fault("disk-read-only", "s0-n02", 1, 5),
    );
    let plan = plan(&machine, &rest);
    let mut soak = machine.soak(&[&[plan.as_str()], &DISK[..]].concat());
    let thawer = format!("{}-thaw", soak.container("s0-n01"));
    let armed = || docker(&["ps", "-a", "--format", "{{.Names}}"]).contains(&thawer);
    soak.wait_for("the fault", Duration::from_secs(20), |_| armed());
    soak.wait_for("its effect", Duration::from_secs(20), |soak| {
        soak.live()
            .is_some_and(|live| live.to_string().contains("disk-read-only"))
            || mounted(&soak.container("s0-n02")).contains("emergency_ro")
    });
    let (hung, read_only) = (soak.container("s0-n01"), soak.container("s0-n02"));
    soak.signal("KILL");
    soak.end();
    let deadline = Instant::now() + Duration::from_secs(60);
    while armed() || mounted(&read_only).contains("emergency_ro") || !runs(&read_only) {
        assert!(Instant::now() < deadline, "the guard did not heal");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(runs(&hung));
    let cleaned = machine.run(&["clean"]);
    assert_eq!(cleaned.status.code(), Some(0));
    machine.assert_nothing_left();
}

fn runs(container: &str) -> bool {
    docker(&["inspect", "-f", "{{.State.Running}}", container]).trim() == "true"
}

/// Options of a node's disk on this machine; empty where its mounts cannot be seen.
fn mounted(container: &str) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter(|line| line.contains(&format!("/{container}/_data")))
        .collect()
}

#[test]
fn a_crash_image_of_a_running_node_has_its_head() {
    let Some(machine) = Machine::take() else {
        return;
    };
    let plan = plan(&machine, "until = \"40s\"\n");
    let soak = machine.soak(&[&[plan.as_str()], &DISK[..]].concat());
    let run: RunId = soak.run().parse().expect("run id");
    let node = NodeName::of(ShardId(0), 1);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let docker = Docker::connect(None).await.expect("engine");
        let volume = disks_volume(&docker, &run)
            .await
            .expect("volumes")
            .expect("a disks volume");
        let before = height(&machine);
        for round in 0..3 {
            let name = format!("case-{round}");
            let copied =
                crash_image::copy(&docker, &volume.helper, &volume.labels, &node, &name).await;
            let copied = copied.expect("a copy");
            let checked =
                crash_image::check(&docker, &volume.helper, &volume.labels, &name, true).await;
            let checked = checked.expect("an answer");
            eprintln!("{copied:?} {checked:?}");
            assert_eq!(checked.unmountable, None);
            let head = checked.store.expect("asked for").expect("a head");
            let after = height(&machine);
            assert!(
                (before..=after).contains(&head.height),
                "{head:?}, and the node was between {before} and {after}"
            );
            // It is gone: looking at it has changed it.
            let again = crash_image::check(&docker, &volume.helper, &volume.labels, &name, true);
            assert!(again.await.is_err());
        }
    });
    let ended = soak.end();
    assert_eq!(ended.code, Some(0));
    machine.assert_nothing_left();
}

/// Height of the node that copies are taken of.
fn height(machine: &Machine) -> u64 {
    let told = machine.run(&["rpc", "s0-n01", "hmyv2_blockNumber"]);
    let text = text(&told.stdout);
    text.trim().parse().expect("a height")
}
