//! What goes into the consensus core and what comes out of it: peer messages, inputs, outputs, durable writes, status.
//!
//! Everything here is data. `Message` is what crosses the network between nodes of one shard; the shell encodes it.
//! Blocks travel as `Arc`, so that sending to many peers and keeping one's own copy costs no copy.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::reference_node::chain::{ChainState, Payload, TransactionError};
use crate::reference_node::log;
use crate::reference_node::types::{Block, Certificate, Hash, NodeId, Signature, Transaction};

/// Microseconds since an origin that the shell chooses once per process (a monotonic clock).
pub type Micros = u64;

/// Names one durable write until its result comes back. Grows by one per write, never reused in a process.
pub type WriteId = u64;

/// What nodes of one shard say to each other. The network authenticates the sender; votes that end up in
/// certificates or in a new-view message carry their own signatures too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Leader to all: a block for this height and the height's first view.
    Announce(Proposal),
    /// Validator to leader: the block is good.
    Prepare(Vote),
    /// Leader to all: more than two thirds of the power prepared this block. The block itself goes to those whose
    /// prepare vote is missing.
    Prepared {
        /// The prepare certificate.
        certificate: Certificate,
        /// The block, for receivers that may not have it.
        block: Option<Arc<Block>>,
    },
    /// Validator to leader: the prepared block is durable here as the lock.
    Commit(Vote),
    /// Anyone to anyone: this block is final.
    Committed {
        /// The commit certificate.
        certificate: Certificate,
        /// The block, for receivers that may not have it.
        block: Option<Arc<Block>>,
    },
    /// Validator to all: this height needs another leader.
    ViewChange {
        /// The signed vote.
        vote: ViewChangeVote,
        /// The block of the vote's lock, in the copy for the leader of the view asked for.
        block: Option<Arc<Block>>,
    },
    /// New leader to all: a quorum of view-change votes, and the block that follows from them.
    NewView(NewView),
    /// Where the sender's chain stands; a greeting, a heartbeat of a silent shard, and the answer to `StatusRequest`.
    Status(HeadStatus),
    /// Asks for committed blocks from this height on.
    BlocksRequest {
        /// First height wanted.
        from: u64,
        /// At most so many.
        count: u32,
    },
    /// Answer to `BlocksRequest`: consecutive heights, each with its commit certificate. Empty: none to give.
    Blocks(Vec<CommittedBlock>),
    /// Answer to `BlocksRequest`: the height asked for is pruned here, the oldest one left is this.
    Pruned {
        /// Oldest height that the sender still has.
        oldest: u64,
    },
    /// Asks for the newest state, from a node whose peers have pruned what it lacks.
    SnapshotRequest,
    /// Answer to `SnapshotRequest`.
    Snapshot(Box<Snapshot>),
    /// Asks for the body of a block under agreement whose certificate is known.
    BodyRequest {
        /// Height of the block.
        height: u64,
        /// Hash of the block.
        hash: Hash,
    },
    /// Answer to `BodyRequest`.
    Body(Arc<Block>),
}

impl Message {
    /// The message's name in logs and metrics, in Harmony's spelling where it has one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Announce(_) => "ANNOUNCE",
            Self::Prepare(_) => "PREPARE",
            Self::Prepared { .. } => "PREPARED",
            Self::Commit(_) => "COMMIT",
            Self::Committed { .. } => "COMMITTED",
            Self::ViewChange { .. } => "VIEWCHANGE",
            Self::NewView(_) => "NEWVIEW",
            Self::Status(_) => "STATUS",
            Self::BlocksRequest { .. } => "BLOCKS_REQUEST",
            Self::Blocks(_) => "BLOCKS",
            Self::Pruned { .. } => "PRUNED",
            Self::SnapshotRequest => "SNAPSHOT_REQUEST",
            Self::Snapshot(_) => "SNAPSHOT",
            Self::BodyRequest { .. } => "BODY_REQUEST",
            Self::Body(_) => "BODY",
        }
    }
}

/// A block proposed at a height in a view. The view may be later than the one in the block's header when a new
/// leader finishes an older leader's block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Height under agreement.
    pub height: u64,
    /// View of the proposal.
    pub view: u64,
    /// The block.
    pub block: Arc<Block>,
}

/// A signed prepare or commit vote. The voter is the authenticated sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Height under agreement.
    pub height: u64,
    /// View voted in.
    pub view: u64,
    /// Hash of the block voted for.
    pub block_hash: Hash,
    /// Signature over the vote payload.
    pub signature: Signature,
}

/// A signed wish for a later view. The highest prepared block that the voter knows goes with it, so that a block that
/// may be committed somewhere is carried over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChangeVote {
    /// Who votes.
    pub voter: NodeId,
    /// Height under agreement.
    pub height: u64,
    /// View asked for.
    pub view: u64,
    /// Prepare certificate of the highest prepared block, if any.
    pub prepared: Option<Certificate>,
    /// Signature over height, view and the prepared block's view and hash.
    pub signature: Signature,
}

/// A new leader's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// Height under agreement.
    pub height: u64,
    /// The new view.
    pub view: u64,
    /// A quorum of votes for exactly this view.
    pub votes: Vec<ViewChangeVote>,
    /// The block with the highest prepared view among the votes, else a fresh block.
    pub block: Arc<Block>,
}

/// Where a node's chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadStatus {
    /// Height of the newest durable block.
    pub height: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A final block and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// The commit certificate; only the genesis block has none.
    pub certificate: Option<Certificate>,
}

/// A state to start from without the blocks before it, as it crosses the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The block after which the state holds.
    pub head: CommittedBlock,
    /// The state's rows; the root of the state they make must be the one in the head's header.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A prepared block that this node promised to carry over. Durable before the commit vote is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Height of the block.
    pub height: u64,
    /// View it was prepared in.
    pub view: u64,
    /// The prepare certificate.
    pub certificate: Certificate,
    /// The block.
    pub block: Arc<Block>,
}

/// The view that this node moved to. Durable before anything is said in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedView {
    /// Height under agreement.
    pub height: u64,
    /// The view.
    pub view: u64,
}

/// What must be on disk before the core goes on. The shell makes writes durable in the order they were asked for and
/// answers each with `Input::WriteDone`. A failed write may or may not have left its content behind.
#[derive(Clone, Debug)]
pub enum Write {
    /// Replaces the stored lock.
    Lock(Lock),
    /// Replaces the stored view.
    View(PersistedView),
    /// Appends a block: block, commit certificate, state after it; head moves to it. One transaction. A repetition of
    /// a write that failed before may find the block already there: that is success.
    Block {
        /// Block and certificate.
        committed: CommittedBlock,
        /// State before the block, from which the store can tell what changed.
        previous: ChainState,
        /// State after the block.
        state: ChainState,
    },
    /// Replaces the whole chain by a head and its state. One transaction; a repetition may find it done.
    Snapshot {
        /// The new head.
        head: CommittedBlock,
        /// The state after it.
        state: ChainState,
    },
}

/// What happens to the core.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one input lives at a time, and is taken apart at once"
)]
pub enum Input {
    /// Time passed: `next_deadline` is reached.
    Wake,
    /// A peer of the own shard said something.
    Message {
        /// The authenticated sender.
        from: NodeId,
        /// What it said.
        message: Message,
    },
    /// A write ended; the error is the store's own words.
    WriteDone {
        /// Which write.
        id: WriteId,
        /// How it ended.
        result: Result<(), String>,
    },
    /// Answer to `Output::PayloadWanted`, given at once.
    Payload {
        /// The height asked for.
        height: u64,
        /// The view asked for.
        view: u64,
        /// What goes into the block.
        payload: Payload,
    },
    /// A link to a peer of the own shard came up.
    PeerConnected(NodeId),
    /// The last link to a peer of the own shard went down.
    PeerDisconnected(NodeId),
}

/// What the core wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send to these nodes of the own shard, best effort. Never contains the node itself.
    Send {
        /// Receivers; several so that the shell encodes once.
        to: Vec<NodeId>,
        /// The message.
        message: Message,
    },
    /// Make durable, then answer with `Input::WriteDone`.
    Write {
        /// Names the write in the answer.
        id: WriteId,
        /// What to write.
        write: Write,
    },
    /// The leader is about to build this block: answer with `Input::Payload` at once (the block time has come).
    PayloadWanted {
        /// Height to be proposed.
        height: u64,
        /// View to be proposed in.
        view: u64,
    },
    /// These of the last payload could not be executed, and why; others may be refused later for their sake.
    Refused(Vec<(Transaction, TransactionError)>),
    /// Read committed blocks from the store and send them (`Message::Blocks`), or `Message::Pruned`.
    ServeBlocks {
        /// Who asked.
        to: NodeId,
        /// First height wanted.
        from: u64,
        /// At most so many; the shell also bounds the bytes.
        count: u32,
    },
    /// A block is final and durable here, and is the new head.
    Committed {
        /// Block and certificate.
        committed: CommittedBlock,
        /// State after it.
        state: ChainState,
        /// Whether it came by state sync.
        synced: bool,
    },
    /// The head was replaced by a snapshot.
    SnapshotInstalled {
        /// The new head.
        head: CommittedBlock,
        /// The state after it.
        state: ChainState,
    },
    /// A line for the log.
    Log {
        /// Where consensus stood.
        context: log::Context,
        /// What happened.
        event: log::Event,
    },
}

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// In the committee and agreeing.
    Normal,
    /// Asked for another leader and waits for it.
    ViewChanging,
    /// Behind its peers and fetching blocks. Timers go on.
    Syncing,
    /// Not in the committee: follows and never signs.
    Listening,
}

impl Mode {
    /// Harmony's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::ViewChanging => "ViewChanging",
            Self::Syncing => "Syncing",
            Self::Listening => "Listening",
        }
    }
}

/// Where a node is within one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoundPhase {
    /// Waits for a proposal, or for the time to make it.
    Announce,
    /// Proposal seen, prepare votes under way.
    Prepare,
    /// Prepared, commit votes under way, or the block is being written.
    Commit,
}

impl RoundPhase {
    /// Harmony's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Announce => "Announce",
            Self::Prepare => "Prepare",
            Self::Commit => "Commit",
        }
    }
}

/// Where consensus stands, for RPC and metrics. Cheap to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Newest durable block with its certificate.
    pub head: CommittedBlock,
    /// Height under agreement: head + 1.
    pub height: u64,
    /// View under agreement.
    pub view: u64,
    /// The view asked for while changing views, else `view`.
    pub view_change_id: u64,
    /// How the node takes part.
    pub mode: Mode,
    /// Where it is within the block.
    pub phase: RoundPhase,
    /// Leader of `view` at `height`.
    pub leader: NodeId,
    /// Epoch of `height`.
    pub epoch: u64,
    /// Whether this node is in the committee of that epoch.
    pub in_committee: bool,
    /// Whether this node is `leader`.
    pub is_leader: bool,
    /// Whether a block or promise of this node waits for a write that failed before.
    pub write_failing: bool,
    /// Highest height that any peer claimed.
    pub best_peer_height: u64,
    /// View changes that this node started since its start.
    pub view_changes: u64,
}

/// What the store held at the start.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// True only when this very start created the store: a node that may have voted before is not fresh.
    pub fresh: bool,
    /// Newest durable block.
    pub head: CommittedBlock,
    /// State after it.
    pub state: ChainState,
    /// The stored lock, whatever its height.
    pub lock: Option<Lock>,
    /// The stored view, whatever its height.
    pub view: Option<PersistedView>,
}
