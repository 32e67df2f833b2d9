//! The probes' way to the engine.

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};

use crate::{
    engine::{Docker, EngineError},
    ids::RunId,
    probe::access::{Access, AccessError, LogChunk, Notice, Session},
};

impl From<EngineError> for AccessError {
    fn from(error: EngineError) -> Self {
        if error.is_missing() || error.is_conflict() { Self::NotRunning } else { Self::Engine(Box::new(error)) }
    }
}

impl Access for Docker {
    fn follow_logs(&self, container: &str, since_unix_seconds: i64) -> BoxStream<'static, Result<LogChunk, AccessError>> {
        self.follow_logs_with_timestamps(container, since_unix_seconds)
            .map(|chunk| chunk.map(|chunk| LogChunk::stamped(chunk.stderr, chunk.bytes)).map_err(AccessError::from))
            .boxed()
    }

    fn exec(&self, container: &str, command: &[String], user: Option<&str>) -> BoxFuture<'static, Result<Session, AccessError>> {
        let (docker, container, command, user) = (self.clone(), container.to_owned(), command.to_vec(), user.map(str::to_owned));
        async move {
            let session = Docker::exec(&docker, &container, &command, user.as_deref()).await?;
            let output = session.output.map(|chunk| chunk.map(|chunk| (chunk.stderr, chunk.bytes)).map_err(AccessError::from));
            Ok(Session { input: session.input, output: output.boxed() })
        }
        .boxed()
    }

    fn events(&self, run: &RunId, since_unix_seconds: i64) -> BoxStream<'static, Result<Notice, AccessError>> {
        Docker::events(self, run, since_unix_seconds)
            .map(|event| {
                let event = event?;
                let time_nanos = u64::try_from(event.time_nanos).unwrap_or(0);
                Ok(Notice { node: event.node, change: event.change, time_nanos })
            })
            .boxed()
    }
}
