//! One browser that follows a run: what it is told next, made only when it has taken what came before.
//!
//! So a client holds at most one message, whatever it does: one that is slow misses states, never the newest; one that
//! comes back is told everything.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::{sync::watch, time::timeout};

use super::{
    http::Pulse,
    page::{Place, Shown},
};

/// A client is told something at least this often, so that either side learns of the other's end.
const BEAT: Duration = Duration::from_secs(5);

/// Where a client stands.
pub(super) struct Client {
    newest: watch::Receiver<Arc<Shown>>,
    /// Version of each part that it has.
    has: BTreeMap<&'static str, u64>,
    pulse: Option<Pulse>,
    begun: bool,
    over: bool,
    /// Counts it as long as it is there.
    _place: Place,
}

impl Client {
    pub(super) fn new(
        newest: watch::Receiver<Arc<Shown>>,
        pulse: Option<Pulse>,
        place: Place,
    ) -> Self {
        Self {
            newest,
            has: BTreeMap::new(),
            pulse,
            begun: false,
            over: false,
            _place: place,
        }
    }

    /// The next message, when there is something to tell.
    pub(super) async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        if self.over {
            return None;
        }
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
        let mut message = String::new();
        if self.begun {
            // An error is the end of the run's process: the connection ends with it.
            match timeout(BEAT, self.newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => message.push_str("event: beat\ndata: \n\n"),
            }
        } else {
            self.begun = true;
            message.push_str("retry: 1000\n\n");
        }
        let shown = Arc::clone(&self.newest.borrow_and_update());
        self.tell(&shown, &mut message);
        if shown.over {
            message.push_str("event: over\ndata: \n\n");
            self.over = true;
        }
        Some((Ok(Frame::data(Bytes::from(message))), self))
    }

    /// Adds the parts that the client does not have yet.
    fn tell(&mut self, shown: &Shown, message: &mut String) {
        let mut parts = serde_json::Map::new();
        for part in &shown.parts {
            if self.has.insert(part.name, part.version) != Some(part.version) {
                parts.insert(part.name.to_owned(), part.text.as_ref().into());
            }
        }
        if !parts.is_empty() {
            // JSON has no line breaks within texts, so that it is one line of the stream.
            let told = serde_json::json!({ "version": shown.version, "parts": parts });
            message.push_str(&format!("data: {told}\n\n"));
        }
    }
}
