//! What one node is told at its start. Every clock of the protocol is a flag, so that a canary can accelerate it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::defects::Defects;
use super::log::Level;
use super::types::NodeId;

/// The flags of the hidden subcommand `canarynet reference-node`.
#[derive(Clone, Debug, Args)]
pub struct NodeConfig {
    /// Shard of this node.
    #[arg(long, default_value_t = 0)]
    pub shard: u16,
    /// Index of this node in its shard: validators come first, explorers after them.
    #[arg(long, default_value_t = 0)]
    pub index: u16,
    /// Number of shards; shard 0 is the beacon.
    #[arg(long, default_value_t = 1)]
    pub shards: u16,
    /// Validators in each shard.
    #[arg(long, default_value_t = 4)]
    pub validators: u16,
    /// Explorers in each shard: they follow and never sign.
    #[arg(long, default_value_t = 0)]
    pub explorers: u16,
    /// Validators that sign in one epoch; all of them when absent.
    #[arg(long)]
    pub committee_size: Option<u16>,
    /// Genesis, keys and load follow from this text.
    #[arg(long, default_value = "canarynet")]
    pub seed: String,
    /// Height of the genesis block.
    #[arg(long, default_value_t = 0)]
    pub initial_height: u64,
    /// Blocks in an epoch.
    #[arg(long, default_value_t = 100)]
    pub epoch_length: u64,

    /// The leader proposes every block interval.
    #[arg(long, default_value = "200ms", value_parser = duration)]
    pub block_interval: Duration,
    /// V: a view without a block ends after this time, and V more for each failed view.
    #[arg(long, default_value = "675ms", value_parser = duration)]
    pub view_change_timeout: Duration,
    /// Longest time that a view may last.
    #[arg(long, default_value = "2700ms", value_parser = duration)]
    pub view_change_max: Duration,
    /// What waits for an answer is sent again after this time; max(block interval, V/4) when absent.
    #[arg(long, value_parser = duration)]
    pub retry_interval: Option<Duration>,
    /// A node that is behind asks another peer after this time; V when absent.
    #[arg(long, value_parser = duration)]
    pub sync_interval: Option<Duration>,

    /// Blocks kept.
    #[arg(long, default_value_t = 2_000)]
    pub retention: u64,
    /// Keep all blocks.
    #[arg(long)]
    pub archive: bool,

    /// All nodes of the network: `s0-n00=10.1.2.3:9000,s0-n01=...`. This node's own entry is ignored.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// Where peers reach this node.
    #[arg(long, default_value = "0.0.0.0:9000")]
    pub listen: std::net::SocketAddr,
    /// JSON-RPC over HTTP.
    #[arg(long, default_value = "0.0.0.0:9500")]
    pub rpc: std::net::SocketAddr,
    /// Prometheus metrics over HTTP.
    #[arg(long, default_value = "0.0.0.0:9900")]
    pub metrics: std::net::SocketAddr,
    /// Directory of the store and of the log.
    #[arg(long, default_value = "/data")]
    pub data: PathBuf,
    /// File of seconds that are added to the wall clock; the clock is right while it is not there.
    #[arg(long)]
    pub clock_offset: Option<PathBuf>,

    /// Transfers that this node's shard generates in all, shared evenly among its validators.
    #[arg(long, default_value = "50 tx/s")]
    pub load: Rate,
    /// Share of these transfers that goes to another shard.
    #[arg(long, default_value = "10%")]
    pub cross_shard: Share,

    /// Lines below this level are not written.
    #[arg(long, default_value = "info")]
    pub log_level: Level,

    /// Bugs to switch on: `none`, or ids with commas between them (see `defects`).
    #[arg(long, default_value = "none")]
    pub defects: Defects,
}

impl NodeConfig {
    /// The node that this process is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId::new(self.shard, self.index)
    }

    /// Nodes in each shard, explorers included.
    #[must_use]
    pub fn nodes_per_shard(&self) -> u16 {
        self.validators.saturating_add(self.explorers)
    }

    /// Interval of message-level retry.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.retry_interval
            .unwrap_or_else(|| self.block_interval.max(self.view_change_timeout / 4))
    }

    /// Patience with a peer that was asked for blocks.
    #[must_use]
    pub fn sync(&self) -> Duration {
        self.sync_interval.unwrap_or(self.view_change_timeout)
    }

    /// Checks what the types of the fields cannot say.
    ///
    /// # Errors
    /// The first flag that contradicts another, with both values.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_network()?;
        self.check_clocks()?;
        let stranger = self.peers.iter().find(|peer| {
            peer.node.shard.0 >= self.shards || peer.node.index >= self.nodes_per_shard()
        });
        match stranger {
            Some(peer) => refuse(
                "--peers",
                format!("{} is no node of this network", peer.node),
            ),
            None => Ok(()),
        }
    }

    fn check_network(&self) -> Result<(), ConfigError> {
        let total = self.nodes_per_shard();
        if self.shards == 0 {
            return refuse("--shards", "there is at least one".into());
        }
        if self.validators == 0 || total > 256 {
            return refuse(
                "--validators",
                format!("{total} nodes in a shard are not 1 to 256"),
            );
        }
        if self.shard >= self.shards {
            return refuse(
                "--shard",
                format!("{} is not below --shards {}", self.shard, self.shards),
            );
        }
        if self.index >= total {
            return refuse(
                "--index",
                format!("{} is not below the {total} nodes of a shard", self.index),
            );
        }
        if self
            .committee_size
            .is_some_and(|size| size == 0 || size > self.validators)
        {
            let validators = self.validators;
            return refuse(
                "--committee-size",
                format!("it is not 1 to --validators {validators}"),
            );
        }
        if self.epoch_length < 2 {
            return refuse("--epoch-length", "an epoch has at least 2 blocks".into());
        }
        if self.retention < 16 && !self.archive {
            return refuse("--retention", "at least 16 blocks are kept".into());
        }
        Ok(())
    }

    fn check_clocks(&self) -> Result<(), ConfigError> {
        let millisecond = Duration::from_millis(1);
        if self.block_interval < millisecond {
            return refuse("--block-interval", "it is at least 1ms".into());
        }
        if self.view_change_timeout < self.block_interval {
            let interval = self.block_interval;
            return refuse(
                "--view-change-timeout",
                format!("it is below --block-interval {interval:?}"),
            );
        }
        if self.view_change_max < self.view_change_timeout {
            return refuse(
                "--view-change-max",
                "it is below --view-change-timeout".into(),
            );
        }
        if self.retry() < millisecond || self.sync() < millisecond {
            return refuse(
                "--retry-interval",
                "retry and sync intervals are at least 1ms".into(),
            );
        }
        Ok(())
    }
}

fn refuse(flag: &'static str, why: String) -> Result<(), ConfigError> {
    Err(ConfigError { flag, why })
}

/// A flag that contradicts another.
#[derive(Debug, thiserror::Error)]
#[error("flag {flag}: {why}")]
pub struct ConfigError {
    flag: &'static str,
    why: String,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// One entry of `--peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which node.
    pub node: NodeId,
    /// `host:port`, where the host may be a name.
    pub address: String,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not NODE=HOST:PORT"))?;
        let node = name
            .trim()
            .parse::<NodeId>()
            .map_err(|error| format!("`{name}`: {error}"))?;
        let address = address.trim();
        let port = address.rsplit_once(':').and_then(|(host, port)| {
            if host.is_empty() {
                None
            } else {
                port.parse::<u16>().ok()
            }
        });
        match port {
            Some(port) if port != 0 => Ok(Self {
                node,
                address: address.to_owned(),
            }),
            _ => Err(format!("`{address}` is not HOST:PORT")),
        }
    }
}

/// Transfers a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

/// Highest load that is accepted, in transfers a second and shard: beyond it the generator itself is the test.
const RATE_LIMIT: f64 = 10_000.0;

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim();
        let number = number.strip_suffix("per shard").unwrap_or(number).trim();
        let number = number.strip_suffix("tx/s").unwrap_or(number).trim();
        match number.parse::<f64>() {
            Ok(rate) if (0.0..=RATE_LIMIT).contains(&rate) => Ok(Self(rate)),
            _ => Err(format!(
                "`{text}` is not a rate like `50 tx/s`, at most {RATE_LIMIT} tx/s"
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tx/s", self.0)
    }
}

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a share like `10%`");
        let number = text.trim().strip_suffix('%').ok_or_else(refuse)?.trim();
        match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeConfig,
    }

    fn parse(arguments: &[&str]) -> Result<NodeConfig, clap::Error> {
        Program::try_parse_from(std::iter::once(&"node").chain(arguments))
            .map(|program| program.node)
    }

    #[test]
    fn defaults_are_a_valid_node() {
        let config = parse(&[]).unwrap();
        config.check().unwrap();
        assert_eq!(config.retry(), Duration::from_millis(200));
        assert_eq!(config.load, Rate(50.0));
        assert_eq!(config.cross_shard, Share(0.1));
        assert_eq!(config.log_level, Level::Info);
    }

    #[test]
    fn peers_and_rates_are_parsed() {
        let config = parse(&[
            "--peers",
            "s0-n00=10.1.2.3:9000,s1-n01=node-b:9001",
            "--load",
            "20 tx/s",
            "--cross-shard",
            "2.5 %",
            "--shards",
            "2",
        ])
        .unwrap();
        config.check().unwrap();
        assert_eq!(config.peers[1].node, NodeId::new(1, 1));
        assert_eq!(config.peers[1].address, "node-b:9001");
        assert_eq!(config.cross_shard, Share(0.025));
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            ["--peers", "s0-n00"],
            ["--peers", "s0-n00=:9000"],
            ["--peers", "s0-n00=host:0"],
            ["--peers", "x=host:1"],
            ["--load", "-1 tx/s"],
            ["--load", "NaN"],
            ["--cross-shard", "110%"],
            ["--cross-shard", "0.5"],
            ["--block-interval", "soon"],
        ] {
            assert!(parse(&arguments).is_err(), "{arguments:?}");
        }
        for arguments in [
            ["--shard", "1"],
            ["--index", "4"],
            ["--committee-size", "5"],
            ["--view-change-timeout", "10ms"],
            ["--retention", "1"],
            ["--peers", "s3-n00=host:1"],
        ] {
            assert!(parse(&arguments).unwrap().check().is_err(), "{arguments:?}");
        }
    }
}
