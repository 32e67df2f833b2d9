//! What the probes of one node tell each other: whether its container runs, and how high its chain is.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::ids::{Height, NodeName};

/// The signals of all nodes of a run; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    nodes: Arc<BTreeMap<NodeName, Arc<NodeSignals>>>,
}

/// The signals of one node.
#[derive(Debug)]
pub struct NodeSignals {
    running: AtomicBool,
    height: AtomicU64,
    /// Containers of it that were removed.
    removed: AtomicU64,
    started: Notify,
}

impl Signals {
    /// For these nodes, taken to be running until an event says otherwise.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeName>) -> Self {
        let one = |name| {
            let signals = NodeSignals {
                running: AtomicBool::new(true),
                height: AtomicU64::new(0),
                removed: AtomicU64::new(0),
                started: Notify::new(),
            };
            (name, Arc::new(signals))
        };
        Self {
            nodes: Arc::new(nodes.into_iter().map(one).collect()),
        }
    }

    /// All nodes are taken to be running until an event says otherwise; who waits for a start looks.
    pub fn start_all(&self) {
        for node in self.nodes.values() {
            node.set_running(true);
        }
    }

    /// The signals of this node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<NodeSignals>> {
        self.nodes.get(name)
    }
}

impl NodeSignals {
    /// Whether the container runs, as far as the engine's events tell.
    #[must_use]
    pub fn running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Sets whether the container runs; a start wakes the probes that wait for it.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
        if running {
            self.started.notify_waiters();
        }
    }

    /// How many of its containers were removed: a new one begins a new log.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    /// Its container was removed; another one may take its place.
    pub fn count_removed(&self) {
        self.removed.fetch_add(1, Ordering::Relaxed);
    }

    /// The height that the node's RPC last told.
    #[must_use]
    pub fn height(&self) -> Height {
        Height(self.height.load(Ordering::Relaxed))
    }

    /// Sets the height.
    pub fn set_height(&self, height: Height) {
        self.height.store(height.0, Ordering::Relaxed);
    }

    /// Waits for this long; less if the container starts meanwhile.
    pub async fn wait(&self, most: Duration) {
        let _ = tokio::time::timeout(most, self.started.notified()).await;
    }
}
