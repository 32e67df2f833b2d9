//! `bandwidth`: packets between a node and all its peers together pass no faster than a given rate.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Cast;
use crate::{
    fault::{
        effect::Effect,
        operation::link::{Direction, Fate},
        reach::{self, Cuts, LinkFault, Peers},
    },
    plan::values::Size,
};

/// Less than the leader of a small network says (measured: 25 KiB a second with 20 transfers), so that it falls behind.
fn rate() -> Size {
    Size(16 << 10)
}

/// Parameters of `bandwidth`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Bytes a second, each direction by itself. Default `16 KiB`.
    #[serde(default = "rate")]
    pub rate: Size,
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
        Fate::Limited {
            bytes_per_second: self.rate.0,
        }
    }
}
