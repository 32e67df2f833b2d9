//! Places of nodes by their names: asked for several times an entry.

use serde::{Deserialize, Serialize};

use crate::ids::NodeName;

/// Names in order, each with its first eight bytes as a number: names of one run seldom share more, and numbers compare
/// in one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Names(Vec<(u64, NodeName, usize)>);

impl Names {
    pub fn new<'a>(names: impl Iterator<Item = &'a NodeName>) -> Self {
        let mut sorted: Vec<_> = names
            .zip(0..)
            .map(|(name, place)| (head(name), name.clone(), place))
            .collect();
        sorted.sort();
        Self(sorted)
    }

    pub fn place(&self, name: &NodeName) -> Option<usize> {
        let wanted = head(name);
        let order = |known: &(u64, NodeName, usize)| {
            let (known, text, _) = known;
            known
                .cmp(&wanted)
                .then_with(|| text.as_str().cmp(name.as_str()))
        };
        let found = self.0.binary_search_by(order).ok()?;
        Some(self.0[found].2)
    }
}

/// The first eight bytes, in the order of texts.
fn head(name: &NodeName) -> u64 {
    let bytes = name.as_str().as_bytes();
    let mut head = [0; 8];
    let length = bytes.len().min(8);
    head[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place_and_no_other() {
        let texts = ["b", "a", "long-name-1", "long-name-2", "long-name", "z9"];
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
