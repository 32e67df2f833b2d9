//! What the node shows of itself: written by the node's task, read by RPC and metrics, never waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::reference_node::chain::ChainState;
use crate::reference_node::consensus::{CommittedBlock, Status};
use crate::reference_node::genesis::Genesis;
use crate::reference_node::load::inclusion::Inclusion;
use crate::reference_node::mempool::Sizes;
use crate::reference_node::types::{Hash, Height, NodeId};

/// Newest blocks kept in memory, so that pollers who compare hashes at a common height need no disk.
const RECENT: usize = 64;

/// What never changes, and what does.
pub struct Published {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This node.
    pub node: NodeId,
    /// Whether it keeps all blocks.
    pub archive: bool,
    /// Start of the process, in seconds since 1970.
    pub started: u64,
    /// Peers that a link is wanted with.
    pub wanted_peers: usize,
    live: Mutex<Live>,
}

/// What changes.
pub struct Live {
    /// Where consensus stands.
    pub status: Status,
    /// The state after the head.
    pub state: ChainState,
    /// Newest blocks with their hashes, oldest first; the last one is the head.
    pub recent: VecDeque<(Hash, CommittedBlock)>,
    /// Peers whose link is up.
    pub connected: Vec<NodeId>,
    /// Transfers that wait.
    pub pool: Sizes,
    /// Receipts from other shards that wait for a block.
    pub pending_receipts: usize,
    /// Numbers for metrics.
    pub tallies: Tallies,
}

/// Counts since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies {
    /// Blocks committed.
    pub blocks: u64,
    /// Those of them that came by state sync.
    pub synced_blocks: u64,
    /// Those of them that this node led.
    pub led_blocks: u64,
    /// Transfers in committed blocks.
    pub transactions: u64,
    /// Receipts executed in committed blocks.
    pub receipts: u64,
    /// Consensus messages that could not be read.
    pub malformed: u64,
    /// Consensus messages received.
    pub consensus_messages: u64,
    /// Other messages received.
    pub gossip_messages: u64,
    /// Transfers refused by the pool.
    pub refused_transactions: u64,
    /// Batches and headers from other shards that were wrong.
    pub refused_cross_shard: u64,
    /// Batches pushed again because nobody acknowledged them.
    pub repeated_batches: u64,
    /// Transfers made by the load generator.
    pub load_made: u64,
    /// Transfers that the load generator held back.
    pub load_held_back: u64,
    /// Transfers that it was too late for.
    pub load_missed: u64,
    /// What became of those that it made.
    pub inclusion: Inclusion,
}

impl Published {
    /// Shows a node that has just started.
    #[must_use]
    pub fn new(
        genesis: Arc<Genesis>,
        node: NodeId,
        archive: bool,
        wanted_peers: usize,
        status: Status,
        state: ChainState,
    ) -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |passed| passed.as_secs());
        let recent = VecDeque::from([(status.head.block.hash(), status.head.clone())]);
        let live = Live {
            status,
            state,
            recent,
            connected: Vec::new(),
            pool: Sizes::default(),
            pending_receipts: 0,
            tallies: Tallies::default(),
        };
        Self {
            genesis,
            node,
            archive,
            started,
            wanted_peers,
            live: Mutex::new(live),
        }
    }

    /// Looks at what changes. Hold it briefly: the node's task waits for it.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        // What is shown is replaced as a whole: a panic of a reader leaves nothing half-done.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// A new head. One that does not follow the last (a snapshot) starts the recent blocks anew.
    pub(super) fn push(&mut self, committed: &CommittedBlock, state: &ChainState) {
        let follows = self.head().1.block.header.height + 1 == committed.block.header.height;
        if !follows {
            self.recent.clear();
        }
        self.recent
            .push_back((committed.block.hash(), committed.clone()));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.state = state.clone();
    }

    /// The head and its hash.
    #[must_use]
    pub fn head(&self) -> &(Hash, CommittedBlock) {
        self.recent
            .back()
            .expect("invariant: never empty, it begins with the head and each push adds one")
    }

    /// A recent block by height.
    #[must_use]
    pub fn recent(&self, height: Height) -> Option<&(Hash, CommittedBlock)> {
        let oldest = self.recent.front()?.1.block.header.height;
        self.recent
            .get(usize::try_from(height.checked_sub(oldest)?).ok()?)
    }
}
