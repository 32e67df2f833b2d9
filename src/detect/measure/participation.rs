//! Who led and who signed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        idle_validator,
        judgement::Participation,
        world::{Shard, World},
    },
    ids::NodeName,
    journal::event::BlockContent,
};

/// What is counted of one shard's validators, by their places in the shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ParticipationMeasure {
    seats: Vec<Seat>,
    /// The leader of the last block, and its place if it is a node of the shard.
    leader: Option<(Arc<str>, Option<usize>)>,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Seat {
    counted: Participation,
    unsigned: u64,
}

impl ParticipationMeasure {
    /// The soak begins.
    pub fn clear(&mut self) {
        self.seats.clear();
    }

    /// A block came.
    pub fn block(&mut self, shard: &Shard, content: Option<&BlockContent>, world: &World) {
        let (Some(new), Some(best)) = (shard.new_block, &shard.best) else {
            return;
        };
        self.seats.resize(shard.nodes.len(), Seat::default());
        if let Some(leader) = &best.leader {
            let known = self.leader.as_ref().filter(|(known, _)| known == leader);
            let place = match known {
                Some((_, place)) => *place,
                None => self.takes_over(leader, new.view_changes > 0, shard, world),
            };
            if let Some(seat) = place.and_then(|place| self.seats.get_mut(place)) {
                seat.counted.led += 1;
            }
        }
        let signed = content.and_then(|content| content.signed.as_deref());
        let Some(signed) = signed.and_then(idle_validator::parse) else {
            return;
        };
        for (place, seat) in self.seats.iter_mut().enumerate() {
            let did = place < 128 && signed >> place & 1 == 1;
            seat.counted.signed.1 += 1;
            if did {
                seat.counted.signed.0 += 1;
                seat.unsigned = 0;
            } else {
                seat.unsigned += 1;
                let longest = &mut seat.counted.longest_unsigned;
                *longest = (*longest).max(seat.unsigned);
            }
        }
    }

    /// Another leads than led the last block; `lost`: by a view change. Answers its place, if it is a node of the shard.
    fn takes_over(
        &mut self,
        leader: &Arc<str>,
        lost: bool,
        shard: &Shard,
        world: &World,
    ) -> Option<usize> {
        let place = place_of(leader, shard, world);
        if let Some(seat) = place.and_then(|place| self.seats.get_mut(place)) {
            seat.counted.turns += 1;
        }
        let before = self.leader.replace((Arc::clone(leader), place));
        // Whoever led before, and was replaced before it could go on.
        let replaced = before.filter(|_| lost).and_then(|(_, place)| place);
        if let Some(seat) = replaced.and_then(|place| self.seats.get_mut(place)) {
            seat.counted.missed_turns += 1;
        }
        place
    }

    /// Of the node at this place in the shard.
    pub fn view(&self, place: usize) -> Participation {
        self.seats
            .get(place)
            .map_or_else(Participation::default, |seat| seat.counted)
    }
}

fn place_of(leader: &str, shard: &Shard, world: &World) -> Option<usize> {
    let name: NodeName = leader.parse().ok()?;
    let node = world.node(&name)?;
    shard.nodes.iter().position(|&of| of == node)
}
