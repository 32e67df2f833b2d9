//! Following what makes load: its figures go into the journal, and its end is the canary's own failure.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::{
    engine::{Docker, load::LoadTold},
    ids::NodeName,
    journal::{
        event::{Event, Figures},
        text,
    },
    probe::{Context, access::Access, logs::splitter::Splitter, sink::Sink},
};

/// Another failure of the same kind is told this often.
const REPEAT: u32 = 30;
/// Longest line.
const MAX_LINE: usize = 64 << 10;
/// A log that ended while the container runs is followed anew after this long.
const RETRY: Duration = Duration::from_millis(500);

/// A generator of load.
#[derive(Debug, Clone)]
pub(super) struct LoadSource {
    /// The node whose place its figures have: the first one of its shard.
    pub(super) node: NodeName,
    /// Its container.
    pub(super) container: String,
}

/// Follows it until nobody listens or it has ended.
pub(super) async fn run_load(context: Context<Docker>, source: LoadSource) {
    let Context { access, sink, .. } = context;
    let mut follower = Follower {
        sink,
        node: source.node,
        failed: 0,
        quiet: 0,
        words: String::new(),
    };
    let mut since = 0;
    while !follower.sink.is_closed() {
        let mut chunks = Access::follow_logs(&access, &source.container, since);
        let mut lines = Splitter::with_limit(MAX_LINE);
        while let Some(Ok(chunk)) = chunks.next().await {
            if let Some(nanos) = chunk.time_nanos {
                since = i64::try_from(nanos / 1_000_000_000).unwrap_or(since);
            }
            if chunk.stderr {
                follower.words = text::clean_bytes(chunk.bytes.trim_ascii(), 300);
                continue;
            }
            lines.push(&chunk.bytes, |line, _| follower.line(line));
            if follower.sink.is_closed() {
                return;
            }
        }
        // Where the engine cannot be asked, its own troubles are told elsewhere.
        let facts = access.inspect(&source.container).await;
        if facts.is_ok_and(|facts| !facts.running) {
            if !follower.sink.is_closed() {
                let words = &follower.words;
                follower.sink.offer(Event::Infra {
                    what: "load".to_owned(),
                    detail: format!("what makes load has ended: {words}"),
                    fatal: true,
                });
            }
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

struct Follower {
    sink: Sink,
    node: NodeName,
    /// Failures told so far.
    failed: u64,
    /// Lines until the next failure is told.
    quiet: u32,
    /// Its last words on standard error.
    words: String,
}

impl Follower {
    fn line(&mut self, line: &[u8]) {
        let Ok(told) = serde_json::from_slice::<LoadTold>(line) else {
            return;
        };
        self.quiet = self.quiet.saturating_sub(1);
        if told.failed > self.failed && self.quiet == 0 {
            let error = text::clean(told.error.as_deref().unwrap_or("without a word"), 300);
            let more = told.failed - self.failed;
            self.sink.offer(Event::Infra {
                what: "load".to_owned(),
                detail: format!("{more} commands of load failed, the last one with: {error}"),
                fatal: false,
            });
            (self.failed, self.quiet) = (told.failed, REPEAT);
        }
        self.sink.offer(Event::Figures(Box::new(Figures {
            node: Some(self.node.clone()),
            made: Some(told.made),
            // The chain took neither those that were not begun for waiting nor those that failed.
            held_back: Some(told.held_back),
            missed: Some(told.missed),
            included: Some(told.included),
            inclusion: told.took.into_iter().collect(),
            ..Figures::default()
        })));
    }
}
