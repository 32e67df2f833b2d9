//! How facts about the network change the world.

use std::sync::Arc;

use super::{Best, Container, Contradiction, Sums, World};
use crate::{
    ids::{Height, NodeName},
    journal::event::{Event, NodeHead, ProbeKind},
};

impl World {
    pub(super) fn fold_network(&mut self, event: &Event) {
        match event {
            Event::Container {
                node,
                change,
                requested,
            } => {
                let Some(place) = self.touch_node(node) else {
                    return;
                };
                let (now, seq, trouble) = (self.now, self.seq, self.engine_trouble);
                self.nodes[place].fold_container(*change, *requested, now, seq, trouble);
                self.count_power(self.nodes[place].shard);
            }
            Event::Block { .. } => self.fold_block(event),
            Event::Head {
                node, height, hash, ..
            } => self.fold_contradicting_head(node, *height, hash),
            Event::Heads { shard, nodes } => {
                if let Some(&place) = self.by_shard.get(shard) {
                    self.fold_heads(place, nodes);
                }
            }
            Event::ProbeAnswered { node, probe, .. } => {
                let Some(place) = self.touch_node(node) else {
                    return;
                };
                self.nodes[place].fold_probe_answered(*probe, self.now);
                if *probe == ProbeKind::Rpc {
                    self.answered(place);
                }
            }
            Event::ProbeFailed {
                node, probe, error, ..
            } => {
                let Some(place) = self.touch_node(node) else {
                    return;
                };
                let (now, seq) = (self.now, self.seq);
                self.nodes[place].fold_probe_failed(*probe, error, now, seq);
            }
            Event::Log { node, class, .. } => {
                let Some(place) = self.touch_node(node) else {
                    return;
                };
                let (now, seq) = (self.now, self.seq);
                self.nodes[place].fold_log(class, now, seq);
            }
            Event::Position(position) => {
                self.touch_node(&position.node);
            }
            Event::Ledger(ledger) => {
                ledger.node.as_ref().and_then(|node| self.touch_node(node));
            }
            Event::Figures(figures) => {
                figures.node.as_ref().and_then(|node| self.touch_node(node));
            }
            Event::TemplateSeen { node, .. } | Event::TemplateCounts { node, .. } => {
                self.touch_node(node);
            }
            Event::LogCount { node, .. } => {
                self.touch_node(node);
            }
            Event::Sample(sample) => {
                let Some(place) = sample.node.as_ref().and_then(|node| self.touch_node(node))
                else {
                    return;
                };
                self.nodes[place].fold_sample(sample, self.now);
            }
            _ => {}
        }
    }

    fn touch_node(&mut self, name: &NodeName) -> Option<usize> {
        let place = self.node(name)?;
        self.touched_node = Some(place);
        self.touched_shard = Some(self.nodes[place].shard);
        Some(place)
    }

    /// A node of a shard answered.
    fn answered(&mut self, place: usize) {
        let was_absent = self.nodes[place].container == Container::Absent;
        self.nodes[place].answered(self.now);
        let shard = self.nodes[place].shard;
        self.shards[shard].answered_at = Some(self.now);
        self.shards[shard].answered_seq = Some(self.seq);
        if was_absent || self.shards[shard].running_power == 0 {
            self.count_power(shard);
        }
    }

    pub(super) fn count_power(&mut self, shard: usize) {
        let had = self.shards[shard].has_quorum();
        let power = self.shards[shard].nodes.iter().fold(0_u64, |sum, &node| {
            let node = &self.nodes[node];
            sum.saturating_add(if node.runs() { node.power } else { 0 })
        });
        let shard = &mut self.shards[shard];
        shard.running_power = power;
        if shard.has_quorum() && !had {
            shard.quorum_since = Some(self.now);
            shard.views_without_quorum = shard.views_at_height;
        }
    }

    fn fold_block(&mut self, event: &Event) {
        let Event::Block {
            shard,
            height,
            hash,
            view,
            epoch,
            leader,
            signers,
            committee,
            time,
            node,
            ..
        } = event
        else {
            return;
        };
        let Some(&place) = self.by_shard.get(shard) else {
            return;
        };
        self.touched_shard = Some(place);
        if let Some(node) = self.touch_node(node) {
            self.answered(node);
            let best = self.nodes[node]
                .height
                .map_or(*height, |known| known.max(*height));
            self.nodes[node].height = Some(best);
        }
        self.touched_shard = Some(place);
        let signers = match (signers, committee) {
            (Some(signers), Some(committee)) if *committee > 0 => {
                Some(((*signers).min(*committee), *committee))
            }
            _ => None,
        };
        let now = self.now;
        let seq = self.seq;
        let state = &mut self.shards[place];
        let better = state.best.as_ref().is_none_or(|best| *height > best.height);
        if !better {
            match state.hash_at(*height) {
                Some(known) if known != hash => {
                    self.contradiction = Some(Contradiction::Fork {
                        shard: place,
                        height: *height,
                        known: Some(known.clone()),
                        other: hash.clone(),
                        node: node.clone(),
                    });
                }
                Some(_) => {}
                None => state.remember_hash(*height, hash),
            }
            return;
        }
        state.remember_hash(*height, hash);
        let best = Best {
            height: *height,
            at: now,
            seq,
            time: *time,
            view: *view,
            epoch: *epoch,
            leader: leader.clone(),
        };
        state.advance_to(best, signers);
        self.count_rates(place);
    }

    /// Progress that only positions tell of, because the blocks themselves were not written.
    fn fold_unseen_blocks(&mut self, place: usize, height: Height) {
        let state = &mut self.shards[place];
        if state
            .best
            .as_ref()
            .is_some_and(|best| height <= best.height)
        {
            return;
        }
        let best = Best {
            height,
            at: self.now,
            seq: self.seq,
            time: None,
            view: None,
            epoch: state.best.as_ref().and_then(|best| best.epoch),
            leader: None,
        };
        state.advance_to(best, None);
        self.count_rates(place);
    }

    fn count_rates(&mut self, place: usize) {
        // A wait begins anew: what the others wait for stands, and this one may be the next.
        let next = self.now + self.thresholds.stall_suspected.min(self.thresholds.page);
        self.next_window = self.next_window.min(next);
        let suspected = self.thresholds.stall_suspected + self.unwritten();
        let now = self.now;
        let shard = &mut self.shards[place];
        let Some(new) = shard.new_block else { return };
        // A height that jumps is somebody's word; sums must not overflow over it.
        let blocks = new.blocks.min(1_000_000);
        let mut sums = Sums {
            blocks,
            // Blocks that needed one: a stall with many of them is one bad block, and a finding of its own.
            view_changes: new.view_changes.min(blocks),
            ..Sums::default()
        };
        // A gap that is a finding of its own is not counted again as slow blocks.
        if let Some(interval) = new.interval
            && interval < suspected
        {
            sums.block_time = interval;
            sums.timed_blocks = blocks;
        }
        if let Some((signers, committee)) = new.signers {
            sums.signers = u64::from(signers);
            sums.committee = u64::from(committee);
            sums.told = 1;
        }
        shard.rates.add(now, &sums);
    }

    fn fold_contradicting_head(&mut self, node: &NodeName, height: Height, hash: &Arc<str>) {
        let Some(place) = self.touch_node(node) else {
            return;
        };
        self.answered(place);
        let shard = self.nodes[place].shard;
        let known = self.shards[shard].hash_at(height).cloned();
        let before = self.nodes[place].height;
        self.nodes[place].height = Some(height);
        self.contradiction = match (before, known) {
            (_, Some(known)) if known != *hash => Some(Contradiction::Fork {
                shard,
                height,
                known: Some(known),
                other: hash.clone(),
                node: node.clone(),
            }),
            (Some(from), _) if from > height => Some(Contradiction::Regression {
                node: place,
                from,
                to: height,
            }),
            // The same block after all.
            (_, Some(_)) => None,
            // Not a step back, and a contradiction by the fact's own meaning.
            (_, None) => Some(Contradiction::Fork {
                shard,
                height,
                known: None,
                other: hash.clone(),
                node: node.clone(),
            }),
        };
    }

    fn fold_heads(&mut self, place: usize, heads: &[NodeHead]) {
        self.touched_shard = Some(place);
        let mut best = None;
        for head in heads {
            let Some(node) = self.node(&head.node) else {
                continue;
            };
            if self.nodes[node].shard != place {
                continue;
            }
            self.answered(node);
            self.nodes[node].fold_head(head, self.now);
            best = best.max(Some(head.height));
        }
        let Some(best) = best else { return };
        // Told by one node alone, a height may be its invention; two agree on no invention. Blocks are told one by one
        // unless they are thinned, so only then is the position needed.
        if self.thinned.blocks != 1 {
            let supported = heads.iter().filter(|head| head.height >= best).count();
            if supported >= 2 || heads.len() == 1 {
                self.fold_unseen_blocks(place, best);
            }
        }
        self.fold_views(place);
        self.fold_leaders(place);
    }

    fn fold_views(&mut self, place: usize) {
        let shard = &self.shards[place];
        let Some(height) = shard.best.as_ref().map(|best| best.height) else {
            return;
        };
        let (mut first, mut second, mut voters) = (None, None, 0);
        for &node in &shard.nodes {
            let node = &self.nodes[node];
            if node.power == 0 || !node.runs() {
                continue;
            }
            voters += 1;
            let Some((agreeing, view)) = node.wants else {
                continue;
            };
            if agreeing.0 == height.0.saturating_add(1) {
                let view = Some(view);
                if view > first {
                    (first, second) = (view, first);
                } else if view > second {
                    second = view;
                }
            }
        }
        // One node alone may claim any view.
        let wanted = if voters >= 2 { second } else { first };
        if let Some(view) = wanted {
            let seq = self.seq;
            self.shards[place].wanted(view, seq);
        }
    }

    fn fold_leaders(&mut self, place: usize) {
        let shard = &self.shards[place];
        let (mut told, mut leads) = (false, false);
        for &node in &shard.nodes {
            let node = &self.nodes[node];
            if node.power > 0 && node.runs() {
                told |= node.leads.is_some();
                leads |= node.leads == Some(true);
            }
        }
        let now = self.now;
        let shard = &mut self.shards[place];
        if leads || !told {
            shard.leaderless_since = None;
        } else {
            shard.leaderless_since.get_or_insert(now);
        }
    }
}
