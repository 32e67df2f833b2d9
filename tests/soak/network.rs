//! Faults on the network of a chain that runs: effective, excused, healed, nothing left.

use std::{fs, sync::Arc, time::Duration};

use canarynet::{
    engine::{
        Docker,
        inject::{Scene, network_remains},
        labels::RunLabels,
        owner::Owner,
        reattach,
    },
    ids::RunId,
};

use crate::harness::{Machine, json, newest, text};

const HEAD: &str = "profile = \"reference-small\"\nseed = \"network\"\nspeedup = 40\nallow_helper = true\nwarm_up = \"20 blocks\"\nsettle = \"10 blocks\"\nload = { rate = \"20 tx/s per shard\", cross_shard = \"0 %\" }\ngate = { coverage = { blind = \"5 %\" } }\n";

/// Disks in memory: this is about the network.
const IN_MEMORY: &str = "profile.disk.kind=\"tmpfs\"";

/// Each kind in its turn, fourteen seconds apart: the fault, and time for the shard to be back at its rate.
const FAULTS: &[(&str, &str, &str)] = &[
    ("partition", "leader", ""),
    ("isolate", "s0-n01", "direction = \"in\""),
    ("reject", "leader", ""),
    ("packet-loss", "leader", ""),
    ("corrupt", "s0-n02", ""),
    ("bandwidth", "leader", ""),
    ("delay", "leader", ""),
    // No side has a quorum: the shard stands still, and owes nothing.
    ("partition", "shard:0", "shape = \"halves\""),
];

#[test]
fn network_faults_are_effective_excused_and_healed() {
    let Some(machine) = Machine::take_if_asked("takes many minutes") else {
        return;
    };
    let mut plan = HEAD.to_owned();
    let mut at = 2;
    let mut faults = String::new();
    for (kind, target, more) in FAULTS {
        faults += &format!(
            "[[fault]]\nkind = \"{kind}\"\ntarget = \"{target}\"\nat = \"{at}s\"\nfor = \"4s\"\n{more}\n"
        );
        at += 14;
    }
    plan += &format!("until = \"{}s\"\n{faults}", at + 4);
    let path = machine.state().join("case.toml");
    fs::write(&path, plan).expect("plan");
    let run = machine.run(&["soak", &path.display().to_string(), "--set", IN_MEMORY]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    let all = FAULTS.len();
    assert!(
        said.contains(&format!("{all} of {all} effective, {all} recovered")),
        "{said}"
    );
    let directory = newest(machine.state()).expect("run directory");
    let verdict = json(&directory.join("verdict.json")).expect("verdict.json");
    let gates = verdict["gates"].as_array().expect("gates");
    assert!(
        gates
            .iter()
            .any(|gate| gate["gate"] == "coverage faults" && gate["outcome"] == "pass"),
        "{verdict}"
    );
    machine.assert_nothing_left();
}

#[test]
fn a_node_that_starts_again_is_broken_again() {
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let path = machine.state().join("case.toml");
    let fault = |kind: &str, at: u32, lasts: u32| {
        format!(
            "[[fault]]\nkind = \"{kind}\"\ntarget = \"s0-n01\"\nat = \"{at}s\"\nfor = \"{lasts}s\"\n"
        )
    };
    let plan = format!(
        "{HEAD}until = \"90s\"\n{}{}",
        fault("isolate", 1, 60),
        fault("restart", 5, 2)
    );
    fs::write(&path, plan).expect("plan");
    let mut soak = machine.soak(&[&path.display().to_string(), "--set", IN_MEMORY]);
    let told = machine.state().join("soak.txt");
    let says = |words: &str| {
        let told = fs::read_to_string(&told).unwrap_or_default();
        told.contains(words)
    };
    let long = Duration::from_secs(40);
    soak.wait_for("the cut", long, |_| says("f1-isolate is effective"));
    soak.wait_for("the restart", long, |_| says("f2-restart is effective"));
    soak.wait_for("the cut after the restart", long, |soak| {
        remains(&soak.run(), "s0-n01") == ["table canarynet-f1-isolate"]
    });
    soak.signal("TERM");
    assert_eq!(soak.end().code, Some(143));
    machine.assert_nothing_left();
}

/// What faults have left in the network of a node.
fn remains(run: &str, node: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let docker = Docker::connect(None).await.expect("engine");
        let run: RunId = run.parse().expect("run id");
        let launched = reattach(&docker, &run).await.expect("network");
        let scene = Scene {
            clock_skew: None,
            labels: RunLabels::new(&run, &Owner::this_process(), "", Duration::from_secs(600)),
            helper: Some(docker.image_of(&launched.watcher).await.expect("image")),
            docker,
            launched: Arc::new(launched),
            user: "1000:1000".to_owned(),
            disk_path: "/data".to_owned(),
            requested: None,
        };
        let node = node.parse().expect("node");
        network_remains(&scene, &node).await.expect("helper")
    })
}
