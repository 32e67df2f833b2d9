//! The canary's side of a sampler: starts it, takes its samples and lines, starts it again when it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Context,
    access::{Access, AccessError, Session},
    logs::{node_log::NodeLog, splitter::Splitter},
    probe_state::ProbeState,
    sampler::wire::{self, Line},
};
use crate::{
    ids::NodeName,
    journal::event::{Event, ProbeError, ProbeKind, Sample},
    time::Elapsed,
};

/// A followed line with its frame: the sampler cuts at 64 KiB itself.
const MAX_LINE: usize = 66 << 10;
/// Wait before a sampler that ended is started again, doubling.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(10);
/// A stopped container is looked at this often, should the event of its start have been missed.
const LOOK: Duration = Duration::from_secs(5);
/// Samples missed before that is told, and at least this long.
const SILENT_SAMPLES: u32 = 5;
const SILENT: Duration = Duration::from_secs(5);
/// A sampler silent for so many times that long is replaced; each one after it is given twice as long, because what
/// hangs on a disk that hangs cannot be ended and counts against the node's processes.
const REPLACE: u32 = 6;
const REPLACE_MOST: u32 = 360;
/// A sampler's own complaints that go on are passed on this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// Bytes of an average line, to count what was skipped in lines.
const AVERAGE_LINE: u64 = 200;

/// How a sampler is started.
#[derive(Debug, Clone)]
pub struct SamplerLaunch {
    /// The node.
    pub node: NodeName,
    /// Its container.
    pub container: String,
    /// The program in the toolbox with the verb `sampler`.
    pub command: Vec<String>,
    /// `uid:gid` of the node's process.
    pub user: Option<String>,
    /// The data disk.
    pub path: String,
    /// How often it looks.
    pub interval: Duration,
    /// Log files to follow, at most [`wire::MAX_FILES`].
    pub follow: Vec<String>,
}

impl SamplerLaunch {
    fn words(&self) -> Vec<String> {
        let mut words = self.command.clone();
        let interval = humantime::format_duration(self.interval).to_string();
        // humantime writes `1s 500ms`, which reads back the same.
        for word in ["--path", &self.path, "--pid", "1", "--interval", &interval] {
            words.push(word.to_owned());
        }
        for file in self.follow.iter().take(wire::MAX_FILES) {
            words.extend(["--follow".to_owned(), file.clone()]);
        }
        words
    }
}

/// Runs the sampler of one node and passes on what it tells, until nobody listens. Followed lines go to `log`.
pub async fn run_sampler<A: Access>(context: Context<A>, launch: SamplerLaunch, log: NodeLog) {
    let Some(signals) = context.signals.node(&launch.node).map(Arc::clone) else {
        return;
    };
    let mut sampling = Sampling {
        state: ProbeState::new(launch.node.clone(), ProbeKind::Sampler),
        context,
        launch,
        log,
        origin: Instant::now(),
        started: 0,
        incarnation: 0,
        patience: REPLACE,
        sampled: None,
        complained: None,
    };
    let mut retry = RETRY;
    loop {
        let mut paused = sampling.context.paused.clone();
        if paused.wait_for(|paused| !paused).await.is_err() || sampling.context.sink.is_closed() {
            return;
        }
        let begun = Instant::now();
        let error = sampling.sample().await;
        if sampling.context.sink.is_closed() {
            return;
        }
        sampling.failed(error);
        if begun.elapsed() > RETRY_MOST {
            retry = RETRY;
        }
        if signals.running() {
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MOST);
        } else {
            signals.wait(LOOK).await;
            retry = RETRY;
        }
    }
}

struct Sampling<A> {
    context: Context<A>,
    launch: SamplerLaunch,
    log: NodeLog,
    state: ProbeState,
    origin: Instant,
    /// Start time of the node's process as last told.
    started: u64,
    incarnation: u64,
    /// Silences after which this sampler is replaced.
    patience: u32,
    sampled: Option<Instant>,
    complained: Option<Instant>,
}

impl<A: Access> Sampling<A> {
    /// One life of a sampler; returns how it ended.
    async fn sample(&mut self) -> ProbeError {
        let launch = &self.launch;
        let user = launch.user.as_deref();
        let access = &self.context.access;
        let session = access.exec(&launch.container, &launch.words(), user).await;
        let mut session = match session {
            Ok(session) => session,
            Err(AccessError::NotRunning) => return ProbeError::Ended,
            Err(error) => {
                self.complain(&error.chain());
                return ProbeError::Unreachable;
            }
        };
        let mut paused = self.context.paused.clone();
        let mut lines = Splitter::with_limit(MAX_LINE);
        let silent = SILENT.max(self.launch.interval * SILENT_SAMPLES);
        let mut missed = 0;
        loop {
            tokio::select! {
                output = timeout(silent, session.output.next()) => match output {
                    Err(_) if *paused.borrow() => {}
                    Err(_) => {
                        missed += 1;
                        if missed == self.patience {
                            self.patience = (self.patience * 2).min(REPLACE_MOST);
                            return ProbeError::Deadline;
                        }
                        self.failed(ProbeError::Deadline);
                    }
                    Ok(None | Some(Err(_))) => return ProbeError::Ended,
                    Ok(Some(Ok((true, bytes)))) => {
                        let said = crate::journal::text::clean_bytes(bytes.trim_ascii(), 200);
                        self.complain(&said);
                    }
                    Ok(Some(Ok((false, bytes)))) => {
                        missed = 0;
                        lines.push(&bytes, |line, cut| self.take(line, cut));
                    }
                },
                Ok(()) = paused.changed() => {
                    let order = if *paused.borrow_and_update() { b"p" } else { b"r" };
                    if !write(&mut session, order).await {
                        return ProbeError::Ended;
                    }
                }
            }
            if self.context.sink.is_closed() {
                return ProbeError::Ended;
            }
        }
    }

    fn take(&mut self, line: &[u8], cut: u64) {
        match wire::read(line) {
            Some(Line::Sample { sample, started }) => self.take_sample(sample, started),
            Some(Line::Log {
                cut: was_cut, line, ..
            }) => self.log.line(line, cut.max(u64::from(was_cut))),
            Some(Line::Skipped { bytes, .. }) => {
                self.log.lost((bytes / AVERAGE_LINE).max(1));
            }
            Some(Line::Complaint(said)) => self.complain(&said),
            None => self.failed(ProbeError::BadAnswer("no line of a sampler".to_owned())),
        }
    }

    fn take_sample(&mut self, mut sample: Sample, started: u64) {
        // The sampler is within the node's reach: more than it should send is not its own.
        let early = self
            .sampled
            .is_some_and(|at| at.elapsed() < self.launch.interval / 4);
        if early {
            return;
        }
        self.sampled = Some(Instant::now());
        self.patience = REPLACE;
        let answered = self.state.answered(self.now());
        answered.map(|event| self.context.sink.offer(event));
        if started != 0 && started != self.started {
            self.incarnation += u64::from(self.started != 0);
            self.started = started;
        }
        sample.node = Some(self.launch.node.clone());
        sample.incarnation = self.incarnation;
        self.context.costs.sampler(&self.launch.node, &sample);
        self.context.sink.offer(Event::Sample(sample));
    }

    fn failed(&mut self, error: ProbeError) {
        let event = self.state.failed(error, self.now());
        event.map(|event| self.context.sink.offer(event));
    }

    fn complain(&mut self, said: &str) {
        let recently = self
            .complained
            .is_some_and(|at| at.elapsed() < COMPLAIN_EVERY);
        if recently || said.is_empty() {
            return;
        }
        self.complained = Some(Instant::now());
        self.context.sink.offer(Event::Infra {
            what: "sampler".to_owned(),
            detail: format!("{}: {said}", self.launch.node),
            fatal: false,
        });
    }

    fn now(&self) -> Elapsed {
        Elapsed::default() + self.origin.elapsed()
    }
}

async fn write(session: &mut Session, bytes: &[u8]) -> bool {
    let write = async {
        session.input.write_all(bytes).await?;
        session.input.flush().await
    };
    matches!(timeout(SILENT, write).await, Ok(Ok(())))
}
