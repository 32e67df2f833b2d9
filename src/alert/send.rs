//! Sends one notice: plain HTTP or a command. Whatever the other side does, it is over within [`DEADLINE`].

use std::{process::Stdio, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, process::Command, time::timeout};

use super::{notice::Notice, outbox::Sent, payload::payload};
use crate::{
    journal::text::{clean, clean_bytes},
    plan::alerts::{AlertRoute, Secret, Transport},
};

/// Longest time of one try.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is read of an answer, to say what was wrong.
const ANSWER: usize = 4 << 10;
/// A secret is a line, not a file system.
const SECRET: u64 = 64 << 10;

/// Tries once. What is answered is cleaned and holds no secret.
pub(super) async fn send(route: &AlertRoute, notice: &Notice) -> Sent {
    match timeout(DEADLINE, attempt(route, notice)).await {
        Ok(sent) => sent,
        Err(_) => Sent::Later(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn attempt(route: &AlertRoute, notice: &Notice) -> Sent {
    let key = match route.key.as_ref().map(reveal).transpose() {
        Ok(key) => key,
        Err(why) => return Sent::Later(why),
    };
    let payload = payload(route.kind, notice, key.as_deref());
    let body = payload.body.to_string();
    match &route.by {
        Transport::Command(command) => run(command, body.as_bytes()).await,
        Transport::Address(address) => post(address, payload.path, body).await,
        Transport::Hidden(secret) => match reveal(secret) {
            // The address is the secret: what went wrong is told without it.
            Ok(address) => match post(&address, payload.path, body).await {
                Sent::Later(_) => Sent::Later("its hidden address could not be reached".to_owned()),
                Sent::Refused(_) => Sent::Refused("its hidden address refused it".to_owned()),
                Sent::Arrived => Sent::Arrived,
            },
            Err(why) => Sent::Later(why),
        },
    }
}

/// Reads a secret when it is needed, so that a new one counts at once.
fn reveal(secret: &Secret) -> Result<String, String> {
    let text = match secret {
        Secret::Environment(name) => std::env::var(name)
            .map_err(|_| format!("the variable {} is not set", clean(name, 80)))?,
        Secret::File(path) => {
            let unreadable =
                |_| format!("{} cannot be read", clean(&path.display().to_string(), 200));
            let mut text = String::new();
            let file = std::fs::File::open(path).map_err(unreadable)?;
            std::io::Read::read_to_string(&mut std::io::Read::take(file, SECRET), &mut text)
                .map_err(unreadable)?;
            text
        }
    };
    Ok(text.trim().to_owned())
}

async fn post(address: &str, path: &str, body: String) -> Sent {
    let address = format!("{}{path}", address.trim_end_matches('/'));
    let Ok(uri) = address.parse::<Uri>() else {
        return Sent::Refused("its address is none".to_owned());
    };
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Sent::Refused(
            "its address is not like http://host:port/path; for HTTPS give a `command`".to_owned(),
        );
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = uri.port_u16().unwrap_or(80);
    let stream = match TcpStream::connect((host.as_str(), port)).await {
        Ok(stream) => stream,
        Err(error) => return Sent::Later(format!("cannot connect: {error}")),
    };
    match exchange(stream, &uri, body).await {
        Ok(sent) => sent,
        Err(error) => Sent::Later(format!("the connection broke: {error}")),
    }
}

async fn exchange(stream: TcpStream, uri: &Uri, body: String) -> Result<Sent, hyper::Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(target)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("canarynet/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::new(Bytes::from(body)));
    let Ok(request) = request else {
        return Ok(Sent::Refused("its address is none".to_owned()));
    };
    let answer = sender.send_request(request).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            connection.abort();
            return Err(error);
        }
    };
    let status = answer.status();
    let said = match Limited::new(answer.into_body(), ANSWER).collect().await {
        Ok(said) => clean_bytes(&said.to_bytes(), 200),
        Err(_) => String::new(),
    };
    connection.abort();
    let why = format!("it answered {}: {said}", status.as_u16());
    Ok(match status.as_u16() {
        200..=299 => Sent::Arrived,
        // Told to come back later, or the other side is not well.
        408 | 425 | 429 | 500..=599 => Sent::Later(why),
        _ => Sent::Refused(why),
    })
}

async fn run(command: &[String], body: &[u8]) -> Sent {
    let [program, arguments @ ..] = command else {
        return Sent::Refused("its command is empty".to_owned());
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Sent::Later(format!("its command cannot be started: {error}")),
    };
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read is judged by its exit code.
        let _ = input.write_all(body).await;
    }
    match child.wait().await {
        Ok(status) if status.success() => Sent::Arrived,
        Ok(status) => Sent::Later(format!("its command ended with {status}")),
        Err(error) => Sent::Later(format!("its command was lost: {error}")),
    }
}
