//! Places of nodes by their names: asked for several times an entry.

use serde::{Deserialize, Serialize};

use crate::ids::{Ends, NodeName};

/// Names with their places, in a table of at least four slots a name. A slot is found from a name's first and last eight
/// bytes: names of one run differ there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<NodeName>", into = "Vec<NodeName>")]
pub(super) struct Names {
    /// By place.
    names: Vec<(Ends, NodeName)>,
    /// Places plus one; zero is free.
    slots: Vec<u32>,
}

impl Names {
    pub fn new<'a>(names: impl Iterator<Item = &'a NodeName>) -> Self {
        names.cloned().collect::<Vec<_>>().into()
    }

    pub fn place(&self, name: &NodeName) -> Option<usize> {
        let ends = Ends::of(name.as_str().as_bytes());
        let mask = self.slots.len() - 1;
        let mut slot = ends.hash() & mask;
        // There are free slots, so that this ends.
        loop {
            let place = self.slots[slot].checked_sub(1)? as usize;
            let (known, text) = &self.names[place];
            if *known == ends && (ends.tell_all() || text == name) {
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
        let names: Vec<_> = names
            .into_iter()
            .map(|name| (Ends::of(name.as_str().as_bytes()), name))
            .collect();
        for ((ends, _), place) in names.iter().zip(1..) {
            let mut slot = ends.hash() & (count - 1);
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
            "s0-n00",
            "s0-n01",
            "s1-n00",
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
