//! The page that follows a run: `soak --serve`.
//!
//! ```text
//!  run loop --snapshot--> rendered beside it --show--> [the newest state] --changed parts--> each client
//!                                                                     (bounded: one message a client)
//!  client --POST stop, fault--> Hands: the same files as the verbs write
//! ```
//! It is served by a thread of its own: what browsers cost is none of the loop's time.
//!
//! The address holds a secret; without it nothing is told, not even that there is a page.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    access::{Secret, from_the_page},
    client::Client,
    http::{Body, Pulse, ServeError, accept, asked_locally, listen, whole},
};

/// Browsers that may follow at a time.
const CLIENTS: usize = 8;
/// Connections at a time: those, and what each asks beside.
const CONNECTIONS: usize = 3 * CLIENTS;
/// Longest wish.
const WISH: usize = 4_096;
/// Wishes that are carried out at a time.
const WISHES: usize = 2;
/// A state is new enough to be shown to somebody who comes while it is not older.
const FRESH: Duration = Duration::from_secs(2);
/// Longest wait for a newer one.
const WAIT: Duration = Duration::from_secs(2);
/// Somebody who asked for the page is taken to look at it so long, even without a stream.
const LOOKS: Duration = Duration::from_secs(10);

const PLAIN: &str = "text/plain; charset=utf-8";
/// Shown until there is something to show.
const NOTHING_YET: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"1\"><title>canarynet</title><p>The run begins.</p></html>";

/// What somebody at the page wishes to be broken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Kind of fault.
    pub kind: String,
    /// On whom, as in a plan.
    pub target: String,
    /// How long, like `10s`; as long as is usual if nothing is said.
    #[serde(default)]
    pub lasts: String,
}

/// What the page can do, in the same way as the verbs. Each is called outside the run's loop and may wait a little.
pub trait Hands: Send + Sync {
    /// Asks the run to end.
    ///
    /// # Errors
    /// Why it was not asked, for people.
    fn stop(&self) -> Result<String, String>;

    /// Asks for a fault; says what became of it so far.
    ///
    /// # Errors
    /// Why it cannot be, for people.
    fn fault(&self, wish: &Wish) -> Result<String, String>;
}

/// One part of the page.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Rises when the text changes.
    pub(super) version: u64,
    pub(super) text: Arc<str>,
}

/// A state of the page.
#[derive(Debug, Default)]
pub struct Shown {
    pub(super) version: u64,
    document: Bytes,
    policy: String,
    pub(super) parts: Vec<Part>,
    pub(super) over: bool,
    at: Option<Instant>,
}

/// Who looks at the page.
#[derive(Debug)]
struct Looks {
    began: Instant,
    /// When the page was last asked for, in milliseconds after the begin, plus one.
    asked: AtomicU64,
    clients: AtomicUsize,
}

impl Looks {
    fn note(&self) {
        let age = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.asked.store(age + 1, Ordering::Relaxed);
    }

    fn wanted(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        self.clients.load(Ordering::Relaxed) > 0
            || asked > 0 && self.began.elapsed() < Duration::from_millis(asked) + LOOKS
    }

    /// A place for one more client, if there is any.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        (self.clients.fetch_add(1, Ordering::Relaxed) < CLIENTS).then_some(place)
    }
}

/// A client's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Looks>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a request needs.
struct Desk {
    secret: Secret,
    newest: watch::Receiver<Arc<Shown>>,
    looks: Arc<Looks>,
    hands: Arc<OnceLock<Arc<dyn Hands>>>,
    wishes: Semaphore,
}

/// The page of a run.
pub struct Page {
    shown: watch::Sender<Arc<Shown>>,
    secret: Secret,
    looks: Arc<Looks>,
    hands: Arc<OnceLock<Arc<dyn Hands>>>,
    /// The thread that serves ends when this is dropped.
    _ends: oneshot::Sender<()>,
    address: SocketAddr,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Page on {}", self.address)
    }
}

impl Page {
    /// Serves on a loopback address; port 0 is any free one.
    ///
    /// # Errors
    /// When the address is not loopback or taken, or the system gives no thread or no random numbers.
    pub fn serve(address: SocketAddr) -> Result<Self, ServeError> {
        let (listener, address) = listen(address)?;
        let secret = Secret::draw().map_err(|source| ServeError::Random { source })?;
        let (shown, newest) = watch::channel(Arc::new(Shown::default()));
        let looks = Arc::new(Looks {
            began: Instant::now(),
            asked: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
        });
        let hands: Arc<OnceLock<Arc<dyn Hands>>> = Arc::default();
        let desk = Arc::new(Desk {
            secret: secret.clone(),
            newest,
            looks: Arc::clone(&looks),
            hands: Arc::clone(&hands),
            wishes: Semaphore::new(WISHES),
        });
        let handle = move |request: Request<Incoming>| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(request).await }
        };
        let (ends, ended) = oneshot::channel::<()>();
        let failed = |source| ServeError::Thread { source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)
                .map_err(|source| ServeError::Listen { address, source })?
        };
        thread::Builder::new()
            .name("page".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, CONNECTIONS, handle) => {}
                        // By a message or by the sender's end: the page is dropped.
                        _ = ended => {}
                    }
                });
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self {
            shown,
            secret,
            looks,
            hands,
            _ends: ends,
            address,
        })
    }

    /// Where it is served, with its secret: whoever has this address may end the run.
    #[must_use]
    pub fn link(&self) -> String {
        format!("http://{}/{}/", self.address, self.secret.as_str())
    }

    /// From now on the page can end the run and break things in it.
    pub fn give_hands(&self, hands: Arc<dyn Hands>) {
        let _ = self.hands.set(hands);
    }

    /// Whether anybody looks: without, nothing needs to be rendered.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.looks.wanted()
    }

    /// Browsers that follow now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.looks.clients.load(Ordering::Relaxed)
    }

    /// Shows a new state: the document with everything in place, the policy that goes with it, and its parts.
    pub fn show(
        &self,
        document: String,
        policy: String,
        parts: Vec<(&'static str, String)>,
        over: bool,
    ) {
        let old = Arc::clone(&self.shown.borrow());
        let version = old.version + 1;
        let parts = parts.into_iter().map(|(name, text)| {
            let known = old.parts.iter().find(|part| part.name == name);
            match known {
                Some(part) if *part.text == *text => part.clone(),
                _ => Part {
                    name,
                    version,
                    text: text.into(),
                },
            }
        });
        let shown = Shown {
            version,
            parts: parts.collect(),
            document: Bytes::from(document),
            policy,
            over,
            at: Some(Instant::now()),
        };
        self.shown.send_replace(Arc::new(shown));
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let refused =
            |status, why: &'static str| whole(status, PLAIN, Bytes::from_static(why.as_bytes()));
        if !asked_locally(&request) {
            return refused(StatusCode::FORBIDDEN, "ask by a loopback address\n");
        }
        let Some(path) = self.secret.strip(request.uri().path()).map(str::to_owned) else {
            return refused(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        let method = request.method().clone();
        let mut response = match (&method, path.as_str()) {
            (&Method::GET, "") => self.document().await,
            (&Method::GET, "events") => self.events(&request),
            (&Method::POST, "stop" | "fault") if from_the_page(&request) => {
                self.carry_out(&path, request).await
            }
            (&Method::POST, _) => {
                refused(StatusCode::FORBIDDEN, "only the page itself may ask this\n")
            }
            (&Method::GET, _) => refused(StatusCode::NOT_FOUND, "there is nothing here\n"),
            _ => refused(StatusCode::METHOD_NOT_ALLOWED, ""),
        };
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                header::HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
            (
                header::HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
        ] {
            let value = header::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The whole page as it stands; waits a little for a newer state where nobody looked for a while.
    async fn document(&self) -> Response<Body> {
        self.looks.note();
        let mut newest = self.newest.clone();
        let fresh =
            |shown: &Arc<Shown>| shown.over || shown.at.is_some_and(|at| at.elapsed() < FRESH);
        let shown = match timeout(WAIT, newest.wait_for(fresh)).await {
            Ok(Ok(shown)) => Arc::clone(&shown),
            _ => Arc::clone(&self.newest.borrow()),
        };
        let (body, policy) = if shown.document.is_empty() {
            (
                Bytes::from_static(NOTHING_YET.as_bytes()),
                "default-src 'none'",
            )
        } else {
            (shown.document.clone(), shown.policy.as_str())
        };
        let mut response = whole(StatusCode::OK, "text/html; charset=utf-8", body);
        if let Ok(policy) =
            header::HeaderValue::from_str(&format!("{policy}; frame-ancestors 'none'"))
        {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn events(&self, request: &Request<Incoming>) -> Response<Body> {
        self.looks.note();
        let Some(place) = self.looks.enter() else {
            let full = Bytes::from_static(b"too many follow this run already\n");
            return whole(StatusCode::SERVICE_UNAVAILABLE, PLAIN, full);
        };
        let pulse = request.extensions().get::<Pulse>().cloned();
        let client = Client::new(self.newest.clone(), pulse, place);
        let body = StreamBody::new(stream::unfold(client, Client::next));
        let mut response = whole(StatusCode::OK, "text/event-stream", Bytes::new());
        *response.body_mut() = body.boxed_unsync();
        response
    }

    /// Carries a wish out beside everything else, as the verbs do.
    async fn carry_out(&self, what: &str, request: Request<Incoming>) -> Response<Body> {
        let told = |status, text: String| whole(status, PLAIN, Bytes::from(text));
        let Some(hands) = self.hands.get().cloned() else {
            return told(StatusCode::CONFLICT, "the run has not begun".to_owned());
        };
        let Ok(_place) = self.wishes.try_acquire() else {
            return told(
                StatusCode::TOO_MANY_REQUESTS,
                "one thing at a time".to_owned(),
            );
        };
        let Ok(body) = Limited::new(request.into_body(), WISH).collect().await else {
            return told(StatusCode::BAD_REQUEST, "that is too long".to_owned());
        };
        let done = if what == "stop" {
            spawn_blocking(move || hands.stop()).await
        } else {
            match serde_json::from_slice::<Wish>(&body.to_bytes()) {
                Ok(wish) => spawn_blocking(move || hands.fault(&wish)).await,
                Err(error) => return told(StatusCode::BAD_REQUEST, error.to_string()),
            }
        };
        match done {
            Ok(Ok(text)) => told(StatusCode::OK, text),
            Ok(Err(why)) => told(StatusCode::BAD_REQUEST, why),
            Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "it broke off".to_owned()),
        }
    }
}
