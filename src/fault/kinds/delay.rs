//! `delay`: packets between a node and its peers come later.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Cast;
use crate::{
    fault::{
        effect::Effect,
        operation::link::{Direction, Fate},
        reach::{self, Cuts, LinkFault, Peers},
    },
    plan::values::Span,
};

fn delay() -> Span {
    Span(Duration::from_millis(50))
}

fn jitter() -> Span {
    Span(Duration::from_millis(10))
}

/// Parameters of `delay`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How much later. Default `50ms`.
    #[serde(default = "delay")]
    pub delay: Span,
    /// Up to this much more or less, by chance, so that packets may overtake each other. Default `10ms`.
    #[serde(default = "jitter")]
    pub jitter: Span,
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

    fn fate(&self, cast: &Cast<'_>) -> Fate {
        Fate::Late {
            delay: self.delay.0,
            jitter: self.jitter.0,
            lasts: cast.duration,
        }
    }
}
