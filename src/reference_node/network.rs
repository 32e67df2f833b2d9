//! Links to the other nodes: real TCP, authenticated by the nodes' keys, every queue bounded.
//!
//! ```text
//!   a pair of neighbours has one link; the node with the lower id dials it, again and again, every V/2
//!
//!   node --send--> [queue of the link] --> writer --> TCP --> reader --> [arrivals] --> node
//!                   full: oldest goes        ping on idle    silent for V: closed
//! ```
//!
//! Invariants: `send` never waits. A reader waits for room in the arrivals (which bounds messages and bytes), so
//! that a flood fills the flooder's own socket and never the node's memory. A link that is down holds no frames:
//! what consensus still needs it sends again by itself.
//!
//! What is not done: frames are not encrypted and not signed one by one. After the handshake a link is as
//! trustworthy as the network between two containers; what must be attributable carries its own signature.

mod frame;
mod handshake;
mod link;
mod listener;
mod topology;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::crypto::Crypto;
use super::types::{Hash, NodeId};

pub use frame::{FRAME_LIMIT, Kind};
pub use topology::neighbours;

use link::Link;

/// Frames that wait for the node, over all links.
const ARRIVALS: usize = 1_024;
/// Kilobytes that these frames may have in all: two of the largest.
const ARRIVAL_KILOBYTES: usize = 2 * FRAME_LIMIT / 1_024 + 2;

/// What a network is started with.
pub struct Settings {
    /// The own node.
    pub node: NodeId,
    /// Names the network: nodes of different genesis never link.
    pub network: Hash,
    /// Where peers reach this node.
    pub listen: SocketAddr,
    /// The nodes to keep a link with, and their addresses.
    pub peers: BTreeMap<NodeId, String>,
    /// V: a link silent for this long is closed.
    pub silence: Duration,
}

/// What the network tells the node.
pub enum Arrival {
    /// A link is up. It may have been up before: a peer that restarts gets a new link before the old one is known
    /// to be dead.
    Up(NodeId),
    /// The link is down; the reason is for the log.
    Down {
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: String,
    },
    /// A frame from a peer.
    Frame {
        /// The authenticated peer.
        from: NodeId,
        /// What the payload is.
        kind: Kind,
        /// The bytes, as they came.
        payload: Vec<u8>,
        /// Keeps the bytes counted until the node is done with them.
        permit: OwnedSemaphorePermit,
    },
}

/// Counters since the start, for metrics.
#[derive(Default)]
pub struct Counters {
    /// Frames received.
    pub received: AtomicU64,
    /// Bytes received.
    pub received_bytes: AtomicU64,
    /// Frames written to a socket.
    pub sent: AtomicU64,
    /// Bytes written to a socket.
    pub sent_bytes: AtomicU64,
    /// Frames dropped because the link's queue was full.
    pub dropped: AtomicU64,
    /// Frames that were not sent because the link was down.
    pub unsent: AtomicU64,
    /// Connections and frames refused: bad handshake, oversized or unknown frame.
    pub refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

/// Why the network cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The port is taken, or the address is not ours.
    #[error("listen for peers on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// What all tasks of the network share.
struct Shared<C> {
    node: NodeId,
    network: Hash,
    silence: Duration,
    crypto: C,
    links: BTreeMap<NodeId, Arc<Link>>,
    arrivals: mpsc::Sender<Arrival>,
    arrival_kilobytes: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// The node's handle on its links.
pub struct Network {
    links: BTreeMap<NodeId, Arc<Link>>,
    counters: Arc<Counters>,
}

impl Network {
    /// Listens, and begins to dial. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub async fn start<C: Crypto + Send + Sync + 'static>(
        settings: Settings,
        crypto: C,
    ) -> Result<(Self, mpsc::Receiver<Arrival>), NetworkError> {
        let address = settings.listen;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| NetworkError::Listen { address, source })?;
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let counters = Arc::new(Counters::default());
        let links: BTreeMap<NodeId, Arc<Link>> = settings
            .peers
            .iter()
            .filter(|(peer, _)| **peer != settings.node)
            .map(|(peer, address)| {
                (
                    *peer,
                    Arc::new(Link::new(*peer, address.clone(), Arc::clone(&counters))),
                )
            })
            .collect();
        let shared = Arc::new(Shared {
            node: settings.node,
            network: settings.network,
            silence: settings.silence,
            crypto,
            links: links.clone(),
            arrivals: sender,
            arrival_kilobytes: Arc::new(Semaphore::new(ARRIVAL_KILOBYTES)),
            counters: Arc::clone(&counters),
        });
        for link in links.values().filter(|link| settings.node < link.peer()) {
            tokio::spawn(listener::dial(Arc::clone(&shared), Arc::clone(link)));
        }
        tokio::spawn(listener::accept(shared, listener));
        Ok((Self { links, counters }, arrivals))
    }

    /// Queues a frame for each of these peers. A peer without a link, or whose link is down, gets nothing.
    pub fn send<'a>(&self, to: impl IntoIterator<Item = &'a NodeId>, frame: &frame::Frame) {
        for peer in to {
            match self.links.get(peer) {
                Some(link) => link.push(frame),
                None => Counters::add(&self.counters.unsent, 1),
            }
        }
    }

    /// Peers whose link is up, ascending.
    pub fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.links
            .values()
            .filter(|link| link.is_up())
            .map(|link| link.peer())
    }

    /// Number of peers that a link is wanted with.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.links.len()
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

pub use frame::Frame;

#[cfg(test)]
mod tests;
