//! Everything about the one height under agreement. Replaced as a whole when the head moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::messages::{CommittedBlock, Lock, Message, Micros, NewView, RoundPhase, ViewChangeVote};
use super::votes::Votes;
use crate::reference_node::chain::ChainState;
use crate::reference_node::genesis::Genesis;
use crate::reference_node::types::{Block, Certificate, Committee, Hash, NodeId};

/// Blocks of one height kept at once: the proposal, the prepared one, and two that lost.
const MAX_CANDIDATES: usize = 4;

/// A block that was executed on the head's state and is good.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) hash: Hash,
    pub(super) block: Arc<Block>,
    pub(super) state: ChainState,
}

/// A vote for another view, with the block that the voter sent along.
pub(super) struct ReceivedViewChange {
    pub(super) vote: ViewChangeVote,
    pub(super) block: Option<Arc<Block>>,
}

/// The height under agreement.
pub(super) struct Round {
    pub(super) height: u64,
    pub(super) epoch: u64,
    pub(super) committee: Arc<Committee>,
    /// Own seat.
    pub(super) position: Option<usize>,
    pub(super) first_view: u64,
    /// Committee position of the leader of `first_view`.
    base: u64,
    /// The view that this node is in, or has asked for while `changing`. Invariant: it never goes back, and nothing
    /// is signed in a lower view.
    pub(super) view: u64,
    /// Asked for `view` and waits for its new leader.
    pub(super) changing: bool,
    /// The last view that this node agreed in.
    pub(super) agreed_view: u64,
    /// No vote and no proposal in views up to this one: this node may have given them before it was restarted.
    pub(super) abstain: Option<u64>,
    pub(super) phase: RoundPhase,
    /// When `view` was entered.
    pub(super) entered: Micros,
    /// When votes of a quorum for `view` or later ones were first here. Only then does a wait for a new leader end.
    pub(super) quorum_seen: Option<Micros>,
    pub(super) candidates: Vec<Candidate>,
    /// Hash of the block proposed in `view`; the first one counts.
    pub(super) proposal: Option<Hash>,
    /// An announcement of the first leader was not of the number that it said. Only a defect asks for it.
    pub(super) mismatched: bool,
    /// The payload for a proposal was asked for.
    pub(super) payload_wanted: bool,
    /// The highest prepared block known, with its body.
    pub(super) prepared: Option<Lock>,
    /// A prepare certificate whose body is missing.
    pub(super) prepared_without_body: Option<Certificate>,
    /// A commit certificate: the block is final, its body missing or its write under way.
    pub(super) committed: Option<Certificate>,
    /// The final block came by state sync.
    pub(super) synced: bool,
    /// Highest view on disk for this height.
    pub(super) durable_view: u64,
    /// A prepare vote waits for the view to be durable.
    pub(super) prepare_waits: bool,
    /// The own vote last sent in `view`, and to whom, for repetition.
    pub(super) sent: Option<(NodeId, Message)>,
    /// As leader: prepare votes of the proposal.
    pub(super) prepare_votes: Option<Votes>,
    /// As leader: commit votes of the prepared proposal.
    pub(super) commit_votes: Option<Votes>,
    /// As leader: commit votes are a quorum, more are waited for until then.
    pub(super) grace_until: Option<Micros>,
    /// Votes for other views, the newest of each voter, the own one included.
    pub(super) view_changes: BTreeMap<NodeId, ReceivedViewChange>,
    /// As leader of a later view: what opened it, for repetition.
    pub(super) new_view: Option<NewView>,
    /// Votes of an unfinished new view: they wait for a payload.
    pub(super) new_view_votes: Option<Vec<ViewChangeVote>>,
}

impl Round {
    /// The height after `head`.
    pub(super) fn after(head: &CommittedBlock, genesis: &Genesis, me: NodeId, now: Micros) -> Self {
        let header = &head.block.header;
        let height = header.height + 1;
        let epoch = genesis.epoch_of(height);
        let committee = Arc::new(genesis.committee(header.shard, epoch));
        // The leader stays until a view change or the end of the epoch.
        let base = if epoch == header.epoch {
            committee.position(header.leader).unwrap_or(0) as u64
        } else {
            0
        };
        let first_view = header.view.saturating_add(1);
        Self {
            height,
            epoch,
            position: committee.position(me),
            committee,
            first_view,
            base,
            view: first_view,
            changing: false,
            agreed_view: first_view,
            abstain: None,
            phase: RoundPhase::Announce,
            entered: now,
            quorum_seen: None,
            candidates: Vec::new(),
            proposal: None,
            mismatched: false,
            payload_wanted: false,
            prepared: None,
            prepared_without_body: None,
            committed: None,
            synced: false,
            durable_view: first_view,
            prepare_waits: false,
            sent: None,
            prepare_votes: None,
            commit_votes: None,
            grace_until: None,
            view_changes: BTreeMap::new(),
            new_view: None,
            new_view_votes: None,
        }
    }

    /// Who leads a view.
    pub(super) fn leader(&self, view: u64) -> NodeId {
        self.committee
            .at(self.base.wrapping_add(view.saturating_sub(self.first_view)))
    }

    /// Whether this node must neither vote nor propose in its view.
    pub(super) fn abstains(&self) -> bool {
        self.abstain.is_some_and(|abstain| self.view <= abstain)
    }

    /// Forgets what belonged to the view before and enters `view`.
    pub(super) fn enter(&mut self, view: u64, changing: bool, now: Micros) {
        self.view = view;
        self.changing = changing;
        if !changing {
            self.agreed_view = view;
        }
        self.entered = now;
        self.quorum_seen = None;
        self.phase = RoundPhase::Announce;
        self.proposal = None;
        self.payload_wanted = false;
        self.prepare_waits = false;
        self.sent = None;
        self.prepare_votes = None;
        self.commit_votes = None;
        self.grace_until = None;
        self.new_view = None;
        self.new_view_votes = None;
        self.prepared_without_body
            .take_if(|certificate| certificate.payload.view < view);
    }

    /// The executed block of this hash.
    pub(super) fn candidate(&self, hash: Hash) -> Option<&Candidate> {
        self.candidates
            .iter()
            .find(|candidate| candidate.hash == hash)
    }

    /// Keeps an executed block; the oldest one that nothing refers to makes room.
    pub(super) fn keep(&mut self, candidate: Candidate) {
        if self.candidates.len() >= MAX_CANDIDATES {
            let prepared = self
                .prepared
                .as_ref()
                .map(|lock| lock.certificate.payload.block);
            let needed = [
                self.proposal,
                prepared,
                self.committed
                    .as_ref()
                    .map(|certificate| certificate.payload.block),
            ];
            if let Some(index) = self
                .candidates
                .iter()
                .position(|old| !needed.contains(&Some(old.hash)))
            {
                self.candidates.remove(index);
            }
        }
        self.candidates.push(candidate);
    }

    /// View of the highest prepared block.
    pub(super) fn prepared_view(&self) -> Option<u64> {
        self.prepared.as_ref().map(|lock| lock.view)
    }
}
