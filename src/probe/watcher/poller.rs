//! The task that asks one node, over and over.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use hyper::Method;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use super::{
    Shared,
    client::Client,
    client::bad,
    protocol::{WatchedNode, WatcherConfig},
};
use crate::{
    ids::{Height, NodeName},
    journal::event::{ProbeError, ProbeKind},
    plan::MetricNames,
    probe::{heads::Fetch, probe_state::ProbeState},
    profile::{
        dialect::{Dialect, Reply},
        metrics_page,
    },
};

/// Wait after a failure, if the interval is shorter: short enough to notice a node that is back within 250 ms.
pub(super) const BACK_OFF: Duration = Duration::from_millis(200);
/// Counters of a metrics page are taken over at least this long; a page costs a node as much as ten polls.
const METRICS_EVERY: Duration = Duration::from_secs(5);
/// Requests for skipped blocks between two polls; more wait for the next poll.
const MAX_FETCHES: usize = 8;

pub(super) struct Poller {
    index: usize,
    dialect: &'static dyn Dialect,
    interval: Duration,
    deadline: Duration,
    client: Client,
    state: ProbeState,
    shared: Shared,
    /// The answer's bytes, kept to be used again.
    answer: Vec<u8>,
    /// The request for nothing but the head, made once.
    plain: Bytes,
}

impl Poller {
    pub(super) fn new(
        index: usize,
        node: &WatchedNode,
        dialect: &'static dyn Dialect,
        config: &WatcherConfig,
        shared: Shared,
    ) -> Self {
        let address = SocketAddr::new(IpAddr::V4(node.address), node.rpc_port);
        Self {
            index,
            dialect,
            interval: config.interval,
            deadline: config.deadline,
            client: Client::new(address, Method::POST, dialect.path()),
            state: ProbeState::new(node.name.clone(), ProbeKind::Rpc),
            shared,
            answer: Vec::new(),
            plain: Bytes::from(dialect.poll(&[], false).into_owned()),
        }
    }

    /// Polls for ever, beginning at this moment.
    pub(super) async fn run(mut self, phase: Instant, mut paused: watch::Receiver<bool>) {
        let mut ticks = interval_at(phase, self.interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if paused.wait_for(|paused| !paused).await.is_err() {
                return;
            }
            let result = self.poll().await;
            let failed = result.is_err();
            self.tell(result);
            if failed && self.interval < BACK_OFF {
                sleep(BACK_OFF - self.interval).await;
            }
        }
    }

    fn tell(&mut self, result: Result<(), ProbeError>) {
        let mut shared = self.shared.borrow_mut();
        let now = shared.now();
        let event = match result {
            Ok(()) => self.state.answered(now),
            Err(error) => self.state.failed(error, now),
        };
        shared.send(event.into_iter().collect());
    }

    async fn poll(&mut self) -> Result<(), ProbeError> {
        let (comparison, survey) = {
            let mut shared = self.shared.borrow_mut();
            let now = shared.now();
            (
                shared.heads.comparison(self.index, now),
                shared.heads.survey(self.index, now),
            )
        };
        let body = match (comparison, survey) {
            (None, false) => self.plain.clone(),
            (height, survey) => {
                let body = self.dialect.poll(height.as_slice(), survey);
                body.into_owned().into()
            }
        };
        let reply = self.ask(body).await?;
        let fetch = {
            let mut shared = self.shared.borrow_mut();
            let now = shared.now();
            let mut events = Vec::new();
            let fetch = shared
                .heads
                .answered(self.index, reply, now, &mut events)
                .map_err(|bad| ProbeError::BadAnswer(bad.into_text()))?;
            shared.send(events);
            fetch
        };
        self.fetch(fetch).await;
        Ok(())
    }

    /// Fetches skipped blocks. A failure here is told by the next poll, if it lasts.
    async fn fetch(&mut self, mut fetch: Option<Fetch>) {
        for round in 0.. {
            let Some(Fetch { heights }) = fetch else {
                return;
            };
            let headers = if round < MAX_FETCHES {
                self.headers(&heights).await
            } else {
                Vec::new()
            };
            let mut shared = self.shared.borrow_mut();
            let now = shared.now();
            let mut events = Vec::new();
            fetch = shared.heads.fetched(self.index, headers, now, &mut events);
            shared.send(events);
        }
    }

    async fn headers(&mut self, heights: &[Height]) -> Vec<crate::profile::dialect::Header> {
        let body = self.dialect.headers(heights).into();
        self.ask(body)
            .await
            .map(|reply| reply.headers)
            .unwrap_or_default()
    }

    async fn ask(&mut self, body: Bytes) -> Result<Reply, ProbeError> {
        self.client
            .ask(body, self.deadline, &mut self.answer)
            .await?;
        let reply = self.dialect.read(&self.answer);
        if self.answer.capacity() > 64 << 10 {
            // One huge answer must not cost memory for the rest of the run.
            self.answer = Vec::new();
        }
        reply.map_err(|bad| ProbeError::BadAnswer(bad.into_text()))
    }
}

/// The task that reads one node's metrics page.
pub(super) struct MetricsPoller {
    node: NodeName,
    names: MetricNames,
    client: Client,
    deadline: Duration,
    state: ProbeState,
    shared: Shared,
}

impl MetricsPoller {
    pub(super) fn new(node: &WatchedNode, config: &WatcherConfig, shared: Shared) -> Option<Self> {
        let address = SocketAddr::new(IpAddr::V4(node.address), node.metrics_port?);
        Some(Self {
            node: node.name.clone(),
            names: config.metrics.clone(),
            client: Client::new(address, Method::GET, "/metrics"),
            deadline: config.deadline,
            state: ProbeState::new(node.name.clone(), ProbeKind::Metrics),
            shared: Rc::clone(&shared),
        })
    }

    pub(super) async fn run(mut self, phase: Instant, mut paused: watch::Receiver<bool>) {
        let mut ticks = interval_at(phase, METRICS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if paused.wait_for(|paused| !paused).await.is_err() {
                return;
            }
            let mut page = Vec::new();
            let asked = self
                .client
                .ask(Bytes::new(), self.deadline, &mut page)
                .await;
            let result = asked.and_then(|()| match page.first() {
                Some(_) => Ok(metrics_page::read(&page, &self.names, &self.node)),
                None => Err(bad("an empty metrics page")),
            });
            let mut shared = self.shared.borrow_mut();
            let now = shared.now();
            let events = match result {
                Ok(told) => self.state.answered(now).into_iter().chain(told).collect(),
                Err(error) => self.state.failed(error, now).into_iter().collect(),
            };
            shared.send(events);
        }
    }
}
