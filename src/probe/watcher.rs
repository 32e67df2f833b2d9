//! The watcher: the process inside the run's watcher container that asks all nodes for their heads.
//!
//! One thread, one task a node. Every node is asked once an interval, the nodes of a shard at different phases of it,
//! with at most one request in flight, so that a slow or dead node delays nobody. What comes of it goes to standard output, one JSON
//! line a [`protocol::WatcherMessage`]; it ends when its standard input closes.

pub mod protocol;

mod client;
mod output;
mod poller;
mod reads;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::unix::pipe,
    sync::watch,
    task::LocalSet,
    time::MissedTickBehavior,
};

use super::{
    cgroup::Cgroup,
    cost,
    heads::{Heads, Member},
};
use crate::{ids::ShardId, journal::event::Event, profile::dialect, time::Elapsed};
use output::Output;
use protocol::{MAX_LINE, WatcherCommand, WatcherConfig, WatcherMessage};

/// The configuration is the first thing written to a watcher; one that waits longer has been left alone.
const CONFIG_DEADLINE: Duration = Duration::from_secs(30);
/// How often the watcher says what it costs, which is also the sign that it lives.
const COST_EVERY: Duration = Duration::from_secs(1);
/// Nodes of a shard are asked at so many moments of an interval; nodes of all shards share these moments, because one
/// wake-up that asks four nodes costs little more than one that asks a single one.
const PHASES: u32 = 4;
/// Adding up the memory of processes walks page tables: often enough for a figure that changes slowly.
const MEMORY_EVERY: u32 = 5;

/// Why the watcher gave up.
#[derive(Debug, thiserror::Error)]
enum WatcherError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot read the configuration from standard input")]
    ReadConfig(#[source] std::io::Error),
    #[error("no configuration came within {} s", CONFIG_DEADLINE.as_secs())]
    NoConfig,
    #[error("the configuration is not valid")]
    ParseConfig(#[source] serde_json::Error),
    #[error("there is no dialect {0:?}")]
    UnknownDialect(String),
}

/// All that the watcher's tasks share; one thread, so no lock.
struct State {
    heads: Heads,
    output: Output,
    origin: Instant,
}

impl State {
    fn now(&self) -> Elapsed {
        Elapsed::default() + self.origin.elapsed()
    }

    fn send(&mut self, events: Vec<Event>) {
        for event in events {
            self.output.push(&WatcherMessage::Event(event));
        }
    }
}

type Shared = Rc<RefCell<State>>;

/// Runs the watcher until its standard input closes. Errors go to standard error on one line.
#[must_use]
pub fn watcher_main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WatcherError::Runtime);
    let ended = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, watch()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain("watcher", &error);
            ExitCode::FAILURE
        }
    }
}

async fn watch() -> Result<(), WatcherError> {
    let mut input = BufReader::new(standard_input());
    let config = read_config(&mut input).await?;
    let dialect = dialect::find(&config.dialect);
    if dialect.is_none() && config.reads.requests.is_empty() {
        return Err(WatcherError::UnknownDialect(config.dialect));
    }
    let members = config.nodes.iter().map(|node| Member {
        name: node.name.clone(),
        shard: node.shard,
        power: node.power,
    });
    let mut heads = Heads::new(members, config.quorum);
    for block in &config.known {
        heads.know(block.shard, block.height, &block.hash);
    }
    let state = Rc::new(RefCell::new(State {
        heads,
        output: Output::start(),
        origin: Instant::now(),
    }));
    let (pause, paused) = watch::channel(false);
    let origin = tokio::time::Instant::now();
    let mut asked = BTreeMap::<ShardId, u32>::new();
    for (index, node) in config.nodes.iter().enumerate() {
        let place = asked.entry(node.shard).or_default();
        let phase = origin + config.interval / PHASES * (*place % PHASES);
        *place += 1;
        match dialect {
            Some(dialect) => {
                let poller = poller::Poller::new(index, node, dialect, &config, Rc::clone(&state));
                tokio::task::spawn_local(poller.run(phase, paused.clone()));
            }
            None => {
                for poller in reads::pollers(index, node, &config, &state) {
                    tokio::task::spawn_local(poller.run(phase, paused.clone()));
                }
            }
        }
        if let Some(poller) = poller::MetricsPoller::new(node, &config, Rc::clone(&state)) {
            tokio::task::spawn_local(poller.run(phase, paused.clone()));
        }
    }
    tokio::task::spawn_local(tick(Rc::clone(&state), config.interval));
    tokio::task::spawn_local(tell_cost(Rc::clone(&state)));
    obey(&mut input, &pause, &state).await;
    Ok(())
}

/// Reads commands until the input closes.
async fn obey(
    input: &mut (impl AsyncBufRead + Unpin),
    pause: &watch::Sender<bool>,
    state: &RefCell<State>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = input.take(MAX_LINE as u64);
        if !matches!(bounded.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        match serde_json::from_slice(&line) {
            Ok(WatcherCommand::Pause {}) => {
                pause.send_replace(true);
            }
            Ok(WatcherCommand::Resume {}) => {
                state.borrow_mut().heads.forget_tips();
                pause.send_replace(false);
            }
            // An unknown command comes from a newer canary, which cannot be: both are one program.
            Err(_) => {}
        }
    }
}

/// Writes down where shards stand, and hands on what was collected since the last tick.
async fn tick(state: Shared, interval: Duration) {
    let every = (interval / 2).clamp(Duration::from_millis(20), Duration::from_millis(50));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let mut state = state.borrow_mut();
        let mut events = Vec::new();
        let now = state.now();
        state.heads.tick(now, &mut events);
        state.send(events);
        state.output.hand_on();
    }
}

async fn tell_cost(state: Shared) {
    let cgroup = contained().then(Cgroup::own);
    let mut memory = 0;
    let mut round = 0_u32;
    let mut ticks = tokio::time::interval(COST_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if round.is_multiple_of(MEMORY_EVERY) {
            memory = match &cgroup {
                Some(_) => cost::own_memory() + cost::memory_of(1),
                None => cost::own_memory(),
            };
        }
        round = (round + 1) % MEMORY_EVERY;
        let cpu = match &cgroup {
            Some(cgroup) => cgroup.usage().cpu,
            None => cost::own().cpu,
        };
        let mut state = state.borrow_mut();
        let dropped = state.output.dropped();
        state.output.push(&WatcherMessage::Cost {
            cpu,
            memory,
            dropped,
        });
    }
}

/// Whether this process shares a container with the keeper, so that the whole group is the watcher's cost.
fn contained() -> bool {
    let name = |id: &str| std::fs::read(format!("/proc/{id}/comm")).ok();
    name("1").is_some() && name("1") == name("self")
}

fn standard_input() -> Box<dyn AsyncRead + Unpin> {
    let owned = rustix::io::dup(rustix::stdio::stdin());
    match owned.map(pipe::Receiver::from_owned_fd) {
        Ok(Ok(pipe)) => Box::new(pipe),
        _ => Box::new(tokio::io::stdin()),
    }
}

async fn read_config(
    input: &mut (impl AsyncBufRead + Unpin),
) -> Result<WatcherConfig, WatcherError> {
    let mut line = Vec::new();
    let mut bounded = input.take(MAX_LINE as u64);
    tokio::time::timeout(CONFIG_DEADLINE, bounded.read_until(b'\n', &mut line))
        .await
        .map_err(|_| WatcherError::NoConfig)?
        .map_err(WatcherError::ReadConfig)?;
    serde_json::from_slice(&line).map_err(WatcherError::ParseConfig)
}
