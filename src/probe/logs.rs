//! Following a node's standard output and error through the engine's own log, never by attaching.
//!
//! The engine keeps the log in a driver of bounded size, so a reader that stands still loses lines and stops no node.
//! Followers have been seen to fall silent for good when the engine rotates that log: while the node's height moves
//! and no line comes for three seconds, the log is followed anew; what comes again is left out, what is missing counted.

pub mod forms;
pub mod node_log;
pub mod raw;
pub mod splitter;

mod bucket;
mod overdue;
mod overlap;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::time::MissedTickBehavior;

use super::{
    Context,
    access::{Access, LogChunk},
    signals::NodeSignals,
};
use crate::{
    ids::{Height, NodeName},
    journal::event::{Event, ProbeError, ProbeKind},
};
use node_log::NodeLog;
use overlap::{Overlap, Seen};
use splitter::Splitter;

/// A node that makes blocks without a word for this long is asked again.
const SILENT: Duration = Duration::from_secs(3);
/// Longest wait before a node that is silent by nature is asked again.
const SILENT_MOST: Duration = Duration::from_secs(60);
/// Wait before a log that ended is followed again, doubling up to ten seconds.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(10);
/// A stopped container is looked at this often, should the event of its start have been missed.
const LOOK: Duration = Duration::from_secs(5);

/// Whose log is followed.
#[derive(Debug, Clone)]
pub struct LogSource {
    /// The node.
    pub node: NodeName,
    /// Its container.
    pub container: String,
    /// Second since 1970 to begin at; 0 is the container's first line.
    pub since_unix_seconds: i64,
}

/// Follows a node's log until nobody listens.
pub async fn run_logs<A: Access>(context: Context<A>, source: LogSource, log: NodeLog) {
    let Some(signals) = context.signals.node(&source.node).map(Arc::clone) else {
        return;
    };
    let mut follower = Follower {
        context,
        source,
        log,
        signals,
        overlap: Overlap::default(),
        container: 0,
        streams: <[Splitter; 2]>::default(),
        failing_since: None,
        failures: 0,
        silent_limit: SILENT,
        quiet: Quiet::now(Height(0)),
    };
    follower.run().await;
    follower.log.finish();
}

struct Follower<A> {
    context: Context<A>,
    source: LogSource,
    log: NodeLog,
    signals: Arc<NodeSignals>,
    overlap: Overlap,
    /// Which of the node's containers the log is of.
    container: u64,
    /// Standard output and error: a line of one may be broken by a line of the other.
    streams: [Splitter; 2],
    failing_since: Option<Instant>,
    failures: u64,
    silent_limit: Duration,
    quiet: Quiet,
}

/// When the last line came, and where the node was then.
struct Quiet {
    since: Instant,
    height: Height,
}

impl Quiet {
    fn now(height: Height) -> Self {
        let since = Instant::now();
        Self { since, height }
    }
}

/// Why a follow came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The engine ended it, or failed.
    Stream,
    /// No line came although the node works.
    Silent,
    /// Watching is switched off.
    Paused,
    /// Nobody listens any more.
    Closed,
}

impl<A: Access> Follower<A> {
    async fn run(&mut self) {
        let mut retry = RETRY;
        loop {
            let mut paused = self.context.paused.clone();
            if paused.wait_for(|paused| !paused).await.is_err() || self.context.sink.is_closed() {
                return;
            }
            let lines = self.log.counts().lines;
            let end = self.follow().await;
            if self.log.counts().lines > lines {
                retry = RETRY;
            }
            match end {
                End::Closed => return,
                End::Paused => {}
                End::Silent => {
                    self.silent_limit = (self.silent_limit * 2).min(SILENT_MOST);
                }
                End::Stream if self.signals.running() => {
                    self.failed();
                    self.log.tick();
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MOST);
                }
                End::Stream => {
                    // The process has ended, so no line will be completed.
                    let log = &self.log;
                    for stream in &mut self.streams {
                        stream.finish(|line, cut| log.partial(line, cut));
                    }
                    self.log.tick();
                    self.signals.wait(LOOK).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> End {
        let newest = i64::try_from(self.overlap.newest() / 1_000_000_000).unwrap_or_default();
        let since = newest.max(self.source.since_unix_seconds);
        let container = self.signals.removed();
        if container == self.container {
            self.overlap.resume();
        } else {
            // A new container's log has no past.
            (self.container, self.overlap) = (container, Overlap::default());
        }
        self.quiet = Quiet::now(self.signals.height());
        let access = self.context.access.clone();
        let mut chunks = access.follow_logs(&self.source.container, since);
        let mut paused = self.context.paused.clone();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                chunk = chunks.next() => match chunk {
                    Some(Ok(chunk)) => self.take(&chunk),
                    Some(Err(_)) | None => return End::Stream,
                },
                _ = ticks.tick() => {
                    self.log.tick();
                    if self.context.sink.is_closed() {
                        return End::Closed;
                    }
                    if self.is_silent() {
                        return End::Silent;
                    }
                }
                // A sender that is gone is seen at the next tick, by the sink.
                Ok(_) = paused.wait_for(|paused| *paused) => return End::Paused,
            }
        }
    }

    fn take(&mut self, chunk: &LogChunk) {
        if let Some(time) = chunk.time_nanos {
            match self.overlap.check(time, &chunk.bytes) {
                Seen::Again => return,
                // How many are missing nobody can tell; that some are must not be hidden.
                Seen::AfterGap => self.log.lost(1),
                Seen::New => {}
            }
        }
        self.quiet = Quiet::now(self.signals.height());
        self.silent_limit = SILENT;
        self.answered();
        let log = &self.log;
        self.streams[usize::from(chunk.stderr)].push(&chunk.bytes, |line, cut| log.line(line, cut));
    }

    fn is_silent(&self) -> bool {
        self.signals.running()
            && self.signals.height() != self.quiet.height
            && self.quiet.since.elapsed() >= self.silent_limit
    }

    fn failed(&mut self) {
        self.failures += 1;
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            self.context.sink.offer(Event::ProbeFailed {
                node: self.source.node.clone(),
                probe: ProbeKind::Log,
                error: ProbeError::Ended,
                failures: self.failures,
            });
        }
    }

    fn answered(&mut self) {
        if let Some(since) = self.failing_since.take() {
            self.failures = 0;
            self.context.sink.offer(Event::ProbeAnswered {
                node: self.source.node.clone(),
                probe: ProbeKind::Log,
                silent_for: since.elapsed(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
