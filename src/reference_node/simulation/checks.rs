//! What must hold at every moment of every schedule.

use std::collections::BTreeMap;

use crate::reference_node::consensus::{CommittedBlock, Message, Micros, Recovered};
use crate::reference_node::types::{Hash, Phase};

/// Remembers what nodes reported and signed, across crashes.
#[derive(Default)]
pub(super) struct Checks {
    /// What was reported committed, by anybody, ever.
    chain: BTreeMap<u64, Hash>,
    /// Highest block that each node reported.
    reported: BTreeMap<usize, u64>,
    /// What each node voted for.
    votes: BTreeMap<(usize, Phase, u64, u64), Hash>,
    /// What each leader proposed.
    proposals: BTreeMap<(usize, u64, u64), Hash>,
    /// When each height was first reported.
    pub(super) times: Vec<(u64, Micros)>,
    /// A digest of all that was reported, in order: equal seeds must give equal digests.
    digest: u64,
    /// Signers that each block names for its parent, in order of height.
    pub(super) signers: Vec<usize>,
    pub(super) new_views: u64,
    pub(super) snapshots: u64,
}

impl Checks {
    pub(super) fn best(&self) -> u64 {
        self.chain.last_key_value().map_or(0, |(height, _)| *height)
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Gives whether nobody reported this height before.
    pub(super) fn committed(
        &mut self,
        node: usize,
        now: Micros,
        committed: &CommittedBlock,
    ) -> bool {
        let height = committed.block.header.height;
        // That the certificate is of this block is the core's to check; the first node to report it is checked here.
        let certified = committed
            .certificate
            .as_ref()
            .expect("a committed block has a certificate")
            .payload
            .block;
        let hash = if self.chain.contains_key(&height) {
            certified
        } else {
            committed.block.hash()
        };
        assert_eq!(hash, certified, "the certificate is of another block");
        let known = *self.chain.entry(height).or_insert(hash);
        assert_eq!(known, hash, "FORK at height {height}, node {node}");
        if let Some(before) = self.reported.insert(node, height) {
            assert!(
                height > before,
                "node {node} went from {before} to {height}"
            );
        }
        let new = self.times.last().is_none_or(|(last, _)| *last < height);
        if new {
            self.times.push((height, now));
            self.signers.push(
                committed
                    .block
                    .header
                    .last_commit
                    .as_ref()
                    .map_or(0, |proof| proof.signers.count()),
            );
        }
        let mix = u64::from_be_bytes(hash.0[..8].try_into().expect("invariant: eight bytes"))
            ^ now
            ^ (node as u64) << 56;
        self.digest = self.digest.rotate_left(5).wrapping_mul(0x0100_0000_01b3) ^ mix;
        new
    }

    /// The node lost its disk: what it reported is not there any more, and it is not asked to remember it.
    pub(super) fn forget(&mut self, node: usize) {
        self.reported.remove(&node);
    }

    pub(super) fn started(&self, node: usize, recovered: &Recovered) {
        let height = recovered.head.block.header.height;
        let before = self.reported.get(&node).copied().unwrap_or(0);
        assert!(
            height >= before,
            "LOST: node {node} reported {before} and came back with {height}"
        );
    }

    pub(super) fn sent(&mut self, node: usize, message: &Message) {
        match message {
            Message::Prepare(vote) => self.voted(
                node,
                Phase::Prepare,
                vote.height,
                vote.view,
                vote.block_hash,
            ),
            Message::Commit(vote) => {
                self.voted(node, Phase::Commit, vote.height, vote.view, vote.block_hash)
            }
            Message::Announce(proposal) => {
                self.proposed(node, proposal.height, proposal.view, proposal.block.hash());
            }
            Message::NewView(new_view) => {
                self.new_views += 1;
                self.proposed(node, new_view.height, new_view.view, new_view.block.hash());
            }
            Message::Snapshot(_) => self.snapshots += 1,
            _ => {}
        }
    }

    fn voted(&mut self, node: usize, phase: Phase, height: u64, view: u64, hash: Hash) {
        let known = *self
            .votes
            .entry((node, phase, height, view))
            .or_insert(hash);
        assert_eq!(
            known, hash,
            "node {node} voted twice: {phase:?} at {height} view {view}"
        );
    }

    fn proposed(&mut self, node: usize, height: u64, view: u64, hash: Hash) {
        let known = *self.proposals.entry((node, height, view)).or_insert(hash);
        assert_eq!(
            known, hash,
            "node {node} proposed twice at {height} view {view}"
        );
    }
}
