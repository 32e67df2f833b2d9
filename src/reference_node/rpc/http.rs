//! HTTP/1.1 with a bound on everything: connections, body, idle and slow clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

/// Connections at a time; further ones wait in the listener's backlog.
const CONNECTIONS: usize = 64;
/// Longest body: the largest batch of transfers that makes sense.
const BODY_LIMIT: usize = 256 * 1_024;
/// Buffer of a connection: headers of a poller are a few hundred bytes.
const BUFFER: usize = 16 * 1_024;
/// Patience with a client that sends its body.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// A connection without a whole request for this long is closed; pollers come every second.
const IDLE: Duration = Duration::from_secs(30);
/// Pause after the system refuses to accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A request with its whole body.
pub struct Request {
    /// GET, POST, ...
    pub method: Method,
    /// Path without query.
    pub path: String,
    /// The body.
    pub body: Bytes,
}

/// An answer.
pub struct Response {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl Response {
    /// Plain text, UTF-8.
    #[must_use]
    pub fn text(status: StatusCode, text: String) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: text.into(),
        }
    }

    /// JSON that is already text.
    #[must_use]
    pub fn json(document: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "application/json",
            body: document.into(),
        }
    }

    /// Text of another kind.
    #[must_use]
    pub fn of_kind(kind: &'static str, text: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            body: text.into(),
        }
    }
}

/// Accepts for ever and answers each request with `handler`.
pub async fn serve<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let handler = handler.clone();
        tokio::spawn(async move {
            let _slot = slot;
            connection(stream, handler).await;
        });
    }
}

async fn connection<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send,
{
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let active = Arc::new(Notify::new());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        active.notify_one();
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(request, handler).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            // A client that breaks off is its own affair.
            _ = &mut connection => return,
            quiet = timeout(IDLE, active.notified()) => if quiet.is_err() {
                return;
            },
        }
    }
}

async fn answer<H, F>(request: hyper::Request<Incoming>, handler: H) -> hyper::Response<Full<Bytes>>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let (head, body) = request.into_parts();
    let response = match timeout(BODY_WITHIN, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => {
            let path = head.uri.path().to_owned();
            handler(Request {
                method: head.method,
                path,
                body: body.to_bytes(),
            })
            .await
        }
        Ok(Err(_)) => Response::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {BODY_LIMIT} bytes\n"),
        ),
        Err(_) => Response::text(
            StatusCode::REQUEST_TIMEOUT,
            "the body came too slowly\n".into(),
        ),
    };
    let mut answer = hyper::Response::new(Full::new(response.body));
    *answer.status_mut() = response.status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(response.kind));
    answer
}
