//! A program that this one knows nothing of: etcd, launched, watched, broken and judged by its profile alone.

use std::{fs, path::Path};

use crate::harness::{Machine, json, newest, text};

const PLAN: &str = r#"
profile        = "etcd"
seed           = "etcd"
block_interval = "250ms"
load           = { rate = "4 tx/s per shard", cross_shard = "0 %" }
warm_up        = "5 blocks"
until          = "60s"
settle         = "5 blocks"
budget         = { memory = "128 MiB", cpu = "30 %" }
gate           = { coverage = { blind = "40 %", blocks = 30, load = "0 %", full_disks = 1, full_disks_recovered = 1 } }

[[fault]]
kind   = "kill"
target = "leader"
at     = "5s"
for    = "5s"

[[fault]]
kind   = "disk-fill"
target = "leader"
at     = "25s"
for    = "12s"
"#;

/// ... with all that a network may have beside its nodes: files, steps before them, a service that the load goes through.
const BESIDE: &str = r#"
extends  = "etcd"
name     = "beside"
programs = ["etcdctl", "sh"]
file     = [{ path = "conf/name.txt", text = "{{ node.name }} {{ values.quota }}\n" }]

[[init]]
name    = "all"
program = "sh"
command = ["-c", "echo made > {{ shared }}/made"]

[[init]]
name    = "each"
each    = "node"
program = "sh"
command = ["-c", "read name quota < {{ node.folder }}/conf/name.txt; test $name = {{ node.name }}; test $quota = {{ values.quota }}; read made < {{ shared }}/made; echo $name > {{ node.folder }}/seen"]

[[service]]
name    = "gate-way"
command = ["gateway", "start", "--listen-addr", "0.0.0.0:23790", "--endpoints", "{{ shard.first_ip }}:{{ ports.rpc }}"]

[load]
command = ["--endpoints", "http://{{ services.gate_way.ip }}:23790", "--command-timeout", "2s", "put", "canary", "%n"]
"#;

/// Whether this machine has etcd and its client.
fn has_etcd() -> bool {
    let has = ["/usr/bin/etcd", "/usr/bin/etcdctl"]
        .iter()
        .all(|path| Path::new(path).is_file());
    if !has {
        eprintln!("SKIPPED: there is no /usr/bin/etcd and etcdctl, so nothing was tested here");
    }
    has
}

#[test]
fn etcd_is_judged_by_its_profile_alone() {
    if !has_etcd() {
        return;
    }
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let plan = machine.state().join("case.toml");
    fs::write(&plan, PLAN).expect("plan");
    let plan = plan.display().to_string();
    let run = machine.run(&["soak", &plan, "--set", "profile.disk.kind=tmpfs"]);
    let said = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("2 of 2 effective, 2 recovered"), "{said}");
    let directory = newest(machine.state()).expect("run directory");
    let findings = json(&directory.join("findings.json")).expect("findings.json");
    let told = findings["findings"].as_array().expect("findings");
    let full: Vec<_> = told
        .iter()
        .filter(|told| told["finding"]["kind"] == "disk-full")
        .collect();
    assert!(!full.is_empty(), "the full disk was not seen: {findings}");
    for told in &full {
        assert_eq!(told["standing"], "excused", "{told}");
        assert!(!told["finding"]["end"].is_null(), "{told}");
    }
    machine.assert_nothing_left();
}

#[test]
fn what_is_beside_the_nodes_runs_before_and_with_them() {
    if !has_etcd() {
        return;
    }
    let Some(machine) = Machine::take_half() else {
        return;
    };
    let profile = machine.state().join("beside.toml");
    fs::write(&profile, BESIDE).expect("profile");
    let plan = machine.state().join("case.toml");
    let (head, _) = PLAN.split_once("[[fault]]").expect("faults");
    let head = head.replace("until          = \"60s\"", "until = \"15s\"");
    let head = head.replace("full_disks = 1, full_disks_recovered = 1", "receipts = 0");
    fs::write(&plan, head).expect("plan");
    let (plan, profile) = (plan.display().to_string(), profile.display().to_string());
    let disk = "profile.disk.kind=tmpfs";
    let run = machine.run(&["soak", &plan, "--profile", &profile, "--set", disk]);
    let said = text(&run.stdout);
    // Without its load, which goes through the service, it would commit nothing.
    assert_eq!(run.status.code(), Some(0), "{said}");
    // A step that fails says so, and nothing is left.
    let broken = BESIDE.replace(
        "echo made > {{ shared }}/made",
        "echo no such thing >&2; exit 3",
    );
    fs::write(&profile, broken).expect("profile");
    let run = machine.run(&["soak", &plan, "--profile", &profile, "--set", disk]);
    assert_eq!(run.status.code(), Some(3), "{}", text(&run.stdout));
    let all = [text(&run.stdout), text(&run.stderr)].concat();
    assert!(
        all.contains("init step all") && all.contains("no such thing"),
        "{all}"
    );
    machine.assert_nothing_left();
}
