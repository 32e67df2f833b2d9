//! `log-scraper`: the incident's own antagonist: unpacks and scans a node's whole log history, newest first, through an unlinked file on the node's data disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};
use crate::plan::values::{Share, Size};

fn share() -> Share {
    Share(0.45)
}

fn often() -> u64 {
    1_000_000
}

fn nothing() -> Size {
    Size(0)
}

fn pace() -> Size {
    Size(8 << 20)
}

fn little() -> Size {
    Size(8 << 20)
}

/// Parameters of `log-scraper`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Processor time that the scan takes, as a share of one core. Default `45 %`.
    #[serde(default = "share")]
    pub cpu: Share,
    /// How many times over the history is unpacked: a canary's history is short. Default 1,000,000, that is until
    /// the disk has no more than `leave` bytes.
    #[serde(default = "often")]
    pub amplify: u64,
    /// Bytes of the disk that stay free. Default `0 B`.
    #[serde(default = "nothing")]
    pub leave: Size,
    /// Memory that it grows to at most. Default `8 MiB`.
    #[serde(default = "little")]
    pub memory: Size,
    /// Bytes a second that it unpacks. Default `8 MiB`.
    #[serde(default = "pace")]
    pub rate: Size,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::LogScraper {
                    cpu_percent: (self.cpu.0 * 100.0).round() as u32,
                    amplify: self.amplify,
                    leave: self.leave.0,
                    memory: self.memory.0,
                    rate: self.rate.0,
                },
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::End {
                fault: cast.fault.to_owned(),
            },
        })
    }

    fn breaks_again(&self) -> bool {
        true
    }

    fn effects(&self) -> &'static [Effect] {
        &[
            Effect::GhostBytes,
            Effect::DiskFull,
            Effect::CpuStarved,
            Effect::MemoryPressed,
        ]
    }
}
