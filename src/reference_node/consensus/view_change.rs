//! Replacing a leader: view-change votes, joining, the new view.
//!
//! ```text
//!                 timeout, or a third of the power asks for a later view
//!  Normal(v) -----------------------------------------------------------> Changing(w)   View(w) durable, then VIEWCHANGE(w)
//!     ^                                                                     |      |
//!     |   NEWVIEW(w) or a certificate of a view >= w                        |      |  quorum for >= w seen, and no leader
//!     +---------------------------------------------------------------------+      +--> Changing(w + 1)
//! ```
//!
//! A node goes on from Changing(w) to Changing(w + 1) only when a quorum asked for w or later: alone or in a minority
//! it keeps repeating its vote. So views never run apart while nobody listens, and a heal is answered by the first
//! repetition.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::Consensus;
use super::durable::Kind;
use super::messages::{Message, Micros, NewView, PersistedView, ViewChangeVote, Write};
use super::round::ReceivedViewChange;
use crate::reference_node::chain::Check;
use crate::reference_node::crypto::{Crypto, Domain};
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{Block, Certificate, Hash, NodeId, Phase, Signature, encode};

impl<C: Crypto> Consensus<C> {
    // --- Leaving a view.

    /// When the patience with the current view ends.
    pub(super) fn view_deadline(&self) -> Option<Micros> {
        let round = &self.round;
        let gathered = self.gathered?;
        if round.position.is_none() || self.is_decided() {
            return None;
        }
        let patience = self
            .config
            .patience(round.view.saturating_sub(round.first_view));
        let deadline = round.entered.max(gathered) + patience;
        if !round.changing {
            return Some(deadline);
        }
        let seen = round
            .quorum_seen
            .filter(|_| !self.durable.waits(Kind::View))?;
        if round
            .committee
            .is_quorum(self.power_asking(|asked| asked == round.view))
        {
            // Its leader has all it needs. Growing patience is for slow leaders: one that has not even asked for its
            // own view is gone, and several of them in a row must not cost more than the recovery budget.
            let leader = round.view_changes.get(&round.leader(round.view));
            let speaks = leader.is_some_and(|known| known.vote.view == round.view);
            let least = seen + self.config.view_change_timeout;
            return Some(if speaks { deadline.max(least) } else { least });
        }
        // A quorum wants to go on and some of it is further: follow, one view a repetition.
        Some(seen + self.config.retry())
    }

    pub(super) fn on_view_timeout(&mut self) {
        self.start_view_change(self.round.view.saturating_add(1));
    }

    /// Asks for `view`, which is later than the current one.
    pub(super) fn start_view_change(&mut self, view: u64) {
        self.view_changes += 1;
        if self.logs(Level::Warn) {
            let failed_views = view.saturating_sub(self.round.first_view);
            let event = Event::new(Level::Warn, "[startViewChange]")
                .field("nextViewID", view)
                .field("viewChangingID", self.round.view)
                .field(
                    "timeoutDuration",
                    self.config.patience(failed_views) / 1_000,
                )
                .field("NextLeader", self.round.leader(view).to_string());
            self.log(event);
        }
        self.round.enter(view, true, self.now);
        self.durable.forget(Kind::Lock);
        if self.round.durable_view >= view {
            self.send_view_change();
        } else {
            self.write(
                Kind::View,
                Write::View(PersistedView {
                    height: self.round.height,
                    view,
                }),
            );
        }
    }

    pub(super) fn on_view_durable(&mut self, stored: PersistedView) {
        if stored.height != self.round.height || self.is_decided() {
            return;
        }
        self.round.durable_view = self.round.durable_view.max(stored.view);
        if self.round.view != stored.view {
            return;
        }
        if self.round.changing {
            self.send_view_change();
        } else if self.round.prepare_waits {
            self.send_prepare();
        }
    }

    /// Votes for the view that is now durable.
    pub(super) fn send_view_change(&mut self) {
        let view = self.round.view;
        let prepared = self.round.prepared.as_ref().filter(|lock| lock.view < view);
        let block = prepared.map(|lock| Arc::clone(&lock.block));
        let prepared = prepared.map(|lock| lock.certificate.clone());
        let message = self.view_change_bytes(view, prepared.as_ref());
        let signature = self.crypto.sign(Domain::ViewChange, &message);
        let vote = ViewChangeVote {
            voter: self.me(),
            height: self.round.height,
            view,
            prepared,
            signature,
        };
        self.round
            .view_changes
            .insert(self.me(), ReceivedViewChange { vote, block });
        self.repeat_view_change();
        self.after_view_change_votes();
    }

    /// Says the own vote, with the locked block to the leader who needs it.
    pub(super) fn repeat_view_change(&mut self) {
        let Some(own) = self.round.view_changes.get(&self.me()) else {
            return;
        };
        if own.vote.view != self.round.view {
            return;
        }
        let (vote, block) = (own.vote.clone(), own.block.clone());
        let leader = self.round.leader(vote.view);
        let others = self
            .other_members()
            .into_iter()
            .filter(|node| *node != leader)
            .collect();
        self.send(
            leader,
            Message::ViewChange {
                vote: vote.clone(),
                block,
            },
        );
        self.send_all(others, Message::ViewChange { vote, block: None });
    }

    fn view_change_bytes(&self, view: u64, prepared: Option<&Certificate>) -> Vec<u8> {
        let prepared =
            prepared.map(|certificate| (certificate.payload.view, certificate.payload.block));
        encode(&(self.me().shard, self.round.height, view, prepared))
    }

    // --- Votes of others.

    pub(super) fn on_view_change(
        &mut self,
        from: NodeId,
        vote: ViewChangeVote,
        block: Option<Arc<Block>>,
    ) {
        if self.is_decided() || vote.voter != from || self.round.position.is_none() {
            return;
        }
        let known = self.round.view_changes.get(&from);
        if known.is_some_and(|known| known.vote.view > vote.view) {
            return;
        }
        if known.is_none_or(|known| known.vote != vote) && !self.is_good_vote(&vote) {
            return;
        }
        self.help_out(from, vote.view);
        let wanted = vote
            .prepared
            .as_ref()
            .map(|certificate| certificate.payload.block);
        let block = block.filter(|block| Some(block.hash()) == wanted);
        let block = block.or_else(|| {
            self.round
                .view_changes
                .get(&from)
                .and_then(|known| known.block.clone())
        });
        self.round
            .view_changes
            .insert(from, ReceivedViewChange { vote, block });
        self.after_view_change_votes();
    }

    /// Whether a vote is of a member, for this height, and proves what it says.
    fn is_good_vote(&self, vote: &ViewChangeVote) -> bool {
        if vote.height != self.round.height || vote.view <= self.round.first_view {
            return false;
        }
        if self.round.committee.position(vote.voter).is_none() {
            return false;
        }
        if let Some(certificate) = &vote.prepared
            && (certificate.payload.view >= vote.view || !self.proves(certificate, Phase::Prepare))
        {
            return false;
        }
        let message = self.view_change_bytes(vote.view, vote.prepared.as_ref());
        let signature: &Signature = &vote.signature;
        self.crypto
            .verify(vote.voter, Domain::ViewChange, &message, signature)
    }

    /// The voter waits for something that this node has: the new view, or a certificate of it.
    fn help_out(&mut self, from: NodeId, view: u64) {
        if self.round.changing || self.round.view < view {
            return;
        }
        if self.round.prepared_view() >= Some(view) {
            self.say_prepared(vec![from]);
        } else if self.round.new_view.is_some() {
            self.say_proposal(vec![from]);
        }
    }

    /// Draws the conclusions from the votes at hand: join, note a quorum, lead.
    fn after_view_change_votes(&mut self) {
        if let Some(view) = self.view_to_join() {
            self.start_view_change(view);
            return;
        }
        if self.round.changing && self.round.quorum_seen.is_none() {
            let view = self.round.view;
            if self
                .round
                .committee
                .is_quorum(self.power_asking(|asked| asked >= view))
            {
                self.round.quorum_seen = Some(self.now);
            }
        }
        self.try_new_view();
    }

    fn power_asking(&self, condition: impl Fn(u64) -> bool) -> u64 {
        let asks = |node: &NodeId| {
            self.round
                .view_changes
                .get(node)
                .is_some_and(|known| condition(known.vote.view))
        };
        let members = self.round.committee.members.iter();
        members
            .filter(|member| asks(&member.node))
            .map(|member| member.power)
            .sum()
    }

    /// The smallest later view for which, or for later ones, so many ask that one of them must be honest.
    fn view_to_join(&self) -> Option<u64> {
        let current = self.round.view;
        let mut views: Vec<u64> = self
            .round
            .view_changes
            .values()
            .map(|known| known.vote.view)
            .collect();
        views.retain(|view| *view > current);
        views.sort_unstable();
        let reached = |view: u64| {
            self.round
                .committee
                .has_honest(self.power_asking(|asked| asked >= view))
        };
        views.into_iter().rev().find(|view| reached(*view))
    }

    // --- Opening and entering a view.

    /// As leader of the view asked for: opens it once a quorum asks for exactly this view.
    pub(super) fn try_new_view(&mut self) {
        let view = self.round.view;
        let round = &self.round;
        let mine = round.changing
            && round.leader(view) == self.me()
            && round.durable_view >= view
            && !round.abstains();
        if !mine || round.payload_wanted || self.is_decided() {
            return;
        }
        if !round
            .committee
            .is_quorum(self.power_asking(|asked| asked == view))
            || self.cannot_take_over()
        {
            return;
        }
        let votes: Vec<ViewChangeVote> = round
            .view_changes
            .values()
            .map(|known| &known.vote)
            .filter(|vote| vote.view == view)
            .cloned()
            .collect();
        let Some(prepared) = highest_prepared(&votes).cloned() else {
            self.round.new_view_votes = Some(votes);
            self.want_payload();
            return;
        };
        let hash = prepared.payload.block;
        let sent = self
            .round
            .view_changes
            .values()
            .filter_map(|known| known.block.clone());
        let sent = sent.into_iter().find(|block| block.hash() == hash);
        match self.body(self.me(), hash, sent.as_ref()) {
            Some(block) => self.open_new_view(votes, block, hash),
            None => self.ask_for_body(),
        }
    }

    /// Hash of the block that a new leader must carry over and does not have.
    pub(super) fn wanted_for_new_view(&self) -> Option<Hash> {
        let view = self.round.view;
        if !self.round.changing || self.round.leader(view) != self.me() {
            return None;
        }
        let votes = self
            .round
            .view_changes
            .values()
            .map(|known| &known.vote)
            .filter(|vote| vote.view == view);
        let certificate = votes
            .filter_map(|vote| vote.prepared.as_ref())
            .max_by_key(|prepared| prepared.payload.view)?;
        let hash = certificate.payload.block;
        self.round.candidate(hash).is_none().then_some(hash)
    }

    pub(super) fn open_new_view(
        &mut self,
        votes: Vec<ViewChangeVote>,
        block: Arc<Block>,
        hash: Hash,
    ) {
        let view = self.round.view;
        self.round.enter(view, false, self.now);
        self.next_proposal = self.now + self.config.interval;
        let event = Event::new(
            Level::Info,
            "[startNewView] viewChange stopped. I am the New Leader",
        );
        self.log(
            event
                .field("viewID", view)
                .field("myKey", self.me().to_string()),
        );
        self.open_prepare(hash);
        self.round.new_view = Some(NewView {
            height: self.said_height(),
            view,
            votes,
            block,
        });
        let others = self.other_members();
        self.say_proposal(others);
        self.check_prepared();
    }

    pub(super) fn on_new_view(&mut self, from: NodeId, new_view: &NewView) {
        let round = &self.round;
        if self.is_decided() || round.position.is_none() || new_view.view <= round.first_view {
            return;
        }
        if from != round.leader(new_view.view) || new_view.view < round.view {
            return;
        }
        let hash = new_view.block.hash();
        if new_view.view == round.view && !round.changing {
            if round.proposal == Some(hash) {
                self.repeat_vote();
            }
            return;
        }
        if !self.is_justified(from, new_view, hash) {
            let event = Event::new(Level::Warn, "[onNewView] Verify New View Msg Failed");
            self.log(
                event
                    .field("sender", from.to_string())
                    .field("MsgViewID", new_view.view),
            );
            return;
        }
        let carried = highest_prepared(&new_view.votes).is_some();
        let check = if carried {
            Check::Final
        } else {
            self.check_proposal()
        };
        if let Err(error) = self.execute(&new_view.block, hash, check) {
            self.bad_block(from, &new_view.block, &error);
            return;
        }
        self.round.enter(new_view.view, false, self.now);
        let event = Event::new(Level::Info, "new leader changed");
        self.log(
            event
                .field("newLeaderKey", from.to_string())
                .field("viewID", new_view.view),
        );
        self.accept_proposal(hash);
    }

    /// Whether a quorum asked for exactly this view, and the block is the one that follows from their votes.
    fn is_justified(&self, from: NodeId, new_view: &NewView, hash: Hash) -> bool {
        let mut voters = BTreeSet::new();
        let known = |vote: &ViewChangeVote| {
            self.round
                .view_changes
                .get(&vote.voter)
                .is_some_and(|known| known.vote == *vote)
        };
        let good = new_view.votes.len() <= self.round.committee.len()
            && new_view.votes.iter().all(|vote| {
                vote.view == new_view.view
                    && voters.insert(vote.voter)
                    && (known(vote) || self.is_good_vote(vote))
            });
        let members = self.round.committee.members.iter();
        let power = members
            .filter(|member| voters.contains(&member.node))
            .map(|member| member.power)
            .sum();
        if !good
            || !self.round.committee.is_quorum(power)
            || new_view.block.header.height != new_view.height
        {
            return false;
        }
        match highest_prepared(&new_view.votes) {
            Some(certificate) => certificate.payload.block == hash,
            None => {
                let header = &new_view.block.header;
                header.view == new_view.view && header.leader == from
            }
        }
    }
}

/// The prepare certificate of the highest view among the votes. All of one view are for one block.
fn highest_prepared(votes: &[ViewChangeVote]) -> Option<&Certificate> {
    votes
        .iter()
        .filter_map(|vote| vote.prepared.as_ref())
        .max_by_key(|certificate| certificate.payload.view)
}
