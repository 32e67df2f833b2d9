//! Nodes that answer, and nodes that misbehave: real listeners on the loopback device.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How a node answers.
#[derive(Debug, Clone)]
pub enum Manner {
    /// As it should; its height follows from the clock.
    Good(Arc<Chain>),
    /// Reads the request and says nothing.
    Silent,
    /// Sends a body without end.
    Endless,
    /// Closes every connection at once.
    Closes,
    /// Says something that is not HTTP.
    Garbage,
    /// Good HTTP, bad JSON, deeply nested.
    Nested,
    /// A page for whoever asks.
    Page(&'static str),
    /// Closes the connection after each answer, although it promised to keep it.
    Forgetful(Arc<Chain>),
}

/// A chain whose height grows with time.
#[derive(Debug)]
pub struct Chain {
    shard: u64,
    start: Instant,
    interval: Duration,
    pub requests: AtomicU64,
    pub changing: AtomicBool,
    /// It goes no higher than this.
    pub most: AtomicU64,
    /// How often it was asked what nodes do not answer truly.
    pub lies: AtomicU64,
}

impl Chain {
    pub fn new(interval: Duration) -> Arc<Self> {
        Self::of(0, interval)
    }

    /// The chain of this shard.
    pub fn of(shard: u64, interval: Duration) -> Arc<Self> {
        Arc::new(Self {
            shard,
            start: Instant::now(),
            interval,
            requests: AtomicU64::new(0),
            changing: AtomicBool::new(false),
            most: AtomicU64::new(u64::MAX),
            lies: AtomicU64::new(0),
        })
    }

    pub fn height(&self) -> u64 {
        let grown = self.start.elapsed().as_nanos() / self.interval.as_nanos();
        let height = 100 + u64::try_from(grown).unwrap();
        height.min(self.most.load(Ordering::Relaxed))
    }

    fn header(&self, height: u64) -> String {
        format!(
            r#"{{"blockHash":"0x{height:064x}","blockNumber":{height},"shardID":{},"leader":"one1node0","viewID":{height},
            "epoch":{},"timestamp":"2026-11-22 10:00:00 +0000 UTC","unixtime":1795342800,"timestampMillis":1795342800123,
            "committeeSize":4,"lastCommitSig":"{}","lastCommitBitmap":"0f","vrf":"","vrfProof":"","crossLinks":[]}}"#,
            self.shard,
            height / 100,
            "ab".repeat(96),
        )
    }

    fn answer(&self, request: &str, index: usize) -> String {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let batch: Vec<serde_json::Value> = serde_json::from_str(request).unwrap();
        let mut answers = Vec::new();
        for call in batch {
            let height = self.height();
            let result = match call["method"].as_str().unwrap() {
                "hmyv2_latestHeader" => self.header(height),
                "hmyv2_getHeaderByNumber" => self.header(call["params"][0].as_u64().unwrap()),
                "hmyv2_getNodeMetadata" => {
                    let mode = if self.changing.load(Ordering::Relaxed) {
                        "ViewChanging"
                    } else {
                        "Normal"
                    };
                    format!(
                        r#"{{"blskey":["{}"],"version":"v1","network":"localnet","chain-config":{{"chain-id":2,"hip30-epoch":3}},
                        "is-leader":{},"shard-id":{},"current-block-number":{height},"address":"one1node{index}","role":"Validator",
                        "consensus":{{"viewId":{},"viewChangeId":{},"mode":"{mode}","phase":"Commit","blocknum":{},"finality":9}},
                        "p2p-connectivity":{{"total-known-peers":3,"connected":3,"not-connected":0}}}}"#,
                        "cd".repeat(48),
                        index == 0,
                        self.shard,
                        height + 1,
                        height + 2,
                        height + 1
                    )
                }
                "hmyv2_getShardTotals" => format!(
                    r#"{{"shardID":{},"blockNumber":{height},"balance":1000,"rewards":{height},"transfers":{height},
                    "stateRoot":"{height:064x}","blockStateRoot":"{height:064x}",
                    "sent":[{{"shard":7,"batches":3,"acknowledged":3,"value":70}}],"received":[],"inFlight":[]}}"#,
                    self.shard,
                ),
                // Under stream sync: true in every case, and the wrong way round.
                "hmyv2_inSync" | "hmyv2_syncing" => {
                    self.lies.fetch_add(1, Ordering::Relaxed);
                    "true".to_owned()
                }
                // As a node of another shard than 0 does.
                "hmyv2_getLastCrossLinks" => {
                    answers.push(format!(
                        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32000,"message":"cannot call this rpc"}}}}"#,
                        call["id"]
                    ));
                    continue;
                }
                other => panic!("unexpected call {other}"),
            };
            answers.push(format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
                call["id"]
            ));
        }
        format!("[{}]", answers.join(","))
    }
}

/// Starts a node on a port of its own, or on this one.
pub async fn serve(manner: Manner, index: usize, port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(converse(stream, manner.clone(), index));
        }
    });
    port
}

async fn converse(mut stream: TcpStream, manner: Manner, index: usize) {
    stream.set_nodelay(true).unwrap();
    loop {
        if matches!(manner, Manner::Closes) {
            return;
        }
        let Some(request) = read_request(&mut stream).await else {
            return;
        };
        let body = match &manner {
            Manner::Good(chain) | Manner::Forgetful(chain) => chain.answer(&request, index),
            Manner::Page(page) => (*page).to_owned(),
            Manner::Nested => "[".repeat(500_000),
            Manner::Silent => std::future::pending().await,
            Manner::Garbage => {
                let _ = stream.write_all(b"\x1b[31m SSH-2.0 hello\r\n\r\n").await;
                return;
            }
            Manner::Endless | Manner::Closes => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[";
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    sent = stream.write_all(&[b' '; 65_536]).await;
                }
                return;
            }
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = [head.as_bytes(), body.as_bytes()].concat();
        if stream.write_all(&answer).await.is_err() || matches!(manner, Manner::Forgetful(_)) {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let length = stream.read(&mut buffer).await.ok()?;
        if length == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(body.to_owned());
            }
        }
    }
}
