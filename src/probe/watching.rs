//! The canary's side of the watcher: starts it, takes what it tells, starts it again when it ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Context,
    access::{Access, Session},
    cost::ProcessCost,
    logs::splitter::Splitter,
    spool::{Came, Moment, fold::Fold},
    watcher::protocol::{
        KnownBlock, MAX_LINE, WatcherCommand, WatcherConfig, WatcherMessage, read_message,
    },
};
use crate::{
    ids::ShardId,
    journal::{event::Event, text},
    time::{RunClock, WallTime},
};

/// A watcher speaks every second; one silent for this long sees nothing any more.
const SILENT: Duration = Duration::from_secs(5);
/// Wait before a watcher that ended is started again, doubling.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// The watcher reads its input at once, or is gone.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How the watcher is started.
#[derive(Debug, Clone)]
pub struct WatcherLaunch {
    /// Its container.
    pub container: String,
    /// The program in it with the verb `watcher`.
    pub command: Vec<String>,
    /// `uid:gid`, or the container's own.
    pub user: Option<String>,
    /// What it shall watch.
    pub config: WatcherConfig,
    /// Since when the run has had no owner, where it is taken over: what a watcher has kept since then is wanted.
    pub unattended_since: Option<WallTime>,
}

/// Runs the watcher and passes on what it tells, until nobody listens.
pub async fn run_watcher<A: Access>(context: Context<A>, launch: WatcherLaunch) {
    let known = launch.config.known.iter();
    let known = known.map(|block| (block.shard, block.clone())).collect();
    let mut watching = Watching {
        context,
        launch,
        known,
        spooled: None,
        seeing: None,
        dropped: 0,
        errors: Vec::new(),
    };
    let mut retry = RETRY;
    while !watching.context.sink.is_closed() {
        let begun = Instant::now();
        let reason = watching.watch().await;
        if watching.context.sink.is_closed() {
            return;
        }
        watching.lose_sight(&reason);
        if begun.elapsed() > RETRY_MOST * 2 {
            retry = RETRY;
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(RETRY_MOST);
    }
}

struct Watching<A> {
    context: Context<A>,
    launch: WatcherLaunch,
    /// The newest block of each shard: a watcher that is started again goes on from there.
    known: BTreeMap<ShardId, KnownBlock>,
    /// What a watcher without an owner has seen, as far as it has been told.
    spooled: Option<Fold>,
    seeing: Option<bool>,
    /// Messages that this watcher has dropped so far.
    dropped: u64,
    /// The end of what the watcher wrote to standard error.
    errors: Vec<u8>,
}

impl<A: Access> Watching<A> {
    /// One life of a watcher; returns why it ended.
    async fn watch(&mut self) -> String {
        self.dropped = 0;
        self.errors.clear();
        self.launch.config.known = self.known.values().cloned().collect();
        self.launch.config.unattended = self.launch.unattended_since.is_some();
        // What was told by half is told once more.
        self.spooled = None;
        let launch = &self.launch;
        let access = &self.context.access;
        let user = launch.user.as_deref();
        let session = access.exec(&launch.container, &launch.command, user).await;
        let mut session = match session {
            Ok(session) => session,
            Err(error) => return format!("the watcher cannot be started: {}", error.chain()),
        };
        let mut paused = self.context.paused.clone();
        let is_paused = *paused.borrow_and_update();
        let Ok(mut config) = serde_json::to_vec(&self.launch.config) else {
            return "the watcher's configuration cannot be written".to_owned();
        };
        config.push(b'\n');
        if is_paused {
            config.extend(command(true));
        }
        if !write(&mut session, &config).await {
            return self.explain("the watcher does not read its configuration");
        }
        let mut lines = Splitter::with_limit(MAX_LINE);
        let mut last = Instant::now();
        loop {
            let left = SILENT.saturating_sub(last.elapsed());
            tokio::select! {
                output = timeout(left, session.output.next()) => match output {
                    Err(_) => return self.explain("the watcher is silent"),
                    Ok(None) => return self.explain("the watcher ended"),
                    Ok(Some(Err(error))) => {
                        return self.explain(&format!("the watcher is lost: {}", error.chain()));
                    }
                    Ok(Some(Ok((true, bytes)))) => self.note_error(&bytes),
                    Ok(Some(Ok((false, bytes)))) => {
                        lines.push(&bytes, |line, _| {
                            if let Some(message) = read_message(line) {
                                last = Instant::now();
                                self.take(message);
                            }
                        });
                    }
                },
                Ok(()) = paused.changed() => {
                    let pause = *paused.borrow_and_update();
                    if !write(&mut session, &command(pause)).await {
                        return self.explain("the watcher does not read its input");
                    }
                }
            }
            if self.context.sink.is_closed() {
                return String::new();
            }
        }
    }

    fn take(&mut self, message: WatcherMessage) {
        let message = match message {
            WatcherMessage::Spooled { at, told } => {
                // Only where it was asked for: it must not fill the memory.
                if self.launch.unattended_since.is_some() {
                    let fold = self.spooled.get_or_insert_with(|| {
                        let shards = self.launch.config.nodes.iter().map(|node| node.shard);
                        let told = |shard| self.known.get(&shard).map(|block| block.height);
                        Fold::new(shards.map(|shard| (shard, told(shard))))
                    });
                    fold.take(at, told);
                }
                return;
            }
            WatcherMessage::SpoolEnd { came, now } => return self.take_spool(&came, now),
            message => message,
        };
        if self.seeing != Some(true) {
            self.seeing = Some(true);
            self.context.sink.offer(Event::Sight {
                seeing: true,
                detail: "the watcher reports".to_owned(),
            });
        }
        match message {
            WatcherMessage::Cost {
                cpu,
                memory,
                dropped,
            } => {
                self.context.costs.watcher(ProcessCost { cpu, memory });
                let more = dropped.saturating_sub(self.dropped);
                self.context.sink.count_dropped(more);
                self.dropped = dropped;
            }
            WatcherMessage::Event(event) => {
                self.note(&event);
                self.context.sink.offer(event);
            }
            WatcherMessage::Spooled { .. } | WatcherMessage::SpoolEnd { .. } => {}
        }
    }

    /// All that was kept while there was no owner has come.
    fn take_spool(&mut self, came: &Came, now: Moment) {
        let (Some(fold), Some(since)) = (self.spooled.take(), self.launch.unattended_since.take())
        else {
            return;
        };
        let away = Duration::from_millis(RunClock::wall().0.saturating_sub(since.0));
        for event in fold.finish(came, now, away) {
            self.note(&event);
            self.context.sink.offer(event);
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Block {
                shard,
                height,
                hash,
                ..
            } => {
                let newest = self
                    .known
                    .get(shard)
                    .is_none_or(|known| known.height < *height);
                // Only shards of this run: a watcher that lies must not fill the memory.
                let ours = self
                    .launch
                    .config
                    .nodes
                    .iter()
                    .any(|node| node.shard == *shard);
                if newest && ours {
                    let block = KnownBlock {
                        shard: *shard,
                        height: *height,
                        hash: hash.clone(),
                    };
                    self.known.insert(*shard, block);
                }
            }
            Event::Unattended(told) => {
                if let Some(newest) = &told.newest {
                    let block = KnownBlock {
                        shard: told.shard,
                        height: newest.height,
                        hash: newest.hash.clone(),
                    };
                    self.known.insert(told.shard, block);
                }
            }
            Event::Heads { nodes, .. } => {
                for head in nodes {
                    if let Some(signals) = self.context.signals.node(&head.node) {
                        signals.set_height(head.height);
                    }
                }
            }
            _ => {}
        }
    }

    fn lose_sight(&mut self, reason: &str) {
        if self.seeing != Some(false) {
            self.seeing = Some(false);
            self.context.sink.offer(Event::Sight {
                seeing: false,
                detail: reason.to_owned(),
            });
        }
    }

    fn note_error(&mut self, bytes: &[u8]) {
        const KEPT: usize = 400;
        self.errors
            .extend_from_slice(&bytes[..bytes.len().min(KEPT)]);
        let excess = self.errors.len().saturating_sub(KEPT);
        self.errors.drain(..excess);
    }

    fn explain(&self, what: &str) -> String {
        let said = text::clean_bytes(self.errors.trim_ascii(), 400);
        if said.is_empty() {
            return what.to_owned();
        }
        format!("{what}: {said}")
    }
}

fn command(pause: bool) -> Vec<u8> {
    let command = if pause {
        WatcherCommand::Pause {}
    } else {
        WatcherCommand::Resume {}
    };
    let mut line = serde_json::to_vec(&command).unwrap_or_default();
    line.push(b'\n');
    line
}

async fn write(session: &mut Session, bytes: &[u8]) -> bool {
    let write = async {
        session.input.write_all(bytes).await?;
        session.input.flush().await
    };
    matches!(timeout(WRITE_DEADLINE, write).await, Ok(Ok(())))
}
