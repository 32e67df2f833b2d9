//! The tasks that ask one node without a dialect: one for each request, so that an answer that does not come holds up
//! no other.

use std::{
    cell::RefCell,
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
    poller::BACK_OFF,
    protocol::{WatchedNode, WatcherConfig},
};
use crate::{
    ids::{Height, NodeName, ViewId},
    journal::event::{Event, Figures, ProbeError, ProbeKind},
    plan::foreign::{Fact, ReadPlan, Views},
    probe::{heads::Fetch, probe_state::ProbeState},
    profile::{
        dialect::{BadAnswer, Header},
        reads::{self, Known},
    },
};

/// What is older than this, at the least, is known no more.
const OLD: Duration = Duration::from_secs(3);
/// Rounds of blocks that were skipped between two looks: more than any gap that is filled has.
const MOST_ROUNDS: usize = 16;

pub(super) struct ReadPoller {
    index: usize,
    node: NodeName,
    request: ReadPlan,
    /// Whether it tells where the node stands.
    head: bool,
    views: Views,
    interval: Duration,
    old: Duration,
    body: Bytes,
    client: Client,
    state: ProbeState,
    known: Rc<RefCell<Known>>,
    shared: Shared,
}

/// All of one node.
pub(super) fn pollers(
    index: usize,
    node: &WatchedNode,
    config: &WatcherConfig,
    shared: &Shared,
) -> Vec<ReadPoller> {
    let known = Rc::new(RefCell::new(Known::new(&config.reads)));
    let requests = config.reads.requests.iter();
    let one = |request: &ReadPlan| {
        let address = SocketAddr::new(IpAddr::V4(node.address), request.port);
        let method = match request.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut values = request.values.iter();
        let first =
            |value: &crate::plan::foreign::ValuePlan| value.fact == Fact::Height && value.rank == 0;
        let kind = if values.any(first) {
            ProbeKind::Rpc
        } else {
            ProbeKind::Other
        };
        let mut values = request.values.iter();
        ReadPoller {
            index,
            node: node.name.clone(),
            head: values.any(|value| value.fact == Fact::Height),
            views: config.reads.views,
            interval: config.interval,
            old: (config.interval * 2 + request.deadline).max(OLD),
            body: Bytes::from(request.body.clone().unwrap_or_default()),
            client: Client::new(address, method, &request.path),
            state: ProbeState::new(node.name.clone(), kind),
            known: Rc::clone(&known),
            shared: Rc::clone(shared),
            request: request.clone(),
        }
    };
    requests.map(one).collect()
}

impl ReadPoller {
    /// Asks for ever, beginning at this moment.
    pub(super) async fn run(mut self, phase: Instant, mut paused: watch::Receiver<bool>) {
        let mut ticks = interval_at(phase, self.interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut answer = Vec::new();
        loop {
            ticks.tick().await;
            if paused.wait_for(|paused| !paused).await.is_err() {
                return;
            }
            let deadline = self.request.deadline;
            let asked = self
                .client
                .ask(self.body.clone(), deadline, &mut answer)
                .await;
            let result = asked.and_then(|()| self.take(&answer).map_err(bad));
            let failed = result.is_err();
            self.tell(result);
            if answer.capacity() > 256 << 10 {
                // One huge answer must not cost memory for the rest of the run.
                answer = Vec::new();
            }
            if failed && self.interval < BACK_OFF {
                sleep(BACK_OFF - self.interval).await;
            }
        }
    }

    /// Whether the answer says more than that the node has no block yet.
    fn take(&mut self, answer: &[u8]) -> Result<bool, BadAnswer> {
        let told = reads::read(&self.request, answer)?;
        let mut shared = self.shared.borrow_mut();
        let mut known = self.known.borrow_mut();
        let now = shared.now();
        known.take(&self.request, told, now);
        let mut events = Vec::new();
        if let Some(peers) = known.peers() {
            events.push(Event::Figures(Box::new(Figures {
                node: Some(self.node.clone()),
                peers: Some(peers),
                ..Figures::default()
            })));
        }
        let result = if self.head {
            known.reply(now, self.old).and_then(|reply| {
                let Some(head) = reply.head.clone() else {
                    return Ok(false);
                };
                let mut fetch = shared.heads.answered(self.index, reply, now, &mut events)?;
                for _ in 0..MOST_ROUNDS {
                    let Some(Fetch { heights }) = &fetch else {
                        break;
                    };
                    let skipped = skipped(heights, &head, self.views);
                    fetch = if skipped.is_empty() {
                        shared.heads.leave_out(self.index, now, &mut events)
                    } else {
                        shared.heads.fetched(self.index, skipped, now, &mut events)
                    };
                }
                Ok(true)
            })
        } else {
            Ok(true)
        };
        shared.send(events);
        result
    }

    fn tell(&mut self, result: Result<bool, ProbeError>) {
        let mut shared = self.shared.borrow_mut();
        let now = shared.now();
        let event = match result {
            Ok(true) => self.state.answered(now),
            Ok(false) => self.state.answered_nothing(now),
            Err(error) => {
                self.known.borrow_mut().forget(&self.request);
                self.state.failed(error, now)
            }
        };
        shared.send(event.into_iter().collect());
    }
}

fn bad(answer: BadAnswer) -> ProbeError {
    ProbeError::BadAnswer(answer.into_text())
}

/// Blocks between two looks. Nobody can be asked for them; where a chain tells nothing of a block but its height, that
/// they were made is all there is to know. Where it tells hashes they are left out.
fn skipped(heights: &[Height], head: &Header, views: Views) -> Vec<Header> {
    if !head.hash.is_empty() {
        return Vec::new();
    }
    let one = |height: &Height| {
        let view = head.view.map(|view| match views {
            Views::PerChange | Views::PerHeight => view,
            Views::PerBlock => ViewId(
                view.0
                    .saturating_sub(head.height.0.saturating_sub(height.0)),
            ),
        });
        reads::header(*height, None, view, head.leader.clone())
    };
    heights.iter().map(one).collect()
}
