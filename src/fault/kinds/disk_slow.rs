//! `disk-slow`: a node's block device takes few writes a second, so that every fsync takes long.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{DiskOp, Operation},
};
use crate::plan::values::Size;

/// Write operations a second where the plan names no throttle: an fsync of an append takes a tenth of a second.
const WRITE_IOPS: u64 = 10;

/// Parameters of `disk-slow`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Write operations a second. Default 10, if `write_bytes_per_second` is absent too.
    #[serde(default)]
    pub write_iops: Option<NonZeroU64>,
    /// Bytes written a second.
    #[serde(default, deserialize_with = "some_bytes")]
    pub write_bytes_per_second: Option<Size>,
}

/// The kernel takes 0 for no throttle.
fn some_bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    match Size::deserialize(deserializer)? {
        Size(0) => Err(serde::de::Error::custom("write_bytes_per_second is 0")),
        size => Ok(Some(size)),
    }
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let bytes = self.write_bytes_per_second.map(|size| size.0);
        let write_iops = match (self.write_iops, bytes) {
            (Some(iops), _) => Some(iops.get()),
            (None, Some(_)) => None,
            (None, None) => Some(WRITE_IOPS),
        };
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Slow {
                write_iops,
                write_bytes_per_second: bytes,
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Disk {
            node,
            what: DiskOp::Unslow,
        })
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::DiskSlow]
    }

    // The throttle is the container's, which has a new one at every start.
    fn breaks_again(&self) -> bool {
        true
    }
}
