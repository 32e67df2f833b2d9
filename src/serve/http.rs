//! Connections of the small HTTP servers of a run: on loopback alone, so many at a time, each for so long.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{self, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};

/// Longest life of a connection on which nothing is streamed, and longest wait for a request on it.
const CONNECTION: Duration = Duration::from_secs(60);
const REQUEST: Duration = Duration::from_secs(5);
/// A stream whose client took nothing for so long is given up: it is told something every few seconds.
const SILENT: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What answers are made of.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is reachable from outside.
    #[error("{address} is not a loopback address; what a run serves is for this machine alone")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread, or no runtime for it.
    #[error("cannot start the thread that serves")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The system gives no random numbers, and without a secret nothing is served.
    #[error("the system gives no random numbers")]
    Random {
        /// Why.
        source: io::Error,
    },
}

/// Listens on a loopback address; port 0 is any free one.
///
/// # Errors
/// When the address is not loopback or taken.
pub(super) fn listen(address: SocketAddr) -> Result<(net::TcpListener, SocketAddr), ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    let failed = |source| ServeError::Listen { address, source };
    let listener = net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// When a stream's client took something last. Each connection has one, among the extensions of its requests.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    began: Instant,
    /// Milliseconds after the begin; zero while nothing is streamed.
    last: Arc<AtomicU64>,
}

impl Pulse {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: Arc::default(),
        }
    }

    /// The client took something.
    pub(super) fn beat(&self) {
        let age = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(age.max(1), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => self.began.elapsed() >= CONNECTION,
            last => self.began.elapsed() >= Duration::from_millis(last) + SILENT,
        }
    }
}

/// Serves connections, at most `most` at a time, until it is dropped.
pub(super) async fn accept<H, F>(listener: TcpListener, most: usize, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, most likely: later there may be some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let pulse = Pulse::new();
            let known = pulse.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(known.clone());
                let answer = handle(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(REQUEST);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            // A client that breaks off or stays too long is no concern of the run's.
            tokio::select! {
                _ = connection => {}
                () = over(&pulse) => {}
            }
            drop(place);
        });
    }
}

/// Waits until a connection is to be given up.
async fn over(pulse: &Pulse) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !pulse.is_over() {
        look.tick().await;
    }
}

/// Whether it was asked by a loopback address: a page of another site that has this machine's browser ask by a name of
/// its own is not answered.
pub(super) fn asked_locally<B>(request: &Request<B>) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.map_or("", |host| match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    });
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

/// An answer that is there as a whole.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    response
}
