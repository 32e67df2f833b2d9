//! Places of nodes by their names: asked for several times an entry.

use serde::{Deserialize, Serialize};

use crate::ids::NodeName;

/// Names with their places, in a table of at least four slots a name. A slot is found from a name's first and last eight
/// bytes: names of one run differ there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<NodeName>", into = "Vec<NodeName>")]
pub(super) struct Names {
    /// By place.
    names: Vec<(u64, NodeName)>,
    /// Places plus one; zero is free.
    slots: Vec<u32>,
}

impl Names {
    pub fn new<'a>(names: impl Iterator<Item = &'a NodeName>) -> Self {
        names.cloned().collect::<Vec<_>>().into()
    }

    pub fn place(&self, name: &NodeName) -> Option<usize> {
        let head = head(name);
        let mask = self.slots.len() - 1;
        let mut slot = hash(head, name) & mask;
        // There are free slots, so that this ends.
        loop {
            let place = self.slots[slot].checked_sub(1)? as usize;
            let (known, text) = &self.names[place];
            if *known == head && text.as_str() == name.as_str() {
                return Some(place);
            }
            slot = (slot + 1) & mask;
        }
    }
}

impl From<Vec<NodeName>> for Names {
    fn from(names: Vec<NodeName>) -> Self {
        let count = (names.len() * 4).next_power_of_two().max(4);
        let mut slots = vec![0; count];
        let names: Vec<_> = names.into_iter().map(|name| (head(&name), name)).collect();
        for ((head, name), place) in names.iter().zip(1..) {
            let mut slot = hash(*head, name) & (count - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (count - 1);
            }
            slots[slot] = place;
        }
        Self { names, slots }
    }
}

impl From<Names> for Vec<NodeName> {
    fn from(names: Names) -> Self {
        names.names.into_iter().map(|(_, name)| name).collect()
    }
}

/// The first eight bytes as a number.
fn head(name: &NodeName) -> u64 {
    let bytes = name.as_str().as_bytes();
    let mut head = [0; 8];
    let length = bytes.len().min(8);
    head[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(head)
}

fn hash(head: u64, name: &NodeName) -> usize {
    let tail = name.as_str().as_bytes().last_chunk::<8>();
    let tail = tail.map_or(0, |tail| u64::from_le_bytes(*tail));
    let mixed = (head ^ tail.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place_and_no_other() {
        let texts = [
            "b",
            "a",
            "long-name-1",
            "long-name-2",
            "long-name",
            "z9",
            "validator-1-of-the-first-shard",
            "validator-2-of-the-first-shard",
        ];
        let name = |text: &&str| -> NodeName { text.parse().unwrap() };
        let all: Vec<NodeName> = texts.iter().map(name).collect();
        let names = Names::new(all.iter());
        for (place, name) in all.iter().enumerate() {
            assert_eq!(names.place(name), Some(place), "{name}");
        }
        for unknown in ["c", "long-nam", "long-name-3", "long-name-11"] {
            assert_eq!(names.place(&name(&unknown)), None, "{unknown}");
        }
    }
}
