//! `disk-error`: operations on a node's FUSE disk fail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{
        FaultyOp, Operation,
        faulty::{FileError, FileOperation, FileRule},
    },
};
use crate::plan::values::{Share, Size, Span};

fn writes_and_syncs() -> Vec<FileOperation> {
    vec![FileOperation::Write, FileOperation::Fsync]
}

fn input_output() -> FileError {
    FileError::Eio
}

fn all() -> Share {
    Share(1.0)
}

fn at_once() -> Span {
    Span(std::time::Duration::ZERO)
}

fn start() -> Size {
    Size(0)
}

/// Parameters of `disk-error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What fails. Default `["write", "fsync"]`.
    #[serde(default = "writes_and_syncs")]
    pub operations: Vec<FileOperation>,
    /// With what. Default `EIO`.
    #[serde(default = "input_output")]
    pub error: FileError,
    /// On which files: a path from the top of the disk, with `*` and `?`; on all if absent.
    #[serde(default)]
    pub path: Option<String>,
    /// Reads and writes fail that touch bytes from here on. Default `0 B`.
    #[serde(default = "start")]
    pub from: Size,
    /// And before this; to the end if absent.
    #[serde(default)]
    pub to: Option<Size>,
    /// How many of them. Default `100 %`.
    #[serde(default = "all")]
    pub share: Share,
    /// How late, as with a disk that tries again for a while. Default at once.
    #[serde(default = "at_once")]
    pub after: Span,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| {
            // Each node draws for itself.
            let place = cast.targets.iter().position(|target| *target == node);
            Operation::Faulty {
                node,
                what: FaultyOp::Misbehave {
                    fault: cast.fault.to_owned(),
                    lasts: cast.duration,
                    rule: FileRule {
                        operations: self.operations.clone(),
                        path: self.path.clone(),
                        from: self.from.0,
                        to: self.to.map(|to| to.0),
                        millionths: (self.share.0 * 1e6).round() as u32,
                        seed: cast.seed.wrapping_add(place.unwrap_or(0) as u64),
                        delay: self.after.0,
                        error: Some(self.error),
                    },
                },
            }
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Faulty {
            node,
            what: FaultyOp::Behave {
                fault: cast.fault.to_owned(),
            },
        })
    }

    fn effects(&self) -> &'static [Effect] {
        match self.error {
            FileError::Enospc | FileError::Edquot => &[Effect::DiskErrors, Effect::DiskFull],
            FileError::Erofs => &[Effect::DiskErrors, Effect::DiskReadOnly],
            FileError::Eio | FileError::Efbig | FileError::Enodev | FileError::Etimedout => {
                &[Effect::DiskErrors]
            }
        }
    }
}
