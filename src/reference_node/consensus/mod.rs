//! The FBFT consensus core: a pure state machine, modelled on Harmony's protocol.
//!
//! ```text
//!   Input: message, wake-up, write result, payload            Output: send, write, payload wanted, committed, log
//!                  \                                                    /
//!                   +----------> Consensus::step(now, input) ----------+
//!
//!   leader                        validator                      disk of the validator
//!   ANNOUNCE(h, v, block) ------> execute and check
//!              <------ PREPARE
//!   PREPARED(certificate) ------> check the certificate -------> Lock(h, v, block, certificate)
//!              <------ COMMIT  <-------------------------------- durable
//!   COMMITTED(certificate) -----> check the certificate -------> Block(h) ------> durable: head = h, next height
//! ```
//!
//! No clock, socket, file or randomness in here. `core` holds the state and the timers, `dispatch` sorts messages by
//! height, `agreement` is the normal case, `commitment` the end of a height, `propose` the leader's pace and repetition, `view_change` the replacement of
//! leaders, `sync` catching up, `durable` the writes under way, `round` all that belongs to one height.
//!
//! # Views and leaders
//! The first view at a height is the view in the parent's header plus one; its leader is the leader in the parent's
//! header, at the first block of an epoch the first seat of the new committee; every further view goes to the next
//! seat. So leadership is a function of the chain, and nodes that share a head agree on it. A block that a later leader
//! finishes keeps its header, with the failed leader in it: all who know that ask at once for the leader that worked
//! (see `Consensus::on_block_durable`), so one death costs one timeout.
//!
//! # Why it is safe
//! A quorum is more than two thirds of the power, so two quorums share an honest member as long as less than a third of
//! the power is faulty.
//! 1. *One prepared block a view.* A node prepares the first good proposal of a view and no other one. Prepare votes
//!    are not stored; instead a restarted node is silent at its height in all views that it may have been in before:
//!    those up to the stored view, the view of the stored lock and the height's first view (`Round::abstain`). This
//!    suffices because a node says nothing in a later view before that view (`Write::View`), or a lock of it, is
//!    durable, and nothing about the next height before the block is durable. View changes it joins at once, and the
//!    next height in full.
//! 2. *A committed block is locked at a quorum.* The commit vote follows the durable lock. After a restart the vote
//!    for the very lock may be given again: it is the same vote.
//! 3. *A lock survives view changes.* A vote for view w carries the voter's highest prepared block and is given after
//!    `View(w)` is durable; from then on the voter accepts no certificate of a lower view. If a block was committed in
//!    v, each quorum of votes for a w > v has a member of the quorum that locked it before it voted for w, so the
//!    highest prepared block among the votes is that block (by induction over the views in between, in which only that
//!    block could be prepared). A new view is accepted only if it carries the block that follows from its votes.
//! 4. *Nothing acknowledged is lost.* A block is reported, and the next height begun, only when block, certificate and
//!    state are durable. A failed write leaves the node at its height; whether its content is on disk does not matter:
//!    a lock is a proof, a view only makes the node more careful, a block is final.
//!
//! A node that lost its disk is faulty in the sense above; it is silent in the first view of each height until it has
//! seen one from proposal to end (`Consensus::doubt`).
//!
//! # Why it is live
//! Everything that waits for an answer is said again each retry interval, and who asks about an old height gets the
//! block. Timers are never stopped but while a final block is being written. A node leaves a view in which it waits for
//! a new leader only after a quorum asked for that view or a later one; so views do not run apart during an outage,
//! however long, and the first repetition after a heal brings the quorum together. Growing patience is kept for leaders
//! that speak; a silent one costs one timeout.

mod agreement;
mod commitment;
mod config;
mod core;
mod defective;
mod dispatch;
mod durable;
mod messages;
mod propose;
mod round;
mod sync;
mod view_change;
mod votes;

pub use self::core::Consensus;
pub use config::ConsensusConfig;
pub use messages::{
    CommittedBlock, HeadStatus, Input, Lock, Message, Micros, Mode, NewView, Output, PersistedView,
    Proposal, Recovered, RoundPhase, Snapshot, Status, ViewChangeVote, Vote, Write, WriteId,
};

#[cfg(test)]
mod tests;
