//! Alerts against Debian's real Alertmanager, and `canarynet alert test` as people run it.
//!
//! Needs `prometheus-alertmanager` (apt-get install); where it is missing the test says so loudly.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks, and a skipped one says so loudly"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use canarynet::{
    alert::{Desk, notice::About},
    detect::{ChangeKind, Finding, FindingChange, Severity},
    ids::ShardId,
    plan::alerts::{AlertKind, AlertRoute, AlertVerdict, Alerts, Transport},
    time::{Elapsed, RunClock, WallTime},
};
use serde_json::Value;

const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";

/// A real Alertmanager on a port of its own; it ends with the test.
struct Alertmanager {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Alertmanager {
    /// `None` with a loud reason where none is installed.
    fn start() -> Option<Self> {
        if !Path::new(PROGRAM).is_file() {
            eprintln!(
                "SKIPPED, NOTHING WAS TESTED: no {PROGRAM} (apt-get install prometheus-alertmanager)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = "route:\n  receiver: none\n  group_wait: 0s\nreceivers:\n- name: none\n";
        fs::write(folder.path().join("config.yml"), config).unwrap();
        let port = free_port();
        let child = Self::spawn(folder.path(), port);
        let running = Self {
            child,
            port,
            folder,
        };
        running.wait_ready();
        Some(running)
    }

    fn spawn(folder: &Path, port: u16) -> Child {
        Command::new(PROGRAM)
            .arg(format!(
                "--config.file={}",
                folder.join("config.yml").display()
            ))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while get(self.port, "/-/ready").is_none() {
            assert!(
                Instant::now() < deadline,
                "the Alertmanager does not come up"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = Self::spawn(self.folder.path(), self.port);
        self.wait_ready();
    }

    /// Alerts that are firing now.
    fn active(&self) -> Vec<Value> {
        let answer = get(self.port, "/api/v2/alerts").unwrap();
        serde_json::from_str::<Vec<Value>>(&answer).unwrap()
    }

    /// How long it takes until so many fire.
    fn wait_active(&self, count: usize, longest: Duration) -> Duration {
        let begin = Instant::now();
        while self.active().len() != count {
            assert!(begin.elapsed() < longest, "{:#?}", self.active());
            std::thread::sleep(Duration::from_millis(20));
        }
        begin.elapsed()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The body of an answer with code 200.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
}

fn alerts(port: u16) -> Alerts {
    Alerts {
        routes: vec![AlertRoute {
            name: "pager".to_owned(),
            kind: AlertKind::Alertmanager,
            by: Transport::Address(format!("http://127.0.0.1:{port}")),
            key: None,
            from: Some(Severity::Major),
            verdicts: vec![AlertVerdict::Fail],
        }],
        ..Alerts::default()
    }
}

fn about() -> About {
    About {
        plan: "nightly".to_owned(),
        run: "nightly-7".to_owned(),
        started: RunClock::wall(),
        report: "runs/7/report.html".to_owned(),
        reproduce: "canarynet soak nightly --seed 7".to_owned(),
        seen: BTreeMap::from([("stall shard 1".to_owned(), WallTime(1_795_291_200_000))]),
    }
}

fn change(kind: ChangeKind, shard: u64) -> FindingChange {
    let end = (kind == ChangeKind::Closed).then(|| Elapsed::from_millis(1));
    FindingChange {
        kind,
        finding: Finding {
            id: format!("st-{shard}"),
            kind: "stall".to_owned(),
            severity: Severity::Critical,
            shard: Some(ShardId(shard)),
            nodes: Vec::new(),
            start: Elapsed::default(),
            noticed: Elapsed::default(),
            end,
            heights: None,
            duration: Duration::ZERO,
            mainnet: Duration::ZERO,
            summary: "no block since height 489".to_owned(),
            evidence: Vec::new(),
            excused_by: None,
            waived: None,
            causes: vec!["disk-full s1-n02".to_owned()],
            chain: Vec::new(),
            raised: None,
        },
    }
}

#[test]
fn a_finding_reaches_an_alertmanager_at_once_and_resolves() {
    let Some(manager) = Alertmanager::start() else {
        return;
    };
    // A thread of its own for what a run's loop would do.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut desk = Desk::open(&alerts(manager.port), about());
    desk.finding(&change(ChangeKind::Opened, 1), Some("s1-n02"), false);
    let took = manager.wait_active(1, Duration::from_secs(2));
    let alert = &manager.active()[0];
    assert_eq!(alert["labels"]["alertname"], "stall");
    assert_eq!(alert["labels"]["shard"], "1");
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["annotations"]["leader"], "s1-n02");
    assert_eq!(alert["annotations"]["first_cause"], "disk-full s1-n02");
    let first = WallTime(1_795_291_200_000).to_string();
    assert_eq!(alert["annotations"]["first_seen"], first);
    // The same again, as after a restart of the canary: it is one alert.
    let mut other = Desk::open(&alerts(manager.port), about());
    other.finding(&change(ChangeKind::Opened, 1), Some("s1-n02"), false);
    assert_eq!(
        runtime.block_on(other.close(Duration::from_secs(5))),
        Vec::<String>::new()
    );
    assert_eq!(manager.active().len(), 1);
    desk.finding(&change(ChangeKind::Closed, 1), None, false);
    let over = manager.wait_active(0, Duration::from_secs(2));
    eprintln!("fired after {took:?}, resolved after {over:?}");
    assert_eq!(
        runtime.block_on(desk.close(Duration::from_secs(5))),
        Vec::<String>::new()
    );
}

#[test]
fn what_happens_while_an_alertmanager_is_down_is_told_when_it_is_back() {
    let Some(mut manager) = Alertmanager::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    manager.stop();
    let mut desk = Desk::open(&alerts(manager.port), about());
    let begin = Instant::now();
    for shard in 0..40 {
        desk.finding(&change(ChangeKind::Opened, shard), None, false);
    }
    for shard in 0..10 {
        desk.finding(&change(ChangeKind::Closed, shard), None, false);
    }
    let fed = begin.elapsed();
    assert!(
        fed < Duration::from_millis(500),
        "the watch waited for {fed:?}"
    );
    std::thread::sleep(Duration::from_secs(6));
    manager.again();
    let took = manager.wait_active(30, Duration::from_secs(20));
    eprintln!(
        "50 notices were fed in {fed:?}; all had arrived {took:?} after the Alertmanager was back"
    );
    assert_eq!(
        runtime.block_on(desk.close(Duration::from_secs(5))),
        Vec::<String>::new()
    );
    assert_eq!(manager.active().len(), 30);
}

/// The real thing, killed in the middle of a run and back after a whole minute. Findings come all the while, as fast as a
/// bad night brings them, and nothing of them may be lost.
#[test]
fn a_minute_without_an_alertmanager_loses_nothing_and_slows_nobody() {
    const DOWN: Duration = Duration::from_secs(61);
    let Some(mut manager) = Alertmanager::start() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut desk = Desk::open(&alerts(manager.port), about());
    desk.finding(&change(ChangeKind::Opened, 0), Some("s0-n00"), false);
    manager.wait_active(1, Duration::from_secs(5));
    manager.stop();
    let begin = Instant::now();
    let mut longest = Duration::ZERO;
    let mut tell = |desk: &mut Desk, kind, shard| {
        let told = Instant::now();
        desk.finding(&change(kind, shard), Some("s1-n02"), false);
        longest = longest.max(told.elapsed());
    };
    // It ends while nobody listens, and another one begins and lasts, every second; each third is over at once.
    tell(&mut desk, ChangeKind::Closed, 0);
    let mut lasting = 0;
    for shard in 1.. {
        tell(&mut desk, ChangeKind::Opened, shard);
        if shard % 3 == 0 {
            tell(&mut desk, ChangeKind::Closed, shard);
        } else {
            lasting += 1;
        }
        if begin.elapsed() >= DOWN {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let down = begin.elapsed();
    manager.again();
    let took = manager.wait_active(lasting, Duration::from_secs(30));
    let keys: Vec<Value> = manager
        .active()
        .iter()
        .map(|alert| alert["labels"]["shard"].clone())
        .collect();
    assert!(!keys.contains(&"0".into()), "what ended meanwhile is over");
    for shard in (1..).filter(|shard| shard % 3 != 0).take(lasting) {
        desk.finding(&change(ChangeKind::Closed, shard), None, false);
    }
    let over = manager.wait_active(0, Duration::from_secs(10));
    eprintln!(
        "down for {down:.1?}: {lasting} findings that last arrived {took:.1?} after it was back, all were over {over:.1?} after they ended; the longest wait of the watch was {longest:?}"
    );
    assert!(
        longest < Duration::from_millis(20),
        "the watch waited {longest:?}"
    );
    assert_eq!(
        runtime.block_on(desk.close(Duration::from_secs(5))),
        Vec::<String>::new()
    );
}

fn canarynet(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_canarynet"))
        .args(arguments)
        .arg("--state")
        .arg(folder)
        .env("HIDDEN_ADDRESS", "http://127.0.0.1:9/secret-path")
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), text)
}

fn plan(folder: &Path, alerts: &str) -> PathBuf {
    let path = folder.join("told.toml");
    fs::write(
        &path,
        format!("profile = \"reference\"\nspeedup = 40\n{alerts}"),
    )
    .unwrap();
    path
}

#[test]
fn a_test_alert_travels_the_real_path() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.json");
    let command = format!(
        "[[alert]]\nkind = \"slack\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n",
        kept.display()
    );
    let path = plan(folder.path(), &command);
    let path = path.to_str().unwrap();
    let (code, text) = canarynet(&["alert", "test", path], folder.path());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("arrived at slack"), "{text}");
    let told = fs::read_to_string(&kept).unwrap();
    assert!(
        told.contains("a test of canarynet's alerts") && told.contains("resolved test"),
        "{told}"
    );
    let Some(manager) = Alertmanager::start() else {
        return;
    };
    let to = format!(
        "[[alert]]\nkind = \"alertmanager\"\nto = \"http://127.0.0.1:{}\"\n",
        manager.port
    );
    plan(folder.path(), &to);
    let (code, text) = canarynet(&["alert", "test", path], folder.path());
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_receiver_that_is_not_there_is_named_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = plan(
        folder.path(),
        "[[alert]]\nname = \"chat\"\nkind = \"slack\"\nto_env = \"HIDDEN_ADDRESS\"\n",
    );
    let path = path.to_str().unwrap();
    let (code, text) = canarynet(&["plan", "check", path, "--resolved"], folder.path());
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("HIDDEN_ADDRESS") && !text.contains("secret-path"),
        "{text}"
    );
    let (code, text) = canarynet(&["alert", "test", path], folder.path());
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("alerts to chat: 2 not delivered"), "{text}");
    assert!(!text.contains("secret-path"), "{text}");
}

#[test]
fn receivers_that_cannot_be_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    for (alert, said) in [
        ("kind = \"webhook\"", "give one of"),
        (
            "kind = \"webhook\"\nto = \"https://a.b/c\"",
            "plain HTTP only",
        ),
        (
            "kind = \"webhook\"\nto = \"http://me:secret@a.b/c\"",
            "no credentials",
        ),
        ("kind = \"slack\"\nto = \"http://a.b/c\"", "is a secret"),
        ("kind = \"pagerduty\"\nto = \"http://a.b\"", "routing key"),
        (
            "kind = \"webhook\"\nto = \"http://a.b\"\nfrmo = \"minor\"",
            "frmo",
        ),
    ] {
        let path = plan(folder.path(), &format!("[[alert]]\n{alert}\n"));
        let (code, text) = canarynet(&["plan", "check", path.to_str().unwrap()], folder.path());
        assert_eq!(code, Some(2), "{alert}: {text}");
        assert!(text.contains(said), "{alert}: {text}");
    }
    let path = plan(folder.path(), "drill_to = [\"nobody\"]\n");
    let (code, text) = canarynet(&["plan", "check", path.to_str().unwrap()], folder.path());
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nobody"), "{text}");
}
