//! `partition`: nodes on two sides, or in a ring, that do not reach each other.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Cast;
use crate::fault::{
    effect::Effect,
    operation::link::{Direction, Fate},
    reach::{self, Cuts, LinkFault, Peers},
};

/// Who is parted from whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The targets together from all other nodes.
    #[default]
    Targets,
    /// The targets of each shard in two halves, drawn, one from the other. Of an odd number the second is the larger.
    Halves,
    /// The targets in a ring, drawn: each hears a majority of them, itself included, and no two hear the same.
    Ring,
}

/// Parameters of `partition`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// `targets`, the targets from all other nodes; `halves`, one half of the targets from the other; `ring`, each target
    /// hears a majority of them. Default `targets`.
    #[serde(default)]
    pub shape: Shape,
    /// With `targets`: which other nodes, by name, or `shard:N`. Default: all other nodes of the network.
    #[serde(default)]
    pub peers: Option<Peers>,
    /// Nothing comes `in` to the targets (to the first half), nothing goes `out`, or `both`. Default `both`. In a ring
    /// a node does not hear (`in`, `both`) or is not heard by (`out`) those outside its majority.
    #[serde(default)]
    pub direction: Direction,
}

impl LinkFault for Parameters {
    const EFFECTS: &'static [Effect] = &[Effect::CutOff];

    fn cuts(&self, cast: &Cast<'_>) -> Cuts {
        match self.shape {
            Shape::Targets => reach::together_from_rest(cast, self.peers.as_ref()),
            Shape::Halves => reach::halves(cast),
            Shape::Ring => reach::ring(cast),
        }
    }

    fn direction(&self) -> Direction {
        // Cut both ways, the majorities of a ring would lose those that do not have their node in their own.
        match (self.shape, self.direction) {
            (Shape::Ring, Direction::Both) => Direction::In,
            (_, direction) => direction,
        }
    }

    fn fate(&self, _: &Cast<'_>) -> Fate {
        Fate::Lost {
            per_million: reach::ALL,
        }
    }
}
