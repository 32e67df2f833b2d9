//! What can go wrong with the engine, each with its cause named and, where there is one, the remedy.

use std::{path::PathBuf, time::Duration};

use crate::{ids::NodeName, journal::text::clean};

/// Any cause from below, kept for the error chain.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed engine operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nothing is at the socket's path.
    #[error(
        "no container engine at {address}: install Docker, start it, or set DOCKER_HOST to where it listens"
    )]
    NotInstalled {
        /// The socket.
        address: String,
    },
    /// The socket is there and nobody listens.
    #[error(
        "the container engine at {address} does not run: start it (for example `systemctl start docker`)"
    )]
    NotRunning {
        /// The socket or address.
        address: String,
        /// What connecting said.
        source: Source,
    },
    /// The socket is there and this user may not use it.
    #[error(
        "no permission to use the container engine at {address}: add your user to the group that owns the socket (often `docker`) and log in again"
    )]
    NoPermission {
        /// The socket.
        address: String,
        /// What connecting said.
        source: Source,
    },
    /// The engine speaks an older API than is needed.
    #[error(
        "the container engine {version} speaks API {api}, at least {needed} is needed: update it"
    )]
    TooOld {
        /// Version of the engine.
        version: String,
        /// Its newest API version.
        api: String,
        /// The oldest that works.
        needed: &'static str,
    },
    /// An address that this program cannot speak to.
    #[error("cannot use the engine address {address:?}: {why}")]
    BadAddress {
        /// The address as given.
        address: String,
        /// Why not.
        why: &'static str,
    },
    /// The engine runs containers of another operating system.
    #[error("the engine runs {os} containers, Linux containers are needed")]
    NotLinux {
        /// What it runs.
        os: String,
    },
    /// A call was answered with an error.
    #[error("cannot {operation} {subject}: {message}")]
    Call {
        /// What was tried.
        operation: &'static str,
        /// On what.
        subject: String,
        /// HTTP status, if the engine answered at all.
        status: Option<u16>,
        /// What the engine said, cleaned.
        message: String,
    },
    /// A call was not answered in time.
    #[error("cannot {operation} {subject}: no answer within {} s", deadline.as_secs())]
    Deadline {
        /// What was tried.
        operation: &'static str,
        /// On what.
        subject: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// Something of another run, or of somebody else, has the name.
    #[error("the name {name} is taken in the engine; remove it or take another run id")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The engine does not have the image.
    #[error("the engine has no image {image}: build it or `docker pull {image}` first")]
    ImageMissing {
        /// The reference.
        image: String,
    },
    /// The engine has the image for another platform.
    #[error(
        "the engine has image {image} for {found}, and {asked} is asked for: pull it, or change `image.platform`"
    )]
    OtherPlatform {
        /// The reference.
        image: String,
        /// What it has.
        found: String,
        /// What is wanted.
        asked: String,
    },
    /// An image cannot be pulled.
    #[error("cannot pull image {image}: {message}{hint}")]
    Pull {
        /// The reference.
        image: String,
        /// What the engine or the registry said, cleaned.
        message: String,
        /// The remedy, after `; `, or nothing.
        hint: &'static str,
    },
    /// Credentials for a registry cannot be had.
    #[error("cannot read the credentials for {registry}: {why}")]
    Credentials {
        /// The registry.
        registry: String,
        /// Why, without any secret.
        why: String,
    },
    /// No subnet of the pool is free.
    #[error("no free /24 subnet in {pool}: remove unused networks (`docker network prune`)")]
    SubnetsTaken {
        /// The pool.
        pool: &'static str,
    },
    /// More nodes than a subnet has addresses for.
    #[error("{nodes} nodes are more than the {most} that a run's networks have addresses for")]
    TooManyNodes {
        /// Asked for.
        nodes: usize,
        /// Possible.
        most: usize,
    },
    /// The limits of all containers exceed the engine's memory.
    #[error(
        "the plan may use {asked} MiB of memory ({nodes} nodes, tmpfs disks and scratch included), the engine has {has} MiB: lower limits.memory, disk.size or the number of nodes"
    )]
    NotEnoughMemory {
        /// MiB that the plan may use.
        asked: u64,
        /// MiB that the engine has.
        has: u64,
        /// Nodes of the plan.
        nodes: usize,
    },
    /// The file system of the engine's data would run full.
    #[error(
        "the plan may write {asked} MiB where the engine keeps its data ({data_root}), {free} MiB are free: free some room (`docker system df`)"
    )]
    NotEnoughRoom {
        /// MiB needed.
        asked: u64,
        /// MiB free.
        free: u64,
        /// The engine's data root.
        data_root: String,
    },
    /// The engine has lost count of a network's endpoints, and nothing helped.
    #[error(
        "the engine counts endpoints on network {name} that do not exist (a fault of engines before 28.1): nothing uses it; restart the engine, then run `canarynet clean`"
    )]
    NetworkStuck {
        /// The network.
        name: String,
    },
    /// A limit that the engine reports is not the one that was asked for.
    #[error("{node}: the limit {limit} is {found} and should be {asked}")]
    LimitNotInForce {
        /// The container.
        node: String,
        /// Which limit.
        limit: &'static str,
        /// Asked for.
        asked: String,
        /// Found.
        found: String,
    },
    /// A node's command or environment could not be rendered.
    #[error("cannot render the command of {node}: {message}")]
    Render {
        /// The node.
        node: NodeName,
        /// Why.
        message: String,
    },
    /// The plan needs the privileged helper and does not allow it.
    #[error(
        "{what} needs the privileged helper: pass --allow-helper, set allow_helper = true, or use disk.kind = \"tmpfs\""
    )]
    HelperNotAllowed {
        /// What needs it.
        what: &'static str,
    },
    /// A fault of a block device on a disk that is none.
    #[error("{node} has no disk on a block device: set disk.kind = \"ext4\" in the profile")]
    NoBlockDisk {
        /// The node.
        node: NodeName,
    },
    /// A helper or toolbox operation failed inside its container.
    #[error("{operation} failed in its container: {message}")]
    Inside {
        /// The operation.
        operation: String,
        /// What it said, cleaned.
        message: String,
    },
    /// A container ended before it was expected to.
    #[error("{name} ended with exit code {exit_code} while it was started: {message}")]
    EndedAtStart {
        /// The container.
        name: String,
        /// Its exit code.
        exit_code: i64,
        /// Last words, cleaned.
        message: String,
    },
    /// A local binary cannot be packed.
    #[error("cannot pack {}: {why}", path.display())]
    Pack {
        /// The executable.
        path: PathBuf,
        /// Why, with the remedy.
        why: String,
    },
    /// A local file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A local file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data of a snapshot goes on only under the addresses that it was made under.
    #[error(
        "the program of this snapshot needs the subnets {data} and {management} that it was made in, and another network of the engine has one of them: end that one first (`docker network ls`)"
    )]
    SubnetsOfSnapshot {
        /// The data network's.
        data: String,
        /// The management network's.
        management: String,
    },
    /// What the engine reports does not make sense for a run of this program.
    #[error("the engine's answer about {subject} lacks {what}")]
    Incomplete {
        /// About what.
        subject: String,
        /// What is missing.
        what: &'static str,
    },
    /// An internal task ended by itself.
    #[error("{what} was cut short")]
    CutShort {
        /// The work.
        what: &'static str,
    },
}

impl EngineError {
    /// Whether the engine said that the object does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Call {
                status: Some(404),
                ..
            }
        )
    }

    /// Whether the engine said that the object's state or another object forbids it for now.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Call {
                status: Some(409),
                ..
            }
        )
    }

    /// Whether the engine said that a process cannot be signalled because it has ended, which the engine has yet to see.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        matches!(self, Self::Call { message, .. } if message.contains("is zombie"))
    }

    /// A failure inside a container, with text that the container wrote.
    #[must_use]
    pub fn inside(operation: impl Into<String>, message: &str) -> Self {
        Self::Inside {
            operation: operation.into(),
            message: clean(message.trim(), 600),
        }
    }
}
