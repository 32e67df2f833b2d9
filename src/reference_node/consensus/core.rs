//! The core: its state, its one entry point and its timers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::ConsensusConfig;
use super::durable::{Durable, Kind};
use super::messages::{
    CommittedBlock, Input, Lock, Message, Micros, Mode, Output, PersistedView, Recovered,
    RoundPhase, Status, Write,
};
use super::round::{Candidate, Round};
use super::sync::{Peer, Sync};
use super::votes::Votes;
use crate::reference_node::chain::{BlockError, ChainState, Check, Rules};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::defects::Defect;
use crate::reference_node::genesis::Genesis;
use crate::reference_node::log::{Context, Event, Level};
use crate::reference_node::types::{Block, Certificate, Hash, NodeId, Phase};

/// The newest final and durable block.
pub(super) struct Head {
    pub(super) committed: CommittedBlock,
    pub(super) hash: Hash,
    pub(super) state: ChainState,
    /// When it became the head here.
    pub(super) since: Micros,
    /// As its leader: the commit votes, so that late ones still go into the next block.
    pub(super) votes: Option<Votes>,
}

/// The consensus state machine of one node of one shard.
pub struct Consensus<C> {
    pub(super) config: ConsensusConfig,
    pub(super) genesis: Arc<Genesis>,
    pub(super) crypto: C,
    pub(super) now: Micros,
    pub(super) head: Head,
    pub(super) round: Round,
    pub(super) durable: Durable,
    pub(super) sync: Sync,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Messages for the height after the one under agreement, a few of each peer.
    pub(super) early: Vec<(NodeId, Message)>,
    /// When the next block is due, by the schedule of the leader that made the last one.
    pub(super) next_proposal: Micros,
    /// None until a quorum was heard of since the start, then the time when proposals and timers begin.
    pub(super) gathered: Option<Micros>,
    pub(super) next_retry: Micros,
    pub(super) next_heartbeat: Micros,
    pub(super) view_changes: u64,
    /// The store was new at the start: it may be that of a node that lost its disk.
    pub(super) forgetful: bool,
    outputs: Vec<Output>,
}

impl<C: Crypto> Consensus<C> {
    /// At `now` the wall clock shows so many milliseconds. It only dates blocks: no timer goes by it.
    pub fn set_wall_clock(&mut self, now: Micros, wall_ms: u64) {
        self.config.wall_origin_ms = wall_ms.saturating_sub(now / 1_000);
    }

    /// Goes on from what the store held.
    pub fn restore(
        config: ConsensusConfig,
        genesis: Arc<Genesis>,
        crypto: C,
        recovered: Recovered,
        now: Micros,
    ) -> (Self, Vec<Output>) {
        let Recovered {
            fresh,
            head,
            state,
            lock,
            view,
        } = recovered;
        let me = config.node;
        let round = Round::after(&head, &genesis, me, now);
        let hash = head.block.hash();
        let peers = genesis
            .nodes(me.shard)
            .filter(|node| *node != me)
            .map(|node| (node, Peer::default()))
            .collect();
        let mut core = Self {
            next_retry: now + config.retry(),
            next_heartbeat: now + config.sync_interval.max(1),
            config,
            genesis,
            crypto,
            now,
            head: Head {
                committed: head,
                hash,
                state,
                since: now,
                votes: None,
            },
            round,
            durable: Durable::default(),
            sync: Sync::default(),
            peers,
            early: Vec::new(),
            next_proposal: now,
            gathered: None,
            view_changes: 0,
            forgetful: fresh,
            outputs: Vec::new(),
        };
        core.forget_signatures();
        if !fresh {
            core.resume(lock, view);
        }
        core.gather();
        let outputs = core.finish();
        (core, outputs)
    }

    /// A node that may have voted before its restart keeps silent in the views it may have voted in, and keeps its
    /// promises.
    fn resume(&mut self, lock: Option<Lock>, view: Option<PersistedView>) {
        let height = self.round.height;
        let lock = lock.filter(|lock| lock.height == height);
        let stored = view
            .filter(|view| view.height == height)
            .map_or(self.round.first_view, |view| view.view);
        let promised = stored
            .max(self.round.first_view)
            .max(lock.as_ref().map_or(0, |lock| lock.view));
        self.round.abstain = Some(promised);
        self.round.durable_view = promised;
        let in_view = lock.as_ref().is_some_and(|lock| lock.view == promised);
        if promised > self.round.first_view {
            self.round.enter(promised, !in_view, self.now);
        }
        if let Some(lock) = lock {
            self.resume_lock(lock, in_view);
        }
        if self.round.leader(promised) == self.me()
            && !in_view
            && self.round.position.is_some()
            && !self.leads_on_after_restart()
        {
            // It would be waited for in vain: nothing can be proposed in a view in which that may have happened before.
            self.start_view_change(promised.saturating_add(1));
        } else if self.round.changing {
            self.send_view_change();
        }
    }

    /// Takes up the stored lock again. If it is of the last view that this node was in, the commit vote that it stands
    /// for may have been lost: giving it again is no second vote.
    fn resume_lock(&mut self, lock: Lock, in_view: bool) {
        let hash = lock.certificate.payload.block;
        if let Err(error) = self.execute(&lock.block, hash, Check::Final) {
            // The block was executed before it was locked, so the store is damaged: a promise that cannot be kept is
            // answered by silence for the whole height.
            self.round.abstain = Some(u64::MAX);
            self.bad_block(self.me(), &lock.block, &error);
            return;
        }
        self.round.prepared = Some(lock);
        if !in_view {
            return;
        }
        self.round.proposal = Some(hash);
        self.set_phase(RoundPhase::Commit);
        if self.round.leader(self.round.view) == self.me() {
            self.round.commit_votes = Some(Votes::new(self.vote_payload(Phase::Commit, hash)));
        }
        self.give_commit_vote(hash);
        self.repeat();
    }

    /// One step. Inputs of an earlier time than the last one are taken at the last one's time.
    pub fn step(&mut self, now: Micros, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        match input {
            Input::Wake => {}
            Input::Message { from, message } => self.on_message(from, message),
            Input::WriteDone { id, result } => self.on_write_done(id, result),
            Input::Payload {
                height,
                view,
                payload,
            } => self.on_payload(height, view, &payload),
            Input::PeerConnected(peer) => self.on_peer_connected(peer),
            Input::PeerDisconnected(peer) => self.on_peer_disconnected(peer),
        }
        self.finish()
    }

    /// Runs the timers that are due and hands over what came out.
    fn finish(&mut self) -> Vec<Output> {
        self.run_timers();
        std::mem::take(&mut self.outputs)
    }

    fn run_timers(&mut self) {
        for (id, write) in self.durable.due(self.now) {
            self.outputs.push(Output::Write { id, write });
        }
        if self
            .round
            .grace_until
            .is_some_and(|until| until <= self.now)
        {
            self.close_commit();
        }
        if self
            .view_deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.on_view_timeout();
        }
        if self.next_retry <= self.now {
            self.next_retry = self.now + self.config.retry();
            if !self.config.defects.has(Defect::NoMessageRetry) {
                self.repeat();
            }
            self.keep_own_chain();
        }
        if self.next_heartbeat <= self.now {
            self.heartbeat();
        }
        self.run_sync();
        self.propose_if_due();
    }

    /// When `step` must be called with `Input::Wake`, if nothing comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Micros {
        let fixed = [Some(self.next_retry), Some(self.next_heartbeat)];
        let others = [
            self.round.grace_until,
            self.view_deadline(),
            self.proposal_time(),
            self.durable.deadline(),
            self.sync.deadline(),
        ];
        fixed
            .into_iter()
            .chain(others)
            .flatten()
            .min()
            .unwrap_or(self.next_retry)
    }

    /// Where consensus stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let round = &self.round;
        let leader = round.leader(round.agreed_view);
        Status {
            head: self.head.committed.clone(),
            height: round.height,
            view: round.agreed_view,
            view_change_id: round.view,
            mode: self.mode(),
            phase: round.phase,
            leader,
            epoch: round.epoch,
            in_committee: round.position.is_some(),
            is_leader: leader == self.config.node,
            write_failing: self.durable.is_failing(),
            best_peer_height: self.best_peer_height(),
            view_changes: self.view_changes,
        }
    }

    /// The state after the head.
    #[must_use]
    pub fn state(&self) -> &ChainState {
        &self.head.state
    }

    pub(super) fn mode(&self) -> Mode {
        if self.sync.is_behind() {
            Mode::Syncing
        } else if self.round.position.is_none() {
            Mode::Listening
        } else if self.round.changing {
            Mode::ViewChanging
        } else {
            Mode::Normal
        }
    }

    // --- What all parts use.

    pub(super) fn me(&self) -> NodeId {
        self.config.node
    }

    pub(super) fn emit(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        if to != self.me() {
            self.emit(Output::Send {
                to: vec![to],
                message,
            });
        }
    }

    pub(super) fn send_all(&mut self, to: Vec<NodeId>, message: Message) {
        if !to.is_empty() {
            self.emit(Output::Send { to, message });
        }
    }

    /// Members of the committee other than this node.
    pub(super) fn other_members(&self) -> Vec<NodeId> {
        let me = self.me();
        self.round
            .committee
            .members
            .iter()
            .map(|member| member.node)
            .filter(|node| *node != me)
            .collect()
    }

    pub(super) fn write(&mut self, kind: Kind, write: Write) {
        let id = self.durable.issue(kind, write.clone());
        self.emit(Output::Write { id, write });
    }

    pub(super) fn logs(&self, level: Level) -> bool {
        level >= self.config.log_level
    }

    pub(super) fn log(&mut self, event: Event) {
        if self.logs(event.level) {
            let context = Context {
                shard: self.config.node.shard.0.into(),
                block: self.round.height,
                view: self.round.agreed_view,
                phase: self.round.phase.name(),
                mode: self.mode().name(),
            };
            self.emit(Output::Log { context, event });
        }
    }

    /// Whether the certificate proves this phase of a block at the height under agreement.
    pub(super) fn proves(&self, certificate: &Certificate, phase: Phase) -> bool {
        certificate.payload.phase == phase
            && certificate.payload.height == self.round.height
            && certificate.payload.view >= self.round.first_view
            && self
                .crypto
                .verify_certificate(&self.round.committee, certificate)
    }

    /// Executes a block on the head's state, once, and keeps it.
    pub(super) fn execute(
        &mut self,
        block: &Arc<Block>,
        hash: Hash,
        check: Check,
    ) -> Result<(), BlockError> {
        if self.round.candidate(hash).is_some() {
            return Ok(());
        }
        let rules = Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        };
        let header = &self.head.committed.block.header;
        let state = rules.validate_block(header, &self.head.state, block, check)?;
        self.round.keep(Candidate {
            hash,
            block: Arc::clone(block),
            state,
        });
        Ok(())
    }

    pub(super) fn bad_block(&mut self, from: NodeId, block: &Block, error: &BlockError) {
        let event = Event::new(Level::Error, "[validateNewBlock] Block verification failed")
            .field("blockNum", block.header.height)
            .field("sender", from.to_string())
            .error(error);
        self.log(event);
    }

    /// The phase for status and log lines.
    pub(super) fn set_phase(&mut self, phase: RoundPhase) {
        self.round.phase = phase;
    }

    /// Quorum heard of since the start: proposals and timers may begin. Before, they could only do harm: a leader
    /// would talk to nobody, and a validator would leave a view that never had a chance.
    pub(super) fn gather(&mut self) {
        if self.gathered.is_some_and(|at| at <= self.now) {
            return;
        }
        let me = self.me();
        let heard =
            |node: NodeId| node == me || self.peers.get(&node).is_some_and(|peer| peer.heard);
        let members = &self.round.committee.members;
        let power = members
            .iter()
            .filter(|member| heard(member.node))
            .map(|member| member.power)
            .sum();
        self.gathered = if members.iter().all(|member| heard(member.node)) {
            Some(self.now)
        } else if self.round.committee.is_quorum(power) {
            self.gathered.or(Some(self.now + self.config.gathering()))
        } else {
            None
        };
    }
}
