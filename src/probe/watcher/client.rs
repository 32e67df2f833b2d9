//! One keep-alive HTTP/1.1 connection to one node, with an answer of bounded size.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Uri,
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{journal::event::ProbeError, profile::dialect::BadAnswer};

/// Longest answer that is read, in bytes.
pub(super) const MAX_ANSWER: usize = 1 << 20;
/// A container on the same bridge accepts at once, or is not there. Short, so that a node that comes back while an
/// attempt hangs is noticed by the next one.
const CONNECT_DEADLINE: Duration = Duration::from_millis(250);
/// hyper's least is 8 KiB; heads of answers beyond this are no heads.
const MAX_HEAD: usize = 16 << 10;

pub(super) struct Client {
    address: SocketAddr,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that posts JSON, or gets a page.
    pub(super) fn new(address: SocketAddr, method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
            headers.insert(HOST, host);
        }
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Self {
            address,
            method,
            // Plans hold only paths that are some.
            uri: path.parse().unwrap_or_else(|_| Uri::from_static("/")),
            headers,
            sender: None,
        }
    }

    /// Sends one request and reads its whole answer into `answer`, which is cleared first.
    pub(super) async fn ask(
        &mut self,
        body: Bytes,
        deadline: Duration,
        answer: &mut Vec<u8>,
    ) -> Result<(), ProbeError> {
        answer.clear();
        let asked = tokio::time::timeout(deadline, self.try_ask(body, answer)).await;
        let result = asked.unwrap_or(Err(ProbeError::Deadline));
        if result.is_err() {
            // Dropping the sender closes the connection; a late answer must not meet the next request.
            self.sender = None;
        }
        result
    }

    async fn try_ask(&mut self, body: Bytes, answer: &mut Vec<u8>) -> Result<(), ProbeError> {
        let kept = self
            .sender
            .as_ref()
            .is_some_and(|sender| !sender.is_closed());
        if !kept {
            self.connect().await?;
        }
        match self.exchange(body.clone(), answer).await {
            // The node may have closed the kept connection at this very moment: that is no failure yet.
            Err(ProbeError::Unreachable) if kept && answer.is_empty() => {
                self.connect().await?;
                self.exchange(body, answer).await
            }
            result => result,
        }
    }

    async fn connect(&mut self) -> Result<(), ProbeError> {
        self.sender = None;
        let stream = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(self.address))
            .await
            .map_err(|_| ProbeError::Deadline)?
            .map_err(|error| by_kind(&error))?;
        // Without effect where it fails: requests are one segment.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| classify(&error))?;
        tokio::task::spawn_local(async move {
            // The request that it breaks reports the failure.
            let _ = connection.await;
        });
        self.sender = Some(sender);
        Ok(())
    }

    async fn exchange(&mut self, body: Bytes, answer: &mut Vec<u8>) -> Result<(), ProbeError> {
        let Some(sender) = &mut self.sender else {
            return Err(ProbeError::Unreachable);
        };
        sender.ready().await.map_err(|error| classify(&error))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| classify(&error))?;
        let status = response.status();
        read_body(response.into_body(), answer).await?;
        if !status.is_success() {
            return Err(bad(&format!("HTTP status {}", status.as_u16())));
        }
        Ok(())
    }
}

async fn read_body(mut body: Incoming, answer: &mut Vec<u8>) -> Result<(), ProbeError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| classify(&error))?;
        if let Some(data) = frame.data_ref() {
            if answer.len() + data.len() > MAX_ANSWER {
                return Err(ProbeError::TooLarge);
            }
            answer.extend_from_slice(data);
        }
    }
    Ok(())
}

fn classify(error: &hyper::Error) -> ProbeError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return by_kind(io);
        }
        cause = error.source();
    }
    if error.is_parse() || error.is_parse_too_large() {
        return bad(&format!("no HTTP answer: {error}"));
    }
    ProbeError::Unreachable
}

fn by_kind(error: &io::Error) -> ProbeError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeError::Refused,
        io::ErrorKind::TimedOut => ProbeError::Deadline,
        _ => ProbeError::Unreachable,
    }
}

pub(super) fn bad(reason: &str) -> ProbeError {
    ProbeError::BadAnswer(BadAnswer::new(reason).into_text())
}
