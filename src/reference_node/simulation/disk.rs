//! A node's disk: what was made durable, and nothing else, survives a crash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::chance::Chance;
use crate::reference_node::chain::ChainState;
use crate::reference_node::consensus::{
    CommittedBlock, Lock, Message, Micros, PersistedView, Recovered, Write, WriteId,
};
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::types::{Block, ShardId};

/// A network before its first block. Made once: the state of genesis takes longer than most schedules.
pub(super) struct Network {
    pub(super) genesis: Arc<Genesis>,
    block: Arc<Block>,
    state: ChainState,
}

impl Network {
    pub(super) fn new(config: GenesisConfig) -> Self {
        let genesis = Genesis::new(config).expect("the parameters are in range");
        let block = Arc::new(genesis.block(ShardId::BEACON));
        let state = genesis.state(ShardId::BEACON);
        Self {
            genesis: Arc::new(genesis),
            block,
            state,
        }
    }
}

/// What a node finds again after a crash, and what it has asked for.
pub(super) struct Disk {
    blocks: BTreeMap<u64, CommittedBlock>,
    state: ChainState,
    lock: Option<Lock>,
    view: Option<PersistedView>,
    /// The store has been opened before.
    used: bool,
    /// Blocks kept.
    retention: usize,
    /// All writes fail while set.
    pub(super) failing: bool,
    /// Writes asked for, oldest first.
    queue: VecDeque<(WriteId, Write)>,
    /// When the last of them ends.
    pub(super) busy_until: Micros,
}

impl Disk {
    pub(super) fn new(network: &Network, retention: usize) -> Self {
        let block = Arc::clone(&network.block);
        let height = block.header.height;
        Self {
            blocks: BTreeMap::from([(
                height,
                CommittedBlock {
                    block,
                    certificate: None,
                },
            )]),
            state: network.state.clone(),
            lock: None,
            view: None,
            used: false,
            retention,
            failing: false,
            queue: VecDeque::new(),
            busy_until: 0,
        }
    }

    pub(super) fn head(&self) -> &CommittedBlock {
        self.blocks
            .last_key_value()
            .expect("invariant: a disk always has a head")
            .1
    }

    pub(super) fn height(&self) -> u64 {
        self.head().block.header.height
    }

    pub(super) fn recover(&mut self) -> Recovered {
        let fresh = !std::mem::replace(&mut self.used, true);
        let head = self.head().clone();
        Recovered {
            fresh,
            head,
            state: self.state.clone(),
            lock: self.lock.clone(),
            view: self.view,
        }
    }

    pub(super) fn ask(&mut self, id: WriteId, write: Write) {
        self.queue.push_back((id, write));
    }

    /// The oldest write ends. Every fifth failure leaves its content behind all the same: a lost acknowledgement.
    pub(super) fn finish_one(
        &mut self,
        chance: &mut Chance,
    ) -> Option<(WriteId, Result<(), String>)> {
        let (id, write) = self.queue.pop_front()?;
        if !self.failing {
            self.apply(write);
            return Some((id, Ok(())));
        }
        if chance.percent(20) {
            self.apply(write);
        }
        Some((id, Err("no space left on device".to_owned())))
    }

    /// Power is cut: the writes under way happened up to some point.
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        let done = chance.index(self.queue.len() + 1);
        let durable: Vec<(WriteId, Write)> = self.queue.drain(..done).collect();
        durable.into_iter().for_each(|(_, write)| self.apply(write));
        self.queue.clear();
        self.busy_until = 0;
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Lock(lock) => self.lock = Some(lock),
            Write::View(view) => self.view = Some(view),
            Write::Block {
                committed,
                previous,
                state,
            } => self.append(committed, &previous, state),
            Write::Snapshot { head, state } => {
                let height = head.block.header.height;
                let again =
                    height == self.height() && head.block.hash() == self.head().block.hash();
                assert!(
                    again || height > self.height(),
                    "a snapshot must not go back"
                );
                self.blocks = BTreeMap::from([(head.block.header.height, head)]);
                self.state = state;
            }
        }
    }

    fn append(&mut self, committed: CommittedBlock, previous: &ChainState, state: ChainState) {
        let height = committed.block.header.height;
        if height == self.height() {
            assert!(
                committed == *self.head(),
                "a repeated write must be the same block"
            );
            return;
        }
        assert_eq!(height, self.height() + 1, "blocks must be written in order");
        assert_eq!(
            previous.root(),
            self.state.root(),
            "the state before the block must be the stored one"
        );
        self.blocks.insert(height, committed);
        self.state = state;
        while self.blocks.len() > self.retention {
            self.blocks.pop_first();
        }
    }

    pub(super) fn serve(&self, from: u64, count: u32) -> Message {
        let oldest = *self
            .blocks
            .first_key_value()
            .expect("invariant: a disk always has a head")
            .0;
        // The genesis block cannot be served: it has no certificate, and everybody has it.
        if from < oldest {
            return Message::Pruned { oldest };
        }
        Message::Blocks(
            self.blocks
                .range(from..)
                .take(count as usize)
                .map(|(_, block)| block.clone())
                .collect(),
        )
    }
}
