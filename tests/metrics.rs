//! The metrics page: what Prometheus reads, checked with Debian's promtool where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks, and a skipped one says so loudly"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use canarynet::{report::openmetrics, serve::Metrics};

#[path = "report_golden/input.rs"]
mod input;

fn page() -> String {
    let input = input::stall();
    openmetrics::render(&input.plan, &input.run, &input.judgement)
}

/// promtool, or `None` with a loud reason.
fn promtool() -> Option<&'static Path> {
    let path = Path::new("/usr/bin/promtool");
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED, NOTHING WAS TESTED: no promtool is installed (apt-get install prometheus)");
    None
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docker")
        .join(name)
}

/// Names of all families of a page.
fn families(page: &str) -> BTreeMap<String, String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some(promtool) = promtool() else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_family_is_told_once_with_its_help_and_samples_follow_it() {
    let page = page();
    let mut current = "";
    let mut seen = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name), "{name} comes twice");
            assert!(help.ends_with('.'), "{help}");
            current = name;
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(name, current, "{line}");
            assert!(
                line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(),
                "{line}"
            );
        }
    }
    assert!(seen.len() > 25, "{}", seen.len());
    for (name, kind) in families(&page) {
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
    }
    assert!(
        page.contains("canarynet_shard_stalled{shard=\"1\"} 1"),
        "{page}"
    );
}

#[test]
fn labels_are_bounded_and_no_text_leaves_them() {
    let mut input = input::stall();
    let node = input.judgement.nodes[0].clone();
    input.judgement.nodes = vec![node; 100_000];
    input.judgement.shards = (0..10_000).map(|number| input::shard(number, 9)).collect();
    let finding = input.judgement.findings[0].clone();
    input.judgement.findings = (0..10_000)
        .map(|number| canarynet::detect::Finding {
            kind: format!("x{number}\"}} 1\nowned 1"),
            waived: None,
            excused_by: None,
            ..finding.clone()
        })
        .collect();
    input.plan.name = "a\"b\\c\nd".to_owned();
    let page = openmetrics::render(&input.plan, &input.run, &input.judgement);
    assert!(page.len() < 2 << 20, "{}", page.len());
    assert!(!page.lines().any(|line| line.starts_with("owned")));
    assert!(page.contains("plan=\"a\\\"b\\\\c d\""));
}

#[test]
fn it_is_served_on_loopback_and_nowhere_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let outside = runtime.block_on(Metrics::serve("0.0.0.0:0".parse().unwrap()));
    assert!(outside.is_err());
    let metrics = runtime
        .block_on(Metrics::serve("127.0.0.1:0".parse().unwrap()))
        .unwrap();
    metrics.set(page());
    let ask = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(metrics.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("/metrics", "127.0.0.1:9464");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("canarynet_run_info{"),
        "{answer}"
    );
    assert!(ask("/", "127.0.0.1").starts_with("HTTP/1.1 404"));
    assert!(ask("/metrics", "evil.example:9464").starts_with("HTTP/1.1 403"));
}

#[test]
fn rules_are_right_and_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    for arguments in [
        vec![
            "check".to_owned(),
            "rules".to_owned(),
            file("prometheus/rules.yml").display().to_string(),
        ],
        vec![
            "test".to_owned(),
            "rules".to_owned(),
            file("prometheus/rules-test.yml").display().to_string(),
        ],
        vec![
            "check".to_owned(),
            "config".to_owned(),
            "--syntax-only".to_owned(),
            file("prometheus/prometheus.yml").display().to_string(),
        ],
    ] {
        let output = Command::new(promtool).args(&arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Every name that rules and dashboard ask for is one that a run serves.
#[test]
fn dashboard_and_rules_ask_only_for_what_there_is() {
    let known = families(&page());
    for name in ["grafana/canarynet.json", "prometheus/rules.yml"] {
        let text = fs::read_to_string(file(name)).unwrap();
        if name.ends_with(".json") {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        let mut found = 0;
        for word in
            text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        {
            if word.starts_with("canarynet_") && word != "canarynet_key" {
                assert!(known.contains_key(word), "{name}: {word}");
                found += 1;
            }
        }
        assert!(found > 3, "{name}");
    }
}
