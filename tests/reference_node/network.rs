//! Real nodes as processes on the loopback interface.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// What a network is made of. Intervals are fixed: 100 ms blocks, and the other clocks as fast.
pub struct Shape {
    pub shards: usize,
    pub explorers: usize,
    pub load: &'static str,
    pub cross_shard: &'static str,
    pub log_level: &'static str,
    pub retention: u64,
    pub epoch_length: u64,
    pub initial_height: u64,
    pub defects: &'static str,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            shards: 1,
            explorers: 0,
            load: "50 tx/s",
            cross_shard: "10%",
            log_level: "info",
            retention: 2_000,
            epoch_length: 100,
            initial_height: 0,
            defects: "none",
        }
    }
}

const VALIDATORS: usize = 4;

struct Node {
    ports: [SocketAddr; 3],
    directory: PathBuf,
    process: Option<Child>,
}

/// Nodes are counted shard by shard: with four validators and no explorer, node 5 is s1-n01.
pub struct Network {
    shape: Shape,
    nodes: Vec<Node>,
    directory: tempfile::TempDir,
    /// Held until the nodes are gone: networks of several tests at a time would measure each other.
    _turn: File,
}

impl Network {
    pub fn new(shape: Shape) -> Self {
        let turn =
            File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-network-at-a-time"))
                .unwrap();
        turn.lock().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let count = shape.shards * (VALIDATORS + shape.explorers);
        // All ports are held at once, so that none is given twice, and let go just before the nodes start.
        let held: Vec<TcpListener> = (0..3 * count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |number: usize| held[number].local_addr().unwrap();
        let nodes = (0..count)
            .map(|node| Node {
                ports: [port(3 * node), port(3 * node + 1), port(3 * node + 2)],
                directory: directory.path().join(format!("node-{node}")),
                process: None,
            })
            .collect();
        Self {
            shape,
            nodes,
            directory,
            _turn: turn,
        }
    }

    pub fn nodes(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.nodes.len()
    }

    fn per_shard(&self) -> usize {
        VALIDATORS + self.shape.explorers
    }

    /// Where the peers reach a node.
    pub fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].ports[0]
    }

    fn data(&self, node: usize) -> PathBuf {
        self.nodes[node].directory.join("data")
    }

    pub fn command(&self, node: usize) -> Command {
        let per_shard = self.per_shard();
        let name = |node: usize| format!("s{}-n{:02}", node / per_shard, node % per_shard);
        let peers: Vec<String> = self
            .nodes()
            .map(|node| format!("{}={}", name(node), self.nodes[node].ports[0]))
            .collect();
        let [listen, rpc, metrics] = self.nodes[node].ports.map(|address| address.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_canarynet"));
        command
            .arg("reference-node")
            .args([
                "--block-interval",
                "100ms",
                "--view-change-timeout",
                "338ms",
                "--view-change-max",
                "1350ms",
            ])
            .args(["--shards", &self.shape.shards.to_string()])
            .args(["--explorers", &self.shape.explorers.to_string()])
            .args([
                "--shard",
                &(node / per_shard).to_string(),
                "--index",
                &(node % per_shard).to_string(),
            ])
            .args(["--peers", &peers.join(","), "--load", self.shape.load])
            .args([
                "--cross-shard",
                self.shape.cross_shard,
                "--log-level",
                self.shape.log_level,
            ])
            .args(["--retention", &self.shape.retention.to_string()])
            .args(["--epoch-length", &self.shape.epoch_length.to_string()])
            .args(["--defects", self.shape.defects])
            .args(["--initial-height", &self.shape.initial_height.to_string()])
            .args(["--listen", &listen, "--rpc", &rpc, "--metrics", &metrics])
            .arg("--data")
            .arg(self.data(node))
            .stdin(Stdio::null());
        command
    }

    pub fn start_all(&mut self) {
        for node in self.nodes() {
            self.start(node);
        }
    }

    pub fn start(&mut self, node: usize) {
        std::fs::create_dir_all(&self.nodes[node].directory).unwrap();
        let stdout = File::options()
            .create(true)
            .append(true)
            .open(self.stdout(node))
            .unwrap();
        self.start_with(node, stdout.into());
    }

    pub fn start_with(&mut self, node: usize, stdout: Stdio) {
        let child = self.command(node).stdout(stdout).spawn().unwrap();
        self.nodes[node].process = Some(child);
    }

    pub fn take_stdout(&mut self, node: usize) -> ChildStdout {
        self.nodes[node]
            .process
            .as_mut()
            .and_then(|process| process.stdout.take())
            .unwrap()
    }

    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks all nodes to end, and waits until they have, with success.
    pub fn stop_all(&mut self) {
        for node in self.nodes() {
            self.signal(node, Signal::TERM);
        }
        for node in &mut self.nodes {
            let mut process = node.process.take().unwrap();
            let started = Instant::now();
            let status = loop {
                if let Some(status) = process.try_wait().unwrap() {
                    break status;
                }
                if started.elapsed() > Duration::from_secs(10) {
                    process.kill().unwrap();
                    panic!("a node that is told to end ends");
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            assert!(status.success(), "{status}");
        }
    }

    pub fn freeze(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    pub fn thaw(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let process = self.nodes[node].process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    pub fn is_running(&mut self, node: usize) -> bool {
        self.nodes[node]
            .process
            .as_mut()
            .is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    pub fn height(&self, node: usize) -> Option<u64> {
        self.rpc(node, "hmyv2_blockNumber", json!([]))?.as_u64()
    }

    /// The result, or nothing when the node does not answer or answers with an error.
    pub fn rpc(&self, node: usize, method: &str, parameters: Value) -> Option<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let body = http(
            self.nodes[node].ports[1],
            "POST / HTTP/1.1",
            &request.to_string(),
        )?;
        let answer: Value = serde_json::from_str(&body).expect("an answer is JSON");
        answer.get("result").cloned()
    }

    pub fn metric(&self, node: usize, name: &str) -> Option<f64> {
        let page = http(self.nodes[node].ports[2], "GET /metrics HTTP/1.1", "")?;
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    fn stdout(&self, node: usize) -> PathBuf {
        self.nodes[node].directory.join("stdout")
    }

    pub fn stdout_lines(&self, node: usize) -> Vec<Value> {
        lines(&self.stdout(node))
    }

    pub fn log_lines(&self, node: usize) -> Vec<Value> {
        lines(&self.data(node).join("log/zerolog-reference.log"))
    }

    /// Puts the node's data on a file system of 6 MiB. None, and loud, where the user may not mount.
    pub fn small_disk(&self, node: usize) -> Option<SmallDisk> {
        let path = self.data(node);
        std::fs::create_dir_all(&path).unwrap();
        match mount(
            "tmpfs",
            &path,
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=6m"),
        ) {
            Ok(()) => Some(SmallDisk(path)),
            Err(error) => {
                eprintln!(
                    "SKIPPED: a full disk was NOT tested, mounting a small tmpfs needs root: {error}"
                );
                None
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in self.nodes() {
            self.kill(node);
        }
        if std::thread::panicking() {
            for node in self.nodes() {
                let lines = self.stdout_lines(node);
                let last: Vec<String> = lines
                    .iter()
                    .rev()
                    .take(12)
                    .rev()
                    .map(ToString::to_string)
                    .collect();
                eprintln!(
                    "last lines of node {node} in {}:\n{}",
                    self.directory.path().display(),
                    last.join("\n")
                );
            }
        }
    }
}

/// A file system of its own; gone, whatever uses it, when this goes.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn fill(&self) {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.0.join("ballast"))
            .unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Whole lines of a log; each must be JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn http(address: SocketAddr, request: &str, body: &str) -> Option<String> {
    let deadline = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, deadline).ok()?;
    stream.set_read_timeout(Some(deadline)).ok()?;
    let length = body.len();
    let head = format!(
        "{request}\r\nHost: node\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// Signers in a bitmap.
pub fn bits(bitmap: &Value) -> u32 {
    hex::decode(bitmap.as_str().unwrap())
        .unwrap()
        .iter()
        .map(|byte| byte.count_ones())
        .sum()
}

/// Waits for a condition, with a deadline.
pub fn wait(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < within, "no {what} within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
