//! Merges what single nodes answer into facts about their shard. Pure: "now" is an argument.
//!
//! A block is written once, when the first node shows it, in the order of heights. Heights that polling skipped are
//! fetched from a node that shows a newer block, and the newer one waits for them; what cannot be fetched in two
//! attempts, or lies more than [`MAX_GAP`] back, is left out. Every two seconds all nodes of a shard are asked for the
//! block at the height of the lowest of them, so that a fork is seen even where a branch no longer grows.
//!
//! No single node decides how high its shard is: what it shows more than two blocks above all others is held back
//! until another one has shown as much (`claims.rs`). It goes alone where it is a quorum by itself, where it goes on
//! block by block and those that answer do not show that nobody else followed, and where nobody else answers.
//!
//! Invariant: memory is bounded by the number of nodes and [`RING`], whatever nodes answer.

mod claims;
mod shard;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    ids::{Height, NodeName, ShardId, ViewId},
    journal::event::{Event, Mode, NodeHead},
    plan::foreign::Quorum,
    profile::dialect::{BadAnswer, Header, Reply, Status},
    time::Elapsed,
};
use shard::Shard;

/// Blocks of a shard whose hashes are remembered, to compare nodes with each other.
const RING: usize = 1024;
/// Skipped blocks that are worth fetching: more than any pause of the watcher's own makes at 50 ms a block.
const MAX_GAP: u64 = 512;
/// A head this far above all that is known is no answer: half a day of blocks at 50 ms.
const MAX_JUMP: u64 = 1_000_000;
/// How often a shard's nodes are written down.
const HEADS_EVERY: Duration = Duration::from_secs(1);
/// Changes closer than this share an entry.
const CHANGES_EVERY: Duration = Duration::from_millis(50);
/// How often all nodes of a shard are asked for the same height.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How often one node of a shard, each in its turn, is asked for its ledger.
const SURVEY_EVERY: Duration = Duration::from_secs(2);
/// A node silent for this long takes no part in a comparison, and has no say in what others show.
const SILENT: Duration = Duration::from_secs(3);

/// Headers to ask one node for, beside its next poll's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// At most [`crate::profile::dialect::MAX_HEADERS`] heights, ascending.
    pub heights: Vec<Height>,
}

/// A node whose answers are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: NodeName,
    /// Its shard.
    pub shard: ShardId,
    /// Its voting power; 0 for one that does not vote.
    pub power: u64,
}

/// The merged state of all shards.
#[derive(Debug)]
pub struct Heads {
    nodes: Vec<Node>,
    quorum: Quorum,
    shards: BTreeMap<ShardId, Shard>,
}

#[derive(Debug)]
struct Node {
    name: NodeName,
    shard: ShardId,
    power: u64,
    /// Since when it shows more than any other vouches for.
    alone_since: Option<Elapsed>,
    head: Option<(Height, Arc<str>)>,
    status: Status,
    answered: Option<Elapsed>,
    /// Answered since the shard's last `Heads` entry.
    fresh: bool,
    /// The last contradiction that was written, so that a standing one is written once.
    contradiction: Option<(Height, Arc<str>)>,
    /// The comparison it has been asked for.
    compared: u64,
    /// How often it was asked for its ledger.
    surveyed: u64,
}

impl Heads {
    /// Starts with nothing known about these nodes; they are named by their place in this list from here on.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>, quorum: Quorum) -> Self {
        let nodes: Vec<_> = members
            .into_iter()
            .map(|member| Node {
                name: member.name,
                shard: member.shard,
                power: member.power,
                alone_since: None,
                head: None,
                status: Status::default(),
                answered: None,
                fresh: false,
                contradiction: None,
                compared: 0,
                surveyed: 0,
            })
            .collect();
        let mut shards = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let shard: &mut Shard = shards.entry(node.shard).or_default();
            shard.members.push(index);
            shard.power = shard.power.saturating_add(node.power);
        }
        Self {
            nodes,
            quorum,
            shards,
        }
    }

    /// Goes on from a block that is already in the journal, so that the ones after it are not missed.
    pub fn know(&mut self, shard: ShardId, height: Height, hash: &Arc<str>) {
        if let Some(shard) = self.shards.get_mut(&shard) {
            shard.know(height, hash);
        }
    }

    /// Forgets where shards stood: nothing was looked at for a while, on purpose.
    pub fn forget_tips(&mut self) {
        for shard in self.shards.values_mut() {
            shard.forget_tip();
        }
    }

    /// Takes one node's answer to a poll; returns what it should be asked for at once.
    ///
    /// # Errors
    /// When the answer has no head, is from another shard, or is beyond belief; nothing of it was used then.
    pub fn answered(
        &mut self,
        node: usize,
        reply: Reply,
        now: Elapsed,
        events: &mut Vec<Event>,
    ) -> Result<Option<Fetch>, BadAnswer> {
        let Some((state, shard)) = self.parts(node) else {
            return Ok(None);
        };
        let Some(head) = reply.head else {
            return Err(BadAnswer::new("no header in the answer"));
        };
        let told = [
            head.shard,
            reply.status.as_ref().and_then(|status| status.shard),
        ];
        if let Some(other) = told.into_iter().flatten().find(|told| *told != state.shard) {
            return Err(BadAnswer::new(&format!("answers for shard {other}")));
        }
        shard.believe(head.height)?;

        state.note_head(&head, events);
        if let Some(status) = reply.status {
            if let Some(address) = &status.address {
                shard.owns(address, node);
            }
            if state.note_status(status, head.height) {
                shard.changed = true;
            }
        }
        if let Some(mut ledger) = reply.ledger {
            ledger.node = Some(state.name.clone());
            ledger.height.get_or_insert(head.height);
            events.push(Event::Ledger(ledger));
        }
        let before = state.head.replace((head.height, Arc::clone(&head.hash)));
        state.answered = Some(now);
        state.fresh = true;
        for header in reply.headers {
            self.compare(node, &header, events);
        }
        self.note_claim(node, head.height, before.map(|(height, _)| height), now);
        self.outvote(node, now);
        self.weigh(node, head, now, events);
        Ok(self.wanted(node, now))
    }

    /// Takes headers that were fetched from a node; an empty list when the request failed.
    pub fn fetched(
        &mut self,
        node: usize,
        headers: Vec<Header>,
        now: Elapsed,
        events: &mut Vec<Event>,
    ) -> Option<Fetch> {
        let (_, shard) = self.parts(node)?;
        let ready = shard.fetched(node, headers, now);
        self.write_blocks(node, ready, events);
        self.wanted(node, now)
    }

    /// Leaves out what a node was to be asked for: nobody can be asked.
    pub fn leave_out(
        &mut self,
        node: usize,
        now: Elapsed,
        events: &mut Vec<Event>,
    ) -> Option<Fetch> {
        let (_, shard) = self.parts(node)?;
        let ready = shard.leave_out(node);
        self.write_blocks(node, ready, events);
        self.wanted(node, now)
    }

    /// The height at which this node should be compared with the others now, if it is its turn.
    pub fn comparison(&mut self, node: usize, now: Elapsed) -> Option<Height> {
        let shard_id = self.nodes.get(node)?.shard;
        let shard = self.shards.get_mut(&shard_id)?;
        let due = shard
            .compared_at
            .is_none_or(|at| now.since(at) >= COMPARE_EVERY);
        if due {
            let alive = shard
                .members
                .iter()
                .filter_map(|member| self.nodes.get(*member))
                .filter(|member| member.answered.is_some_and(|at| now.since(at) < SILENT));
            let lowest = alive
                .filter_map(|member| member.head.as_ref().map(|head| head.0))
                .min();
            shard.compared_at = Some(now);
            shard.comparison += 1;
            shard.compared_height = lowest.filter(|height| shard.knows(*height));
        }
        let height = shard.compared_height?;
        let state = self.nodes.get_mut(node)?;
        if state.compared == shard.comparison || state.head.as_ref()?.0 < height {
            return None;
        }
        state.compared = shard.comparison;
        Some(height)
    }

    /// Whether this node is to be asked for its ledger now: of the nodes that answer, one that was asked least often.
    pub fn survey(&mut self, node: usize, now: Elapsed) -> bool {
        let Some(state) = self.nodes.get(node) else {
            return false;
        };
        let (shard, asked) = (state.shard, state.surveyed);
        let Some(shard) = self.shards.get_mut(&shard) else {
            return false;
        };
        let waits = shard
            .surveyed_at
            .is_some_and(|at| now.since(at) < SURVEY_EVERY);
        let others = || {
            shard
                .members
                .iter()
                .filter_map(|member| self.nodes.get(*member))
        };
        let asked_less = |other: &Node| {
            other.surveyed < asked && other.answered.is_some_and(|at| now.since(at) < SILENT)
        };
        if waits || others().any(asked_less) {
            return false;
        }
        // One that was away is not asked all the time until it has caught up.
        let most = others().map(|other| other.surveyed).max().unwrap_or(0);
        shard.surveyed_at = Some(now);
        self.nodes[node].surveyed = most.max(asked + 1);
        true
    }

    /// Writes down where nodes stand, once a second and soon after a change. Call it a few times a second or more.
    pub fn tick(&mut self, now: Elapsed, events: &mut Vec<Event>) {
        for (id, shard) in &mut self.shards {
            let since = shard.heads_at.map(|at| now.since(at));
            let due = since.is_none_or(|since| {
                since >= HEADS_EVERY || (shard.changed && since >= CHANGES_EVERY)
            });
            let fresh = |member: &&usize| self.nodes.get(**member).is_some_and(|node| node.fresh);
            if !due || !shard.members.iter().any(|member| fresh(&member)) {
                continue;
            }
            let mut nodes = Vec::with_capacity(shard.members.len());
            for member in &shard.members {
                if let Some(node) = self.nodes.get_mut(*member) {
                    if node.fresh {
                        nodes.extend(node.head_entry());
                    }
                    node.fresh = false;
                }
            }
            shard.heads_at = Some(now);
            shard.changed = false;
            events.push(Event::Heads { shard: *id, nodes });
        }
    }

    fn parts(&mut self, node: usize) -> Option<(&mut Node, &mut Shard)> {
        let state = self.nodes.get_mut(node)?;
        let shard = self.shards.get_mut(&state.shard)?;
        Some((state, shard))
    }

    fn place(&mut self, node: usize, header: Header, events: &mut Vec<Event>) {
        let Some((state, shard)) = self.parts(node) else {
            return;
        };
        if let Some(known) = shard.known(header.height) {
            if *known != header.hash {
                state.contradicts(&header, None, events);
            }
            return;
        }
        let ready = shard.saw(node, header);
        self.write_blocks(node, ready, events);
    }

    fn compare(&mut self, node: usize, header: &Header, events: &mut Vec<Event>) {
        let Some((state, shard)) = self.parts(node) else {
            return;
        };
        if shard
            .known(header.height)
            .is_some_and(|known| *known != header.hash)
        {
            state.contradicts(header, None, events);
        }
    }

    fn wanted(&mut self, node: usize, now: Elapsed) -> Option<Fetch> {
        let (state, shard) = self.parts(node)?;
        let head = state.head.as_ref()?.0;
        let heights = shard.wanted(node, head, now)?;
        Some(Fetch { heights })
    }

    fn write_blocks(&self, node: usize, ready: Vec<(Header, usize)>, events: &mut Vec<Event>) {
        let Some(shard_id) = self.nodes.get(node).map(|node| node.shard) else {
            return;
        };
        let Some(shard) = self.shards.get(&shard_id) else {
            return;
        };
        for (header, seen_on) in ready {
            let Some(seen_on) = self.nodes.get(seen_on) else {
                continue;
            };
            let leader = header.leader.map(|address| {
                let owner = shard
                    .owner(&address)
                    .and_then(|index| self.nodes.get(index));
                owner.map_or(address, |owner| owner.name.as_str().into())
            });
            events.push(Event::Block {
                shard: shard_id,
                height: header.height,
                hash: header.hash,
                view: header.view,
                epoch: header.epoch,
                leader,
                signers: header.signers,
                committee: header.committee,
                time: header.time,
                node: seen_on.name.clone(),
                content: header.content,
            });
        }
    }
}

impl Node {
    /// Writes a head that is lower than the node's own last one.
    fn note_head(&mut self, head: &Header, events: &mut Vec<Event>) {
        let last = self.head.as_ref().map(|(height, _)| *height);
        if let Some(was) = last.filter(|last| head.height < *last) {
            self.contradicts(head, Some(was), events);
        }
    }

    /// Writes a header that contradicts what was seen; `was`, where the node's head went back, is the one before.
    fn contradicts(&mut self, header: &Header, was: Option<Height>, events: &mut Vec<Event>) {
        let contradiction = (header.height, Arc::clone(&header.hash));
        if self.contradiction.as_ref() == Some(&contradiction) {
            return;
        }
        self.contradiction = Some(contradiction);
        events.push(Event::Head {
            node: self.name.clone(),
            shard: self.shard,
            height: header.height,
            hash: Arc::clone(&header.hash),
            leader: header.leader.clone(),
            was,
        });
    }

    /// Takes the status over; tells whether the shard's standing should be written soon.
    fn note_status(&mut self, status: Status, height: Height) -> bool {
        let still = self.head.as_ref().is_some_and(|(last, _)| *last == height);
        let key = |status: &Status| -> (Option<Mode>, Option<bool>) { (status.mode, status.leads) };
        let view = |status: &Status| -> Option<ViewId> { status.view };
        let changed = self.answered.is_some()
            && (key(&self.status) != key(&status)
                || (still && view(&self.status) != view(&status)));
        self.status = status;
        changed
    }

    fn head_entry(&self) -> Option<NodeHead> {
        let (height, _) = self.head.as_ref()?;
        Some(NodeHead {
            node: self.name.clone(),
            height: *height,
            view: self.status.view,
            agreeing: self.status.agreeing,
            mode: self.status.mode,
            leads: self.status.leads,
        })
    }
}

#[cfg(test)]
mod tests;
