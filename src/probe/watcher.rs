//! The watcher: the process inside the run's watcher container that asks all nodes for their heads.
//!
//! One thread, one task a node. Every node is asked once an interval, the nodes of a shard at different phases of it,
//! with at most one request in flight, so that a slow or dead node delays nobody. What comes of it goes to standard output, one JSON
//! line a [`protocol::WatcherMessage`].
//!
//! When its standard input closes, its owner is gone. Where it has a folder for that it goes on watching into a spool
//! there, until the next watcher takes over, or nobody has come for [`UNATTENDED_MOST`]. The next one tells its owner
//! what was kept, knows all blocks of it, and only then begins to watch: no block is told twice, and none is missed.

pub mod protocol;

mod client;
mod hand_over;
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
    spool::{self, Line, Moment, Reading, Recent, Spool, Told},
};
use crate::{ids::ShardId, journal::event::Event, profile::dialect, time::Elapsed};
use hand_over::Held;
use output::Output;
use protocol::{MAX_LINE, WatcherCommand, WatcherConfig, WatcherMessage};

/// The configuration is the first thing written to a watcher; one that waits longer has been left alone.
const CONFIG_DEADLINE: Duration = Duration::from_secs(30);
/// How often the watcher says what it costs, which is also the sign that it lives.
const COST_EVERY: Duration = Duration::from_secs(1);
/// A watcher without an owner ends by itself after this long: whoever comes later finds a run that nobody has cared for,
/// and the spool has rarely room for more.
pub const UNATTENDED_MOST: Duration = Duration::from_secs(30 * 60);
/// How often a watcher without an owner writes down what it saw, and looks whether another one has come.
const SPOOL_EVERY: Duration = Duration::from_millis(50);
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
    /// What was told just now, for a spool to begin with.
    recent: Option<Recent>,
    /// Where all goes while there is no owner.
    spool: Option<Spool>,
}

impl State {
    fn now(&self) -> Elapsed {
        Elapsed::default() + self.origin.elapsed()
    }

    fn send(&mut self, events: Vec<Event>) {
        for event in events {
            let kept = match self.recent.is_some() || self.spool.is_some() {
                true => spool::kept(&event),
                false => None,
            };
            match (&mut self.spool, &mut self.recent) {
                (Some(spool), _) => {
                    if let Some(kept) = kept {
                        spool.push(Moment::now(), Told::Event(kept));
                    }
                    continue;
                }
                (None, Some(recent)) => {
                    if let Some(kept) = kept {
                        recent.note(Moment::now(), kept);
                    }
                }
                (None, None) => {}
            }
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
    let mut output = Output::start();
    let held = match &config.spool {
        Some(folder) => Held::take(folder).await,
        None => None,
    };
    let attended = match &held {
        Some(held) if config.unattended => {
            let told = tell_spool(held, &mut output, &mut heads);
            unless_closed(&mut input, told).await
        }
        Some(held) => {
            spool::clear(held.folder());
            true
        }
        None => true,
    };
    let state = Rc::new(RefCell::new(State {
        heads,
        output,
        origin: Instant::now(),
        recent: held.is_some().then(|| Recent::new(Moment::now())),
        spool: None,
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
    if attended {
        obey(&mut input, &pause, &state).await;
    }
    if let Some(held) = held
        && !*paused.borrow()
    {
        go_on_alone(&held, &state).await;
    }
    Ok(())
}

/// Tells the owner what was kept while there was none, and lets it go. All blocks of it are known afterwards.
async fn tell_spool(held: &Held, output: &mut Output, heads: &mut Heads) {
    let Ok(mut reading) = Reading::of(held.folder()) else {
        return;
    };
    let room = output.room();
    for Line { at, told, .. } in reading.by_ref() {
        if let Told::Event(Event::Block {
            shard,
            height,
            hash,
            ..
        }) = &told
        {
            heads.know(*shard, *height, hash);
        }
        output.push(&WatcherMessage::Spooled { at, told });
        room.for_more().await;
    }
    if let Some(came) = reading.came() {
        let now = Moment::now();
        output.push(&WatcherMessage::SpoolEnd { came, now });
    }
    room.of_all().await;
    spool::clear(held.folder());
}

/// Does this to its end, unless the input closes first; answers whether it came to its end.
async fn unless_closed(
    input: &mut (impl AsyncBufRead + Unpin),
    work: impl Future<Output = ()>,
) -> bool {
    tokio::pin!(work);
    let mut listening = true;
    loop {
        tokio::select! {
            () = &mut work => return true,
            more = input.fill_buf(), if listening => match more {
                // Commands wait until it is done.
                Ok(bytes) if !bytes.is_empty() => listening = false,
                _ => return false,
            },
        }
    }
}

/// Goes on watching without an owner, into the spool, until another watcher comes or nobody does.
async fn go_on_alone(held: &Held, state: &RefCell<State>) {
    let Ok(mut spool) = Spool::open(held.folder(), spool::LIMITS) else {
        return;
    };
    if let Some(recent) = state.borrow_mut().recent.take() {
        for (at, told) in recent.lines() {
            spool.push(at, told);
        }
    }
    spool.flush();
    state.borrow_mut().spool = Some(spool);
    let begun = Moment::now();
    let mut said = begun;
    let mut ticks = tokio::time::interval(SPOOL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = Moment::now();
        let ends = held.is_wanted() || now.since(begun) > UNATTENDED_MOST;
        if let Some(spool) = &mut state.borrow_mut().spool {
            if ends || now.since(said) >= spool::LIVES_EVERY {
                said = now;
                spool.push(now, Told::Lives {});
            }
            spool.flush();
        }
        if ends {
            return;
        }
    }
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
                let mut state = state.borrow_mut();
                state.heads.forget_tips();
                // What was told before the pause is not what a spool would go on from.
                if let Some(recent) = &mut state.recent {
                    *recent = Recent::new(Moment::now());
                }
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
        if state.spool.is_some() {
            continue;
        }
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
