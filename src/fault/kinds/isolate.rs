//! `isolate`: nothing passes between a node and all others; several targets do not reach each other either.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Cast;
use crate::fault::{
    effect::Effect,
    operation::link::{Direction, Fate},
    reach::{self, Cuts, LinkFault, Peers},
};

/// Parameters of `isolate`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Which peers: nodes by name, or `shard:N`. Default: all other nodes of the network.
    #[serde(default)]
    pub peers: Option<Peers>,
    /// Packets that come `in`, that go `out`, or `both`. Default `both`.
    #[serde(default)]
    pub direction: Direction,
}

impl LinkFault for Parameters {
    const EFFECTS: &'static [Effect] = &[Effect::CutOff];

    fn cuts(&self, cast: &Cast<'_>) -> Cuts {
        reach::each_from_all(cast, self.peers.as_ref())
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn fate(&self, _: &Cast<'_>) -> Fate {
        Fate::Lost {
            per_million: reach::ALL,
        }
    }
}
