//! `packet-loss`: packets between a node and its peers are lost, each by chance.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Cast;
use crate::{
    fault::{
        effect::Effect,
        operation::link::{Direction, Fate},
        reach::{self, Cuts, LinkFault, Peers},
    },
    plan::values::Share,
};

fn share() -> Share {
    Share(0.2)
}

/// Parameters of `packet-loss`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How many. Default `20 %`.
    #[serde(default = "share")]
    pub share: Share,
    /// Which peers: nodes by name, or `shard:N`. Default: all other nodes of the network.
    #[serde(default)]
    pub peers: Option<Peers>,
    /// Packets that come `in`, that go `out`, or `both`. Default `both`.
    #[serde(default)]
    pub direction: Direction,
}

impl LinkFault for Parameters {
    const EFFECTS: &'static [Effect] = &[Effect::Impaired];

    fn cuts(&self, cast: &Cast<'_>) -> Cuts {
        reach::each_from_all(cast, self.peers.as_ref())
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn fate(&self, _: &Cast<'_>) -> Fate {
        Fate::Lost {
            per_million: reach::per_million(self.share),
        }
    }
}
