//! `exec`, `rpc` and `forward`: looking inside a network that publishes nothing.
//!
//! All three go through the engine: `rpc` and `forward` run a relay inside the run's watcher, which is on the
//! management network. The host never asks a container's address itself.

use std::{pin::Pin, process::ExitCode};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::io::StreamReader;

use super::{
    Failure,
    arguments::{Common, ExecArguments, ForwardArguments, RpcArguments},
    print, print_line, runtime, state_folder,
};
use crate::{
    engine::{
        self, Docker, Launched,
        docker::{ExecSession, LogChunk},
    },
    ids::NodeName,
    journal::text::{clean, clean_bytes},
    plan::Plan,
    run::directory::RunRecord,
};

/// Longest answer to an RPC that is shown.
const ANSWER_MOST: usize = 16 * 1024 * 1024;

/// Connections of `forward` at a time.
const FORWARDS_MOST: usize = 32;

struct Reached {
    docker: Docker,
    record: RunRecord,
    plan: Plan,
    network: Launched,
}

async fn reach(common: &Common, run: &str) -> Result<Reached, Failure> {
    let (directory, record) = state_folder(common)?
        .find(run)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    let docker = connect(common, Some(&record)).await?;
    let network = engine::reattach(&docker, &record.run)
        .await
        .map_err(|error| {
            Failure::infra(format!("run {} has no network to look into", record.name))
                .because(&error)
        })?;
    let bytes = std::fs::read(directory.path().join("plan.json"))?;
    let plan = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::infra("plan.json is damaged").because(&error))?;
    Ok(Reached {
        docker,
        record,
        plan,
        network,
    })
}

/// Connects to the engine that the options, or the run, name.
pub(super) async fn connect(
    common: &Common,
    record: Option<&RunRecord>,
) -> Result<Docker, Failure> {
    let address = common
        .engine
        .as_deref()
        .or_else(|| record.and_then(|record| record.engine.as_deref()));
    Docker::connect(address)
        .await
        .map_err(|error| Failure::infra("cannot use the container engine").because(&error))
}

impl Reached {
    fn node(&self, name: &str) -> Result<&engine::NodeHandle, Failure> {
        let found = name
            .parse::<NodeName>()
            .ok()
            .and_then(|name| self.network.nodes.get(&name));
        found.ok_or_else(|| {
            let names: Vec<_> = self
                .network
                .nodes
                .keys()
                .take(64)
                .map(ToString::to_string)
                .collect();
            Failure::usage(format!(
                "run {} has no node {name:?}; it has: {}",
                self.record.name,
                names.join(", ")
            ))
        })
    }

    /// A connection to a port of a node, through the watcher.
    async fn open(&self, node: &engine::NodeHandle, port: u16) -> Result<ExecSession, Failure> {
        let address = format!("{}:{port}", node.addresses.management);
        let mut command = self.network.toolbox.clone();
        command.extend(["relay".to_owned(), address]);
        self.docker
            .exec(&self.network.watcher, &command, None)
            .await
            .map_err(|error| Failure::infra("cannot open a way into the network").because(&error))
    }
}

pub(super) fn exec(common: &Common, verb: &ExecArguments) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        let reached = reach(common, &verb.run).await?;
        let node = reached.node(&verb.node)?;
        let failed = |error: engine::EngineError| {
            Failure::infra(format!("cannot run a command in {}", verb.node)).because(&error)
        };
        let session = reached
            .docker
            .exec(&node.container, &verb.command, None)
            .await
            .map_err(failed)?;
        let ExecSession {
            id,
            mut output,
            mut input,
        } = session;
        let forward_input = tokio::spawn(async move {
            let mut stdin = tokio::io::stdin();
            // The command may end first, and then nobody takes what is typed.
            let _ = tokio::io::copy(&mut stdin, &mut input).await;
            let _ = input.shutdown().await;
        });
        while let Some(chunk) = output.next().await {
            let chunk = chunk.map_err(failed)?;
            // The user asked for this command's own bytes, and a pipe may want them unchanged.
            let mut stdout = tokio::io::stdout();
            let mut stderr = tokio::io::stderr();
            let written = if chunk.stderr {
                stderr.write_all(&chunk.bytes).await
            } else {
                stdout.write_all(&chunk.bytes).await
            };
            let flushed = if chunk.stderr {
                stderr.flush().await
            } else {
                stdout.flush().await
            };
            if written.and(flushed).is_err() {
                break;
            }
        }
        forward_input.abort();
        let code = reached.docker.exec_exit_code(&id).await.map_err(failed)?;
        Ok(ExitCode::from(u8::try_from(code.unwrap_or(0)).unwrap_or(1)))
    })
}

/// What the relay's other end says, as one stream of bytes; what it complains of comes on standard error.
fn incoming(
    output: Pin<Box<dyn futures_util::Stream<Item = Result<LogChunk, engine::EngineError>> + Send>>,
) -> impl AsyncRead + Send + Unpin {
    let bytes = output.filter_map(|chunk| async move {
        match chunk {
            Ok(chunk) if chunk.stderr => None,
            Ok(chunk) => Some(Ok(chunk.bytes)),
            Err(error) => Some(Err(std::io::Error::other(error))),
        }
    });
    StreamReader::new(Box::pin(bytes))
}

pub(super) fn rpc(common: &Common, verb: &RpcArguments) -> Result<ExitCode, Failure> {
    let parameters: serde_json::Value = serde_json::from_str(&verb.parameters)
        .map_err(|error| Failure::usage("PARAMS must be a JSON array").because(&error))?;
    if !parameters.is_array() {
        return Err(Failure::usage(
            "PARAMS must be a JSON array, for example '[12]'",
        ));
    }
    runtime()?.block_on(async {
        let reached = reach(common, &verb.run).await?;
        let node = reached.node(&verb.node)?;
        let session = reached.open(node, reached.plan.network.probe.rpc_port).await?;
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": verb.method, "params": parameters }).to_string();
        let answer = ask(session, body).await.map_err(|error| Failure::infra(format!("{} does not answer", verb.node)).because(error.as_ref()))?;
        let value: serde_json::Value = serde_json::from_slice(&answer)
            .map_err(|error| Failure::infra(format!("{} answers no JSON: {}", verb.node, clean_bytes(&answer, 200))).because(&error))?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(Failure::infra(format!("{} refuses: {error}", verb.node)));
        }
        let result = value.get("result").unwrap_or(&serde_json::Value::Null);
        let text = if common.json { result.to_string() } else { format!("{result:#}") };
        print_line(&harmless_lines(&text))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Lines that a node said, safe for a terminal.
fn harmless_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| clean(line, ANSWER_MOST)).collect();
    lines.join("\n")
}

async fn ask(
    session: ExecSession,
    body: String,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::io::join(incoming(session.output), session.input);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::post("/")
        .header("host", "node")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        let response = sender.send_request(request).await?;
        let collected = Limited::new(response.into_body(), ANSWER_MOST)
            .collect()
            .await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(collected.to_bytes())
    })
    .await;
    driver.abort();
    answer.map_err(|_| "no answer within 10 s")?
}

pub(super) fn forward(common: &Common, verb: &ForwardArguments) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        let reached = std::sync::Arc::new(reach(common, &verb.run).await?);
        reached.node(&verb.node)?;
        let listener = TcpListener::bind(("127.0.0.1", verb.listen)).await?;
        print_line(&format!(
            "{} port {} is at {} until Ctrl-C",
            verb.node,
            verb.port,
            listener.local_addr()?
        ))?;
        let (node, port) = (verb.node.clone(), verb.port);
        let carry = move |socket| {
            let (reached, node) = (std::sync::Arc::clone(&reached), node.clone());
            async move { carry(&reached, &node, port, socket).await }
        };
        serve(&listener, FORWARDS_MOST, tokio::signal::ctrl_c(), carry).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Carries connections, at most so many at a time, until `ended`: that is heard also while all places are taken. What
/// fails is told.
async fn serve<Carried>(
    listener: &TcpListener,
    most: usize,
    ended: impl Future,
    carry: impl Fn(TcpStream) -> Carried,
) -> Result<(), Failure>
where
    Carried: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut ended = std::pin::pin!(ended);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut ended => {
                connections.shutdown().await;
                return Ok(());
            }
            accepted = listener.accept(), if connections.len() < most => {
                connections.spawn(carry(accepted?.0));
            }
            Some(carried) = connections.join_next() => {
                if let Ok(Err(failure)) = carried {
                    print(failure.render().as_bytes())?;
                }
            }
        }
    }
}

async fn carry(
    reached: &Reached,
    node: &str,
    port: u16,
    mut socket: TcpStream,
) -> Result<(), Failure> {
    let session = reached.open(reached.node(node)?, port).await?;
    let mut relay = tokio::io::join(incoming(session.output), session.input);
    // Either side may hang up at any time; that is how connections end.
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut relay).await;
    Ok(())
}

/// Inside the watcher: standard input and output to a TCP connection.
pub(super) async fn relay(address: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut from, mut to) = stream.into_split();
    let upward = tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        let _ = tokio::io::copy(&mut stdin, &mut to).await;
        let _ = to.shutdown().await;
    });
    let mut stdout = tokio::io::stdout();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        stdout.write_all(&buffer[..read]).await?;
        stdout.flush().await?;
    }
    upward.abort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_end_is_heard_while_all_places_are_taken() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let carry = |mut socket: TcpStream| async move {
            // Told that it has a place, the other side knows that all are taken.
            socket.write_all(b"!").await?;
            std::future::pending::<Result<(), Failure>>().await
        };
        let client = async {
            let mut taken = TcpStream::connect(address).await.unwrap();
            taken.read_exact(&mut [0]).await.unwrap();
            let waiting = TcpStream::connect(address).await.unwrap();
            end.send(()).unwrap();
            (taken, waiting)
        };
        let served = serve(&listener, 1, ended, carry);
        let both = async { tokio::join!(served, client) };
        let (served, _) = tokio::time::timeout(std::time::Duration::from_secs(300), both)
            .await
            .unwrap();
        served.unwrap();
    }
}
