//! A way to "containers" that are this machine.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use canarynet::{
    ids::{NodeName, RunId},
    journal::event::Event,
    probe::{
        Context,
        access::{Access, AccessError, LogChunk, Notice, Session},
        cost::CostBook,
        signals::Signals,
        sink::{ProbeEvent, Sink},
    },
};
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc::Receiver, watch},
};
use tokio_util::io::ReaderStream;

/// Starts commands as child processes; remembers their ids.
#[derive(Debug, Clone, Default)]
pub struct Local {
    pub started: Arc<Mutex<Vec<u32>>>,
}

/// Ends the child when the session's output is dropped, as the engine ends nothing: the child must end by itself, so
/// the test's end only cleans up.
struct Reaped(Option<Child>);

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            tokio::spawn(async move {
                let ended = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
                if ended.is_err() {
                    let _ = child.kill().await;
                }
            });
        }
    }
}

impl Access for Local {
    fn follow_logs(&self, _: &str, _: i64) -> BoxStream<'static, Result<LogChunk, AccessError>> {
        stream::pending().boxed()
    }

    fn exec(
        &self,
        _: &str,
        command: &[String],
        _: Option<&str>,
    ) -> BoxFuture<'static, Result<Session, AccessError>> {
        let (command, started) = (command.to_vec(), Arc::clone(&self.started));
        Box::pin(async move {
            let mut child = Command::new(&command[0])
                .args(&command[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| AccessError::Engine(Box::new(error)))?;
            started.lock().unwrap().extend(child.id());
            let input = child.stdin.take().unwrap();
            let output =
                ReaderStream::new(child.stdout.take().unwrap()).map(|bytes| (false, bytes));
            let errors = ReaderStream::new(child.stderr.take().unwrap()).map(|bytes| (true, bytes));
            let reaped = Reaped(Some(child));
            let output = stream::select(output, errors).map(move |(stderr, bytes)| {
                let _held = &reaped;
                bytes
                    .map(|bytes| (stderr, bytes))
                    .map_err(|error| AccessError::Engine(Box::new(error)))
            });
            Ok(Session {
                input: Box::pin(input),
                output: output.boxed(),
            })
        })
    }

    fn events(&self, _: &RunId, _: i64) -> BoxStream<'static, Result<Notice, AccessError>> {
        stream::pending().boxed()
    }
}

/// What a run would hold.
pub struct Bench {
    pub context: Context<Local>,
    pub pause: watch::Sender<bool>,
    pub receiver: Receiver<ProbeEvent>,
    pub seen: Vec<Event>,
}

impl Bench {
    pub fn new(nodes: impl IntoIterator<Item = NodeName>) -> Self {
        let (sink, receiver) = Sink::new(10_000);
        let (pause, paused) = watch::channel(false);
        let context = Context {
            access: Local::default(),
            sink,
            signals: Signals::new(nodes),
            costs: CostBook::default(),
            paused,
        };
        Self {
            context,
            pause,
            receiver,
            seen: Vec::new(),
        }
    }

    /// Takes events until one of them, or all so far together, satisfy.
    pub async fn until(&mut self, what: &str, mut condition: impl FnMut(&[Event]) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !condition(&self.seen) {
            match tokio::time::timeout_at(deadline, self.receiver.recv()).await {
                Ok(Some(event)) => self.seen.push(event.event),
                _ => panic!("never came: {what}; seen: {:#?}", self.seen),
            }
        }
    }

    /// What has come so far.
    pub fn drain(&mut self) -> Vec<Event> {
        while let Ok(event) = self.receiver.try_recv() {
            self.seen.push(event.event);
        }
        std::mem::take(&mut self.seen)
    }

    pub fn last_started(&self) -> u32 {
        *self.context.access.started.lock().unwrap().last().unwrap()
    }
}

pub fn program() -> String {
    env!("CARGO_BIN_EXE_canarynet").to_owned()
}

/// A figure of `/proc/PID/status` in KiB.
pub fn status(process: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
