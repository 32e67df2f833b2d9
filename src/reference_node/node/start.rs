//! From flags to a running node, and its end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};

use super::published::{Published, Tallies};
use super::relay::Relay;
use super::{Ended, Node, Sources};
use crate::reference_node::config::{ConfigError, NodeConfig};
use crate::reference_node::consensus::{
    CommittedBlock, Consensus, ConsensusConfig, Micros, Output, Recovered,
};
use crate::reference_node::defects::{Defect, leaks::Leaks};
use crate::reference_node::genesis::{Genesis, GenesisConfig, GenesisError};
use crate::reference_node::load::{ACCOUNTS_PER_VALIDATOR, Load};
use crate::reference_node::log::{Event, Level, Logger};
use crate::reference_node::mempool::Mempool;
use crate::reference_node::network::{self, Network, NetworkError};
use crate::reference_node::store::{self, Done, Store, StoreError};
use crate::reference_node::types::NodeId;
use crate::reference_node::{metrics, rpc, wall};

/// Pause before a store that cannot be opened for the disk's fault is tried again, at first and at most.
const OPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Transfers submitted by RPC that wait for the node's task.
const SUBMISSIONS: usize = 256;

/// Why a node cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The flags contradict each other.
    #[error("configuration")]
    Config(#[from] ConfigError),
    /// The flags make no network.
    #[error("genesis")]
    Genesis(#[from] GenesisError),
    /// No runtime, signal handler or thread.
    #[error("{operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The store's content is not usable.
    #[error("store")]
    Store(#[from] StoreError),
    /// No network.
    #[error("network")]
    Network(#[from] NetworkError),
    /// A port for HTTP is taken.
    #[error("listen for {service} on {address}")]
    Listen {
        /// RPC or metrics.
        service: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A thread or task that the node cannot live without has ended.
    #[error("the {0} has ended")]
    Gone(&'static str),
    /// What a healthy node lives with (`exit-on-nonfatal`).
    #[error("gives up over {0}")]
    GaveUp(&'static str),
}

/// The runtime that a node needs: one thread for everything but the store's and the log's.
///
/// # Errors
/// When the system gives no event queue.
pub fn main_runtime() -> Result<tokio::runtime::Runtime, NodeError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only for resolving names of peers.
        .max_blocking_threads(2)
        .build()
        .map_err(|source| NodeError::System {
            operation: "start the runtime",
            source,
        })
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, or a part of it that is gone. A disk that is full or fails is no reason to end.
pub async fn run(config: NodeConfig) -> Result<(), NodeError> {
    config.check()?;
    let system = |operation| move |source| NodeError::System { operation, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("watch for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("watch for SIGINT"))?;
    let logger = Logger::start(config.log_level, &config.data.join("log"), config.defects)
        .map_err(system("start the log"))?;
    if let Some(path) = config.clock_offset.clone() {
        wall::follow(path).map_err(system("follow the clock's offset"))?;
    }
    let genesis = Arc::new(Genesis::new(genesis_config(&config))?);
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let result = tokio::select! {
        signal = stopped => {
            let text = format!("Got {signal} signal. Gracefully shutting down...");
            logger.write_plain(&Event::new(Level::Info, text));
            Ok(())
        }
        ended = serve(config, genesis, logger.clone()) => ended,
    };
    if let Err(error) = &result {
        logger.write_plain(&Event::new(Level::Error, "node ended").error(chain(error)));
    }
    logger.flush();
    result
}

fn genesis_config(config: &NodeConfig) -> GenesisConfig {
    GenesisConfig {
        seed: config.seed.clone(),
        shards: config.shards,
        validators: config.validators,
        explorers: config.explorers,
        committee_size: config.committee_size,
        epoch_length: config.epoch_length,
        initial_height: config.initial_height,
        faucets: config.validators.saturating_mul(ACCOUNTS_PER_VALIDATOR),
        ..GenesisConfig::default()
    }
}

/// Starts all parts and runs the node's task until something that it needs is gone.
async fn serve(config: NodeConfig, genesis: Arc<Genesis>, logger: Logger) -> Result<(), NodeError> {
    let me = config.node();
    let crypto = genesis.bls(me).ok_or(NodeError::Gone("key of this node"))?;
    announce(&config, &genesis, &logger);
    let (store, recovered, results) = open_store(&config, &genesis, &logger).await?;
    let (store, head) = (Arc::new(store), recovered.head.clone());
    let restarted = !recovered.fresh;
    let state = recovered.state.clone();
    let (network, arrivals) =
        Network::start(network_settings(&config, &genesis), crypto.clone()).await?;
    let network = Arc::new(network);
    let origin = Instant::now();
    let (core, outputs) = restore(&config, &genesis, &crypto, recovered);
    let published = Arc::new(Published::new(
        Arc::clone(&genesis),
        me,
        config.archive,
        network.wanted(),
        core.status(),
        state.clone(),
    ));
    let (submit, submissions) = mpsc::channel(SUBMISSIONS);
    let service = rpc::Service::new(Arc::clone(&published), Arc::clone(&store), submit);
    let source = metrics::Source {
        published: Arc::clone(&published),
        network: network.counters(),
        store: store.counters(),
        logger: logger.clone(),
    };
    start_services(&config, service, source).await?;
    let validates = me.index < config.validators;
    let repeat_every = config.retry().max(2 * config.block_interval);
    let mut node = Node {
        me,
        mempool: Mempool::new(me.shard, config.shards),
        load: Load::new(
            &genesis,
            me,
            config.load,
            config.cross_shard,
            Instant::now(),
        ),
        relay: validates.then(|| {
            let mut relay = Relay::new(me, config.validators, &head);
            relay.leaks = restarted && config.defects.has(Defect::CrossShardLeak);
            relay
        }),
        genesis,
        crypto,
        core,
        origin,
        state,
        head: head.block.header.height,
        network,
        store,
        serving: Arc::new(Semaphore::new(super::SERVED_AT_ONCE)),
        logger,
        published,
        tallies: Tallies::default(),
        leaks: Leaks::new(config.defects, config.data.clone()),
        defects: config.defects,
        gave_up: None,
        repeat_every,
        next_repeat: Instant::now() + repeat_every,
    };
    node.carry_out(outputs);
    match node
        .run(&mut Sources {
            arrivals,
            results,
            submissions,
        })
        .await
    {
        Ended::StoreGone => Err(NodeError::Gone("store")),
        Ended::NetworkGone => Err(NodeError::Gone("network")),
        Ended::GaveUp(why) => Err(NodeError::GaveUp(why)),
    }
}

/// RPC and metrics, each in tasks of its own.
async fn start_services(
    config: &NodeConfig,
    service: rpc::Service,
    source: metrics::Source,
) -> Result<(), NodeError> {
    let rpc_listener = listen("RPC", config.rpc).await?;
    let metrics_listener = listen("metrics", config.metrics).await?;
    let text = format!("Started RPC server at: {}", config.rpc);
    source.logger.write_plain(&Event::new(Level::Info, text));
    tokio::spawn(rpc::serve(rpc_listener, service));
    tokio::spawn(metrics::serve(metrics_listener, source));
    Ok(())
}

fn restore(
    config: &NodeConfig,
    genesis: &Arc<Genesis>,
    crypto: &crate::reference_node::crypto::Bls,
    recovered: Recovered,
) -> (Consensus<crate::reference_node::crypto::Bls>, Vec<Output>) {
    let settings = ConsensusConfig {
        node: config.node(),
        interval: micros(config.block_interval),
        view_change_timeout: micros(config.view_change_timeout),
        view_change_timeout_max: micros(config.view_change_max),
        retry_interval: micros(config.retry()),
        sync_interval: micros(config.sync()),
        wall_origin_ms: wall::now_ms(),
        log_level: config.log_level,
        defects: config.defects,
    };
    Consensus::restore(settings, Arc::clone(genesis), crypto.clone(), recovered, 0)
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn network_settings(config: &NodeConfig, genesis: &Genesis) -> network::Settings {
    let me = config.node();
    let all: BTreeMap<NodeId, String> = config
        .peers
        .iter()
        .map(|peer| (peer.node, peer.address.clone()))
        .collect();
    let neighbours = network::neighbours(me, config.validators, all.keys().copied());
    network::Settings {
        node: me,
        network: genesis.hash(),
        listen: config.listen,
        peers: all
            .into_iter()
            .filter(|(node, _)| neighbours.contains(node))
            .collect(),
        silence: config.view_change_timeout,
    }
}

/// Opens the store. A disk that is full or fails is waited for; a store that is damaged is not. What it has done comes
/// through the channel, whose other end only the store's thread holds: it closes when that thread ends.
async fn open_store(
    config: &NodeConfig,
    genesis: &Genesis,
    logger: &Logger,
) -> Result<(Store, Recovered, mpsc::UnboundedReceiver<Done>), NodeError> {
    let shard = config.node().shard;
    let (mut pause, longest) = OPEN_PAUSE;
    loop {
        let settings = store::Settings {
            directory: config.data.clone(),
            network: genesis.hash(),
            shard,
            retention: (!config.archive).then_some(config.retention),
            defects: config.defects,
        };
        let first = || {
            let head = CommittedBlock {
                block: Arc::new(genesis.block(shard)),
                certificate: None,
            };
            (head, genesis.state(shard))
        };
        let (sender, results) = mpsc::unbounded_channel();
        match Store::open(settings, first, sender) {
            Ok((store, recovered)) => return Ok((store, recovered, results)),
            Err(error) if error.is_transient() && !config.defects.has(Defect::ExitOnNonfatal) => {
                logger.write_plain(
                    &Event::new(Level::Error, "Failed to open the store").error(chain(&error)),
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn listen(
    service: &'static str,
    address: std::net::SocketAddr,
) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| NodeError::Listen {
            service,
            address,
            source,
        })
}

fn announce(config: &NodeConfig, genesis: &Genesis, logger: &Logger) {
    let me = config.node();
    let validates = me.index < config.validators;
    let (text, role) = if validates {
        ("==== New Reference Node ====", "Validator")
    } else {
        ("==== New Explorer Node ====", "ExplorerNode")
    };
    let key = genesis
        .node(me)
        .map(|record| record.key.to_hex())
        .unwrap_or_default();
    let event = Event::new(Level::Info, text)
        .field("BLSPubKey", key)
        .field("ShardID", u32::from(config.shard))
        .field("Role", role)
        .field("Version", env!("CARGO_PKG_VERSION"))
        .field("node", me.to_string())
        .field("genesis", genesis.hash().to_string())
        .field("data", data_directory(&config.data));
    logger.write_plain(&event);
}

fn data_directory(path: &Path) -> String {
    path.display().to_string()
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        config: NodeConfig,
    }

    #[tokio::test]
    async fn a_store_whose_thread_has_ended_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let config = Flags::parse_from(["node", "--data", data]).config;
        let genesis = Genesis::new(genesis_config(&config)).unwrap();
        let log = folder.path().join("log");
        let logger = Logger::start(config.log_level, &log, config.defects).unwrap();
        let (store, _, mut results) = open_store(&config, &genesis, &logger).await.unwrap();
        // Its thread ends with its last handle, as it would by a panic.
        drop(store);
        let ended = tokio::time::timeout(Duration::from_secs(300), results.recv()).await;
        assert!(ended.is_ok_and(|done| done.is_none()));
    }
}
