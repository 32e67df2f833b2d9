use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::{mpsc::Receiver, watch};

use super::*;
use crate::{
    ids::{RunId, ShardId},
    journal::event::LogClass,
    probe::{
        access::{AccessError, Notice, Session},
        cost::CostBook,
        signals::Signals,
        sink::{ProbeEvent, Sink},
    },
    profile::log_rules::RuleSet,
};

/// What one follow delivers, and whether it stays open then.
type Follow = (Vec<LogChunk>, bool);

/// An engine whose log of the one container is a list of follows, each a list of chunks; `hang` leaves a follow open
/// at its end.
#[derive(Clone)]
struct Engine {
    follows: Arc<Mutex<Vec<Follow>>>,
    asked: Arc<Mutex<Vec<i64>>>,
    count: Arc<AtomicUsize>,
}

impl Access for Engine {
    fn follow_logs(
        &self,
        _: &str,
        since: i64,
    ) -> BoxStream<'static, Result<LogChunk, AccessError>> {
        self.asked.lock().unwrap().push(since);
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut follows = self.follows.lock().unwrap();
        if follows.is_empty() {
            return stream::pending().boxed();
        }
        let (chunks, hang) = follows.remove(0);
        let chunks = stream::iter(chunks.into_iter().map(Ok));
        if hang {
            return chunks.chain(stream::pending()).boxed();
        }
        chunks.boxed()
    }

    fn exec(
        &self,
        _: &str,
        _: &[String],
        _: Option<&str>,
    ) -> BoxFuture<'static, Result<Session, AccessError>> {
        Box::pin(async { Err(AccessError::NotRunning) })
    }

    fn events(&self, _: &RunId, _: i64) -> BoxStream<'static, Result<Notice, AccessError>> {
        stream::pending().boxed()
    }
}

struct Bench {
    engine: Engine,
    signals: Signals,
    pause: watch::Sender<bool>,
    log: NodeLog,
    receiver: Receiver<ProbeEvent>,
    task: tokio::task::JoinHandle<()>,
}

fn node() -> NodeName {
    NodeName::of(ShardId(0), 0)
}

fn start(follows: Vec<Follow>) -> Bench {
    let engine = Engine {
        follows: Arc::new(Mutex::new(follows)),
        asked: Arc::default(),
        count: Arc::default(),
    };
    let (sink, receiver) = Sink::new(100);
    let (pause, paused) = watch::channel(false);
    let signals = Signals::new([node()]);
    let context = Context {
        access: engine.clone(),
        sink: sink.clone(),
        signals: signals.clone(),
        costs: CostBook::default(),
        paused,
    };
    let rules = Arc::new(RuleSet::new(&[]).unwrap());
    let log = NodeLog::new(node(), rules, None, sink);
    let source = LogSource {
        node: node(),
        container: "c".to_owned(),
        since_unix_seconds: 0,
    };
    let task = tokio::spawn(run_logs(context, source, log.clone()));
    Bench {
        engine,
        signals,
        pause,
        log,
        receiver,
        task,
    }
}

fn chunk(second: u64, text: &str) -> LogChunk {
    LogChunk {
        stderr: false,
        time_nanos: Some(second * 1_000_000_000),
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

impl Bench {
    async fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        for _ in 0..2_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came: {what}; {:?}", self.log.counts());
    }
}

#[tokio::test]
async fn a_log_that_ends_is_followed_again_without_doubles() {
    let first = vec![chunk(100, "a\n"), chunk(101, "b"), chunk(101, "b\n")];
    let second = vec![
        chunk(101, "b"),
        chunk(101, "b\n"),
        chunk(101, "c\n"),
        chunk(102, "ERROR input/output error\n"),
    ];
    let mut bench = start(vec![(first, false), (second, true)]);
    bench
        .until("the fourth line", |bench| bench.log.counts().lines == 4)
        .await;
    let counts = bench.log.counts();
    assert_eq!((counts.bytes, counts.lost), (2 + 3 + 2 + 25, 0));
    assert_eq!(*bench.engine.asked.lock().unwrap(), [0, 101]);
    let events: Vec<_> = std::iter::from_fn(|| bench.receiver.try_recv().ok())
        .map(|event| event.event)
        .collect();
    assert!(
        matches!(
            &*events,
            [
                Event::ProbeFailed {
                    probe: ProbeKind::Log,
                    ..
                },
                Event::ProbeAnswered { .. },
                Event::Log {
                    class: LogClass::DiskError,
                    ..
                }
            ]
        ),
        "{events:?}"
    );
    drop(bench.receiver);
    bench.task.await.unwrap();
}

#[tokio::test]
async fn a_gap_is_counted() {
    let bench = start(vec![
        (vec![chunk(100, "a\n")], false),
        (vec![chunk(200, "z\n")], true),
    ]);
    bench
        .until("z", |bench| bench.log.counts().lines == 2)
        .await;
    assert_eq!(bench.log.counts().lost, 1);
}

#[tokio::test]
async fn a_silent_follow_of_a_working_node_is_renewed() {
    let bench = start(vec![
        (vec![chunk(100, "a\n")], true),
        (vec![chunk(101, "b\n")], true),
    ]);
    bench
        .until("a", |bench| bench.log.counts().lines == 1)
        .await;
    let signals = bench.signals.node(&node()).unwrap();
    signals.set_height(Height(7));
    let before = Instant::now();
    bench
        .until("b", |bench| bench.log.counts().lines == 2)
        .await;
    assert!(before.elapsed() >= Duration::from_millis(2_500));
    assert_eq!(bench.engine.count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn pausing_drops_the_follow_and_a_stopped_node_is_waited_for() {
    let bench = start(vec![
        (vec![chunk(100, "a\n")], true),
        (vec![chunk(100, "a\n"), chunk(101, "unfinished")], false),
        (vec![chunk(101, "unfinished"), chunk(102, "b\n")], true),
    ]);
    bench
        .until("a", |bench| bench.log.counts().lines == 1)
        .await;
    bench.pause.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.engine.count.load(Ordering::Relaxed), 1);
    bench.signals.node(&node()).unwrap().set_running(false);
    bench.pause.send(false).unwrap();
    bench
        .until("the rest of the ended process", |bench| {
            bench.log.counts().lines == 2
        })
        .await;
    bench.signals.node(&node()).unwrap().set_running(true);
    bench
        .until("b", |bench| bench.log.counts().lines == 3)
        .await;
}

/// What the engine's log does at a rotation: the follow stands still, the node goes on, and a new follow begins in the
/// second of the last line, with what was seen of that second once more.
#[tokio::test]
async fn a_follow_that_stands_still_at_a_rotation_goes_on_without_doubles() {
    let bench = start(vec![
        (vec![chunk(100, "a\n"), chunk(101, "b\n")], true),
        (
            vec![
                chunk(101, "b\n"),
                chunk(101, "c\n"),
                chunk(102, "d\n"),
                chunk(102, "d\n"),
            ],
            true,
        ),
    ]);
    bench
        .until("b", |bench| bench.log.counts().lines == 2)
        .await;
    bench.signals.node(&node()).unwrap().set_height(Height(7));
    bench
        .until("all of the rest", |bench| bench.log.counts().lines == 5)
        .await;
    let counts = bench.log.counts();
    assert_eq!(
        (counts.bytes, counts.lost),
        (10, 0),
        "a b c d d, and none twice"
    );
    assert_eq!(*bench.engine.asked.lock().unwrap(), [0, 101]);
}
