//! What the probes need of the container engine: three streams, and nothing else of it.
//!
//! The engine's client implements [`Access`]; tests implement it over plain processes and byte lists.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use tokio::io::AsyncWrite;

use crate::{
    ids::{NodeName, RunId},
    journal::event::ContainerChange,
};

/// A way to the containers of a run.
pub trait Access: Clone + Send + Sync + 'static {
    /// Follows the standard output and error of a container from this second on, by reading the engine's own
    /// size-bounded log, never by attaching. Each chunk should carry the engine's timestamp.
    fn follow_logs(
        &self,
        container: &str,
        since_unix_seconds: i64,
    ) -> BoxStream<'static, Result<LogChunk, AccessError>>;

    /// Starts a command in a running container. Dropping the session closes the command's standard input.
    fn exec(
        &self,
        container: &str,
        command: &[String],
        user: Option<&str>,
    ) -> BoxFuture<'static, Result<Session, AccessError>>;

    /// The engine's events about the nodes of a run from this second on.
    fn events(
        &self,
        run: &RunId,
        since_unix_seconds: i64,
    ) -> BoxStream<'static, Result<Notice, AccessError>>;
}

/// A piece of a container's output, as the engine's log holds it: a line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// From standard error.
    pub stderr: bool,
    /// When the engine read it, in nanoseconds since 1970; `None` where it does not tell.
    pub time_nanos: Option<u64>,
    /// The bytes, without the engine's timestamp.
    pub bytes: Bytes,
}

impl LogChunk {
    /// From a chunk that the engine delivered with `timestamps` asked for: the stamp is taken off.
    #[must_use]
    pub fn stamped(stderr: bool, bytes: Bytes) -> Self {
        match split_stamp(&bytes) {
            Some((nanos, length)) => Self {
                stderr,
                time_nanos: Some(nanos),
                bytes: bytes.slice(length..),
            },
            None => Self {
                stderr,
                time_nanos: None,
                bytes,
            },
        }
    }
}

/// The engine's stamp is `2026-11-22T10:00:00.123456789Z ` with all nine digits; returns it with its length.
fn split_stamp(bytes: &[u8]) -> Option<(u64, usize)> {
    const LENGTH: usize = 31;
    let stamp = bytes.get(..LENGTH)?;
    if stamp[29] != b'Z' || stamp[30] != b' ' || stamp[10] != b'T' {
        return None;
    }
    let text = std::str::from_utf8(&stamp[..30]).ok()?;
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((u64::try_from(since.as_nanos()).ok()?, LENGTH))
}

/// A command running in a container.
pub struct Session {
    /// Its standard input; dropping it closes it.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its standard output and error: the flag tells standard error.
    pub output: BoxStream<'static, Result<(bool, Bytes), AccessError>>,
}

/// A change of a node's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The node, from the container's label; `None` for the run's other containers.
    pub node: Option<NodeName>,
    /// The node whose FUSE disk the container serves.
    pub serves_disk_of: Option<NodeName>,
    /// The version of the program that it runs, where the plan has several.
    pub version: Option<String>,
    /// What happened.
    pub change: ContainerChange,
    /// The engine's clock, in nanoseconds since 1970.
    pub time_nanos: u64,
}

/// Why the engine gave no access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The container is not there or does not run: an ordinary state of a node.
    #[error("the container does not run")]
    NotRunning,
    /// The engine failed.
    #[error("the container engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AccessError {
    /// The error with its causes on one line, harmless and short.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        crate::journal::text::clean(&text, 300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_taken_off_where_there_is_one() {
        let chunk = LogChunk::stamped(
            true,
            Bytes::from_static(b"2026-11-22T10:00:00.000000007Z hello\n"),
        );
        assert_eq!(&chunk.bytes[..], b"hello\n");
        assert_eq!(chunk.time_nanos.unwrap() % 1_000_000_000, 7);
        for other in [
            &b"hello"[..],
            b"2026-99-22T10:00:00.000000007Z x",
            b"2026-11-22T10:00:00.00000\xff007Z x",
            b"",
        ] {
            let chunk = LogChunk::stamped(false, Bytes::copy_from_slice(other));
            assert_eq!((chunk.time_nanos, &chunk.bytes[..]), (None, other));
        }
    }
}
