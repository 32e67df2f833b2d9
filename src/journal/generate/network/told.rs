//! What the generated nodes tell of themselves: ledgers that add up, figures of a load that is taken, forms of lines.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::Network;
use crate::{
    ids::{Height, ShardId},
    journal::event::{BlockContent, Event, Figures, Ledger},
    time::Elapsed,
};

/// Transactions of a block, and receipts of the shard before it that it executes.
const TRANSACTIONS: u64 = 10;
const RECEIPTS: u64 = 1;
/// Value of a receipt, and a validator's reward for signing a block.
const VALUE: u64 = 500;
const REWARD: u64 = 7;
/// What a shard begins with.
const SUPPLY: u64 = 16_000_000_000_000;
/// Syncs of a block, and how long one takes in microseconds.
const SYNCS: u64 = 3;
const SYNC_TIME: u64 = 2_000;
/// The forms of lines: of the leader, of the others, and of every node.
const FORMS: [&str; 3] = [
    "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!! {ViewId,blockHash,blockNum}",
    "BINGO !!! Reached Consensus {ViewId,blockHash,blockNum}",
    "[OnAnnounce] Sent Prepare Message!! {blockHash,blockNum}",
];

/// The books of all shards.
#[derive(Debug, Default)]
pub(super) struct Books {
    shards: Vec<Book>,
    /// Height at the last count of each node's lines.
    counted: Vec<u64>,
    /// When each node was started last.
    started: Vec<Elapsed>,
    forms_told: bool,
    /// The node of each shard that is asked next.
    turns: Vec<usize>,
}

#[derive(Debug, Default, Clone)]
struct Book {
    transfers: u64,
    rewards: u64,
    /// Batches sent to the next shard, and those executed of the one before.
    sent: u64,
    received: u64,
}

impl Network {
    /// A shard makes a block: what it holds, and who signed the one before.
    pub(super) fn book(&mut self, place: usize) -> BlockContent {
        let shards = self.shards.len();
        self.books.shards.resize(shards, Book::default());
        let mut signed = 0_u128;
        let mut signers = 0;
        for (seat, &node) in self.shards[place].nodes.iter().enumerate() {
            let node = &self.nodes[node];
            if node.takes_part && !node.disk_full && !node.stuck {
                signers += 1;
                signed |= 1_u128.checked_shl(seat as u32).unwrap_or(0);
            }
        }
        let before = (place + shards - 1) % shards;
        let arrived = self.books.shards[before].sent;
        let book = &mut self.books.shards[place];
        book.transfers += TRANSACTIONS;
        book.rewards += REWARD * signers;
        let crosses = shards > 1;
        if crosses {
            book.sent += 1;
            book.received = arrived;
        }
        let bytes = self.shards[place].nodes.len().div_ceil(8);
        let set: String = signed.to_le_bytes()[..bytes.min(16)]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        BlockContent {
            transactions: Some(TRANSACTIONS as u32),
            receipts: Some(if crosses { RECEIPTS as u32 } else { 0 }),
            signed: Some(set.into()),
        }
    }

    /// A node was started.
    pub(in crate::journal::generate) fn started(&mut self, place: usize, now: Elapsed) {
        self.books
            .started
            .resize(self.nodes.len(), Elapsed::default());
        self.books.started[place] = now;
    }

    /// The next node of a shard tells its ledger.
    pub(in crate::journal::generate) fn ledger(&mut self, place: usize, out: &mut VecDeque<Event>) {
        self.books.turns.resize(self.shards.len(), 0);
        let shard = &self.shards[place];
        let turn = self.books.turns[place] % shard.nodes.len();
        self.books.turns[place] += 1;
        let node = &self.nodes[shard.nodes[turn]];
        let (Some(book), true) = (self.books.shards.get(place), self.seeing) else {
            return;
        };
        // Only the newest state is in the books.
        if !node.runs || !node.answers || node.height != shard.height || shard.height == 0 {
            return;
        }
        let shards = self.shards.len();
        let state: Arc<str> = format!("{:016x}", shard.height * 0x9e37 + place as u64).into();
        let (sent, received) = (book.sent * VALUE, book.received * VALUE);
        let crosses = shards > 1;
        let id = |place: usize| ShardId((place % shards) as u64);
        out.push_back(Event::Ledger(Box::new(Ledger {
            node: Some(node.name.clone()),
            height: Some(Height(shard.height)),
            state: Some(state.clone()),
            block_state: Some(state),
            transfers: Some(book.transfers),
            balance: Some(SUPPLY + book.rewards + received - sent.min(SUPPLY)),
            rewards: Some(book.rewards),
            sent: crosses
                .then(|| (id(place + 1), book.sent, sent))
                .into_iter()
                .collect(),
            received: crosses
                .then(|| (id(place + shards - 1), book.received, received))
                .into_iter()
                .collect(),
            links: Vec::new(),
        })));
    }

    /// A node's metrics page.
    pub(in crate::journal::generate) fn figures(
        &mut self,
        place: usize,
        now: Elapsed,
        out: &mut VecDeque<Event>,
    ) {
        let node = &self.nodes[place];
        if !node.runs || !node.answers || !self.seeing {
            return;
        }
        let since = now.since(self.books.started.get(place).copied().unwrap_or_default());
        let blocks = (since.as_micros() / self.interval.as_micros().max(1)) as u64;
        let made = blocks * TRANSACTIONS / 4;
        out.push_back(Event::Figures(Box::new(Figures {
            node: Some(node.name.clone()),
            pending: Some(3),
            ready: Some(3),
            made: Some(made),
            held_back: Some(0),
            missed: Some(0),
            included: Some(made),
            oldest: Some(self.interval.as_micros() as u64),
            inclusion: vec![(244_140, made / 2), (381_469, made - made / 2)],
            peers: None,
            syncs: Some(blocks * SYNCS),
            sync_time: Some(blocks * SYNCS * SYNC_TIME),
        })));
    }

    /// How often a node said what.
    pub(in crate::journal::generate) fn forms(&mut self, place: usize, out: &mut VecDeque<Event>) {
        self.books.counted.resize(self.nodes.len(), 0);
        let node = &self.nodes[place];
        if !node.runs {
            return;
        }
        if !std::mem::replace(&mut self.books.forms_told, true) {
            for (id, form) in FORMS.iter().enumerate() {
                out.push_back(Event::TemplateSeen {
                    node: node.name.clone(),
                    id: id as u64,
                    level: "info".into(),
                    text: (*form).to_owned(),
                });
            }
        }
        let blocks = node.height.saturating_sub(self.books.counted[place]);
        self.books.counted[place] = node.height;
        let own = u64::from(!self.leads(node.shard, place));
        let counts = if blocks == 0 {
            Vec::new()
        } else {
            vec![(own, blocks), (2, blocks)]
        };
        out.push_back(Event::TemplateCounts {
            node: node.name.clone(),
            counts,
            rest: 0,
            dropped: 0,
        });
    }
}

/// How often each of these comes.
pub(in crate::journal::generate) const LEDGER_EVERY: Duration = Duration::from_secs(2);
pub(in crate::journal::generate) const FIGURES_EVERY: Duration = Duration::from_secs(5);
pub(in crate::journal::generate) const FORMS_EVERY: Duration = Duration::from_secs(10);
