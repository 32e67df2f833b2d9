//! Programs run inside a container, within its own limits.

use std::{fmt, pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{CHANGE, Docker, LogChunk, READ, call, failed};
use crate::engine::error::EngineError;

/// A running program inside a container.
pub struct ExecSession {
    /// Its id, for [`Docker::exec_exit_code`].
    pub id: String,
    /// Its standard input; shutting it down closes it inside.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it writes, until it ends.
    pub output: Pin<Box<dyn Stream<Item = Result<LogChunk, EngineError>> + Send>>,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecSession")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a program that ended has left.
#[derive(Debug, Clone)]
pub struct ExecOutput {
    /// Its exit code.
    pub exit_code: i64,
    /// Its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Its standard error, up to the limit.
    pub stderr: Vec<u8>,
}

impl Docker {
    /// Starts a program inside a running container, its three streams attached.
    ///
    /// # Errors
    /// What the engine said; a container that does not run is a conflict.
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        user: Option<&str>,
    ) -> Result<ExecSession, EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            user: user.map(str::to_owned),
            ..Default::default()
        };
        let future = self.client.create_exec(container, config);
        let id = call("prepare a program in container", container, CHANGE, future)
            .await?
            .id;
        let options = StartExecOptions {
            output_capacity: Some(64 * 1024),
            ..Default::default()
        };
        let future = self.client.start_exec(&id, Some(options));
        match call("start a program in container", container, CHANGE, future).await? {
            StartExecResults::Attached { output, input } => {
                let subject = container.to_owned();
                let output = output.filter_map(move |item| {
                    let item = match item {
                        Ok(LogOutput::StdErr { message }) => Some(Ok(LogChunk {
                            stderr: true,
                            bytes: message,
                        })),
                        Ok(other) => Some(Ok(LogChunk {
                            stderr: false,
                            bytes: other.into_bytes(),
                        })),
                        Err(error) => Some(Err(failed("read from a program in", &subject, &error))),
                    };
                    std::future::ready(item)
                });
                Ok(ExecSession {
                    id,
                    input,
                    output: Box::pin(output),
                })
            }
            StartExecResults::Detached => Err(EngineError::Incomplete {
                subject: container.to_owned(),
                what: "the program's streams",
            }),
        }
    }

    /// The exit code of a program started by [`Docker::exec`]; `None` while it runs.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn exec_exit_code(&self, id: &str) -> Result<Option<i64>, EngineError> {
        let answer = call("inspect program", id, READ, self.client.inspect_exec(id)).await?;
        Ok(match answer.running {
            Some(true) => None,
            _ => answer.exit_code,
        })
    }

    /// Runs a program inside a container to its end, with `input` on its standard input, keeping at most `limit`
    /// bytes of each output.
    ///
    /// # Errors
    /// [`EngineError::Deadline`] if it still runs then (the program itself is then left to notice that its input is
    /// closed), or what the engine said.
    pub async fn exec_to_end(
        &self,
        container: &str,
        command: &[String],
        user: Option<&str>,
        input: &[u8],
        deadline: Duration,
        limit: usize,
    ) -> Result<ExecOutput, EngineError> {
        let future = async {
            let mut session = self.exec(container, command, user).await?;
            let io = |error: std::io::Error| {
                EngineError::inside("writing to a program", &error.to_string())
            };
            if !input.is_empty() {
                session.input.write_all(input).await.map_err(io)?;
            }
            session.input.shutdown().await.map_err(io)?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(chunk) = session.output.next().await {
                let chunk = chunk?;
                let kept = if chunk.stderr {
                    &mut stderr
                } else {
                    &mut stdout
                };
                let room = limit.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk.bytes[..chunk.bytes.len().min(room)]);
            }
            let exit_code = self.ended(&session.id).await?;
            Ok(ExecOutput {
                exit_code,
                stdout,
                stderr,
            })
        };
        tokio::time::timeout(deadline, future)
            .await
            .unwrap_or_else(|_| {
                Err(EngineError::Deadline {
                    operation: "run a program in",
                    subject: container.to_owned(),
                    deadline,
                })
            })
    }

    /// The streams may close a moment before the engine knows the exit code.
    async fn ended(&self, id: &str) -> Result<i64, EngineError> {
        loop {
            if let Some(code) = self.exec_exit_code(id).await? {
                return Ok(code);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
