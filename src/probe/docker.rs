//! The engine's client as the probes' way to the containers.

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};

use super::access::{Access, AccessError, LogChunk, Notice, Session};
use crate::{
    engine::{Docker, EngineError, labels::Role},
    ids::RunId,
};

impl Access for Docker {
    fn follow_logs(
        &self,
        container: &str,
        since_unix_seconds: i64,
    ) -> BoxStream<'static, Result<LogChunk, AccessError>> {
        self.follow_logs_with_timestamps(container, since_unix_seconds)
            .map(|chunk| {
                chunk
                    .map(|chunk| LogChunk::stamped(chunk.stderr, chunk.bytes))
                    .map_err(AccessError::from)
            })
            .boxed()
    }

    fn exec(
        &self,
        container: &str,
        command: &[String],
        user: Option<&str>,
    ) -> BoxFuture<'static, Result<Session, AccessError>> {
        let docker = self.clone();
        let container = container.to_owned();
        let command = command.to_vec();
        let user = user.map(str::to_owned);
        Box::pin(async move {
            let session = Docker::exec(&docker, &container, &command, user.as_deref()).await?;
            let output = session.output.map(|chunk| {
                let chunk = chunk.map_err(AccessError::from)?;
                Ok::<(bool, Bytes), AccessError>((chunk.stderr, chunk.bytes))
            });
            Ok(Session {
                input: session.input,
                output: output.boxed(),
            })
        })
    }

    fn events(
        &self,
        run: &RunId,
        since_unix_seconds: i64,
    ) -> BoxStream<'static, Result<Notice, AccessError>> {
        Docker::events(self, run, since_unix_seconds)
            .map(|event| {
                let event = event.map_err(AccessError::from)?;
                let serves = event.role == Some(Role::FaultyDisk);
                let (serves_disk_of, node) = match event.node {
                    Some(node) if serves => (Some(node), None),
                    node => (None, node),
                };
                Ok(Notice {
                    node,
                    serves_disk_of,
                    version: event.version,
                    change: event.change,
                    time_nanos: event.time_nanos.unsigned_abs(),
                })
            })
            .boxed()
    }
}

impl From<EngineError> for AccessError {
    fn from(error: EngineError) -> Self {
        match error {
            // Not there, or there and not running (a conflict): an ordinary state of a node.
            EngineError::Call {
                status: Some(404 | 409),
                ..
            } => Self::NotRunning,
            error => Self::Engine(Box::new(error)),
        }
    }
}
