//! A small HTTP server for one text.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::http::{Body, ServeError, accept, asked_locally, listen, whole};

/// Connections at a time; Prometheus needs one.
const CONNECTIONS: usize = 16;

/// What Prometheus calls its text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics page of a run.
#[derive(Debug)]
pub struct Metrics {
    text: watch::Sender<Bytes>,
    task: JoinHandle<()>,
    address: SocketAddr,
}

impl Metrics {
    /// Serves on a loopback address; port 0 is any free one.
    ///
    /// # Errors
    /// When the address is not loopback or taken.
    pub async fn serve(address: SocketAddr) -> Result<Self, ServeError> {
        let (listener, address) = listen(address)?;
        let listener = TcpListener::from_std(listener)
            .map_err(|source| ServeError::Listen { address, source })?;
        let (text, newest) = watch::channel(Bytes::new());
        let handle = move |request: Request<Incoming>| {
            let answer = answer(&request, &newest);
            async move { answer }
        };
        Ok(Self {
            text,
            task: tokio::spawn(accept(listener, CONNECTIONS, handle)),
            address,
        })
    }

    /// Where it is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The newest text.
    pub fn set(&self, text: String) {
        self.text.send_replace(Bytes::from(text));
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer<B>(request: &Request<B>, newest: &watch::Receiver<Bytes>) -> Response<Body> {
    let (status, body) = match (request.method(), request.uri().path()) {
        _ if !asked_locally(request) => (
            StatusCode::FORBIDDEN,
            Bytes::from_static(b"ask by a loopback address\n"),
        ),
        (&Method::GET, "/metrics") => (StatusCode::OK, newest.borrow().clone()),
        (&Method::GET, _) => (StatusCode::NOT_FOUND, Bytes::from_static(b"see /metrics\n")),
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    whole(status, TEXT, body)
}
